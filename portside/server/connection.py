"""One connection: aiohttp's protocol, and what it lacks.

- A body whose framing breaks off in the middle reaches its reader at once as an error. aiohttp's parser gives up
  silently, and the handler would wait for the rest for ever.
- A client that has said all it has to say (it shut down its side of a plain connection) still gets its answers.
- What is not valid HTTP is answered by `grammar`, never by aiohttp, whose page names itself.
- Bodies of requests are read by `bodies`, where their heads came whole and at a message's beginning.
- A head that does not end is refused: aiohttp's parser bounds a header, and how many there are, but not their sum.
- A request that was answered before is answered again without being read anew (`answering_again`).

Invariant: after a request that is not valid HTTP nothing more is parsed.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpRequestParser
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import RequestHandler, RequestPayloadError, _ErrInfo
from typing_extensions import override

from portside.server.answering_again import AnsweringAgain, Keeper
from portside.server.bodies import Body, Turn, framing_of
from portside.server.grammar import MAX_AUTHORIZATION, MAX_HEAD, SERVER, HeadTooLong, Violation, explain
from portside.server.keeping import END_OF_HEAD
from portside.server.sockets import GONE, hangup

Refuse = Callable[[web.BaseRequest, Violation], Awaitable[web.StreamResponse]]

SHORT = MAX_AUTHORIZATION // 2
"""Of pieces that are no longer, a head beyond `MAX_AUTHORIZATION` takes three, and no head ends in the second."""
_VERSION = b" HTTP/1.1"


class Connection(AnsweringAgain):
    """A client's connection.

    Args:
        server: the server it belongs to.
        refuse: answers a request that is not valid HTTP.
        keeper: keeps answers that may be given again; None where none are.
        violation: why every request of this connection is refused, if it is.
        settings: of aiohttp's protocol.

    Attributes:
        body: the body of the last request that was given to a handler.
        reading: the body that is being read here, not by aiohttp's parser.
        half_closed: when the client shut down its sending side, by the loop's clock; 0.0 if it has not.
        may_have_long_head: whether a head may be longer than `MAX_AUTHORIZATION`; if not, none need be measured.
        violation: see above.
        on_lost: called when the connection has ended.
    """

    __slots__ = (
        "_broken",
        "_decompresses",
        "_head_size",
        "_is_beginning",
        "_refuse",
        "_turn",
        "body",
        "half_closed",
        "may_have_long_head",
        "on_lost",
        "reading",
        "violation",
    )

    def __init__(
        self,
        server: web.Server,
        refuse: Refuse,
        violation: Violation | None = None,
        *,
        keeper: Keeper | None = None,
        turn: Turn | None = None,
        **settings: Any,
    ) -> None:
        super().__init__(server, keeper=None if violation is not None else keeper, **settings)
        self._turn = turn or Turn(self._loop)
        self._refuse = refuse
        self._decompresses: bool = settings.get("auto_decompress", True)
        self._is_beginning = False
        self.violation = violation
        self._broken = False
        self._head_size = 0
        self.body: StreamReader = EMPTY_PAYLOAD
        self.reading: Body | None = None
        self.half_closed = 0.0
        self.may_have_long_head = False
        self.on_lost: Callable[[], None] | None = None

    @override
    def connection_lost(self, exc: BaseException | None) -> None:
        super().connection_lost(exc)
        if self.on_lost is not None:
            self.on_lost()
            self.on_lost = None

    @override
    def data_received(self, data: bytes) -> None:
        if self._broken:
            return
        if self._passed_on is not None:
            self._hold(data, self._passed_on)
            return
        if self.reading is not None:
            if not self._force_close and not self._close:
                self.reading.receive(data)
            return
        is_between = self.is_between
        if is_between and self._may_be_answered_again and self._answer_again(data):
            return
        # Not by super(), no isinstance, and no call that can be saved: this is the hottest path there is.
        messages, heads, rest = self._messages, self._request_count, None
        if is_between and not messages and data.startswith(b"P"):  # POST, PUT or PATCH
            end = data.find(END_OF_HEAD)
            if end >= 0 and data.startswith(_VERSION, data.find(b"\r") - len(_VERSION)):
                end += len(END_OF_HEAD)
                data, rest = data[:end], data[end:]
        body = messages[-1][1] if messages else self.body
        in_head = body is EMPTY_PAYLOAD or body.is_eof()
        if len(data) > SHORT:
            self.may_have_long_head = True
        RequestHandler.data_received(self, data)
        if is_between:
            self._look_between(data, received=self._request_count - heads)
        if self._request_count != heads:
            self._head_size = 0
            if type(messages[-1][0]) is _ErrInfo:
                self._broken = self.is_ending = True
                self._end_broken_body(messages[-1][0])
            elif rest is not None:
                self._begin_body(rest)
        elif in_head and data:  # before this piece: the end of a body may be one that is longer than any head
            self.may_have_long_head = True
            self._head_size += len(data)
            if self._head_size > MAX_HEAD:
                self._refuse_head()

    def _begin_body(self, rest: bytes) -> None:
        """Reads the body of the request whose head has just been parsed here, if that can be."""
        message, payload = self._messages[-1]
        framing = None
        if not isinstance(message, _ErrInfo) and type(payload) is StreamReader:
            framing = None if payload.is_eof() or payload.total_bytes else framing_of(message)
        if framing is None:
            if rest:
                self.data_received(rest)
        else:
            self.reading = Body(self, framing, self, turn=self._turn, limit=self._read_bufsize, loop=self._loop)
            self.reading.is_last = not isinstance(message, _ErrInfo) and message.should_close
            self._messages[-1] = (message, self.reading)
            if rest:
                self._is_beginning = True
                self.reading.receive(rest)
                self._is_beginning = False
        if self._broken and type(self._messages[-1][0]) is _ErrInfo:
            refused = self._messages.pop()  # alone, as where the parser finds it in one piece with what was before it
            self._messages.clear()
            self._messages.append(refused)

    def hold_body(self) -> None:
        """Pauses reading: nobody takes the body."""
        self._reading_paused = True
        self._pause_transport_reading()

    def release_body(self) -> None:
        """Goes on with reading."""
        self._reading_paused = False
        if not self._buffer_paused:
            self._resume_transport_reading()

    def is_body_held(self) -> bool:
        """Whether reading is paused since nobody takes the body."""
        return self._reading_paused

    def end_body(self, rest: bytes) -> None:
        """Gives what comes after a body that was read here to a parser that knows nothing of it."""
        body, self.reading = self.reading, None
        if body is not None and body.is_last:
            self._broken = self.is_ending = True  # what follows is nothing that a client says
            return
        self._parser = HttpRequestParser(
            self,
            self._loop,
            self._read_bufsize,
            max_line_size=self.max_line_size,
            max_field_size=self.max_field_size,
            max_headers=self.max_headers,
            payload_exception=RequestPayloadError,
            auto_decompress=self._decompresses,
            max_msg_queue_size=self._max_msg_queue_size,
        )
        self.is_between = True
        if rest:
            self.data_received(rest)

    def break_body(self, error: HttpProcessingError) -> None:
        """Ends a broken body: its request is refused if it has only just come, else its reader gets an error."""
        self._broken = self.is_ending = True
        body, self.reading = self.reading, None
        if self._is_beginning:
            self._messages[-1] = (_ErrInfo(status=400, exc=error, message=error.message), EMPTY_PAYLOAD)
        elif body is not None:
            self._fail_body(body, error)

    def _refuse_head(self) -> None:
        """Has the head that is coming answered by a refusal, after what came whole before it."""
        self._broken = self.is_ending = True
        error = HeadTooLong()
        self._request_count += 1
        self._messages.append((_ErrInfo(status=400, exc=error, message=""), EMPTY_PAYLOAD))
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _end_broken_body(self, found: _ErrInfo) -> None:
        """Ends the body in which the parser stopped: its reader gets an exception; its handler alone answers."""
        for body in (self.body, *(payload for _, payload in self._messages)):
            if not body.is_eof():
                self._fail_body(body, found.exc)
                self._messages.pop()
                return

    def _fail_body(self, body: StreamReader, error: BaseException) -> None:
        """Has a body's reader get an error; behind its answer only aiohttp reads it, which would log a traceback."""
        if body is self.body and self.is_answered:
            self.close()
        else:
            body.set_exception(RequestPayloadError(explain(error).sentence))
        body.feed_eof()

    @override
    def eof_received(self) -> bool:  # type: ignore[override] # asyncio asks whether to stay open; aiohttp never does
        """Keeps a plain connection open until pending answers are sent; asyncio has no half-closed TLS connections."""
        transport = self.transport
        if transport is None or self.is_idle() or not self.has_whole_requests() or self.ssl_context is not None:
            return False
        if hangup(transport) & GONE:
            return False
        self.half_closed = self._loop.time()
        self.is_ending = True
        return True

    def close_if_finished(self) -> None:
        """Closes a connection whose client has shut down its sending side, once everything is answered."""
        if self.half_closed and self.transport is not None and self.is_idle():
            self.transport.close()

    def is_idle(self) -> bool:
        """Whether every request has been answered."""
        return self._passed_on is None and (
            self._request_count == 0
            or (self._waiter is not None and not self._waiter.done())
            or (self.is_answered and not self._messages and not self.has_unsent())
        )

    def has_unsent(self) -> bool:
        """Whether part of an answer has not been passed to the kernel yet."""
        return self._paused or (self.transport is not None and self.transport.get_write_buffer_size() > 0)

    def is_last(self) -> bool:
        """Whether the current answer is the last one of this connection."""
        return self.is_ending and (self.is_parting or not self._messages)

    def part(self) -> None:
        """Closes it: now, or after the answer to the request that is being handled."""
        self.is_ending = self.is_parting = True
        if self.is_idle():
            self.force_close()

    def has_whole_requests(self) -> bool:
        """Whether the bodies of all requests have come whole."""
        return self.body.is_eof() and all(payload.is_eof() for _, payload in self._messages)

    def answer_begun(self) -> bool:
        """Whether the current answer has begun to be sent."""
        request = self._current_request
        return request is not None and request.writer.output_size > 0

    def is_reading_paused(self) -> bool:
        """Whether reading from the client is paused, so that the event loop does not notice when it disconnects."""
        is_held = self._passed_on is not None and bool(self._passed_on.held)
        return is_held or self._reading_paused or self._buffer_paused

    @override
    def _make_error_handler(self, err_info: _ErrInfo) -> Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]:
        self._broken = self.is_ending = True

        async def handler(request: web.BaseRequest) -> web.StreamResponse:
            return await self._refuse(request, explain(err_info.exc))

        return handler

    @override
    def handle_error(
        self,
        request: web.BaseRequest,
        status: int = 500,
        exc: BaseException | None = None,
        message: str | None = None,
    ) -> web.StreamResponse:
        """Answers what no layer above caught, in place of aiohttp's error page.

        Raises:
            ConnectionError: the connection was lost or broken off; nobody is left to answer, and nothing failed.
        """
        if isinstance(exc, ConnectionError):
            raise exc
        self.logger.error("a request failed", exc_info=exc)
        if request.writer.output_size > 0:
            raise ConnectionResetError("the answer had begun and could not be finished")
        response = web.Response(status=status, headers={"Server": SERVER}, text="something failed here\n")
        response.force_close()
        return response
