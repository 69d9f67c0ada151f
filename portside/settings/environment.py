"""The environment over the file: `REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY=/data`, by distribution's rule.

The name is `REGISTRY_` and the path in capitals, joined by `_`; the value is YAML; names are applied in sorted order,
so that `REGISTRY_STORAGE=filesystem` comes before what lies below it. Elements of a list have numbers. A name that fits
nothing is a warning, never an error: Kubernetes injects `REGISTRY_PORT` and its kin for a service called `registry`
(CONFIG_SCHEMA section 1).
"""

from __future__ import annotations

import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import yaml

from portside.settings.remarks import Remark, ignored, refused
from portside.settings.schema.section import Section, field_of, inner_type
from portside.settings.unsupported import is_known
from portside.settings.yaml_values import parse_yaml

PREFIX = "REGISTRY_"
# The path of the file, and what distribution cannot override either.
ELSEWHERE = frozenset({"REGISTRY_CONFIGURATION_PATH", "REGISTRY_VERSION"})

KeyPath = list[str | int]


@dataclass(frozen=True, slots=True)
class Overrides:
    """What the environment did.

    Attributes:
        applied: variables by the key that each sets.
        unknown: variables that fit nothing.
        remarks: mistakes, and variables that bear the file's word for a key instead of distribution's own.
    """

    applied: dict[str, str]
    unknown: list[str]
    remarks: list[Remark]


def apply_environment(raw: dict[str, Any], environment: Mapping[str, str], model: type[Section]) -> Overrides:
    """Writes what the environment says into the parsed file.

    Args:
        raw: the file's mapping; changed in place.
        environment: all variables.
        model: the file's shape.
    """
    done = Overrides({}, [], [])
    for name in sorted(environment):
        if not name.startswith(PREFIX) or name in ELSEWHERE:
            continue
        parts = name[len(PREFIX) :].split("_")
        keys = _find_key(raw, parts, model, ())
        if keys is None:
            meant = _distribution_s_name(parts, model)
            if meant:
                why = f"is ignored, as in distribution: the variable of this setting is {PREFIX}{meant}"
                done.remarks.append(ignored(name, why))
            else:
                done.unknown.append(name)
            continue
        try:
            value = parse_yaml(environment[name])
        except (yaml.YAMLError, RecursionError):
            why = "its value is not valid YAML; put it in quotes inside the variable"
            done.remarks.append(refused(f"{name} (environment)", why))
            continue
        if _set(raw, keys, value):
            done.applied[".".join(map(str, keys))] = name
        else:
            why = "the list has no element with this number, nor is it the next one"
            done.remarks.append(refused(f"{name} (environment)", why))
    return done


def _find_key(node: Any, parts: Sequence[str], kind: Any, above: tuple[str, ...]) -> KeyPath | None:
    """Returns the keys that lead to a setting; None when there is no such setting."""
    if not parts:
        return []
    head, rest = parts[0], parts[1:]
    kind = inner_type(kind)
    if isinstance(kind, type) and issubclass(kind, Section):
        if head in kind.inlined:
            return _find_key(node, rest, kind, above)
        key = _key_named(kind, head)
        field = field_of(kind, key) if key else None
        if field is None:
            whole = [part.lower() for part in parts]
            return list(whole) if is_known((*above, *whole)) else None
        below = _find_key(_child(node, key), rest, field.annotation, (*above, key))
        return None if below is None else [key, *below]
    if typing.get_origin(kind) is dict:
        keys = node if isinstance(node, Mapping) else {}
        if not rest:  # made anew, in lower case, as in distribution, whatever is there in capitals
            return [head.lower()]
        if typing.get_args(kind)[1] is not Any:
            return None
        key = next((str(known) for known in keys if str(known).upper() == head.upper()), head.lower())
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


def _distribution_s_name(parts: Sequence[str], kind: Any) -> str:
    """Returns what a variable is called in distribution whose name was made of the file's keys; "" where it is none."""
    named: list[str] = []
    for part in parts:
        kind = inner_type(kind)
        if not (isinstance(kind, type) and issubclass(kind, Section)) or part != part.upper():
            return ""
        key = part.lower()
        field = field_of(kind, key)
        if field is None:
            return ""
        named.append(next((name for name, each in kind.variables.items() if each == key), key).upper())
        kind = field.annotation
    return "_".join(named)


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
