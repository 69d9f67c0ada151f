"""The JSON Schema (draft 7) of the settings file, made of the shapes that read it.

It says what an editor can know: keys, types, choices, defaults. An empty value is valid everywhere, text may be written
as a number, and keys that begin with `x-` may stand anywhere, for what anchors refer to.
"""

from __future__ import annotations

import typing
from collections.abc import Callable
from enum import Enum
from typing import Any, Literal

from pydantic.fields import FieldInfo

from portside.settings.descriptions import DESCRIPTIONS
from portside.settings.durations import parse_duration
from portside.settings.older_names import RENAMED
from portside.settings.schema import values
from portside.settings.schema.config import Config
from portside.settings.schema.section import Section, inner_type, keys_of
from portside.settings.schema.storage import DRIVERS, ReadOnly
from portside.settings.sizes import parse_size
from portside.settings.unsupported import REFUSED, WITHOUT_EFFECT
from portside.settings.walking import readers_of

Schema = dict[str, Any]

_GO_DURATION = r"^[-+]?(0|(([0-9]+(\.[0-9]*)?|\.[0-9]+)(ns|us|µs|μs|ms|s|m|h))+)$"
_DURATION: Schema = {"anyOf": [{"type": "string", "pattern": _GO_DURATION}, {"type": "number"}]}
_DURATIONS: dict[Callable[..., Any], Schema] = {
    **dict.fromkeys((parse_duration, values.duration, values.drain_time, values.bounded_wait), _DURATION),
    values.age: {"type": "string", "pattern": _GO_DURATION},
    values.interval: {"anyOf": [{"type": "string", "pattern": _GO_DURATION}, {"const": 0}]},
}
_READ_BY: dict[Callable[..., Any], Schema] = {
    **_DURATIONS,
    parse_size: {"anyOf": [{"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)? ?([KMGTP]?i?B)?$"}, {"type": "integer"}]},
    values.header_name: {"anyOf": [{"type": "string"}, {"const": False}]},
}
_TEXT: Schema = {"type": ["string", "number", "boolean"]}
_ANCHORS: Schema = {"^x-": {}}


def json_schema() -> Schema:
    """Returns the schema of the whole file."""
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Settings of Portside: distribution's config.yml, 2.0 to 3.1, and gateway:",
        **_section(Config, ""),
    }


def _section(section: type[Section], path: str) -> Schema:
    properties = {key: _key(field, f"{path}.{key}" if path else key) for key, (_, field) in keys_of(section).items()}
    return {
        "type": ["object", "null"],
        "properties": properties,
        "patternProperties": _ANCHORS,
        "additionalProperties": not properties,
    }


def _key(field: FieldInfo, path: str) -> Schema:
    found = _or_null(_shape(field, path))
    found["description"] = _description(path)
    if path in RENAMED:
        found["deprecated"] = True
    default = field.default
    if isinstance(default, str | int | float) and default != "" and not isinstance(default, Enum):
        found["default"] = f"{default:g}s" if not _DURATIONS.keys().isdisjoint(readers_of(field)) else default
    elif isinstance(default, Enum):
        found["default"] = default.value
    return found


def _shape(field: FieldInfo, path: str) -> Schema:
    readers = readers_of(field)
    for reader in readers:
        if reader in _READ_BY:
            return dict(_READ_BY[reader])
    found = _type(inner_type(field.annotation), path, lowered=values.lower in readers)
    if values.listed in readers:
        return {"anyOf": [found, _TEXT]}
    if values.several in readers:
        return {"anyOf": [found, found["items"]]}
    for bound in field.metadata:
        for name, key in (("ge", "minimum"), ("le", "maximum")):
            if hasattr(bound, name):
                found[key] = getattr(bound, name)
    return found


def _type(kind: Any, path: str, *, lowered: bool = False) -> Schema:
    if path == "version":
        return {"enum": ["0.1", 0.1]}
    if isinstance(kind, type) and issubclass(kind, Section):
        return _by_name(kind, _section(kind, path), path)
    if isinstance(kind, type) and issubclass(kind, Enum):
        return {"enum": [each.value for each in kind]}
    if kind in {bool, int, float}:
        return {"type": {bool: "boolean", int: "integer", float: "number"}[kind]}
    origin, inside = typing.get_origin(kind), typing.get_args(kind)
    if origin is Literal:
        return {
            "enum": [*inside, *(written for each in inside if lowered for written in (each.upper(), each.capitalize()))]
        }
    if origin in {list, tuple}:
        return {"type": "array", "items": _or_null(_type(inner_type(inside[0]), f"{path}[]"))}
    if origin is dict:
        inner = inner_type(inside[1])
        return {"type": "object", "additionalProperties": {} if inner is Any else _or_null(_type(inner, path))}
    return dict(_TEXT)


def _by_name(section: type[Section], found: Schema, path: str) -> Schema:
    """Some sections may be one word instead: a driver, a scheme, `readonly: true`."""
    word: Schema | None = None
    if path == "storage":
        word = {"enum": sorted(DRIVERS)}
    elif path == "auth":
        word = {"enum": sorted(keys_of(section))}
    elif section is ReadOnly:
        word = {"type": "boolean"}
    return {"anyOf": [word, found]} if word is not None else found


def _or_null(schema: Schema) -> Schema:
    if "enum" in schema:
        return {**schema, "enum": [*schema["enum"], None]}
    if isinstance(schema.get("type"), str):
        return {**schema, "type": [schema["type"], "null"]}
    if "null" in schema.get("type", ()):
        return schema
    if "anyOf" in schema:
        return {"anyOf": [*schema["anyOf"], {"type": "null"}]}
    return {**schema, "type": [*schema["type"], "null"]}


def _description(path: str) -> str:
    said = DESCRIPTIONS.get(path, "")
    if path in REFUSED:
        return f"{said} It keeps Portside from starting: {REFUSED[path]}."
    if path in WITHOUT_EFFECT:
        return f"{said} It has no effect: {WITHOUT_EFFECT[path][0]}."
    return said
