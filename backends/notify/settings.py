"""What is configured about notifications (`notifications`, CONFIG_SCHEMA section 2; `gateway.notifications`)."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum
from urllib.parse import urlsplit

TIMEOUT_SECONDS = 1.0
THRESHOLD = 10
BACKOFF_SECONDS = 1.0
"""What distribution takes for a value that is not positive."""

DISK_BYTES = 256 * 1024 * 1024
SEGMENT_BYTES = 4 * 1024 * 1024


class MediaType(Enum):
    """The envelope's media type: distribution 2 sends the first, distribution 3 the second."""

    V1 = "application/vnd.docker.distribution.events.v1+json"
    V2 = "application/vnd.docker.distribution.events.v2+json"


@dataclass(frozen=True, slots=True)
class EndpointSettings:
    """Where events are posted, and how.

    Attributes:
        name: as configured.
        key: names its place on the volume; `with_keys` gives each endpoint its own.
        url: http or https; it may hold a user and a password.
        headers: further headers, each with its values. They may be secrets, so they are never shown.
        timeout_seconds: for one attempt, from connecting to the head of the answer.
        threshold: so many failures in a row, and it waits between attempts.
        backoff_seconds: how long it waits then.
        ignored_media_types: events about such targets are not sent.
        ignored_actions: nor are events of these actions.
    """

    name: str
    url: str = field(repr=False)
    key: str = ""
    headers: Mapping[str, Sequence[str]] = field(default_factory=dict, repr=False)
    timeout_seconds: float = TIMEOUT_SECONDS
    threshold: int = THRESHOLD
    backoff_seconds: float = BACKOFF_SECONDS
    ignored_media_types: frozenset[str] = frozenset()
    ignored_actions: frozenset[str] = frozenset()

    @property
    def shown_url(self) -> str:
        """The URL without user, password and query, which may be secrets."""
        return show_url(self.url)


@dataclass(frozen=True, slots=True)
class NotifySettings:
    """All endpoints.

    Attributes:
        endpoints: those that are not disabled.
        disabled: the names of the others.
        media_type: of the envelope.
        references: whether events of manifests list what these name.
        source: host and port by which events name this registry.
        disk_bytes: what the log of one root may take, about; beyond it the oldest events are dropped.
        segment_bytes: how large a file of the log becomes.
    """

    endpoints: tuple[EndpointSettings, ...] = ()
    disabled: tuple[str, ...] = ()
    media_type: MediaType = MediaType.V1
    references: bool = False
    source: str = ""
    disk_bytes: int = DISK_BYTES
    segment_bytes: int = SEGMENT_BYTES


def show_url(url: str) -> str:
    """Returns a URL without user, password and query."""
    parsed = urlsplit(url)
    return f"{parsed.scheme}://{parsed.netloc.rpartition('@')[2]}{parsed.path}{'?***' if parsed.query else ''}"


def with_keys(endpoints: Sequence[tuple[str, str]]) -> list[str]:
    """Returns a key for each endpoint, given as name and URL.

    The name decides, so that an endpoint whose URL is corrected goes on where it was. Of several that have one name,
    those after the first are told apart by their URL too, and then by their number.
    """
    keys: list[str] = []
    for name, url in endpoints:
        key, number = _key(name), 1
        while key in keys:
            key = _key(name, f"{url}#{number}")
            number += 1
        keys.append(key)
    return keys


def _key(name: str, more: str = "") -> str:
    readable = re.sub(r"[^A-Za-z0-9.-]", "_", name)[:40].lstrip(".")
    whole = f"{name}\n{more}".encode("utf-8", "surrogatepass")
    return f"{readable or 'endpoint'}-{hashlib.sha256(whole).hexdigest()[:12]}"
