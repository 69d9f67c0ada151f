"""What can be set about the proxy."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum

from backends.http.settings import BODY_IDLE_SECONDS

HEALTH_PATH = "/debug/health"
"""Where a registry of ours reports its health (distribution's address for it)."""

CONNECT_SECONDS = 5.0
READ_SECONDS = 900.0


class Rule(Enum):
    """How the route is decided.

    PORTSIDE compares versions as numbers and lets old clients fall back cleanly; LITERAL is the 2015 guide's nginx
    rule, to the letter (DEPLOYMENT_GUIDE D.5).
    """

    PORTSIDE = "portside"
    LITERAL = "literal"


@dataclass(frozen=True, slots=True)
class UpstreamCredentials:
    """What a registry elsewhere is shown by the proxy, which asks clients itself.

    Attributes:
        user: its name there; "" where the registry is shown nothing.
        password_file: the path of what holds its password; "" where the registry is shown nothing.
        realm: the registry's token server, which alone is shown the password then; "" where it takes Basic.
        service: what the registry is called there.
    """

    user: str = ""
    password_file: str = ""
    realm: str = ""
    service: str = ""


@dataclass(frozen=True, slots=True)
class UpstreamSettings:
    """A registry in another process or on another machine.

    Attributes:
        address: `unix:/path` or `http(s)://host[:port]`, with a path where the registry has a prefix of its own.
        ca: a PEM file that its certificate is checked against; "" for the system's.
        connect_seconds: how long a connection may take.
        read_seconds: how long it may be silent between two reads; the whole may take as long as it takes.
        body_idle_seconds: how long a client that sends a body may pause between two pieces.
        host: scheme and authority for `Location` where the client's own cannot be known (`http.host`).
        relative_urls: `Location` without them (`http.relativeurls`).
        prefix: what stands before `/v2/` in clients' paths, and so in those of a v2 registry.
        credentials: the proxy's own there; None where clients' credentials and its challenges pass through.
        files: the folder of which the registry may hand files over, as the proxy sees it; "" for none.
    """

    address: str
    ca: str = ""
    connect_seconds: float = CONNECT_SECONDS
    read_seconds: float = READ_SECONDS
    body_idle_seconds: float = BODY_IDLE_SECONDS
    host: str = ""
    relative_urls: bool = False
    prefix: str = ""
    credentials: UpstreamCredentials | None = None
    files: str = ""


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """Settings of the proxy.

    Attributes:
        rule: how the route is decided.
        route_header: the response header that names the route; "" for none.
        prefix: what stands before `/v2/` in every path; "" for nothing (`http.prefix`).
        v1: where the v1 registry is; None when it is in this process or there is none.
        v2: the same for v2.
    """

    rule: Rule = Rule.PORTSIDE
    route_header: str = "X-Portside-Route"
    prefix: str = ""
    v1: UpstreamSettings | None = field(default=None)
    v2: UpstreamSettings | None = field(default=None)
