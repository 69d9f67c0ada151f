"""What a connection is before there is anything to parse.

A protocol of aiohttp costs a quarter of a new TLS connection: a parser, a task, a timer. So a connection begins as an
`Opening`, which has next to nothing. With the first bytes it becomes a `Connection`, which gets them as if it had been
there from the beginning.

Invariant: an opening holds no byte that a client sent: it has passed on what it received before it returns.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from typing import Protocol

from typing_extensions import override

from portside.server.connection import Connection


class Owner(Protocol):
    """The server that a connection belongs to."""

    def opened(self, opening: Opening, transport: asyncio.Transport) -> None:
        """Takes note of a new connection."""

    def closed(self, opening: Opening) -> None:
        """Takes note of the end of one that had not become a `Connection`."""

    def succeed(self, opening: Opening, transport: asyncio.Transport) -> Connection:
        """Makes a `Connection`, and has it take an opening's place."""


class Opening(asyncio.Protocol):
    """A client's connection of which nothing has been parsed.

    Args:
        owner: the server it belongs to.

    Attributes:
        is_delivered: as of a `Connection`.
        on_lost: called when the connection has ended.
        transport: None before it begins, and after it was closed, ended or became a `Connection`.
        until: when it is closed if nothing comes, by the loop's clock.
    """

    __slots__ = ("_is_paused", "_owner", "is_delivered", "on_lost", "transport", "until")

    def __init__(self, owner: Owner) -> None:
        self._owner = owner
        self._is_paused = False
        self.is_delivered = True
        self.on_lost: Callable[[], None] | None = None
        self.transport: asyncio.Transport | None = None
        self.until = 0.0

    @property
    def connected(self) -> bool:
        """Whether it is open."""
        return self.transport is not None

    @property
    def peername(self) -> object:
        """The socket address of the client's end."""
        return None if self.transport is None else self.transport.get_extra_info("peername")

    @property
    def ssl_context(self) -> ssl.SSLContext | None:
        """What it speaks TLS by; None for plain HTTP."""
        return None if self.transport is None else self.transport.get_extra_info("sslcontext")

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment] # of a stream
        self._owner.opened(self, transport)  # type: ignore[arg-type] # the same

    @override
    def connection_lost(self, exc: BaseException | None) -> None:
        self.transport = None
        self._owner.closed(self)
        if self.on_lost is not None:
            self.on_lost()
            self.on_lost = None

    @override
    def data_received(self, data: bytes) -> None:
        transport = self.transport
        if transport is None:  # it was closed
            return
        connection = self._owner.succeed(self, transport)
        self.transport = None
        connection.on_lost, self.on_lost = self.on_lost, None
        if self._is_paused:
            connection.pause_writing()
        connection.data_received(data)

    @override
    def pause_writing(self) -> None:
        self._is_paused = True

    @override
    def resume_writing(self) -> None:
        self._is_paused = False

    def is_idle(self) -> bool:
        """Whether every request has been answered."""
        return True

    def has_unsent(self) -> bool:
        """Whether part of an answer has not been passed to the kernel yet."""
        return self._is_paused or (self.transport is not None and self.transport.get_write_buffer_size() > 0)

    def force_close(self) -> None:
        """Closes it."""
        if self.transport is not None:
            self.transport.close()
            self.transport = None

    def part(self) -> None:
        """Closes it, since no request is being answered."""
        self.force_close()
