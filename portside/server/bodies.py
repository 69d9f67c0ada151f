"""Bodies of requests, read here once aiohttp's parser has accepted the head: what is received is not copied again.

aiohttp's parser copies each part of a body out of what was received, calls the protocol for each of them, and joins
them again for whoever reads: of a push's CPU that was a fifth. A `Body` keeps slices of what was received instead.

- Content-Length: that many bytes.
- Transfer-Encoding chunked (RFC 9112 section 7.1), as strictly as the parser: a size is hex digits and nothing else;
  an extension is tokens or a quoted string; lines end with CRLF; a trailer is a field, and is dropped.

Invariant: a body ends exactly where its framing says, or is an error at once; what is kept of it and has not been taken
yet is bounded, in bytes and in pieces, however a client cuts it.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from typing import Final, Protocol

from aiohttp import HttpVersion11, hdrs
from aiohttp.base_protocol import BaseProtocol
from aiohttp.http_exceptions import TransferEncodingError
from aiohttp.http_parser import RawRequestMessage
from aiohttp.streams import StreamReader
from typing_extensions import override

from backends.http.receiving import Take

MAX_PIECES: Final = 1024
"""Of so many that nobody has taken, reading pauses, however small they are: each has some hundred bytes of its own."""
CHUNKS_AT_ONCE: Final = 1024
"""So many chunks are parsed before the loop goes on: a hostile client's have one byte."""
SMALL: Final = 4096
"""Smaller pieces are joined: to pass one on costs more than to copy it."""
MAX_LINE: Final = 4096
"""Bytes of a chunk's size with its extensions, and of all trailers."""
MAX_DIGITS: Final = 16
TURN_BYTES: Final = 512 * 1024
"""So much is poured in one turn of the event loop: libuv reads a full buffer up to 32 times before it goes on."""
_CRLF: Final = b"\r\n"
_HEX: Final = b"0123456789abcdefABCDEF"
_TOKEN: Final = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
_TEXT: Final = rb"[\t\x20-\x7e\x80-\xff]"
# No possessive quantifiers: with fullmatch, early versions of Python 3.11 take half a match for a whole one.
_SIZE: Final = re.compile(
    rb"([0-9a-fA-F]+)(?:;%(token)b+(?:=(?:%(token)b+|\"(?:[\t\x20\x21\x23-\x5b\x5d-\x7e\x80-\xff]|\\%(text)b)*\"))?)*"
    % {b"token": _TOKEN, b"text": _TEXT}
)
_SIZE_SO_FAR: Final = re.compile(rb"(?:[0-9a-fA-F]+(?:;%b*)?\r?)?" % _TEXT)
_TRAILER: Final = re.compile(rb"(%b+):%b*" % (_TOKEN, _TEXT))
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding"})
_TRAILER_SO_FAR: Final = re.compile(rb"(?:%b+(?::%b*)?)?\r?" % (_TOKEN, _TEXT))


