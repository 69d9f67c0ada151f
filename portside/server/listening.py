"""Addresses and listening sockets, bound once in the parent.

Invariant: SO_REUSEPORT is never used, so a busy port is noticed; a unix socket is replaced only when nobody listens.
"""

from __future__ import annotations

import contextlib
import errno
import ipaddress
import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from portside.problems import ServingProblem
from portside.tls.contexts import TlsSettings

Network = ipaddress.IPv4Network | ipaddress.IPv6Network

BACKLOG = 1024
DEFER_SECONDS = 10
MAX_PORT = 65535
SEND_SECONDS = 60.0
KEPT_BYTES = 16 * 1024 * 1024
SOCKET_MODE = 0o660


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
    """Parses `:5000`, `[::]:5000`, `127.0.0.1:5081`, `localhost:0`, `unix:/run/portside/v1.sock`.

    Raises:
        ValueError: with one sentence that says what is wrong and what an address looks like.
    """
    if text.startswith("unix:"):
        path = text.removeprefix("unix:").removeprefix("//")
        if not path.startswith("/"):
            raise ValueError(f"{text!r} is not a valid address: a unix socket is written unix:/path/from/the/root")
        return UnixAddress(Path(path))
    if "://" in text:
        raise ValueError(f"{text!r} is not a valid address: write host:port without {text.partition('//')[0]}//")
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > MAX_PORT:
        raise ValueError(
            f"{text!r} is not a valid address: write host:port, such as :5000, 127.0.0.1:5000 or [::1]:5000"
        )
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"{text!r} is not a valid address: write an IPv6 address in brackets, such as [::1]:{port}")
    return TcpAddress(host, int(port))


@dataclass(frozen=True, slots=True)
class Limits:
    """Limits for clients.

    Attributes:
        send_seconds: how long a client may receive nothing of its answer.
        connections: how many connections an address may have to each worker process; 0 for any number.
        kept_bytes: so much does each worker process keep of answers that may be given again; 0 for none.
    """

    send_seconds: float = SEND_SECONDS
    connections: int = 0
    kept_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Listener:
    """What to listen on, before it is bound.

    Attributes:
        name: by which `Services.handlers` finds its handler: "proxy", "v1", "v2", "metrics".
        tls: None for plain HTTP.
        for_old_clients: whether it is there for clients that speak no TLS 1.2, beside others of its part.
        trusted_peer: X-Forwarded-* of every peer is believed (a unix socket of our own proxy).
        trusted_networks: the same, for peers with an address in these networks.
        optional: a default that was not asked for: skipped where another program already listens there.
        limits: what a client may cost; trusted peers are exempt, since they bear with their clients themselves.
    """

    name: str
    address: Address
    tls: TlsSettings | None = None
    for_old_clients: bool = False
    trusted_peer: bool = False
    trusted_networks: tuple[Network, ...] = ()
    optional: bool = False
    limits: Limits = Limits()


@dataclass(frozen=True, slots=True)
class BoundListener:
    """A listener with its open sockets (IPv4 and IPv6 are two, with one port).

    Attributes:
        made: which file a unix socket's path was when we made it: a process that starts while we stop may replace it.
    """

    listener: Listener
    sockets: tuple[socket.socket, ...]
    made: tuple[int, int] | None = None

    @property
    def port(self) -> int | None:
        """The TCP port, known even when 0 was asked for; None for a unix socket."""
        if isinstance(self.listener.address, UnixAddress):
            return None
        return int(self.sockets[0].getsockname()[1])

    @property
    def text(self) -> str:
        """The address as a person writes it, with the true port: `:5000`, `127.0.0.1:5081`, `unix:/path`."""
        address = self.listener.address
        if isinstance(address, UnixAddress):
            return f"unix:{address.path}"
        host = "" if address.host in {"", "::"} else address.host
        return f"{f'[{host}]' if ':' in host else host}:{self.port}"

    def close(self) -> None:
        """Closes the sockets; a unix socket's path goes too, when it is still ours."""
        for each in self.sockets:
            each.close()
        if isinstance(self.listener.address, UnixAddress):
            path = self.listener.address.path
            with contextlib.suppress(OSError):
                if _identity(path) == self.made:
                    path.unlink()


def show_address(address: Address) -> str:
    """Returns an address as a person writes it: `127.0.0.1:5081`, `unix:/path`."""
    if isinstance(address, UnixAddress):
        return f"unix:{address.path}"
    return f"{f'[{address.host}]' if ':' in address.host else address.host}:{address.port}"


class PortInUse(ServingProblem):
    """Another program listens there."""


