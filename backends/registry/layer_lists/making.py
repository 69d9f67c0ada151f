"""The list of a layer's files, made while its bytes pass by: called in a thread, in memory of a few hundred KiB."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

from backends.model.v1files import encode_row, row_of
from backends.registry.hashing import RunningHash
from backends.registry.layers.errors import UnreadableLayer
from backends.registry.layers.metering import Meter
from backends.registry.layers.settings import LayerSettings
from backends.registry.layers.tar_members import NotATar, TarMembers
from backends.storage.driver import Chunk

MAX_ROWS = 1_000_000
MAX_LIST_BYTES = 256 * 1024 * 1024
"""A layer with more files, or with longer names, is not listed."""

PIECE_BYTES = 256 * 1024


class ListMaker:
    """Makes the list of one layer.

    Args:
        settings: what reading a layer may cost.
        is_stopped: asked often; once it says so, the work ends with Stopped.
    """

    def __init__(self, settings: LayerSettings, is_stopped: Callable[[], bool]) -> None:
        self._meter = Meter(RunningHash(), settings, is_stopped=is_stopped)
        self._members = TarMembers()
        self._met = 0
        self._made = bytearray(b"[")
        self._bytes = 0

    def take(self, chunks: Sequence[Chunk]) -> Iterator[bytes]:
        """Takes the bytes that follow, and yields the JSON that they make, in pieces of about PIECE_BYTES.

        Raises:
            UnreadableLayer: it is damaged or no tar archive, or passes a bound.
        """
        for chunk in chunks:
            for raw in self._meter.inflate(chunk):
                yield from self._list(raw)

    def end(self) -> Iterator[bytes]:
        """Says that nothing follows, and yields what is left.

        Raises:
            UnreadableLayer: it ends in the middle.
        """
        for raw in self._meter.end():
            yield from self._list(raw)
        try:
            self._members.end()
        except NotATar as error:
            raise UnreadableLayer(str(error)) from None
        self._made += b"]"
        yield bytes(self._made)

    def _list(self, raw: Chunk) -> Iterator[bytes]:
        try:
            for member in self._members.take(raw):
                self._met += 1
                row = row_of(member)
                if row is None:
                    continue
                if self._bytes + len(self._made) > len(b"["):
                    self._made += b", "
                self._made += encode_row(row)
                if len(self._made) >= PIECE_BYTES:
                    yield self._piece()
        except NotATar as error:
            raise UnreadableLayer(str(error)) from None
        self._require_bounds()

    def _piece(self) -> bytes:
        self._require_bounds()
        piece = bytes(self._made)
        self._bytes += len(piece)
        self._made.clear()
        return piece

    def _require_bounds(self) -> None:
        if self._met > MAX_ROWS or self._bytes + len(self._made) > MAX_LIST_BYTES:
            raise UnreadableLayer(
                f"it has more than {MAX_ROWS} files, or their names take more than {MAX_LIST_BYTES} bytes; pull the"
                " image and list them there",
                damaged=False,
            )
