"""How a stored layer is compressed, by its first bytes: what its manifest says is a claim, and v1 makes none."""

from __future__ import annotations

import zlib
from contextlib import aclosing
from dataclasses import dataclass

from backends.model.layers import HEAD_BYTES, Compression, compression_of
from backends.registry.layers.reading import LayerSource

READ_BYTES = 4096
"""So much tells what is in a gzip, too."""


@dataclass(frozen=True, slots=True)
class Look:
    """What a layer's first bytes tell.

    Attributes:
        compression: of its bytes.
        within: of what a gzip holds; of others, NONE. Some programs take a zstd stream that they do not recognise for a
            tar, and compress it again.
        size: of the layer, in bytes.
    """

    compression: Compression
    within: Compression
    size: int

    @property
    def has_zstd(self) -> bool:
        """Whether it must be inflated by zstd to be read."""
        return Compression.ZSTD in {self.compression, self.within}


async def look_at(source: LayerSource) -> Look:
    """Looks at a layer's first bytes.

    Raises:
        PathNotFound: it is not here.
        StorageError: it cannot be read now.
    """
    reader = await source()
    try:
        async with aclosing(reader.chunks(0, min(READ_BYTES, reader.size))) as chunks:
            head = b"".join([bytes(chunk) async for chunk in chunks])
        compression = compression_of(head)
        within = compression_of(_inflated(head)) if compression is Compression.GZIP else Compression.NONE
        return Look(compression, within, reader.size)
    finally:
        reader.close()


def _inflated(head: bytes) -> bytes:
    """Returns the beginning of what is in a gzip, as far as its own beginning tells."""
    try:
        return zlib.decompressobj(zlib.MAX_WBITS | 16).decompress(head, HEAD_BYTES)
    except zlib.error:
        return b""
