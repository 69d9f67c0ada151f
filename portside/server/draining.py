"""An HTTP server that knows which of its connections are busy, so that it can stop without breaking any.

aiohttp's own `pre_shutdown` stops reading from every connection, also from one in the middle of an upload, whose
request then hangs until it is cut off. Here a connection stays open until its request has been answered.

Invariant: once draining has begun, an idle connection is closed at once, a busy one after its answer, and a new one may
still send one request.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import HttpVersion11, hdrs, web
from aiohttp.abc import AbstractStreamWriter
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader
from aiohttp.web_protocol import ERROR, RequestHandler
from multidict import CIMultiDict, CIMultiDictProxy
from typing_extensions import override

from backends import request_context
from portside.server.answering_again import Peer
from portside.server.bodies import Turn
from portside.server.connection import Connection
from portside.server.grammar import SERVER, VIOLATION, Violation, find_violation, refuse
from portside.server.idle_connections import IdleConnections
from portside.server.keeping import CopyingWriter
from portside.server.kept_answers import KeptAnswers
from portside.server.listening import SEND_SECONDS
from portside.server.opening import Opening

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

FIRST_REQUEST_SECONDS = 1.0
TAIL_SECONDS = 1.0
TICK_SECONDS = 0.02
WRITE_BUFFER = 128 * 1024
"""By default a TLS transport takes half a megabyte of a slow reader's answer: too much for many of them."""
_UNREADABLE = ERROR._replace(
    method="-", path="-", version=HttpVersion11, headers=CIMultiDictProxy(CIMultiDict()), raw_headers=()
)
"""Represents a request that the parser could not read."""

_log = logging.getLogger("portside.server.serving")


