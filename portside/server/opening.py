"""What a connection is before there is anything to parse, and as long as there is not.

A protocol of aiohttp costs a quarter of a new TLS connection: a parser, a task, a timer. So a connection begins as an
`Opening`, which has next to nothing. It answers what was answered before (`kept_answers`), which needs no more. With
the first piece that is anything else it becomes a `Connection`, which gets that as if it had been there all the time.

Invariants:
- an opening holds no byte that a client sent: it has answered or passed on what it received before it returns;
- so each piece that it received was one whole request, and it takes one only when nothing is being sent.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from time import perf_counter
from typing import Protocol

from typing_extensions import override

from portside.server.answering_again import Keeper
from portside.server.connection import Connection
from portside.server.kept_answers import KeptAnswers
from portside.server.sockets import peer_address


class Owner(Keeper, Protocol):
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
        loop: the event loop.
        keepalive_timeout: how many seconds it may be open without a request.

    Attributes:
        is_delivered: whether the client is known to have received all answers so far.
        on_lost: called when the connection has ended.
        transport: None before it begins, and after it was closed, ended or became a `Connection`.
        until: when it is closed if nothing comes, by the loop's clock.
    """

    __slots__ = (
        "_is_paused",
        "_keepalive_timeout",
        "_kept",
        "_loop",
        "_owner",
        "_peer",
        "_peername",
        "is_delivered",
        "on_lost",
        "transport",
        "until",
    )

    def __init__(self, owner: Owner, loop: asyncio.AbstractEventLoop, keepalive_timeout: float) -> None:
        self._owner = owner
        self._loop = loop
        self._keepalive_timeout = keepalive_timeout
        self._kept: KeptAnswers | None = None
        self._peer = ""
        self._peername: object = None
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
        if self._peername is None and self.transport is not None:
            self._peername = self.transport.get_extra_info("peername")
        return self._peername

    @property
    def ssl_context(self) -> ssl.SSLContext | None:
        """What it speaks TLS by; None for plain HTTP."""
        return None if self.transport is None else self.transport.get_extra_info("sslcontext")

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport  # type: ignore[assignment] # of a stream
        self.until = self._loop.time() + self._keepalive_timeout
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
        if transport is not None and not self._answer_again(data, transport):  # None where it was closed
            self._become_connection(transport).data_received(data)

    def _answer_again(self, data: bytes, transport: asyncio.Transport) -> bool:
        """Answers a request that was answered before, if that is all there is to do; returns whether it did."""
        kept = self._kept
        if kept is None or not kept.is_open:
            self._kept = kept = self._owner.answers_for(self)
            if kept is None:
                return False
            self._peer = peer_address(self.peername)
        answer = kept.find(data)
        if answer is None or transport.is_closing() or self.has_unsent():
            return False
        began = perf_counter()
        transport.write(answer.message())
        self.is_delivered = False
        self.until = self._loop.time() + self._keepalive_timeout
        self._owner.answered_again(self)
        if answer.closes:
            self.force_close()
        answer.tell(self._peer, perf_counter() - began)
        return True

    def _become_connection(self, transport: asyncio.Transport) -> Connection:
        connection = self._owner.succeed(self, transport)
        connection.is_delivered = self.is_delivered
        connection.on_lost, self.on_lost = self.on_lost, None
        if self._is_paused:
            connection.pause_writing()
        self.transport = None
        return connection

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
