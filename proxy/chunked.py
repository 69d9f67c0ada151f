"""The transfer coding chunked (RFC 9112 section 7.1), read strictly and written. PURE.

A size is hexadecimal digits and nothing else, lines end with CR LF, and what stands behind a chunk is its CR LF:
whatever could be read in two ways breaks the body off.
"""

from __future__ import annotations

import re
from enum import Enum

from proxy.answer_heads import MalformedAnswer

MAX_LINE = 4096
"""Bytes of the line with a chunk's size, which may have extensions, and of each field behind the last chunk."""
MAX_TRAILER = 16 * 1024
CHUNKS_AT_ONCE = 512
"""So many are read before the event loop goes on: hostile ones have one byte."""
SMALL = 4096
"""Smaller pieces are joined: to pass one on costs more than to copy it."""
LAST_CHUNK = b"0\r\n\r\n"
# No possessive quantifiers: with fullmatch, early versions of Python 3.11 take half a match for a whole one.
_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;[\t\x20-\x7e\x80-\xff]*)?")
_FIELD = re.compile(rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+:[\t\x20-\x7e\x80-\xff]*")


class _At(Enum):
    SIZE = "size"
    DATA = "data"
    END_OF_DATA = "end of data"
    TRAILER = "trailer"
    END = "end"


class ChunkedBody:
    """Reads a body as it comes.

    Attributes:
        rest: what came behind its end.
    """

    __slots__ = ("_at", "_backlog", "_left", "_line", "_trailer", "rest")

    def __init__(self) -> None:
        self._at = _At.SIZE
        self._backlog = b""
        self._left = 0
        self._line = b""
        self._trailer = 0
        self.rest = b""

    @property
    def is_whole(self) -> bool:
        """Whether the body's end has come."""
        return self._at is _At.END

    @property
    def has_more(self) -> bool:
        """Whether there is more in what was taken than was read at once; go on with `feed(b"")`."""
        return bool(self._backlog)

    def feed(self, data: bytes) -> list[bytes]:
        """Takes bytes and returns what they hold of the body.

        Raises:
            MalformedAnswer: they are not chunks.
        """
        if self._backlog:
            data = self._backlog + data
            self._backlog = b""
        found: list[bytes] = []
        at, end = 0, len(data)
        while at < end and self._at is not _At.END and len(found) < CHUNKS_AT_ONCE:
            if self._at is _At.DATA:
                piece = data[at : at + self._left]
                found.append(piece)
                at += len(piece)
                self._left -= len(piece)
                if not self._left:
                    self._at = _At.END_OF_DATA
                continue
            at = self._take_line(data, at)
        if at < end and self._at is _At.END:
            self.rest = data[at:]
        elif at < end:
            self._backlog = data[at:]
        return [b"".join(found)] if end < SMALL * len(found) else found

    def _take_line(self, data: bytes, at: int) -> int:
        """Reads what is there of a line; returns where it goes on behind that."""
        line_feed = data.find(b"\n", at, at + MAX_LINE + 2)
        stop = line_feed + 1 if line_feed >= 0 else len(data)
        if len(self._line) + stop - at > MAX_LINE:
            raise MalformedAnswer("a line between the chunks of its body is too long")
        self._line += data[at:stop]
        if line_feed >= 0:
            line, self._line = self._line, b""
            if not line.endswith(b"\r\n"):
                raise MalformedAnswer("a line between the chunks of its body does not end with CR LF")
            self._read_line(line[:-2])
        return stop

    def _read_line(self, line: bytes) -> None:
        match self._at:
            case _At.SIZE:
                size = _SIZE.fullmatch(line)
                if size is None:
                    raise MalformedAnswer("the size of a chunk of its body is not valid")
                self._left = int(size[1], 16)
                self._at = _At.DATA if self._left else _At.TRAILER
            case _At.END_OF_DATA:
                if line:
                    raise MalformedAnswer("a chunk of its body is longer than its size")
                self._at = _At.SIZE
            case _:
                self._trailer += len(line)
                if not line:
                    self._at = _At.END
                elif self._trailer > MAX_TRAILER or _FIELD.fullmatch(line) is None:
                    raise MalformedAnswer("a field behind its body is not valid")
