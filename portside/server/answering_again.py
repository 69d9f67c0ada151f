"""A connection that answers a request again that was answered before, or passes it on, without reading it anew.

A piece is taken for a request, unread, only while the parser holds nothing: each piece before it was one request
without a body, from its first byte to its last, or ended with a body that was read in `bodies`; and only while nothing
is answered, sent, or about to end. All else is for `connection`.
"""

from __future__ import annotations

import asyncio
import ssl
from time import perf_counter
from typing import Any, Protocol

from aiohttp import web
from aiohttp.streams import EMPTY_PAYLOAD
from aiohttp.web_protocol import RequestHandler, _ErrInfo
from typing_extensions import override

from backends.dependencies import Passage, Passing
from portside.server.keeping import Candidate, is_one_head, may_be_kept
from portside.server.kept_answers import KeptAnswers
from portside.server.passing_on import PassedOn
from portside.server.sockets import peer_address


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

    def passing_on(self, connection: RequestHandler) -> None:
        """Takes note of a request that is being passed on."""

    def passed_on(self, connection: RequestHandler) -> None:
        """Takes note of the end of that."""

    @property
    def is_draining(self) -> bool:
        """Whether connections end with the answers that are under way."""


class AnsweringAgain(RequestHandler):
    """A client's connection, as far as it answers again.

    Args:
        server: the server it belongs to.
        keeper: keeps answers that may be given again; None where none are.
        settings: of aiohttp's protocol.

    Attributes:
        is_between: whether the parser holds nothing, so that the next byte is the first of a request; False where that
            is not certain.
        is_answered: whether the handler of the last request is done.
        is_staying: whether the connection goes on after the last answer.
        is_delivered: whether the client is known to have received all answers so far.
        is_ending: whether no further request can come.
        is_parting: whether no further request is answered, whether one has come or not.
        candidate: the request that was received last, where its answer may be kept.
        passed: a request that was passed on, and whose answer takes a handler: the next one that is made.
    """

    __slots__ = (
        "_keeper",
        "_kept",
        "_may_be_answered_again",
        "_passed_on",
        "_peer",
        "candidate",
        "is_answered",
        "is_between",
        "is_delivered",
        "is_ending",
        "is_parting",
        "is_staying",
        "passed",
    )

    def __init__(self, server: web.Server, *, keeper: Keeper | None, **settings: Any) -> None:
        super().__init__(server, **settings)
        self._keeper = keeper
        self._kept: KeptAnswers | None = None
        self._may_be_answered_again = keeper is not None
        self._peer = ""
        self.candidate: Candidate | None = None
        self._passed_on: PassedOn | None = None
        self.passed: Passing | None = None
        self.is_between = self.is_answered = self.is_staying = self.is_delivered = True
        self.is_ending = self.is_parting = False

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
