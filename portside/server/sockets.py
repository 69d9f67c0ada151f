"""What the kernel knows of a connection and no event loop shows: what its peer has taken, and whether it has gone."""

from __future__ import annotations

import asyncio
import fcntl
import select
import socket
import struct
import termios

GONE = select.POLLERR | select.POLLHUP
"""The other side has reset the connection, or (unix sockets) closed it for both directions."""
SAYS_NO_MORE = select.POLLRDHUP
"""The other side has shut down its half: it may have gone, or wait for its answer."""
_TCP_INFO_SIZE = 128
_BYTES_ACKED = struct.Struct("=120xQ")  # `tcpi_bytes_acked` of `struct tcp_info` (linux/tcp.h)
_INT = struct.Struct("=i")


def hangup(transport: asyncio.Transport) -> int:
    """Returns which of `GONE` and `SAYS_NO_MORE` hold, as a mask of flags."""
    found: socket.socket | None = transport.get_extra_info("socket")
    if found is None or found.fileno() < 0:
        return GONE
    watched = select.poll()
    watched.register(found.fileno(), SAYS_NO_MORE)
    return next((events for _, events in watched.poll(0)), 0)


def queued(transport: asyncio.Transport) -> int:
    """Returns how many bytes the kernel holds that the peer has not acknowledged (TCP) or not read (unix sockets)."""
    found: socket.socket | None = transport.get_extra_info("socket")
    return 0 if found is None or found.fileno() < 0 else _queued(found)


def taken(transport: asyncio.Transport) -> tuple[int, int, int]:
    """Returns numbers of which one changes whenever the peer takes a byte of what it is sent.

    What a transport holds is not enough: the kernel asks for more only when a third of its buffer is free, and a slow
    client may need minutes until then. So the bytes that a TCP peer has acknowledged count, and those that a unix
    socket's peer has not read yet.
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