class DrainingServer(web.Server):
    """`web.Server` with a `drain` of its own, and `Connection`s, which begin as `Opening`s.

    Args:
        handler: answers requests.
        keepalive_timeout: how long a connection may be open without a request, in seconds.
        refusal: answers a request that is not valid HTTP (and has a `VIOLATION`).
        send_seconds: how long a client may receive nothing of its answer.
        is_exempt: whether a connection has no such limit.
        kept_bytes: so much is kept of answers that may be given again, for each kind of peers; 0 for none.
        is_trusted: whether a peer's address is one of those whose word about their clients counts.
        settings: of aiohttp's protocol.
    """

    def __init__(
        self,
        handler: Handler,
        *,
        keepalive_timeout: float,
        refusal: Handler = refuse,
        send_seconds: float = SEND_SECONDS,
        is_exempt: Callable[[Connection | Opening], bool] = lambda _: False,
        kept_bytes: int = 0,
        is_trusted: Callable[[str], bool] = lambda _: False,
        **settings: Any,
    ) -> None:
        super().__init__(self._answer, handler_cancellation=True, keepalive_timeout=keepalive_timeout, **settings)
        self._handler = handler
        self._refusal = refusal
        self._kept_bytes = kept_bytes
        self._is_trusted = is_trusted
        self._kept: dict[tuple[bool, bool], KeptAnswers] = {}
        self._idle = IdleConnections(send_seconds, is_exempt=is_exempt)
        self._checking: asyncio.TimerHandle | None = None
        self._keepalive_timeout = keepalive_timeout
        self._open: dict[Connection | Opening, asyncio.Transport] = {}
        self._fresh: set[Peer] = set()
        self._busy: set[RequestHandler] = set()
        self._draining = False
        self._turn = Turn(self._loop)

    def answer_by(self, handler: Handler, *, refusal: Handler) -> None:
        """Has requests from now on answered by other handlers."""
        self._handler, self._refusal = handler, refusal
        self.forget_answers()

    def kept_answers(self, address: str, *, is_secure: bool) -> KeptAnswers | None:
        """Returns the answers that may be given again to a peer; None where none are kept.

        Args:
            address: its IP address; "" for a unix socket's.
            is_secure: whether it speaks TLS.
        """
        if not self._kept_bytes or self._draining:
            return None
        kind = (self._is_trusted(address), is_secure)
        kept = self._kept.get(kind)
        if kept is None:
            kept = self._kept[kind] = KeptAnswers(self._kept_bytes)
        return kept

    def forget_answers(self) -> None:
        """Forgets all answers: settings have changed by which they were made."""
        for kept in self._kept.values():
            kept.close()
        self._kept.clear()

    def answered_again(self, connection: Peer) -> None:
        """Takes note of a request that was answered without a handler."""
        self.requests_count += 1
        self._fresh.discard(connection)

    def passing_on(self, connection: RequestHandler) -> None:
        """Takes note of a request that is passed on without a handler."""
        self.requests_count += 1
        self._fresh.discard(connection)
        self._busy.add(connection)

    def passed_on(self, connection: RequestHandler) -> None:
        """Takes note of the end of that."""
        self._busy.discard(connection)

    @property
    def is_draining(self) -> bool:
        """Whether connections end with the answers that are under way."""
        return self._draining

    def answers_for(self, connection: Peer) -> KeptAnswers | None:
        """Returns the answers that may be given again to a connection's peer; None where none are kept."""
        peer = connection.peername
        address = str(peer[0]) if isinstance(peer, tuple) else ""
        return self.kept_answers(address, is_secure=connection.ssl_context is not None)

    def part(self) -> None:
        """Closes every connection that is open now, as soon as it is not at work: their clients may come again."""
        for connection in tuple(self._open):
            connection.part()

    @property
    def busy(self) -> int:
        """How many requests are being handled."""
        return len(self._busy)

    @override
    def __call__(self, violation: Violation | None = None) -> Connection | Opening:  # type: ignore[override] # see top
        return Opening(self, self._loop, self._keepalive_timeout) if violation is None else self._make(violation)

    def _make(self, violation: Violation | None = None) -> Connection:
        keeper = self if self._kept_bytes else None
        return Connection(
            self, self._refuse, violation, keeper=keeper, turn=self._turn, loop=self._loop, **self._kwargs
        )

    def opened(self, opening: Opening, transport: asyncio.Transport) -> None:
        """Takes note of a new connection."""
        self._add(opening, transport)

    def closed(self, opening: Opening) -> None:
        """Takes note of the end of one that had not become a `Connection`."""
        self._open.pop(opening, None)
        self._fresh.discard(opening)

    def succeed(self, opening: Opening, transport: asyncio.Transport) -> Connection:
        """Makes a `Connection`, and has it take an opening's place."""
        connection = self._make()
        if opening.ssl_context is not None:
            transport.set_write_buffer_limits(high=WRITE_BUFFER, low=WRITE_BUFFER // 4)
        transport.set_protocol(connection)
        connection.connection_made(transport)
        if opening not in self._fresh:
            self._fresh.discard(connection)
        self.closed(opening)
        return connection

    @override
    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        assert isinstance(handler, Connection)
        self._add(handler, transport)

    def _add(self, connection: Connection | Opening, transport: asyncio.Transport) -> None:
        self._open[connection] = transport
        self._fresh.add(connection)
        if self._checking is None:
            self._checking = self._loop.call_later(self._idle.interval, self._check_idle)

    @override
    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        assert isinstance(handler, Connection)
        self._open.pop(handler, None)
        self._fresh.discard(handler)

    def _check_idle(self) -> None:
        self._checking = None
        self._idle.check(self._open, self._loop.time())
        if self._open:
            self._checking = self._loop.call_later(self._idle.interval, self._check_idle)

    @override
    def _make_request(
        self,
        message: RawRequestMessage,
        payload: StreamReader,
        protocol: RequestHandler,
        writer: AbstractStreamWriter,
        task: asyncio.Task[None],
    ) -> web.BaseRequest:
        if message is ERROR:
            message = _UNREADABLE
        connection: Connection = protocol  # type: ignore[assignment] # all are of our own class
        connection.body = payload
        connection.is_answered = connection.is_staying = connection.is_delivered = False
        candidate = connection.candidate
        if candidate is not None:
            if candidate.message is message:
                writer = CopyingWriter(connection, self._loop, candidate)
            else:
                connection.candidate = None
        request = web.BaseRequest(message, payload, protocol, writer, task, self._loop)
        if connection.passed is not None:
            request[request_context.PASSED_ON], connection.passed = connection.passed, None
        return request

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        connection: Connection = request.protocol  # type: ignore[assignment] # all are of our own class
        self._fresh.discard(connection)
        self._busy.add(connection)
        try:
            violation = connection.violation or find_violation(request, may_be_long=connection.may_have_long_head)
            candidate, connection.candidate = connection.candidate, None
            if violation is not None:
                response = await self._refuse(request, violation)
            elif candidate is None:
                response = await self._handler(request)
            else:
                response = await candidate.watch(self._handler(request))
            if hdrs.SERVER not in response.headers:
                response.headers[hdrs.SERVER] = SERVER  # aiohttp would name itself, Python, and their versions
            if self._draining or (connection.is_ending and connection.is_last()):
                response.force_close()
            if candidate is not None:
                candidate.judge(response)
            connection.is_staying = response.keep_alive is not False
            # aiohttp writes it to the transport's buffer before anything else runs.
            return response
        finally:
            connection.is_answered = True
            self._busy.discard(connection)

    async def _refuse(self, request: web.BaseRequest, violation: Violation) -> web.StreamResponse:
        connection: Connection = request.protocol  # type: ignore[assignment] # all are of our own class
        self._fresh.discard(connection)
        if connection.violation is None:
            _log.info("a request from %s is refused: %s", request.remote or "a unix socket", violation.sentence)
        request[VIOLATION] = connection.violation or violation
        return await self._refusal(request)

    async def drain(self, seconds: float, *, arriving: Callable[[], bool]) -> None:
        """Lets requests in flight finish, then closes everything.

        Args:
            seconds: how long they may take; those that have not finished by then are cut off.
            arriving: whether there are connections whose protocol is still being detected.
        """
        self._draining = True
        self.forget_answers()
        loop = asyncio.get_running_loop()
        start = loop.time()
        while loop.time() < start + seconds:
            late = loop.time() > start + FIRST_REQUEST_SECONDS
            if late:
                self._fresh.clear()
            self._close_idle()
            if not (self._busy or self._fresh or (arriving() and not late)):
                break
            await asyncio.sleep(TICK_SECONDS)
        if self._busy:
            count = len(self._busy)
            what = "1 request is" if count == 1 else f"{count} requests are"
            _log.warning("%s not finished after %g seconds and cut off", what, seconds)
        self._fresh.clear()
        self._close_idle()
        tail = loop.time() + TAIL_SECONDS
        while loop.time() < tail or (self._is_sending() and loop.time() < start + seconds):
            if not self._open.keys() - self._busy:
                break
            await asyncio.sleep(TICK_SECONDS)
        await self.shutdown(0.1)
        if self._checking is not None:
            self._checking.cancel()

    @override
    async def shutdown(self, timeout: float | None = None) -> None:
        for connection in tuple(self._open):
            if isinstance(connection, Opening):
                connection.force_close()
        await super().shutdown(timeout)

    def _close_idle(self) -> None:
        for connection in tuple(self._open):
            if connection not in self._busy and connection not in self._fresh:
                connection.force_close()

    def _is_sending(self) -> bool:
        return any(transport.get_write_buffer_size() for transport in self._open.values())
