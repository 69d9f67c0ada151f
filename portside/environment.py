"""The environment over the file: `REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY=/data`, by distribution's rule.

The name is `REGISTRY_` and the path in capitals, joined by `_`; the value is YAML; names are applied in sorted order,
so that `REGISTRY_STORAGE=filesystem` comes before what lies below it. A name that fits nothing is a warning, never an
error: Kubernetes injects `REGISTRY_PORT` and its kin for a service called `registry` (CONFIG_SCHEMA section 1).
"""

from __future__ import annotations

import types
import typing
from collections.abc import Mapping
from itertools import pairwise
from typing import Any

import yaml
from pydantic import BaseModel

PREFIX = "REGISTRY_"
ELSEWHERE = frozenset({"REGISTRY_CONFIGURATION_PATH"})


def apply_environment(
    raw: dict[str, Any], environment: Mapping[str, str], model: type[BaseModel]
) -> tuple[list[str], list[str]]:
    """Writes what the environment says into the parsed file.

    Args:
        raw: the file's mapping; changed in place.
        environment: all variables.
        model: the file's shape.

    Returns:
        mistakes and warnings, a sentence each.
    """
    mistakes: list[str] = []
    warnings: list[str] = []
    for name in sorted(environment):
        if not name.startswith(PREFIX) or name in ELSEWHERE:
            continue
        path = name[len(PREFIX) :].lower().split("_")
        place = _place(path, model)
        if place is None:
            warnings.append(f"the environment's {name} is no setting and is ignored")
            continue
        try:
            value = yaml.safe_load(environment[name])
        except yaml.YAMLError:
            mistakes.append(f"the environment's {name} is not YAML; quote it")
            continue
        _set(raw, place, value)
    return mistakes, warnings


def _place(path: list[str], model: type[BaseModel]) -> list[str | int] | None:
    """Returns the keys that lead to a setting; None when there is no such setting."""
    place: list[str | int] = []
    kind: Any = model
    for index, part in enumerate(path):
        kind = _inner(kind)
        if isinstance(kind, type) and issubclass(kind, BaseModel):
            field = kind.model_fields.get(part)
            if field is None:
                # A known section may hold keys that are not honoured yet: they are named when the file is read.
                return [*place, *path[index:]] if index else None
            place.append(part)
            kind = field.annotation
        elif typing.get_origin(kind) is dict:
            return [*place, "_".join(path[index:])]
        elif typing.get_origin(kind) in {list, tuple} and part.isdigit():
            place.append(int(part))
            kind = typing.get_args(kind)[0]
        else:
            return None
    return place


def _inner(kind: Any) -> Any:
    """Strips `| None` and annotations."""
    origin = typing.get_origin(kind)
    if origin is typing.Annotated:
        return _inner(typing.get_args(kind)[0])
    if origin in {typing.Union, types.UnionType}:
        rest = [part for part in typing.get_args(kind) if part is not type(None)]
        return _inner(rest[0])
    return kind


def _set(raw: dict[str, Any], place: list[str | int], value: Any) -> None:
    node: Any = raw
    for key, following in pairwise(place):
        fresh: Any = [] if isinstance(following, int) else {}
        if isinstance(node, list) and isinstance(key, int):
            while len(node) <= key:
                node.append({})
            if not isinstance(node[key], dict | list):
                node[key] = fresh
            node = node[key]
            continue
        if isinstance(node.get(key), str):  # `storage: filesystem`
            node[key] = {node[key]: {}}
        if not isinstance(node.get(key), dict | list):
            node[key] = fresh
        node = node[key]
    last = place[-1]
    if isinstance(node, list) and isinstance(last, int):
        while len(node) <= last:
            node.append(None)
    node[last] = value
