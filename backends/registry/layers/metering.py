"""Finding out what a layer is while its bytes pass by: called in a thread, in memory of a few hundred KiB."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence

from backends.model.digest import Digest
from backends.model.layers import HEAD_BYTES, Compression, LayerFacts, compression_of
from backends.registry.hashing import RunningHash
from backends.registry.layers.errors import UnreadableLayer
from backends.registry.layers.inflating import PIECE_BYTES, Inflater
from backends.registry.layers.settings import GIB, LayerSettings
from backends.storage.driver import Chunk

FREE_BYTES = GIB
"""So much may any layer inflate to, however small it is."""

PART_BYTES = 16 * 1024
"""What a part (a gzip member, a zstd frame) costs beside its bytes, in bytes: it bounds how many there may be."""

_ZEROS = bytes(PIECE_BYTES)


class Meter:
    """Finds out what a layer is.

    Args:
        stored: the sha256 of its bytes as they are stored, which takes each chunk before this does.
        settings: how large it may become.
        is_stopped: asked often; once it says so, the work ends with Stopped.
        reads: the compressions that it inflates; others are not readable to it.
    """

    def __init__(
        self,
        stored: RunningHash,
        settings: LayerSettings,
        *,
        is_stopped: Callable[[], bool] = lambda: False,
        reads: frozenset[Compression] = frozenset(Compression),
    ) -> None:
        self._stored = stored
        self._settings = settings
        self._is_stopped = is_stopped
        self._reads = reads
        self._head = b""
        self._compression: Compression | None = None
        self._inflater: Inflater | None = None
        self._raw = hashlib.sha256()
        self._taken = 0
        self.raw_size = 0
        self._is_empty = True

    @property
    def compression(self) -> Compression | None:
        """How it is compressed; None while too little has come to tell."""
        return self._compression

    def take(self, chunks: Sequence[Chunk]) -> None:
        """Takes the bytes that follow.

        Raises:
            UnreadableLayer: it is damaged, or passes a bound.
        """
        for chunk in chunks:
            for _ in self.inflate(chunk):
                pass

    def inflate(self, chunk: Chunk) -> Iterator[Chunk]:
        """Takes the bytes that follow, and yields what they inflate to, in pieces of PIECE_BYTES at most.

        Raises:
            UnreadableLayer: it is damaged, or passes a bound.
            Stopped: it was told to.
        """
        self._taken += len(chunk)
        if self._compression is None:
            self._head += bytes(chunk)
            if len(self._head) < HEAD_BYTES:
                return
            self._decide(compression_of(self._head))
            yield from self._pass_on(self._head)
            self._head = b""
            return
        yield from self._pass_on(chunk)

    def end(self) -> Iterator[Chunk]:
        """Says that nothing follows, and yields what is left, of a layer of fewer than HEAD_BYTES.

        Raises:
            UnreadableLayer: it ends in the middle.
        """
        if self._compression is None:
            self._decide(compression_of(self._head))
            yield from self._pass_on(self._head)
        if self._inflater is not None:
            self._inflater.finish()

    def facts(self) -> LayerFacts:
        """Returns what was found out; after `end`."""
        assert self._compression is not None
        raw = self._stored.value if self._compression is Compression.NONE else self._raw
        is_padded = self._inflater is not None and self._inflater.is_padded
        return LayerFacts(
            self._compression, Digest("sha256", raw.hexdigest()), self.raw_size, self._is_empty, is_padded
        )

    def finish(self) -> LayerFacts:
        """Returns what was found out, once nothing follows.

        Raises:
            UnreadableLayer: it ends in the middle.
        """
        for _ in self.end():
            pass
        return self.facts()

    def _decide(self, compression: Compression) -> None:
        self._compression = compression
        if compression not in self._reads:
            raise UnreadableLayer(f"its {compression.value} data is not read here", damaged=False)
        if compression is not Compression.NONE:
            self._inflater = Inflater(compression, max_window=self._settings.max_window)

    def _pass_on(self, chunk: Chunk) -> Iterator[Chunk]:
        if self._inflater is None:
            view = memoryview(chunk)
            for start in range(0, len(view), PIECE_BYTES):
                part = view[start : start + PIECE_BYTES]
                self._count(part)
                yield part
            return
        self._inflater.feed(chunk)
        while piece := self._inflater.read():
            self._raw.update(piece)
            self._count(piece)
            yield piece
        self._require_bounds()  # parts that hold nothing come without a piece

    def _count(self, piece: Chunk) -> None:
        self.raw_size += len(piece)
        if self._is_empty:
            self._is_empty = bytes(piece) == _ZEROS[: len(piece)]
        self._require_bounds()
        if self._is_stopped():
            raise Stopped

    def _require_bounds(self) -> None:
        settings = self._settings
        parts = self._inflater.parts if self._inflater is not None else 0
        if self.raw_size + parts * PART_BYTES > settings.max_bytes:
            raise UnreadableLayer(
                f"it is larger than gateway.conversions.maxbytes allows, {settings.max_bytes} bytes", damaged=False
            )
        if self.raw_size > max(FREE_BYTES, self._taken * settings.max_ratio):
            raise UnreadableLayer(
                f"it inflates to more than {settings.max_ratio} times its size, which gateway.conversions.maxratio"
                " forbids",
                damaged=False,
            )


class Stopped(Exception):  # noqa: N818 - a finding, not a fault
    """The process ends, and with it this work."""
