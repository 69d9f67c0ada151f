"""One connection to a registry elsewhere: requests go out as bytes, one at a time, and answers come in.

The framing of an answer is read strictly (`answer_heads`, `chunked`); what follows its end, or comes before anything
was asked, ends the connection: nobody knows to which request it belongs.

Invariant: a connection is used again only when its request was sent whole, its answer has come whole, and not a byte
more. Reading pauses while the client does not take what has come, writing while the registry does not.
"""

from __future__ import annotations

import asyncio
import select
from collections import deque
from collections.abc import Awaitable, Callable, Sequence

from typing_extensions import override

from backends.http.receiving import Take
from backends.model.cache import Cache
from proxy.answer_heads import END, MAX_HEAD, AnswerHead, MalformedAnswer, parse_head, require_beginning
from proxy.chunked import LAST_CHUNK, ChunkedBody
from proxy.upstream_failures import UpstreamFailure

HIGH_WATER = 512 * 1024
"""Bytes of an answer that may wait for the client before reading pauses; it goes on at half of them."""
MAX_INFORMATIONAL = 16
"""Informational answers (1xx) to one request."""
HEADS_REMEMBERED = 1024 * 1024
"""Bytes of heads that are not read again when they come again; a registry repeats itself within a second."""

Heads = Cache[bytes, AnswerHead]
Pour = Callable[[Take], Awaitable[bool]]
"""Gives what comes of a body to who takes it, until that one wants to be waited for; returns whether that was all."""


def make_heads() -> Heads:
    """Returns the heads of a registry, by their bytes."""
    return Cache(parse_head, bound=HEADS_REMEMBERED, weigh=_weight)


def _weight(data: bytes, head: AnswerHead) -> int:
    return HEADS_REMEMBERED if head.has_secret else 4 * len(data) + 512  # what weighs so much is not kept


