"""What the kernel knows of a connection and no event loop shows: what its peer has taken, and whether it has gone."""

from __future__ import annotations

import asyncio
import fcntl
import select
import socket
import struct
import termios

from backends.http.request_info import UNIX

GONE = select.POLLERR | select.POLLHUP
"""The peer has reset the connection, or (unix sockets) closed it in both directions."""
SENDS_NO_MORE = select.POLLRDHUP
"""The peer has shut down its sending side: it may have gone, or wait for its answer."""
_TCP_INFO_SIZE = 128
_BYTES_ACKED = struct.Struct("=120xQ")  # `tcpi_bytes_acked` of `struct tcp_info` (linux/tcp.h)
_INT = struct.Struct("=i")


def peer_name(address: object) -> str:
    """Returns a peer's socket address for the log, `192.0.2.7:50123` or `[2001:db8::7]:50123`."""
    if not isinstance(address, tuple):
        return "a unix socket"
    host, port = address[:2]
    return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"


def peer_address(address: object) -> str:
    """Returns the IP address in a peer's socket address; `unix` for a unix socket's."""
    return (str(address[0]) if isinstance(address, tuple) else str(address or "")) or UNIX


def hangup(transport: asyncio.Transport) -> int:
    """Returns the flags of `GONE` and `SENDS_NO_MORE` that apply."""
    found: socket.socket | None = transport.get_extra_info("socket")
    if found is None or found.fileno() < 0:
        return GONE
    watched = select.poll()
    watched.register(found.fileno(), SENDS_NO_MORE)
    return next((events for _, events in watched.poll(0)), 0)


def queued(transport: asyncio.Transport) -> int:
    """Returns how many bytes in the kernel the peer has not acknowledged (TCP) or not read (unix sockets)."""
    found: socket.socket | None = transport.get_extra_info("socket")
    return 0 if found is None or found.fileno() < 0 else _queued(found)


def taken(transport: asyncio.Transport) -> tuple[int, int, int]:
    """Returns numbers of which one changes whenever the peer receives more of what it is sent.

    The transport's buffer alone does not show it: the kernel takes more only when a third of its own buffer is free,
    and a slow client may need minutes until then. So the bytes that a TCP peer has acknowledged count, and the bytes
    that a unix socket's peer has not read yet.
    """
    found: socket.socket | None = transport.get_extra_info("socket")
    if found is None or found.fileno() < 0:
        return (0, 0, 0)
    acknowledged = 0
    if found.family != socket.AF_UNIX:
        info = found.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _TCP_INFO_SIZE)
        if len(info) >= _BYTES_ACKED.size:
            (acknowledged,) = _BYTES_ACKED.unpack_from(info)
    return (acknowledged, _queued(found), transport.get_write_buffer_size())


def _queued(found: socket.socket) -> int:
    (size,) = _INT.unpack(fcntl.ioctl(found.fileno(), termios.TIOCOUTQ, bytes(_INT.size)))
    assert isinstance(size, int)
    return size
