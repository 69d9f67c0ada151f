"""Keys that have another name since some release, and values that mean something else than they seem to.

Each is named at start, once (CONFIG_SCHEMA sections 0 and 3).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from portside.settings.durations import parse_duration
from portside.settings.remarks import Kind, Remark, ignored
from portside.settings.schema.config import Config
from portside.settings.schema.values import bounded_wait, drain_time, duration
from portside.settings.walking import Given, walk
from portside.settings.yaml_values import Written, is_unset

# Each with the newer name, and what to say where only the older one is set.
RENAMED = {
    "loglevel": ("log.level", "loglevel is deprecated: write log.level"),
    "storage.cache.layerinfo": (
        "storage.cache.blobdescriptor",
        "storage.cache.layerinfo is called storage.cache.blobdescriptor since 2.1; it means the same",
    ),
    "redis.addr": ("redis.addrs", "redis.addr is called redis.addrs since 3.0, and is a list there; it means the same"),
    "redis.pool.maxidle": ("redis.maxidleconns", ""),
    "redis.pool.maxactive": ("redis.poolsize", ""),
    "redis.pool.idletimeout": ("redis.connmaxidletime", ""),
    "redis.pool": (
        "",
        "redis.pool is called redis.maxidleconns, .poolsize and .connmaxidletime since 3.0; it means the same",
    ),
    "validation.enabled": ("validation.disabled", "validation.enabled is deprecated: write validation.disabled"),
}
_DURATIONS = frozenset({parse_duration, duration, bounded_wait, drain_time})

_QUOTED = {bool: re.compile("y|yes|true|on|n|no|false|off", re.IGNORECASE), int: re.compile("[-+]?[0-9]+")}


def remarks(raw: Mapping[Any, Any]) -> list[Remark]:
    """Returns a remark for each such key or value.

    Args:
        raw: file, environment and flags together, as they were parsed.
    """
    given = [each for each in walk(raw, Config) if not is_unset(each.value)]
    paths = {each.path for each in given}
    found: list[Remark] = []
    for each in given:
        found += _renamed(each.path, paths)
        found += _seeming(each)
    return found


def _renamed(path: str, paths: set[str]) -> Iterator[Remark]:
    newer, text = RENAMED.get(path, ("", ""))
    if newer in paths:
        yield ignored(path, f"is ignored: it is the older name of {newer}, which is set too")
    elif text:
        yield Remark(Kind.RENAMED, path, text)


def _seeming(given: Given) -> Iterator[Remark]:
    value, path = given.value, given.path
    if isinstance(value, Written):
        number = value.value
        if path == "storage.maintenance.readonly":
            text = f"{path} is {value} here, for which distribution would end: write {path}.enabled: {value}"
            yield Remark(Kind.DANGEROUS, path, text)
        if not _DURATIONS.isdisjoint(given.readers) and isinstance(number, int | float) and number > 0:
            yield Remark(
                Kind.DANGEROUS,
                path,
                f"{path} is {value} nanoseconds, as in distribution:"
                f" write it with a unit, such as {value}ms or {value}s",
            )
    elif isinstance(value, str) and given.kind in {bool, int} and _QUOTED[given.kind].fullmatch(value):
        yield Remark(
            Kind.DANGEROUS,
            path,
            f"{path} is text in quotes, which distribution refuses or takes for nothing: write {value} without them",
        )
