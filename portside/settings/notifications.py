"""From `notifications:` to what is sent to whom: which endpoints are used, and in which letter."""

from __future__ import annotations

import socket
from collections.abc import Sequence

from pydantic import BaseModel
from yarl import URL

from backends.notify.settings import (
    BACKOFF_SECONDS,
    TIMEOUT_SECONDS,
    EndpointSettings,
    MediaType,
    NotifySettings,
    show_url,
    with_keys,
)
from portside.server.listening import TcpAddress
from portside.settings.listeners import Ports
from portside.settings.schema.config import Config
from portside.settings.schema.notifications import Endpoint

SHORTEST_SECONDS = 0.001
"""Nothing can be sent in less: a bare number is nanoseconds, and distribution's own example has one."""

ONLY_IN_3 = (
    "auth.token.autoredirectpath", "auth.token.jwks", "auth.token.signingalgorithms",
    "http.h2c", "http.tls.clientauth", "http.tls.letsencrypt.directoryurl",
    "log.reportcaller",
    "proxy.cachewritetimeout", "proxy.exec", "proxy.ttl",
    "redis.addrs", "redis.clientname", "redis.connmaxidletime", "redis.connmaxlifetime", "redis.mastername",
    "redis.maxidleconns", "redis.poolsize", "redis.tls", "redis.username",
    "storage.cache.blobdescriptorsize", "storage.tag",
    "tags.maxtags",
    "validation.manifests.indexes",
)  # fmt: skip
"""Keys that distribution has since release 3: a file with one of them was written for it."""


def make_notifications(config: Config, ports: Ports, *, notes: list[str]) -> NotifySettings | None:
    """Returns what is configured; None when no endpoint is.

    Args:
        config: the file, the environment and the flags together.
        ports: what is listened on.
        notes: sentences to say at start; more are added.
    """
    asked = config.notifications
    if asked is None or not asked.endpoints:
        return None
    used = [(number, each) for number, each in enumerate(asked.endpoints) if not each.disabled]
    used = [(number, each) for number, each in used if _is_address(each.url) or _refuse(number, each, notes)]
    keys = with_keys([(each.name, each.url) for _, each in used])
    ours = config.gateway.notifications
    return NotifySettings(
        endpoints=tuple(_endpoint(number, each, key, notes) for (number, each), key in zip(used, keys, strict=True)),
        disabled=tuple(_shown_name(number, each) for number, each in enumerate(asked.endpoints) if each.disabled),
        media_type=MediaType[ours.envelope.upper()] if ours.envelope else _era(config),
        references=asked.events.includereferences,
        source=_source(config, ports),
        disk_bytes=ours.disk,
        segment_bytes=ours.segment,
    )


def _source(config: Config, ports: Ports) -> str:
    """Returns this machine's name and a port, as distribution names itself in events."""
    host, mark, port = config.http.addr.rpartition(":")
    if not mark or host == "unix" or not port.isdigit():
        addresses = [each.address for each in ports.listeners if isinstance(each.address, TcpAddress)]
        port = str(addresses[0].port) if addresses else ""
    return f"{socket.gethostname()}:{port}" if port.strip("0") else socket.gethostname()


def _shown_name(number: int, endpoint: Endpoint) -> str:
    """Returns what lines and metrics call an endpoint: on one line, and where it has no name by address or place."""
    name = "".join(character if character.isprintable() else "?" for character in endpoint.name)
    return name or (show_url(endpoint.url) if _is_address(endpoint.url) else f"notifications.endpoints.{number}")


def _endpoint(number: int, endpoint: Endpoint, key: str, notes: list[str]) -> EndpointSettings:
    where = f"notifications.endpoints.{number}"
    return EndpointSettings(
        name=_shown_name(number, endpoint),
        url=endpoint.url,
        key=key,
        headers={name: tuple(values) for name, values in endpoint.headers.items() if name},
        timeout_seconds=_seconds(f"{where}.timeout", endpoint.timeout, TIMEOUT_SECONDS, notes),
        threshold=endpoint.threshold,
        backoff_seconds=_seconds(f"{where}.backoff", endpoint.backoff, BACKOFF_SECONDS, notes),
        ignored_media_types=frozenset((*endpoint.ignoredmediatypes, *endpoint.ignore.mediatypes)),
        ignored_actions=frozenset(endpoint.ignore.actions),
    )


def _seconds(key: str, value: float, usual: float, notes: list[str]) -> float:
    if value >= SHORTEST_SECONDS:
        return value
    notes.append(
        f"{key}: nothing can be sent within {value * 1e9:.0f} nanoseconds, so {usual:g}s is used; write it with a unit,"
        " like 500ms"
    )
    return usual


def _refuse(number: int, endpoint: Endpoint, notes: list[str]) -> bool:
    notes.append(
        f"notifications.endpoints.{number} ({endpoint.name or 'without a name'}) is not used: its url is not valid;"
        " write it like https://hooks.example/registry"
    )
    return False


def _is_address(url: str) -> bool:
    try:
        parsed = URL(url)
        return parsed.scheme in {"http", "https"} and bool(parsed.host) and url.isprintable() and " " not in url
    except ValueError:
        return False


def _era(config: Config) -> MediaType:
    """Returns the letter of the release for which the file was written; the newest where it is not distribution's."""
    if "version" not in config.model_fields_set:
        return MediaType.V2
    return MediaType.V2 if any(_is_set(config, key.split(".")) for key in ONLY_IN_3) else MediaType.V1


def _is_set(section: BaseModel, path: Sequence[str]) -> bool:
    name, *below = path
    if name not in section.model_fields_set:
        return False
    value = getattr(section, name)
    if not below:
        return True
    return isinstance(value, BaseModel) and _is_set(value, below)
