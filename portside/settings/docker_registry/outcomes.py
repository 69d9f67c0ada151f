"""What becomes of a setting of docker-registry's. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from portside.settings.docker_registry.flavors import Source, Value
from portside.settings.remarks import Kind


@dataclass(frozen=True, slots=True)
class Outcome:
    """What becomes of one.

    Attributes:
        key: docker-registry's key; "" for a variable that no key names.
        variable: that sets it, or would; "".
        source: where its value comes from.
        line: in the file; 0 for none.
        kind: USED, IGNORED or REFUSED.
        becomes: Portside's settings by dotted path.
        chosen: whether somebody decided it, in a file or by a variable; else it is a default, which gives way to
            Portside's own file.
        told: whether it is said at start that it has no effect.
        why: what is said of it, to be read behind its name; "" where it is simply used.
    """

    key: str
    kind: Kind
    variable: str = ""
    source: Source = Source.VARIABLE
    line: int = 0
    becomes: Mapping[str, Any] = field(default_factory=dict)
    chosen: bool = True
    told: bool = False
    why: str = ""


def used(value: Value, becomes: Mapping[str, Any], why: str = "") -> Outcome:
    """It becomes these settings."""
    return _outcome(value, Kind.USED, why, becomes)


def useless(value: Value, why: str) -> Outcome:
    """It has no effect."""
    return _outcome(value, Kind.IGNORED, f"has no effect: {why}")


def refuse(value: Value, why: str) -> Outcome:
    """It keeps the registry from starting."""
    return _outcome(value, Kind.REFUSED, why)


def of_variable(name: str, kind: Kind, why: str = "", becomes: Mapping[str, Any] | None = None) -> Outcome:
    """A variable that docker-registry's program reads itself."""
    return Outcome("", kind, name, becomes=becomes or {}, told=True, why=why)


def _outcome(value: Value, kind: Kind, why: str, becomes: Mapping[str, Any] | None = None) -> Outcome:
    return Outcome(
        value.key,
        kind,
        value.variable,
        value.source,
        value.line,
        becomes or {},
        chosen=value.chosen,
        told=value.told,
        why=why,
    )