def bind(listeners: Sequence[Listener]) -> tuple[BoundListener, ...]:
    """Binds and listens on all, or on none; what is optional and in use by another program is skipped.

    Raises:
        ServingProblem: a busy port, no permission, an address that this machine does not have.
    """
    bound: list[BoundListener] = []
    try:
        for listener in listeners:
            address = listener.address
            if isinstance(address, UnixAddress):
                bound.append(BoundListener(listener, (_bind_unix(address),), _identity(address.path)))
            else:
                with contextlib.suppress(PortInUse) if listener.optional else contextlib.nullcontext():
                    bound.append(BoundListener(listener, _bind_tcp(address, listener.name)))
    except BaseException:
        for each in bound:
            each.close()
        raise
    return tuple(bound)


def _bind_tcp(address: TcpAddress, name: str) -> tuple[socket.socket, ...]:
    host = address.host
    if host in {"", "::"}:
        return _bind_everywhere(address.port, name)
    try:
        found = socket.getaddrinfo(host, address.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)
    except socket.gaierror as error:
        raise ServingProblem(
            f"{host} is not an address of this machine ({error.strerror}): choose one of `ip addr`,"
            f" or :{address.port} for all"
        ) from None
    # `localhost` may be two addresses; the second one gets the first one's port.
    sockets: list[socket.socket] = []
    port = address.port
    for family, _, _, _, place in dict.fromkeys(found):
        try:
            sockets.append(_listen(socket.socket(family, socket.SOCK_STREAM), (str(place[0]), port), name))
        except ServingProblem:
            if family == socket.AF_INET6 and len(found) > 1 and not _has_ipv6():
                continue
            for each in sockets:
                each.close()
            raise
        port = int(sockets[0].getsockname()[1])
    return tuple(sockets)


def _bind_everywhere(port: int, name: str) -> tuple[socket.socket, ...]:
    """IPv6 and IPv4 as two sockets, so that peers of both show their own addresses."""
    if not _has_ipv6():
        return (_listen(socket.socket(socket.AF_INET, socket.SOCK_STREAM), ("0.0.0.0", port), name),)  # noqa: S104 - asked for
    six = _listen(socket.socket(socket.AF_INET6, socket.SOCK_STREAM), ("::", port), name)
    try:
        place = ("0.0.0.0", int(six.getsockname()[1]))  # noqa: S104 - asked for
        four = _listen(socket.socket(socket.AF_INET, socket.SOCK_STREAM), place, name)
    except BaseException:
        six.close()
        raise
    return six, four


def _has_ipv6() -> bool:
    if not socket.has_ipv6:
        return False
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as probe:
            probe.bind(("::1", 0))
    except OSError:
        return False
    return True


def _listen(listening: socket.socket, place: tuple[str, int], name: str) -> socket.socket:
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if listening.family == socket.AF_INET6:
            listening.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if hasattr(socket, "TCP_DEFER_ACCEPT"):
            listening.setsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT, DEFER_SECONDS)
        listening.bind(place)
        listening.listen(BACKLOG)
        listening.setblocking(False)
    except OSError as error:
        listening.close()
        raise _refused(error, place, name) from None
    return listening


def _refused(error: OSError, place: tuple[str, int], name: str) -> ServingProblem:
    host, port = place
    match error.errno:
        case errno.EADDRINUSE:
            return PortInUse(
                f"port {port} is in use by another program (`ss -ltnp 'sport = :{port}'` shows which): end it,"
                f" or choose another address for {name} with --addr or in the settings"
            )
        case errno.EACCES | errno.EPERM:
            return ServingProblem(f"port {port} may not be opened by uid {os.getuid()}: choose one above 1023")
        case errno.EADDRNOTAVAIL:
            return ServingProblem(
                f"{host} is not an address of this machine: choose one of `ip addr`, or :{port} for all"
            )
        case _:
            return ServingProblem(f"{host} port {port} cannot be listened on: {error.strerror}")


def _bind_unix(address: UnixAddress) -> socket.socket:
    path = address.path
    listening = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _remove_stale(path)
        listening.bind(str(path))
        path.chmod(SOCKET_MODE)
        listening.listen(BACKLOG)
        listening.setblocking(False)
    except OSError as error:
        listening.close()
        raise ServingProblem(
            f"the unix socket {path} cannot be made: {error.strerror or error}; its folder must exist and belong to"
            f" uid {os.getuid()}, and the path be shorter than 108 characters"
        ) from None
    except ServingProblem:
        listening.close()
        raise
    return listening


def _identity(path: Path) -> tuple[int, int]:
    """Inode and time: an inode's number may be reused at once."""
    info = path.stat()
    return info.st_ino, info.st_ctime_ns


def _remove_stale(path: Path) -> None:
    if not path.is_socket():
        return
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()  # the process that listened there is gone
        except OSError:
            return
        else:
            raise ServingProblem(f"another program listens on {path}: end it, or choose another path")
