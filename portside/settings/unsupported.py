"""Keys of distribution's file that Portside does not honour, and how each is met.

Most are named at start, so that nobody relies on them. Those that would be unsafe to ignore, or would serve something
else than was asked, keep Portside from starting. Keys that nobody knows are warned of (CONFIG_SCHEMA sections 0 and 2).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from portside.settings.lookalikes import protecting_key
from portside.settings.remarks import Kind, Remark, ignored, refused
from portside.settings.schema.config import Config
from portside.settings.schema.storage import DRIVERS, Filesystem
from portside.settings.walking import walk
from portside.settings.yaml_values import is_empty, is_unset, plain

# What has no effect and will have none, with the value that asks for what is so anyhow.
WITHOUT_EFFECT: Mapping[str, tuple[str, object]] = {
    "http.http2.disabled": ("HTTP/2 is never spoken", True),
    "http.h2c.enabled": ("HTTP/2 is never spoken", False),
    "http.tls.letsencrypt": ("without a cachefile it has none in distribution either", None),
    "proxy": ("without a remoteurl it has none in distribution either", None),
    "reporting": ("nothing is reported to others, and distribution has no such key since 3.0", None),
    "storage.filesystem.maxthreads": ("the driver has its own bound", None),
    "storage.tag.concurrencylimit": ("as many tags are looked up at once as the disk is good for", None),
}

REFUSED = {
    "proxy.remoteurl": "pull-through caching is not supported yet; remove proxy",
    "http.clientcas": "it belongs below http.tls; here it would be ignored, and everyone would be let in",
    "http.tls.letsencrypt.cachefile": (
        "certificates from Let's Encrypt are not supported yet; name certificate and key"
    ),
}

_OF_NAMES = frozenset({"storage", "auth", "gateway.auth"})
"""Sections whose keys are names of drivers or schemes: unknown ones are refused."""

GONE_DRIVERS = {"swift": "3.0", "oss": "3.0", "rados": "2.4", "s3goamz": "2.7"}
OTHER_DRIVERS = frozenset({"s3", "s3aws", "azure", "gcs", *GONE_DRIVERS})
_STORAGE = frozenset({"cache", "delete", "maintenance", "redirect", "tag"}) | DRIVERS

# What the environment may name although the schema has no place for it. Nothing looser: Kubernetes gives a container
# `REGISTRY_STORAGE_PORT` when there is a service called registry-storage.
_BEYOND_THE_SCHEMA = (
    *(f"storage.{driver}" for driver in sorted(OTHER_DRIVERS)),
    "http.clientcas",
)


def is_known(path: Sequence[str]) -> bool:
    """Whether a setting that the schema does not have is met here all the same; asked for names of the environment."""
    dotted = ".".join(path)
    return any(dotted == key or dotted.startswith(f"{key}.") for key in _BEYOND_THE_SCHEMA)


def refusals(raw: Mapping[Any, Any]) -> list[Remark]:
    """Returns a remark for each setting that keeps Portside from starting."""
    found = [refused(key, why) for key, why in REFUSED.items() if not _asks_nothing(key, plain(_value(raw, key)))]
    storage = raw.get("storage") or {}
    keys = [storage] if isinstance(storage, str) else list(storage) if isinstance(storage, Mapping) else []
    for key in sorted(str(key) for key in keys):
        if key in GONE_DRIVERS:
            why = f"distribution has this driver no more since {GONE_DRIVERS[key]}, and Portside never had it"
            found.append(refused(f"storage.{key}", f"{why}; copy the data to a file system"))
        elif key in OTHER_DRIVERS:
            found.append(refused(f"storage.{key}", "this driver is not supported yet; use filesystem or inmemory"))
        elif key in Filesystem.model_fields:
            found.append(refused(f"storage.{key}", "it belongs below storage.filesystem; indent it two spaces more"))
        elif key not in _STORAGE:
            why = f"there is no such driver{_meant(key, _STORAGE)}; use filesystem or inmemory"
            found.append(refused(f"storage.{key}", why))
    if _names_schemes(raw):
        from portside.settings.access import access_refusals  # noqa: PLC0415 - few have access control

        found += access_refusals(raw)
    if set(keys) >= DRIVERS:
        found.append(refused("storage", "it must have exactly one driver; remove filesystem or inmemory"))
    return found


def unknown_keys(raw: Mapping[Any, Any]) -> list[Remark]:
    """Returns a remark for each key that nobody knows; one that looks like one that protects is refused."""
    found = []
    for given in walk(raw, Config):
        path = given.path
        if given.kind is not None or path in REFUSED or path.rpartition(".")[0] in _OF_NAMES:
            continue
        meant = protecting_key(given.key)
        if meant:
            why = f"and it would be unsafe to ignore it: write {meant}, or remove it"
            found.append(Remark(Kind.REFUSED, path, f"{path} is not a known setting, {why}"))
        else:
            close = _meant(given.key, given.siblings)
            found.append(ignored(path, f"is not a known setting and is ignored{close}"))
    return found


def variable_refusals(names: Sequence[str]) -> list[Remark]:
    """Returns a remark for each unknown variable that looks like one that protects.

    Kubernetes' own end in `_PORT`, `_HOST`, `_ADDR` or `_PROTO`, never in such a key.
    """
    return [
        Remark(
            Kind.REFUSED,
            name,
            f"{name} (environment) is not a known setting, and it would be unsafe to ignore it:"
            f" set {meant}, or remove it",
        )
        for name in names
        if (meant := protecting_key(name.rpartition("_")[2]))
    ]


def notes(raw: Mapping[Any, Any]) -> list[Remark]:
    """Returns a remark for each key that is known, is there, and does nothing."""
    refused_keys = [each.path for each in refusals(raw)]
    return [
        ignored(key, f"has no effect: {why}")
        for key, (why, agreed) in WITHOUT_EFFECT.items()
        if not is_unset(value := _value(raw, key))
        and (agreed is None or plain(value) != agreed)
        and not any(each.startswith(f"{key}.") for each in refused_keys)
    ]


def _names_schemes(raw: Mapping[Any, Any]) -> bool:
    gateway = raw.get("gateway")
    return "auth" in raw or (isinstance(gateway, Mapping) and "auth" in gateway)


def _asks_nothing(key: str, value: Any) -> bool:
    """Whether a refused key is there without an effect in distribution: empty, or saying that nothing is wanted."""
    if isinstance(value, Mapping):
        return all(_asks_nothing(f"{key}.{name}", part) for name, part in value.items())
    return is_empty(value) or value == []


def _value(raw: Any, dotted: str) -> Any:
    for key in dotted.split("."):
        if not isinstance(raw, Mapping):
            return None
        raw = raw.get(key)
    return raw


def _meant(key: str, possible: Sequence[str] | frozenset[str]) -> str:
    from difflib import get_close_matches  # noqa: PLC0415 - only where something is misspelt

    close = get_close_matches(key.lower().replace("_", "").replace("-", ""), possible, n=1)
    return f" (did you mean {close[0]}?)" if close else ""
