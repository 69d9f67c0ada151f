"""One connection: aiohttp's protocol, and what it lacks.

- A body whose framing breaks off in the middle reaches its reader at once as an error. aiohttp's parser gives up
  silently, and the handler would wait for the rest for ever.
- A client that has said all it has to say (it shut down its side of a plain connection) still gets its answers.
- What is not valid HTTP is answered by `grammar`, never by aiohttp, whose page names itself.
- Bodies of requests are read by `bodies`, where their heads came whole and at a message's beginning.
- A head that does not end is refused: aiohttp's parser bounds a header, and how many there are, but not their sum.
- A request that was answered before is answered again without being read anew (`kept_answers`).

Invariants:
- after a request that is not valid HTTP nothing more is parsed;
- a piece is taken for a request, unread, only while the parser holds nothing: each piece before it was one request
  without a body, from its first byte to its last; and only while nothing is answered, sent, or about to end.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from time import perf_counter
from typing import Any, Protocol

from aiohttp import web
from aiohttp.http_exceptions import HttpProcessingError
from aiohttp.http_parser import HttpRequestParser
from aiohttp.streams import EMPTY_PAYLOAD, StreamReader
from aiohttp.web_protocol import RequestHandler, RequestPayloadError, _ErrInfo
from typing_extensions import override

from backends.dependencies import Passage, Passing
from portside.server.bodies import Body, Turn, framing_of
from portside.server.grammar import MAX_AUTHORIZATION, MAX_HEAD, SERVER, HeadTooLong, Violation, explain
from portside.server.keeping import END_OF_HEAD, Candidate, is_one_head, may_be_kept
from portside.server.kept_answers import KeptAnswers
from portside.server.passing_on import PassedOn
from portside.server.sockets import GONE, hangup, peer_address


class Peer(Protocol):
    """A connection, as far as it matters to whom it leads."""

    @property
    def peername(self) -> object:
        """The socket address of the client's end."""

    @property
    def ssl_context(self) -> ssl.SSLContext | None:
        """What it speaks TLS by; None for plain HTTP."""


class Keeper(Protocol):
    """The server, as far as it keeps answers that may be given again."""

    def answers_for(self, connection: Peer) -> KeptAnswers | None:
        """Returns those for a connection's peer; None where none are kept."""

    def answered_again(self, connection: Peer) -> None:
        """Takes note of a request that was answered by one of them."""

    def passing_on(self, connection: Connection) -> None:
        """Takes note of a request that is being passed on."""

    def passed_on(self, connection: Connection) -> None:
        """Takes note of the end of that."""

    @property
    def is_draining(self) -> bool:
        """Whether connections end with the answers that are under way."""


Refuse = Callable[[web.BaseRequest, Violation], Awaitable[web.StreamResponse]]

SHORT = MAX_AUTHORIZATION // 2
"""Of pieces that are no longer, a head beyond `MAX_AUTHORIZATION` takes three, and no head ends in the second."""
_VERSION = b" HTTP/1.1"