class UpstreamConnection(asyncio.Protocol):
    """A connection.

    Args:
        heads: what heads say.

    Attributes:
        waits_since: since when the registry has been silent while it should say something, by the loop's clock; 0.0
            while it need not.
        is_idle: whether it waits for a request.
        failure: why it has ended, if it has; what came before that can still be read.
        head: of the answer, once it has come.
        progress: called when more of the answer has come, or nothing more will, in place of waking who waits.
    """

    __slots__ = (
        "_arrived",
        "_body",
        "_buffer",
        "_drained",
        "_heads",
        "_informational",
        "_is_continued",
        "_is_heard",
        "_is_paused",
        "_is_sent",
        "_is_whole",
        "_left",
        "_loop",
        "_pieces",
        "_size",
        "_transport",
        "_waiter",
        "_wants_head_only",
        "failure",
        "head",
        "is_idle",
        "progress",
        "waits_since",
    )

    def __init__(self, heads: Heads) -> None:
        self._heads = heads
        self._loop = asyncio.get_running_loop()
        self._transport: asyncio.Transport | None = None
        self._arrived = select.poll()
        self.failure: UpstreamFailure | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._drained: asyncio.Future[None] | None = None
        self._pieces: deque[bytes] = deque()
        self._buffer = b""
        self.head: AnswerHead | None = None
        self._body: ChunkedBody | None = None
        self._left: int | None = None
        self._size = self._informational = 0
        self._is_paused = self._is_continued = self._is_heard = self._wants_head_only = False
        self._is_sent = self._is_whole = True
        self.is_idle = True
        self.waits_since = 0.0
        self.progress: Callable[[], None] | None = None

    # What is asked

    def begin(
        self, head: bytes, *, is_whole: bool, wants_head_only: bool, progress: Callable[[], None] | None = None
    ) -> None:
        """Sends a request's head.

        Args:
            head: with its empty line.
            is_whole: whether no body follows.
            wants_head_only: whether it is a HEAD, whose answer has no body.
            progress: see above.

        Raises:
            UpstreamFailure: the connection has ended.
        """
        transport = self._transport
        if transport is None or self.failure is not None or transport.is_closing():
            raise _disconnected(unanswered=True)
        self.is_idle = self._is_whole = self._is_continued = self._is_heard = False
        self._is_sent = is_whole
        self.progress = progress
        self._wants_head_only = wants_head_only
        self.head = self._body = self._left = None
        self._informational = 0
        self.waits_since = self._loop.time() if is_whole else 0.0
        transport.write(head)

    async def wait_for_continue(self) -> bool:
        """Waits until the registry says that it wants the body; False when it answers at once instead."""
        self.waits_since = self._loop.time()
        while not self._is_continued and self.head is None:
            await self._wait()
        self.waits_since = 0.0
        return self.head is None

    async def send_body(self, pour: Pour, *, chunked: bool) -> None:
        """Sends the body in the moment that it comes, no faster than the registry takes it.

        Raises:
            UpstreamFailure: the connection has ended; whatever `pour` raises.
        """

        def take(pieces: Sequence[bytes | bytearray | memoryview]) -> bool:
            transport = self._open_transport()
            if chunked:
                transport.writelines((b"%x\r\n" % sum(map(len, pieces)), *pieces, b"\r\n"))
            else:
                transport.writelines(pieces)
            return self._drained is None

        while not await pour(take):
            if self._drained is not None:
                self.waits_since = self._loop.time()
                await asyncio.shield(self._drained)
                self.waits_since = 0.0
        if chunked:
            self._open_transport().write(LAST_CHUNK)
        self._is_sent = True
        if not self._is_whole:
            self.waits_since = self._loop.time()

    # What is answered

    async def answered(self) -> AnswerHead:
        """Waits for the head of the answer.

        Raises:
            UpstreamFailure: there is none.
        """
        while (head := self.head) is None:
            await self._wait()
        if self.failure is not None and not self._is_whole:  # its client has got nothing yet, and may be told why
            raise self.failure
        return head

    async def read(self) -> bytes:
        """Waits for the next piece of the body; b"" at its end.

        Raises:
            UpstreamFailure: it breaks off.
        """
        while not self._pieces:
            if self._is_whole:
                return b""
            await self._wait()
        piece = self._pieces.popleft()
        self._size -= len(piece)
        self._resume_reading()
        return piece

    @property
    def is_whole(self) -> bool:
        """Whether all of the answer has come."""
        return self._is_whole

    @property
    def has_unread(self) -> bool:
        """Whether part of the body has come and has not been read."""
        return bool(self._pieces)

    def take_all(self) -> bytes:
        """Returns what has come of the body and has not been read."""
        found = self._pieces[0] if len(self._pieces) == 1 else b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        return found

    # What becomes of it

    def is_usable(self) -> bool:
        """Whether it waits for a request, and nobody has ended it."""
        return (
            self.is_idle and self.failure is None and self._transport is not None and not self._transport.is_closing()
        )

    def is_silent(self) -> bool:
        """Whether nothing has come that the loop has not read yet: before a request, it would look like the answer."""
        return not self._arrived.poll(0)

    def may_serve_on(self) -> bool:
        """Makes it idle, if it can be used again."""
        head = self.head
        if (
            head is None
            or not head.keeps_open
            or not self._is_whole
            or not self._is_sent
            or self.failure is not None
            or self._pieces
            or self._is_paused
            or self._transport is None
            or self._transport.is_closing()
        ):
            return False
        self.is_idle = True
        self._is_heard = False
        self.waits_since = 0.0
        return True

    def fail(self, failure: UpstreamFailure) -> None:
        """Ends it at once; whoever waits gets the failure, the first one that there was."""
        if self.failure is None:
            self.failure = failure
        self.waits_since = 0.0
        self._wake()
        self.close()

    def close(self) -> None:
        """Ends it at once, without sending what has not been sent."""
        if self._transport is not None:
            self._transport.abort()

    # asyncio's side

    @override
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport  # type: ignore[assignment] # uvloop's transports are of no class of asyncio's
        self._arrived.register(transport.get_extra_info("socket").fileno(), select.POLLIN)

    @override
    def data_received(self, data: bytes) -> None:
        if self.failure is not None:
            return
        if self.is_idle or self._is_whole:
            self.fail(UpstreamFailure("it broke off (it says more than it was asked)"))
            return
        try:
            if self.head is None:
                self._take_head(data)
            else:
                self._take_body(data)
        except MalformedAnswer as error:
            self.fail(UpstreamFailure(f"its answer is not HTTP ({error})"))

    def _take_head(self, data: bytes) -> None:
        self._is_heard = True
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        while (end := data.find(END, 0, MAX_HEAD)) >= 0:
            end += len(END)
            head = self._heads[data[:end]]
            data = data[end:]
            if not head.is_informational:
                self._begin_body(head, data)
                return
            self._informational += 1
            if self._informational > MAX_INFORMATIONAL:
                raise MalformedAnswer("it says again and again that an answer is coming")
            if head.status == 100:  # noqa: PLR2004 - Continue
                self._is_continued = True
                self._wake()
            if not data:
                break
        else:
            require_beginning(data)
            self._buffer = data
        if self.waits_since:
            self.waits_since = self._loop.time()

    def _begin_body(self, head: AnswerHead, data: bytes) -> None:
        self.head = head
        if self._wants_head_only or head.has_no_content:
            self._left = 0
        elif head.chunked:
            self._body = ChunkedBody()
        else:
            self._left = head.length
        if data or self._left == 0:
            self._take_body(data)
            return
        if self.waits_since:
            self.waits_since = self._loop.time()
        self._wake()

    def _take_body(self, data: bytes) -> None:
        has_more = False
        if self._body is not None:
            for piece in self._body.feed(data):
                self._add(piece)
            has_more = self._body.has_more
            if has_more:
                self._loop.call_soon(self._go_on)
            rest, is_whole = self._body.rest, self._body.is_whole
        elif self._left is None:  # to the end of the connection
            self._add(data)
            rest, is_whole = b"", False
        else:
            rest = b""
            if len(data) > self._left:
                data, rest = data[: self._left], data[self._left :]
            if data:
                self._add(data)
                self._left -= len(data)
            is_whole = self._left == 0
        if is_whole:
            self._is_whole = True
            self.waits_since = 0.0
            if rest:  # the answer is whole, and the last one here
                self.close()
        elif (self._size > HIGH_WATER or has_more) and not self._is_paused and self._transport is not None:
            self._is_paused = True
            self.waits_since = 0.0
            self._transport.pause_reading()
        elif self.waits_since:
            self.waits_since = self._loop.time()
        self._wake()

    def _go_on(self) -> None:
        """Reads on in a body of so many chunks that others had to have their turn."""
        if self._body is not None and self._body.has_more:
            self.data_received(b"")
            self._resume_reading()

    def _resume_reading(self) -> None:
        """Goes on with reading if it pauses, and what has come allows it."""
        if not self._is_paused or self._size > HIGH_WATER // 2 or (self._body is not None and self._body.has_more):
            return
        self._is_paused = False
        self.waits_since = 0.0 if self._is_whole or not self._is_sent else self._loop.time()
        if self._transport is not None:
            self._transport.resume_reading()

    def _add(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._size += len(piece)

    @override
    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self.waits_since = 0.0
        if self.head is not None and self._body is None and self._left is None and not self._is_whole and exc is None:
            self._is_whole = True  # such an answer ends with its connection
        elif self.failure is None:
            self.failure = _disconnected(exc, unanswered=not self._is_heard)
        self._wake()
        self.resume_writing()

    @override
    def pause_writing(self) -> None:
        if self._drained is None:
            self._drained = self._loop.create_future()

    @override
    def resume_writing(self) -> None:
        drained, self._drained = self._drained, None
        if drained is not None and not drained.done():
            drained.set_result(None)

    def _open_transport(self) -> asyncio.Transport:
        if self._transport is None or self.failure is not None:
            raise self.failure or _disconnected(unanswered=not self._is_heard)
        return self._transport

    async def _wait(self) -> None:
        """Waits until something has come.

        Raises:
            UpstreamFailure: nothing more will.
        """
        if self.failure is not None:
            raise self.failure
        waiter = self._waiter = self._loop.create_future()
        try:
            await waiter
        finally:
            self._waiter = None

    def _wake(self) -> None:
        if self.progress is not None:
            self.progress()
            return
        waiter = self._waiter
        if waiter is not None and not waiter.done():
            waiter.set_result(None)


def _disconnected(error: Exception | None = None, *, unanswered: bool) -> UpstreamFailure:
    what = "Server disconnected" if error is None else str(error) or type(error).__name__
    return UpstreamFailure(f"it broke off ({what})", is_unanswered=unanswered)
