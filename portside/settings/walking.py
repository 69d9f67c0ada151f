"""Every value that file, environment and flags give, beside what the schema knows of its key."""

from __future__ import annotations

import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BeforeValidator
from pydantic.fields import FieldInfo

from portside.settings.schema.section import Section, inner_type, is_optional, keys_of


@dataclass(frozen=True, slots=True)
class Given:
    """A value.

    Attributes:
        path: its key; numbers for elements of lists.
        value: as it was parsed.
        kind: the type of the key, without `| None`; None where nobody knows the key.
        readers: the functions that read it, by which one knows a duration.
        siblings: the keys that its section knows.
    """

    path: str
    value: Any
    kind: Any
    readers: tuple[Callable[..., Any], ...] = ()
    siblings: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The last part of the path."""
        if self.path.endswith("'"):
            return self.path[:-1].rpartition("'")[2]
        return self.path.rpartition(".")[2]


def walk(raw: Mapping[Any, Any], section: type[Section], above: str = "") -> Iterator[Given]:
    """Yields what a section is given, in its order: values, and sections and lists before what is in them."""
    keys = keys_of(section)
    for key, value in raw.items():
        path = f"{above}{step(key)}"
        known = keys.get(str(key))
        if known is None:
            yield Given(path, value, None, siblings=tuple(keys))
            continue
        field = known[1]
        kind = inner_type(field.annotation)
        yield Given(path, value, kind, readers_of(field))
        yield from _inside(value, kind, path)


def step(key: object) -> str:
    """Returns a key as it stands in a path: `'log.level'` is one key, and not that of a section."""
    return f"'{key}'" if "." in str(key) else str(key)


def _inside(value: Any, kind: Any, path: str) -> Iterator[Given]:
    if isinstance(kind, type) and issubclass(kind, Section):
        if isinstance(value, Mapping):
            yield from walk(value, kind, f"{path}.")
        return
    inside = typing.get_args(kind)
    if typing.get_origin(kind) in {list, tuple} and isinstance(value, list):
        element = inner_type(inside[0])
        for number, part in enumerate(value):
            yield Given(f"{path}.{number}", part, element)
            yield from _inside(part, element, f"{path}.{number}")
    elif typing.get_origin(kind) is dict and isinstance(value, Mapping):
        element = inner_type(inside[1])
        for key, part in value.items():
            yield Given(f"{path}.{step(key)}", part, element)
            yield from _inside(part, element, f"{path}.{step(key)}")


def readers_of(field: FieldInfo) -> tuple[Callable[..., Any], ...]:
    """Returns the functions that read a key's value before its type is looked at."""
    found = [each.func for each in field.metadata if isinstance(each, BeforeValidator)]
    parts = typing.get_args(field.annotation) if is_optional(field.annotation) else ()
    for part in parts:
        found += [each.func for each in getattr(part, "__metadata__", ()) if isinstance(each, BeforeValidator)]
    return tuple(found)
