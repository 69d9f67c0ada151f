"""Hashing what is in storage already, off the event loop."""

from __future__ import annotations

import asyncio

from backends.model.digest import Hash, new_hash
from backends.storage.completion import run_to_completion
from backends.storage.driver import Chunk, StorageDriver


class RunningHash:
    """The hash of a growing file's first `offset` bytes.

    Invariant: `offset` and `value` go on together, so whoever is cancelled in between goes on where it was.
    """

    def __init__(self, algorithm: str = "sha256") -> None:
        self.offset = 0
        self.value: Hash = new_hash(algorithm)

    async def advance(self, driver: StorageDriver, path: str, end: int) -> None:
        """Takes in the bytes of a stored file up to `end` (exclusive)."""
        if self.offset >= end:
            return
        reader = await driver.open(path)
        try:
            async for chunk in reader.chunks(self.offset, end - self.offset):
                await run_to_completion(asyncio.to_thread(self._take, chunk))
        finally:
            reader.close()

    def _take(self, chunk: Chunk) -> None:
        self.value.update(chunk)
        self.offset += len(chunk)
