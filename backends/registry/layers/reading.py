"""Reading a layer to its end, in pieces that a thread works on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing

from backends.model.digest import Digest
from backends.registry.hashing import RunningHash
from backends.registry.layers.errors import UnreadableLayer
from backends.registry.layers.flights import Progress
from backends.registry.layers.metering import Stopped
from backends.registry.layers.threads import Threads
from backends.storage.driver import Chunk, Reader

LayerSource = Callable[[], Awaitable[Reader]]
"""Opens the stored bytes of a layer; raises PathNotFound where they are not here (any more)."""

BATCH_BYTES = 1024 * 1024
"""So much is given to a thread at once."""

RESTING_SECONDS = 0.05
"""So often who rests looks whether somebody is in a hurry now."""


class Pace:
    """Who reads a layer, and how fast.

    Args:
        threads: where, while somebody is in a hurry.
        background: where otherwise; None for the same.
        rest: how long it rests then for each second that it works.
    """

    def __init__(self, threads: Threads, background: Threads | None = None, *, rest: float = 0.0) -> None:
        self._threads = threads
        self._background = background
        self._rest = rest

    async def run(self, work: Callable[[], None], progress: Progress) -> None:
        """Does a part of the work, and rests after it unless somebody is in a hurry."""
        if self._background is None or progress.is_hurried():
            await self._in(self._threads, work)
            return
        loop = asyncio.get_running_loop()
        began = loop.time()
        await self._in(self._background, work)
        end = loop.time() + (loop.time() - began) * self._rest
        while not progress.is_hurried() and (left := end - loop.time()) > 0:  # noqa: ASYNC110 - it ends by itself
            await asyncio.sleep(min(left, RESTING_SECONDS))

    async def _in(self, threads: Threads, work: Callable[[], None]) -> None:
        try:
            await threads.run(work)
        except Stopped:
            raise asyncio.CancelledError from None


class StoredBytes:
    """The bytes of a layer as they are stored, hashed as they are read.

    Args:
        digest: that they must have; None where nobody knows.

    Attributes:
        sha256: of what was read.
        size: of what was read.
    """

    def __init__(self, digest: Digest | None) -> None:
        self.sha256 = RunningHash()
        self._digest = digest
        other = digest is not None and digest.algorithm != "sha256"
        self._named = RunningHash(digest.algorithm) if digest is not None and other else self.sha256

    @property
    def size(self) -> int:
        return self.sha256.offset

    def take(self, chunks: Sequence[Chunk]) -> None:
        """Hashes the bytes that follow."""
        self.sha256.take(chunks)
        if self._named is not self.sha256:
            self._named.take(chunks)

    def finish(self) -> Digest:
        """Returns their digest.

        Raises:
            UnreadableLayer: it is another one than they must have.
        """
        if self._digest is None:
            return Digest("sha256", self.sha256.value.hexdigest())
        if self._named.value.hexdigest() != self._digest.hex:
            raise UnreadableLayer(
                f"it is damaged on disk: its {self.size} bytes have digest"
                f" {self._digest.algorithm}:{self._named.value.hexdigest()}"
            )
        return self._digest


async def batches(source: LayerSource, progress: Progress) -> AsyncGenerator[Sequence[Chunk], None]:
    """Yields all bytes of a layer, and says how far it is."""
    reader = await source()
    try:
        progress.total = reader.size
        progress.done = 0
        batch: list[Chunk] = []
        size = 0
        async with aclosing(reader.chunks(0, reader.size)) as chunks:
            async for chunk in chunks:
                batch.append(chunk)
                size += len(chunk)
                if size >= BATCH_BYTES:
                    yield batch
                    progress.done += size
                    batch, size = [], 0
        if batch:
            yield batch
            progress.done += size
    finally:
        reader.close()
