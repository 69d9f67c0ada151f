"""One flavor of docker-registry's file, its `_env:NAME[:default]` values looked up.

A value that begins with `_env:` is the variable's where it is set, also to nothing, else the default; both are YAML.
Only keys of the flavor and of sections in it are looked up, never elements of lists, and never twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Any

import yaml

from portside.settings.docker_registry.document import Entry, parse

_ENVIRONMENT = "_env:"


class Source(Enum):
    """Where a value comes from."""

    WRITTEN = "written"
    """It stands in the file."""
    VARIABLE = "variable"
    DEFAULT = "default"
    """It is the default of an `_env:` whose variable is not set."""


@dataclass(frozen=True, slots=True)
class Value:
    """What docker-registry sees behind a key.

    Attributes:
        key: the key; `mirroring.source` for one in a section.
        value: a section (`Flavor`), or what YAML takes it for; None where it is not set.
        line: of the key in the file; 0 where the settings are those of the official image, or the key is absent.
        source: where it comes from.
        variable: the variable that `_env:` names, or "".
        broken: whether that variable is set to what is not valid YAML.
    """

    key: str
    value: Any = None
    line: int = 0
    source: Source = Source.DEFAULT
    variable: str = ""
    broken: bool = False

    @property
    def chosen(self) -> bool:
        """Whether somebody has decided it: it is in a file, or a variable sets it."""
        return bool(self.line) or self.source is Source.VARIABLE

    @property
    def told(self) -> bool:
        """Whether somebody wrote just this value, so that it must be said when it has no effect."""
        return self.source is Source.VARIABLE or (self.source is Source.WRITTEN and bool(self.line))


class Flavor:
    """A section, its variables looked up when they are asked for.

    Args:
        section: its entries.
        environment: all variables.
        above: what stands before its keys: "" or `mirroring.`.
        given: where the section itself comes from, if that is a variable.
    """

    def __init__(
        self,
        section: Mapping[Any, Entry],
        environment: Mapping[str, str],
        *,
        above: str = "",
        given: Value | None = None,
    ) -> None:
        self._section = section
        self._environment = environment
        self._above = above
        self._given = given

    def __iter__(self) -> Iterator[str]:
        return iter(str(key) for key in self._section)

    def values(self) -> Iterator[Value]:
        """Yields the value of each key, and of each key in a section instead of the section's."""
        for key in self:
            value = self.get(key)
            if isinstance(value.value, Flavor):
                yield from (value.value.get(inside) for inside in value.value)
            else:
                yield value

    def get(self, key: str) -> Value:
        """Returns what is behind a key; of one that is absent the value is None, as there."""
        entry = self._section.get(key)
        if entry is None:
            return Value(f"{self._above}{key}")
        value = look_up(f"{self._above}{key}", entry, self._environment)
        given = self._given
        if given is None or value.variable:
            return value
        return Value(value.key, value.value, given.line, given.source, given.variable)


def look_up(key: str, entry: Entry, environment: Mapping[str, str]) -> Value:
    """Returns what docker-registry makes of an entry; the key of a whole flavor is ""."""
    text = entry.value
    if not isinstance(text, str) or not text.startswith(_ENVIRONMENT):
        return _within(Value(key, text, entry.line, Source.WRITTEN), environment)
    _, variable, *default = text.split(":", 2)
    source = Source.VARIABLE if variable in environment else Source.DEFAULT
    try:
        value = parse(environment.get(variable, "".join(default)))
    except (yaml.YAMLError, RecursionError):
        return Value(key, None, entry.line, source, variable, broken=True)
    return _within(Value(key, value, entry.line, source, variable), environment)


def _within(found: Value, environment: Mapping[str, str]) -> Value:
    if not isinstance(found.value, dict):
        return found
    given = found if found.variable else None
    inside = Flavor(found.value, environment, above=f"{found.key}." if found.key else "", given=given)
    return Value(found.key, inside, found.line, found.source, found.variable)
