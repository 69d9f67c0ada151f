"""Finding out what a layer is while it is received, in the thread that writes and hashes it.

A push never fails for what its layer is. What cannot be read, and what would take much memory or time beside the push,
is left for the day when somebody asks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from backends.model.layers import Compression, LayerFacts
from backends.registry.hashing import RunningHash
from backends.registry.layers.errors import UnreadableLayer
from backends.registry.layers.metering import Meter
from backends.registry.layers.settings import LayerSettings
from backends.storage.driver import Chunk

MAX_RATIO = 100
"""What inflates to more (and to more than a GiB) keeps the thread for so long that the disk would be missed."""

READ = frozenset({Compression.NONE, Compression.GZIP})
"""What Docker up to 1.9 pushes. The others take a window of memory each, for as long as an upload is open."""


class UploadMeter:
    """A `Tee` that finds out what passes, if that is possible.

    Args:
        stored: the sha256 of what passes, which takes each chunk before this does.
        settings: how large a layer may become.

    Attributes:
        offset: how many bytes have passed.
    """

    def __init__(self, stored: RunningHash, settings: LayerSettings) -> None:
        self.offset = 0
        self._meter: Meter | None = Meter(
            stored, replace(settings, max_ratio=min(MAX_RATIO, settings.max_ratio)), reads=READ
        )

    def take(self, chunks: Sequence[Chunk]) -> None:
        """Takes the bytes that follow."""
        self.offset += sum(map(len, chunks))
        if self._meter is None:
            return
        try:
            self._meter.take(chunks)
        except UnreadableLayer:
            self._meter = None

    def facts_so_far(self) -> LayerFacts | None:
        """Returns what is true of what has passed, if that is a whole layer; more may follow."""
        if self._meter is None or self._meter.compression is None:
            return None
        return self.finish()

    def finish(self) -> LayerFacts | None:
        """Returns what is true of the layer, once nothing follows; None where that could not be found out."""
        if self._meter is None:
            return None
        try:
            return self._meter.finish()
        except UnreadableLayer:
            return None
