"""Inflating a layer's bytes as they come: gzip, bzip2, xz and zstd, each of several parts one after the other.

gzip has members (pigz and eStargz write many), bzip2 and xz have streams, zstd has frames, some of which hold nothing
and are skipped (pzstd, zstd:chunked). Zeros after the last part are padding; anything else there is an error, as it is
for the clients (FORMATS 2.2).

Invariant: whatever comes, no more than a few pieces, the state of one part and its window are in memory.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Protocol, cast

from backends.model.layers import Compression
from backends.registry.layers.errors import UnreadableLayer
from backends.storage.driver import Chunk

PIECE_BYTES = 256 * 1024
"""So much is inflated at once."""

FEED_BYTES = 64 * 1024
SMALL_FEED_BYTES = 4 * 1024
"""So much is taken at once; the second where parts are smaller than that, since what follows a part is copied."""

XZ_STATE_BYTES = 16 * 1024 * 1024
"""What xz needs beside its window, at most."""

_XZ_NEEDS_MORE = "Memory usage limit exceeded"
"""What lzma says, as of damaged data."""

SKIPPABLE_HEADER_BYTES = 8
_SKIPPABLE_REST = b"\x2a\x4d\x18"

GZIP_HEADER = b"\x1f\x8b\x08\0\0\0\0\0\0\xff"
"""Put in place of each member's own: isal 1.9.1 fails on some that come in two pieces (a name with a comment)."""

GZIP_HEADER_BYTES = 256 * 1024
"""A longer header is not read."""

_STARTS = {
    Compression.GZIP: frozenset(b"\x1f"),
    Compression.BZIP2: frozenset(b"B"),
    Compression.XZ: frozenset(b"\xfd"),
    Compression.ZSTD: frozenset(b"\x28" + bytes(range(0x50, 0x60))),
}


class Decompressor(Protocol):
    """What the libraries have in common, for one part."""

    @property
    def eof(self) -> bool: ...
    @property
    def needs_input(self) -> bool: ...
    @property
    def unused_data(self) -> bytes: ...
    def decompress(self, data: bytes, max_length: int = -1) -> bytes: ...


class Inflater:
    """Inflates what is fed, piece by piece: feed, then read until nothing comes, then feed again, then finish.

    Args:
        compression: of what is fed; not NONE.
        max_window: what of the inflated bytes a part may ask to keep in memory, in bytes.

    Attributes:
        parts: how many have begun.
        is_padded: whether zeros have followed the last one.
    """

    def __init__(self, compression: Compression, *, max_window: int) -> None:
        self.parts = 0
        self._compression = compression
        self._max_window = max_window
        self._taken = 0
        self._make, self._errors = _maker(compression, max_window)
        self._part: Decompressor | None = None
        self._fed: memoryview = memoryview(b"")
        self._next = b""
        self._before = b""
        self._skipping = 0
        self.is_padded = False

    def feed(self, chunk: Chunk) -> None:
        """Takes what follows; what was fed before must have been read."""
        self._fed = memoryview(chunk)

    def read(self) -> bytes:
        """Returns the next bytes inflated; none when more must be fed.

        Raises:
            UnreadableLayer: it is not what it should be, or asks for too much memory.
        """
        while True:
            if self._part is None and not self._begin():
                return b""
            assert self._part is not None
            data = b""
            if self._part.needs_input:
                data = self._take()
                if not data:
                    return b""
            try:
                piece = self._part.decompress(data, PIECE_BYTES)
            except self._errors as error:
                if str(error) == _XZ_NEEDS_MORE:
                    raise self._too_much_memory("more memory") from None
                raise self._damaged(f"{error}".rstrip(".")) from None
            if self._part.eof:
                self._next = self._part.unused_data
                self._part = None
            if piece:
                return piece

    def finish(self) -> None:
        """Says that nothing follows.

        Raises:
            UnreadableLayer: it ends in the middle.
        """
        if self._part is not None or self._before or self._skipping or not self.parts:
            raise UnreadableLayer(f"it ends in the middle of its {self._compression.value} data")

    def _take(self) -> bytes:
        """Returns what is fed next to a part, of what is here."""
        if self._next:
            data, self._next = self._next, b""
            return data
        wanted = FEED_BYTES if self._taken >= self.parts * FEED_BYTES else SMALL_FEED_BYTES
        data = bytes(self._fed[:wanted])
        self._fed = self._fed[wanted:]
        self._taken += len(data)
        return data

    def _begin(self) -> bool:
        """Begins a part, if one follows in what is here; skips padding and frames that hold nothing."""
        while data := self._take():
            if self._skipping:
                self._next = data[self._skipping :]
                self._skipping -= min(self._skipping, len(data))
                continue
            data, self._before = self._before + data, b""
            if self.is_padded or (not data[0] and self.parts):
                self.is_padded = True
                if data.count(0) != len(data):
                    raise self._junk()
                continue
            if data[0] not in _STARTS[self._compression]:
                raise self._junk()
            if self._compression is Compression.GZIP:
                size = gzip_header_size(data)
                if data[:3] != GZIP_HEADER[:3][: len(data)]:
                    raise self._junk()
                if size is None:
                    if len(data) > GZIP_HEADER_BYTES:
                        raise self._damaged("a header is too long")
                    self._before = data
                    continue
                data = GZIP_HEADER + data[size:]
            elif self._compression is Compression.ZSTD:
                needed = _zstd_header_size(data)
                if len(data) < needed:
                    self._before = data
                    continue
                if data[0] != 0x28:  # noqa: PLR2004 - a skippable frame
                    if data[1:4] != _SKIPPABLE_REST:
                        raise self._junk()
                    self.parts += 1
                    self._skipping = int.from_bytes(data[4:8], "little")
                    self._next = data[SKIPPABLE_HEADER_BYTES:]
                    continue
                self._require_window(_zstd_window(data))
            self.parts += 1
            self._part = self._make()
            self._next = data
            return True
        return False

    def _require_window(self, window: int) -> None:
        if window > self._max_window:
            raise self._too_much_memory(f"{window} bytes of memory")

    def _too_much_memory(self, needed: str) -> UnreadableLayer:
        return UnreadableLayer(
            f"reading its {self._compression.value} data takes {needed}, and"
            f" gateway.conversions.maxwindow allows {self._max_window}",
            damaged=False,
        )

    def _junk(self) -> UnreadableLayer:
        return self._damaged("other bytes follow its end")

    def _damaged(self, what: str) -> UnreadableLayer:
        return UnreadableLayer(f"its {self._compression.value} data is damaged ({what})")


