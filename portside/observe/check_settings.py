"""What the settings want checked beside storage (`health.file`, `health.http`, `health.tcp`); seldom wanted."""

from __future__ import annotations

from dataclasses import dataclass, field

from portside.observe.bounds import BOUND_SECONDS, INTERVAL_SECONDS


@dataclass(frozen=True, slots=True)
class FileCheck:
    """A file that says by its existence that this process shall take no requests (`health.file`).

    Attributes:
        path: of the file; a relative one counts from the current folder.
        interval_seconds: how long a finding counts.
        threshold: so many times in a row something must be found before it is reported; 0 counts as 1.
    """

    path: str
    interval_seconds: float = INTERVAL_SECONDS
    threshold: int = 0


@dataclass(frozen=True, slots=True)
class HttpCheck:
    """A server that this process depends on, asked by HEAD (`health.http`).

    Attributes:
        uri: http or https; redirects are followed.
        headers: of the request; a name may be there several times.
        status: what it must answer.
        timeout_seconds: how long it may take.
        interval_seconds, threshold: as of a file.
    """

    uri: str
    headers: tuple[tuple[str, str], ...] = field(default=(), repr=False)
    status: int = 200
    timeout_seconds: float = BOUND_SECONDS
    interval_seconds: float = INTERVAL_SECONDS
    threshold: int = 0


@dataclass(frozen=True, slots=True)
class TcpCheck:
    """An address that must take connections (`health.tcp`).

    Attributes:
        address: as the settings have it, `host:port`.
        timeout_seconds: how long it may take.
        interval_seconds, threshold: as of a file.
    """

    address: str
    timeout_seconds: float = BOUND_SECONDS
    interval_seconds: float = INTERVAL_SECONDS
    threshold: int = 0
