"""What a layer is, by its bytes alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from contextlib import aclosing

from backends.model.layers import StoredLayer
from backends.registry.layers.metering import Meter
from backends.registry.layers.reading import LayerSource, StoredBytes
from backends.registry.layers.settings import LayerSettings
from backends.storage.driver import Chunk

BATCH_BYTES = 4 * 1024 * 1024


async def measure(source: LayerSource, settings: LayerSettings, on_read: Callable[[int], None]) -> StoredLayer:
    """Reads a layer to its end, in threads and in pieces.

    Args:
        source: opens it.
        settings: how large it may become.
        on_read: told how many bytes were read.

    Raises:
        PathNotFound: there is none.
        UnreadableLayer: it is damaged, or passes a bound.
    """
    reader = await source()
    stored = StoredBytes(None)
    meter = Meter(stored.sha256, settings)

    def take(batch: Sequence[Chunk]) -> None:
        stored.take(batch)
        meter.take(batch)

    try:
        batch: list[Chunk] = []
        async with aclosing(reader.chunks(0, reader.size)) as chunks:
            async for chunk in chunks:
                batch.append(chunk)
                if sum(map(len, batch)) >= BATCH_BYTES:
                    await asyncio.to_thread(take, batch)
                    on_read(sum(map(len, batch)))
                    batch = []
        await asyncio.to_thread(take, batch)
        on_read(sum(map(len, batch)))
        facts = await asyncio.to_thread(meter.finish)
    finally:
        reader.close()
    return StoredLayer(stored.finish(), stored.size, facts)