def gzip_header_size(data: bytes) -> int | None:
    """Returns how long the header of a gzip member is (RFC 1952 section 2.3); None while it is not whole."""
    if len(data) < len(GZIP_HEADER):
        return None
    flags, end = data[3], len(GZIP_HEADER)
    if flags & 4:
        end += 2 + int.from_bytes(data[end : end + 2], "little")
    for text in (8, 16):  # a file's name, and a comment
        if flags & text:
            end = data.find(b"\0", end) + 1
            if not end:
                return None
    end += flags & 2  # a checksum of the header: clients differ in whether they look at it
    return end if end <= len(data) else None


def _zstd_header_size(data: bytes) -> int:
    """Returns how many bytes of a frame tell its window, or how much is to be skipped."""
    if data[0] != 0x28:  # noqa: PLR2004 - a skippable frame
        return SKIPPABLE_HEADER_BYTES
    if len(data) < 5:  # noqa: PLR2004 - the magic number and the descriptor
        return 5
    if not data[4] & 0x20:
        return 6
    return 5 + (0, 1, 2, 4)[data[4] & 3] + (1, 2, 4, 8)[data[4] >> 6]


def _zstd_window(header: bytes) -> int:
    """Returns how many bytes of what it has inflated a frame refers to (RFC 8878 section 3.1.1.1)."""
    descriptor = header[4]
    if not descriptor & 0x20:
        base = 1 << (10 + (header[5] >> 3))
        return base + (base >> 3) * (header[5] & 7)
    start = 5 + (0, 1, 2, 4)[descriptor & 3]
    size = (1, 2, 4, 8)[descriptor >> 6]
    return int.from_bytes(header[start : start + size], "little") + (256 if size == 2 else 0)  # noqa: PLR2004 - as there


def _maker(compression: Compression, max_window: int) -> tuple[Callable[[], Decompressor], tuple[type[Exception], ...]]:
    """Returns what makes a decompressor for one part, and its errors; each library is imported where it is needed."""
    match compression:
        case Compression.GZIP:
            from isal import igzip_lib  # noqa: PLC0415 - only conversion needs it

            return partial(igzip_lib.IgzipDecompressor, flag=igzip_lib.DECOMP_GZIP), (
                cast("type[Exception]", igzip_lib.IsalError),
            )  # its types call it an instance
        case Compression.BZIP2:
            from bz2 import BZ2Decompressor  # noqa: PLC0415 - as above

            return BZ2Decompressor, (OSError, ValueError)
        case Compression.XZ:
            import lzma  # noqa: PLC0415 - as above

            limit = max_window + XZ_STATE_BYTES
            return partial(lzma.LZMADecompressor, lzma.FORMAT_XZ, memlimit=limit), (lzma.LZMAError,)
        case Compression.ZSTD:
            if sys.version_info >= (3, 14):
                from compression import zstd  # noqa: PLC0415 - as above
            else:
                from backports import zstd  # noqa: PLC0415 - as above

            log = max(10, (max_window - 1).bit_length())
            return (
                partial(zstd.ZstdDecompressor, options={zstd.DecompressionParameter.window_log_max: min(31, log)}),
                (zstd.ZstdError,),
            )
        case Compression.NONE:
            raise ValueError("there is nothing to inflate")
