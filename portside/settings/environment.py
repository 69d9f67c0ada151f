"""The environment over the file: `REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY=/data`, by distribution's rule.

The name is `REGISTRY_` and the path in capitals, joined by `_`; the value is YAML; names are applied in sorted order,
so that `REGISTRY_STORAGE=filesystem` comes before what lies below it. Elements of a list have numbers. A name that fits
nothing is a warning, never an error: Kubernetes injects `REGISTRY_PORT` and its kin for a service called `registry`
(CONFIG_SCHEMA section 1).
"""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import yaml
from pydantic import BaseModel

from portside.settings.schema.section import Section, field_of, inner_type
from portside.settings.unsupported import is_known
from portside.settings.yaml_values import parse_yaml

PREFIX = "REGISTRY_"
# The path of the file, and what distribution cannot override either.
ELSEWHERE = frozenset({"REGISTRY_CONFIGURATION_PATH", "REGISTRY_VERSION"})

KeyPath = list[str | int]


def apply_environment(
    raw: dict[str, Any], environment: Mapping[str, str], model: type[BaseModel]
) -> tuple[list[str], list[str]]:
    """Writes what the environment says into the parsed file.

    Args:
        raw: the file's mapping; changed in place.
        environment: all variables.
        model: the file's shape.

    Returns:
        mistakes, and the names that fit nothing.
    """
    mistakes: list[str] = []
    unknown: list[str] = []
    for name in sorted(environment):
        if not name.startswith(PREFIX) or name in ELSEWHERE:
            continue
        keys = _find_key(raw, name[len(PREFIX) :].split("_"), model, ())
        if keys is None:
            unknown.append(name)
            continue
        try:
            value = parse_yaml(environment[name])
        except (yaml.YAMLError, RecursionError):
            mistakes.append(f"{name} (environment): its value is not valid YAML; put it in quotes inside the variable")
            continue
        if not _set(raw, keys, value):
            mistakes.append(f"{name} (environment): the list has no element with this number, nor is it the next one")
    return mistakes, unknown


def _find_key(node: Any, parts: Sequence[str], kind: Any, above: tuple[str, ...]) -> KeyPath | None:
    """Returns the keys that lead to a setting; None when there is no such setting."""
    if not parts:
        return []
    head, rest = parts[0], parts[1:]
    kind = inner_type(kind)
    if isinstance(kind, type) and issubclass(kind, Section):
        key = _key_named(kind, head)
        field = field_of(kind, key) if key else None
        if field is None:
            whole = [part.lower() for part in parts]
            return list(whole) if is_known((*above, *whole)) else None
        below = _find_key(_child(node, key), rest, field.annotation, (*above, key))
        return None if below is None else [key, *below]
    if typing.get_origin(kind) is dict:
        keys = node if isinstance(node, Mapping) else {}
        key = next((str(known) for known in keys if str(known).upper() == head.upper()), head.lower())
        if rest and typing.get_args(kind)[1] is not Any:
            return None
        return [key, *(part.lower() for part in rest)]
    if typing.get_origin(kind) in {list, tuple} and head.isascii() and head.isdigit():
        number = int(head)
        below = _find_key(_child(node, number), rest, typing.get_args(kind)[0], (*above, head))
        return None if below is None else [number, *below]
    return None


def _key_named(section: type[Section], name: str) -> str:
    """Returns the key that a variable means; "" for none. The key itself is no name where distribution has another."""
    if name != name.upper():
        return ""
    low = name.lower()
    return section.variables.get(low) or ("" if low in section.variables.values() else low)


def _child(node: Any, key: str | int) -> Any:
    if isinstance(node, list) and isinstance(key, int):
        return node[key] if key < len(node) else None
    return node.get(key) if isinstance(node, Mapping) else None


def _set(raw: dict[str, Any], keys: KeyPath, value: Any) -> bool:
    """Writes a value; False when a list is too short for it."""
    node: Any = raw
    for key, following in pairwise(keys):
        child = _child(node, key)
        if isinstance(child, str) and isinstance(following, str):  # `storage: filesystem`
            child = {child: {}}
        if not isinstance(child, list if isinstance(following, int) else dict):
            child = [] if isinstance(following, int) else {}
        if not _put(node, key, child):
            return False
        node = child
    return _put(node, keys[-1], value)


def _put(node: Any, key: str | int, value: Any) -> bool:
    if isinstance(node, list) and isinstance(key, int):
        if key > len(node):
            return False
        node[key : key + 1] = [value]
        return True
    node[key] = value
    return True