class Turn:
    """What the bodies of all connections pour in one turn of the event loop.

    Args:
        loop: the event loop.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._poured = 0

    def is_over(self, poured: int) -> bool:
        """Whether the connection that has poured so many bytes is to let others go on."""
        if not self._poured:
            self._loop.call_soon(self._end)
        self._poured += poured
        return self._poured >= TURN_BYTES

    def _end(self) -> None:
        self._poured = 0


class Source(Protocol):
    """The connection that a body comes from."""

    def hold_body(self) -> None:
        """Pauses reading."""
        ...

    def release_body(self) -> None:
        """Goes on with reading."""
        ...

    def is_body_held(self) -> bool:
        """Whether reading is paused."""
        ...

    def end_body(self, rest: bytes) -> None:
        """Says that the body has ended, and what came after it."""
        ...

    def break_body(self, error: TransferEncodingError) -> None:
        """Says that this is no body."""
        ...


class Framing(Protocol):
    """Where a body's parts are in what is received.

    Attributes:
        ended: whether all of it has been received.
        has_more: whether there is more in what was given than is cut at once.
    """

    ended: bool
    has_more: bool

    def cut(self, data: bytes, pieces: list[bytes | memoryview]) -> int:
        """Appends the parts of the body in `data` to `pieces`.

        Returns:
            up to where `data` has been used; the rest belongs to what follows the body if it has `ended`, else it is to
            be given again, with what follows it.

        Raises:
            TransferEncodingError: this is no such body.
        """
        ...


class Length:
    """The framing of a body whose length is known.

    Args:
        size: its bytes, at least 1.
    """

    def __init__(self, size: int) -> None:
        self._left = size
        self.ended = self.has_more = False

    def cut(self, data: bytes, pieces: list[bytes | memoryview]) -> int:
        size = len(data)
        if size < self._left:
            self._left -= size
            pieces.append(data)
            return size
        used = self._left
        pieces.append(data if used == size else memoryview(data)[:used])
        self._left = 0
        self.ended = True
        return used


class Chunks:
    """The framing `chunked`."""

    def __init__(self) -> None:
        self._left = 0
        self._size = 0
        self._same_again = b""  # what stands between a chunk and the next one if both have the same first line
        self._is_after_data = False
        self._trailers = -1  # bytes of trailers so far; -1 before the last chunk
        self.ended = self.has_more = False

    def cut(self, data: bytes, pieces: list[bytes | memoryview]) -> int:
        view = memoryview(data)
        at, size = 0, len(data)
        self.has_more = False
        for _ in range(CHUNKS_AT_ONCE):
            if self._left:
                end = at + self._left
                if end > size:
                    if at < size:
                        pieces.append(view[at:] if at else data)
                        self._left -= size - at
                    return size
                pieces.append(view[at:end])
                at = end
                if data.startswith(self._same_again, at):
                    at += len(self._same_again)
                    self._left = self._size
                    continue
                self._left = 0
                self._is_after_data = True
            if self._is_after_data:
                if data[at : at + 2] != _CRLF:
                    if _CRLF.startswith(data[at : at + 2]):
                        return at
                    raise TransferEncodingError("a chunk is longer than its size")
                self._is_after_data = False
                at += 2
            if self._trailers >= 0:
                return self._cut_trailers(data, at)
            end = data.find(_CRLF, at, at + MAX_LINE)
            if end < 0:
                _require(_SIZE_SO_FAR, data, at)
                return at
            digits = line = data[at:end]
            if not 0 < len(digits) <= MAX_DIGITS or digits.translate(None, _HEX):
                digits = _digits_of(digits)
            at = end + 2
            self._left = int(digits, 16)
            if not self._left:
                self._trailers = 0
                return self._cut_trailers(data, at)
            if self._left != self._size:
                self._size = self._left
                self._same_again = b"\r\n%b\r\n" % line
        self.has_more = at < size
        return at

    def _cut_trailers(self, data: bytes, at: int) -> int:
        while (end := data.find(_CRLF, at, at + MAX_LINE)) != at:
            if end < 0:
                _require(_TRAILER_SO_FAR, data, at)
                return at
            self._trailers += end + 2 - at
            found = _TRAILER.fullmatch(data, at, end)
            if self._trailers > MAX_LINE or found is None or found[1].lower() in _FRAMING:
                raise TransferEncodingError("a trailer is not valid")
            at = end + 2
        self.ended = True
        return at + 2


def _require(line_so_far: re.Pattern[bytes], data: bytes, at: int) -> None:
    """Requires that what has come of a line can still become one."""
    if len(data) - at >= MAX_LINE or line_so_far.fullmatch(data, at) is None:
        raise TransferEncodingError("a chunk's size or a trailer is not valid")


def _digits_of(line: bytes) -> bytes:
    found = _SIZE.fullmatch(line)
    if found is None:
        raise TransferEncodingError("a chunk's size is not valid")
    digits = found[1].lstrip(b"0")
    if len(digits) > MAX_DIGITS:
        raise TransferEncodingError("a chunk's size is too large")
    return digits or b"0"


def framing_of(message: RawRequestMessage) -> Framing | None:
    """Returns the framing of a body that can be read here; None for one that is left to the parser."""
    if message.version is not HttpVersion11 or message.upgrade:
        return None
    coding, length = message.headers.get(hdrs.TRANSFER_ENCODING), message.headers.get(hdrs.CONTENT_LENGTH)
    if message.chunked:
        return Chunks() if coding is not None and coding.lower() == "chunked" and length is None else None
    if coding is not None or length is None or not (length.isascii() and length.isdigit()):
        return None
    size = int(length)
    return Length(size) if size else None


class Body(StreamReader):
    """A request's body as its handler reads it: `readany` and `read_nowait` give one piece at a time, never joined.

    Args:
        source: the connection, and what aiohttp knows of it.
        framing: of the body.
        turn: of the event loop.
        limit: at twice so many bytes that nobody has taken reading pauses; below it, it goes on.
        loop: the event loop.

    Attributes:
        is_last: whether its request is the last one of its connection.
    """

    __slots__ = ("_backlog", "_failure", "_framing", "_received", "_silence", "_source", "_take", "_turn", "is_last")

    def __init__(
        self,
        source: Source,
        framing: Framing,
        protocol: BaseProtocol,
        *,
        turn: Turn,
        limit: int,
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        super().__init__(protocol, limit, loop=loop)
        self._turn = turn
        self._source = source
        self._framing = framing
        self._backlog = b""
        self.is_last = False
        self._take: Take | None = None
        self._failure: Exception | None = None
        self._received = 0.0
        self._silence: asyncio.TimerHandle | None = None

    def receive(self, data: bytes) -> None:
        """Takes what has been received next; the source is told of the end, and of what is no body."""
        if self._backlog:
            data = self._backlog + data
            self._backlog = b""
        pieces: list[bytes | memoryview] = []
        framing = self._framing
        try:
            used = framing.cut(data, pieces)
        except TransferEncodingError as error:
            self._source.break_body(error)
            return
        if pieces:
            self._received = self._loop.time()
            if 2 * (size := sum(map(len, pieces))) < len(data) or size < SMALL * (len(pieces) - 1):
                pieces = [b"".join(pieces)]  # few bytes do not keep all in memory that was received with them
            self.total_bytes += size
            if self._take is not None:
                self._give(self._take, pieces)
                if self._turn.is_over(size) and not framing.ended and not framing.has_more:
                    self._hold()
                    self._loop.call_soon(self._go_on)
            else:
                self._size += size
                self._buffer.extend(pieces)  # type: ignore[arg-type] # a slice serves as bytes, where it is taken below
                self._wake()
        if framing.ended:
            self._end()
            self._source.end_body(data[used:])
            return
        if used < len(data):
            self._backlog = data[used:]
        if framing.has_more:
            self._hold()
            if not self._is_full():
                self._loop.call_soon(self._go_on)
        elif self._is_full():
            self._hold()

    def _give(self, take: Take, pieces: Sequence[bytes | memoryview]) -> None:
        """Gives pieces to who takes them at once; from then on they are kept, when that one wants to be waited for."""
        try:
            if take(pieces):
                return
        except Exception as error:  # noqa: BLE001 - raised by `pour`
            self._failure = error
        self._take = None
        self._wake()

    async def pour(self, take: Take, *, idle_seconds: float) -> bool:
        """Calls `take` with what has come, and with what comes in the moment that it does; see `PouringContent`.

        Raises:
            RequestPayloadError: the body broke off or is malformed.
            TimeoutError: nothing came for that long.
        """
        if self._exception is not None:
            raise self._exception
        while self._buffer:
            if not take((self._read_nowait_chunk(-1),)):
                return False
        if self._eof:
            return True
        self._take = take
        self._received = self._loop.time()
        self._look(idle_seconds)
        try:
            await self._wait("pour")
        finally:
            self._take = None
            if self._silence is not None:
                self._silence.cancel()
                self._silence = None
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        return self._eof and not self._buffer

    def _look(self, idle_seconds: float) -> None:
        """Ends pouring when nothing has come for too long: a timer for all pieces, not one for each."""
        end = self._received + idle_seconds
        if self._loop.time() < end:
            self._silence = self._loop.call_at(end, self._look, idle_seconds)
            return
        self._silence = None
        self._failure = TimeoutError()
        self._take = None
        self._wake()

    def _is_full(self) -> bool:
        return self._size > self._high_water or len(self._buffer) > MAX_PIECES

    def _hold(self) -> None:
        if not self._source.is_body_held():
            self._source.hold_body()

    def _go_on(self) -> None:
        """Parses what is left of what was received, then goes on with reading; unless it waits for being taken."""
        if self._eof or self._exception is not None or self._is_full():
            return
        if self._framing.has_more:
            self.receive(b"")
            if self._framing.has_more or self._is_full():
                return
        if self._source.is_body_held():
            self._source.release_body()

    def _wake(self) -> None:
        waiter, self._waiter = self._waiter, None
        if waiter is not None and not waiter.done():
            waiter.set_result(None)

    def _end(self) -> None:
        self._eof = True
        self._wake()
        self._take = None
        if (waiter := self._eof_waiter) is not None and not waiter.done():
            waiter.set_result(None)
        self._eof_waiter = None
        callbacks, self._eof_callbacks = self._eof_callbacks, []
        for callback in callbacks:
            callback()
        if self._source.is_body_held():
            self._source.release_body()

    @override
    def feed_eof(self) -> None:
        """Ends the body before its end: nothing more comes."""
        if not self._eof:
            self._end()

    @override
    def _read_nowait(self, n: int) -> bytes:
        if n != -1:
            return super()._read_nowait(n)
        return self._read_nowait_chunk(-1) if self._buffer else b""

    @override
    def _read_nowait_chunk(self, n: int) -> bytes:
        piece, offset = self._buffer[0], self._buffer_offset
        if n != -1 and len(piece) - offset > n:
            piece = piece[offset : offset + n]
            self._buffer_offset += n
        else:
            self._buffer.popleft()
            if offset:
                piece = piece[offset:]
                self._buffer_offset = 0
        self._size -= len(piece)
        self._cursor += len(piece)
        if not self._eof and self._size < self._low_water and self._source.is_body_held():
            self._go_on()
        return piece
