"""Making an answer that may be given again (`kept_answers`): what it depends on is noted, and what is sent is copied.

Only an answer is kept that was made in one go. A handler that waits for anything, a disk, a thread or another server,
depends on more than can be asked again without waiting.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Generator
from typing import Any

from aiohttp import HttpVersion11, hdrs, web
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_parser import RawRequestMessage
from aiohttp.http_writer import StreamWriter
from typing_extensions import override

from backends.dependencies import NOTED, Dependencies
from portside.server.kept_answers import LARGEST, KeptAnswers

END_OF_HEAD = b"\r\n\r\n"
STATUSES = frozenset({200, 304})
_DATE = b"\r\nDate: "
_METHODS = frozenset({"GET", "HEAD"})
_SAY_MORE = (hdrs.CONTENT_LENGTH, hdrs.EXPECT, hdrs.TRANSFER_ENCODING, hdrs.UPGRADE)
"""Whoever sends one of these says something of the connection, or of a body, that the parser must hear."""


def is_one_head(piece: bytes) -> bool:
    """Whether a piece is one head and nothing else, as far as one can see without reading it."""
    return piece.endswith(END_OF_HEAD) and piece.find(END_OF_HEAD) == len(piece) - len(END_OF_HEAD)


def may_be_kept(message: RawRequestMessage) -> bool:
    """Whether an answer to a request could be kept, by its head: it has no body, and may be a connection's last."""
    return (
        message.method in _METHODS
        and message.version is HttpVersion11
        and not message.upgrade
        and not message.chunked
        and not any(name in message.headers for name in _SAY_MORE)
        and {value.lower() for value in message.headers.getall(hdrs.CONNECTION, ())}
        <= {"close" if message.should_close else "keep-alive"}
    )


class Candidate:
    """A request whose answer may be kept.

    Args:
        answers: where.
        head: its bytes.
        message: what the parser made of them.
    """

    __slots__ = ("_answers", "_head", "_noted", "message")

    def __init__(self, answers: KeptAnswers, head: bytes, message: RawRequestMessage) -> None:
        self._answers = answers
        self._head = head
        self._noted = Dependencies()
        self.message = message

    def watch(self, handling: Awaitable[web.StreamResponse]) -> _Watched:
        """Wraps what answers, to be awaited in its place."""
        return _Watched(handling.__await__(), self._noted)

    def judge(self, response: web.StreamResponse) -> None:
        """Looks at the answer before it is sent."""
        passage = self._noted.passage
        if passage is not None and response.keep_alive is not False and not self.message.should_close:
            self._answers.keep_passage(self._head, passage, questions=self._noted.questions)
        if (
            not isinstance(response, web.Response)
            or response.status not in STATUSES
            or response.keep_alive is False
            or response.prepared
            or hdrs.DATE in response.headers
            or not (response.body is None or isinstance(response.body, bytes))
        ):
            self._noted.refuse()

    def keep(self, sent: bytes) -> None:
        """Keeps what was sent, if that is right."""
        noted = self._noted
        if not noted.are_known:
            return
        head, end, _ = sent.partition(END_OF_HEAD)
        at = head.find(_DATE)
        if not end or at < 0 or head.count(_DATE) > 1:
            return
        begin = at + len(_DATE)
        end_of_date = sent.index(b"\r\n", begin)
        parts = sent[:begin], sent[end_of_date:]
        self._answers.keep(
            self._head, parts, closes=self.message.should_close, questions=noted.questions, tells=noted.tells
        )


class _Watched:
    """Awaits what answers, and notes what the answer depends on; what waits for anything has none kept."""

    __slots__ = ("_handling", "_noted")

    def __init__(self, handling: Generator[Any, Any, web.StreamResponse], noted: Dependencies) -> None:
        self._handling = handling
        self._noted = noted

    def __await__(self) -> Generator[Any, Any, web.StreamResponse]:
        mark = NOTED.set(self._noted)
        try:
            waits_for = self._handling.send(None)
        except StopIteration as done:
            response: web.StreamResponse = done.value
            return response
        finally:
            NOTED.reset(mark)
        self._noted.refuse()
        return (yield from _go_on(self._handling, waits_for))


def _go_on(
    handling: Generator[Any, Any, web.StreamResponse], waits_for: Any
) -> Generator[Any, Any, web.StreamResponse]:
    """Goes on with a coroutine that has begun, as `await` would."""
    while True:
        try:
            try:
                sent = yield waits_for
            except GeneratorExit:
                handling.close()
                raise
            except BaseException as error:  # noqa: BLE001 - it is for the coroutine
                waits_for = handling.throw(error)
            else:
                waits_for = handling.send(sent)
        except StopIteration as done:
            response: web.StreamResponse = done.value
            return response


class CopyingWriter(StreamWriter):
    """Writes an answer, and has a copy of it kept once it is whole."""

    def __init__(self, protocol: BaseProtocol, loop: asyncio.AbstractEventLoop, candidate: Candidate) -> None:
        super().__init__(protocol, loop)
        self._candidate: Candidate | None = candidate
        self._sent = bytearray()

    @override
    def _write(self, chunk: Any) -> None:
        super()._write(chunk)
        self._copy(chunk)

    @override
    def _writelines(self, chunks: Any) -> None:
        chunks = tuple(chunks)
        super()._writelines(chunks)
        for chunk in chunks:
            self._copy(chunk)

    def _copy(self, chunk: Any) -> None:
        if self._candidate is None:
            return
        if len(self._sent) + len(chunk) > LARGEST:
            self._candidate = None
            self._sent.clear()
        else:
            self._sent += chunk

    @override
    async def write_eof(self, chunk: bytes = b"") -> None:
        await super().write_eof(chunk)
        candidate, self._candidate = self._candidate, None
        if candidate is not None:
            candidate.keep(bytes(self._sent))