class Connection(RequestHandler):
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
        is_between: whether the parser holds nothing, so that the next byte is the first of a request; False where that
            is not certain.
        is_answered: whether that handler is done.
        is_staying: whether the connection goes on after the last answer.
        is_delivered: whether the client is known to have received all answers so far.
        half_closed: when the client shut down its sending side, by the loop's clock; 0.0 if it has not.
        is_ending: whether no further request can come.
        is_parting: whether no further request is answered, whether one has come or not.
        may_have_long_head: whether a head may be longer than `MAX_AUTHORIZATION`; if not, none need be measured.
        violation: see above.
        on_lost: called when the connection has ended.
        candidate: the request that was received last, where its answer may be kept.
        passed: a request that was passed on, and whose answer takes a handler: the next one that is made.
    """

    __slots__ = (
        "_broken",
        "_decompresses",
        "_head_size",
        "_is_beginning",
        "_keeper",
        "_kept",
        "_may_be_answered_again",
        "_passed_on",
        "_peer",
        "_refuse",
        "_turn",
        "body",
        "candidate",
        "half_closed",
        "is_answered",
        "is_between",
        "is_delivered",
        "is_ending",
        "is_parting",
        "is_staying",
        "may_have_long_head",
        "on_lost",
        "passed",
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
        super().__init__(server, **settings)
        self._turn = turn or Turn(self._loop)
        self._refuse = refuse
        self._keeper = keeper
        self._kept: KeptAnswers | None = None
        self._may_be_answered_again = keeper is not None and violation is None
        self._decompresses: bool = settings.get("auto_decompress", True)
        self._is_beginning = False
        self._peer = ""
        self.candidate: Candidate | None = None
        self._passed_on: PassedOn | None = None
        self.passed: Passing | None = None
        self.violation = violation
        self._broken = False
        self._head_size = 0
        self.body: StreamReader = EMPTY_PAYLOAD
        self.reading: Body | None = None
        self.is_between = True
        self.is_answered = self.is_staying = self.is_delivered = True
        self.half_closed = 0.0
        self.is_ending = self.is_parting = self.may_have_long_head = False
        self.on_lost: Callable[[], None] | None = None

    @override
    def connection_lost(self, exc: BaseException | None) -> None:
        passed_on, self._passed_on = self._passed_on, None
        if self._keeper is not None and (passed_on is not None or self.passed is not None):
            self._keeper.passed_on(self)
        if passed_on is not None:
            passed_on.leave()
        if self.passed is not None:
            self.passed.drop()
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

    def _answer_again(self, data: bytes) -> bool:
        """Answers a request that was answered before, if all is quiet; returns whether it did."""
        kept = self._kept
        if kept is None or not kept.is_open:
            kept = self._find_kept()
            if kept is None:
                return False
        answer = kept.find(data)
        if answer is None:
            passage = kept.find_passage(data)
            return passage is not None and self._pass_on(passage, data)
        began, transport, keeper = perf_counter(), self.transport, self._keeper
        if transport is None or keeper is None or not self._is_quiet(transport):
            return False
        transport.write(answer.message())
        self.is_delivered = False
        self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
        keeper.answered_again(self)
        if answer.closes:
            self.force_close()
        answer.tell(self._peer, perf_counter() - began)
        return True

    def _pass_on(self, passage: Passage, data: bytes) -> bool:
        """Passes a request on that was passed on before, if all is quiet; returns whether it did."""
        transport, keeper = self.transport, self._keeper
        if transport is None or keeper is None or not self._is_quiet(transport):
            return False
        passed_on = self._passed_on = PassedOn(data, self._peer)
        if not passed_on.begin(passage, self._answer_passed):
            self._passed_on = None
            return False
        self.is_answered = False
        keeper.passing_on(self)
        return True

    def _hold(self, data: bytes, passed_on: PassedOn) -> None:
        """Keeps what comes behind a request that was passed on until that is answered, and reads no further."""
        passed_on.held += data
        if self.transport is not None:
            self.transport.pause_reading()

    def _answer_passed(self) -> None:
        """Sends the answer to a request that was passed on, or has a handler send it."""
        passed_on, self._passed_on = self._passed_on, None
        transport, keeper = self.transport, self._keeper
        if passed_on is None or passed_on.passing is None or transport is None or keeper is None:
            return
        self.is_answered = True
        ends = keeper.is_draining or (self.is_ending and (self.is_parting or not passed_on.held))
        message = passed_on.passing.message(closes=ends)
        if message is None:
            if self.passed is not None:
                self.passed.drop()
            self.passed = passed_on.passing
            RequestHandler.data_received(self, passed_on.head)
            self._look_between(passed_on.head, received=1)
        else:
            keeper.passed_on(self)
            transport.write(message)
            self.is_delivered = False
            self._next_keepalive_close_time = self._loop.time() + self._keepalive_timeout
            passed_on.tell()
            if ends:
                self.force_close()
                return
        if passed_on.held:
            transport.resume_reading()
            self.data_received(passed_on.held)

    @override
    def _process_keepalive(self) -> None:
        if self._passed_on is None:
            super()._process_keepalive()
        else:  # aiohttp takes this for an idle connection
            self._keepalive_handle = self._loop.call_later(self._keepalive_timeout, self._process_keepalive)

    def _is_quiet(self, transport: asyncio.Transport) -> bool:
        """Whether every request has been answered and sent, nothing is on its way, and nothing is about to end.

        Whether the handler's task waits already does not matter: where many clients ask at once, it seldom does.
        """
        return (
            self.is_answered
            and self.is_staying
            and not self._request_in_progress
            and not self._messages
            and not self._close
            and not self._force_close
            and not self.is_ending
            and not self._upgraded
            and self._payload_parser is None
            and not self._paused
            and not self._reading_paused
            and not self._buffer_paused
            and self._keepalive_handle is not None
            and not transport.is_closing()
            and transport.get_write_buffer_size() == 0
        )

    def _find_kept(self) -> KeptAnswers | None:
        """Finds the answers for this peer; where none are kept, this connection never asks again."""
        assert self._keeper is not None
        self._kept = kept = self._keeper.answers_for(self)
        if kept is None:
            self._may_be_answered_again = False
            return None
        self._peer = peer_address(self.peername)
        return kept

    def _look_between(self, data: bytes, *, received: int) -> None:
        """Notes whether a piece was one request without a body, and whether its answer may be kept."""
        self.is_between = False
        if received != 1 or not is_one_head(data):
            return
        message, body = self._messages[-1]
        if body is not EMPTY_PAYLOAD or isinstance(message, _ErrInfo) or message.upgrade or self._upgraded:
            return
        self.is_between = not message.should_close
        kept = self._kept
        if kept is not None and kept.see(data) and len(self._messages) == 1 and may_be_kept(message):
            self.candidate = Candidate(kept, data, message)

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
