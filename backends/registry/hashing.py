"""Hashing what is being written to storage, and what is stored already; never on the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from backends.model.digest import Hash, new_hash
from backends.storage.completion import run_to_completion
from backends.storage.driver import Chunk, StorageDriver


class RunningHash:
    """The hash of a growing file's first `offset` bytes.

    `take` is a `Tee`: passed to a writer that appends at `offset`, it hashes what is written, in the same thread.

    Invariant: `offset` and `value` always agree, even after a failure or a cancellation.

    Args:
        algorithm: of the hash.
        prefix: hashed before everything else; it does not count in `offset`.
    """

    def __init__(self, algorithm: str = "sha256", *, prefix: bytes = b"") -> None:
        self.offset = 0
        self.value: Hash = new_hash(algorithm)
        self.value.update(prefix)

    def take(self, chunks: Sequence[Chunk]) -> None:
        """Hashes the bytes that follow."""
        for chunk in chunks:
            self.value.update(chunk)
            self.offset += len(chunk)

    async def advance(self, driver: StorageDriver, path: str, end: int) -> None:
        """Hashes a stored file from `offset` to `end` (exclusive)."""
        if self.offset >= end:
            return
        reader = await driver.open(path)
        try:
            async for chunk in reader.chunks(self.offset, end - self.offset):
                await run_to_completion(asyncio.to_thread(self.take, [chunk]))
        finally:
            reader.close()
