"""Addresses and listening sockets, bound once in the parent.

Invariant: SO_REUSEPORT is never used, so a busy port is noticed; a unix socket is replaced only when nobody listens.
"""

from __future__ import annotations

import ipaddress
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from portside.tls import TlsSettings

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


@dataclass(frozen=True, slots=True)
class TcpAddress:
    """A host and a port. An empty host and `::` mean every address of the machine, IPv4 and IPv6."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class UnixAddress:
    """A unix socket by its path."""

    path: Path


Address = TcpAddress | UnixAddress


def parse_address(text: str) -> Address:
    """Parse `:5000`, `[::]:5000`, `127.0.0.1:5081`, `localhost:0`, `unix:/run/portside/v1.sock`.

    Raises:
        ValueError: with one sentence that says what is wrong and what an address looks like.
    """
    raise NotImplementedError


@dataclass(frozen=True, slots=True)
class Listener:
    """What to listen on, before it is bound.

    Attributes:
        name: by which `Services.handlers` finds its handler: "proxy", "v1", "v2", "metrics".
        tls: None for plain HTTP.
        trusted_peer: X-Forwarded-* of whoever connects is believed (a unix socket of our own proxy).
        trusted_networks: the same, for peers with an address in these networks.
    """

    name: str
    address: Address
    tls: TlsSettings | None = None
    trusted_peer: bool = False
    trusted_networks: tuple[Network, ...] = ()


@dataclass(frozen=True, slots=True)
class BoundListener:
    """A listener with its open sockets (IPv4 and IPv6 are two, with one port)."""

    listener: Listener
    sockets: tuple[socket.socket, ...]

    @property
    def port(self) -> int | None:
        """The TCP port, known even when 0 was asked for; None for a unix socket."""
        raise NotImplementedError

    @property
    def text(self) -> str:
        """The address as a person writes it, with the true port: `:5000`, `127.0.0.1:5081`, `unix:/path`."""
        raise NotImplementedError

    def close(self) -> None:
        """Close the sockets; a unix socket's path goes too, when it is still ours."""
        raise NotImplementedError


def bind(listeners: Sequence[Listener]) -> tuple[BoundListener, ...]:
    """Bind and listen on all, or on none.

    Raises:
        ServingProblem: a busy port, no permission, an address that this machine does not have.
    """
    raise NotImplementedError
