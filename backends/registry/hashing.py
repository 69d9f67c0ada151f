"""Hashing what is in storage already, off the event loop."""

from __future__ import annotations

import asyncio

from backends.model.digest import Hash
from backends.storage.driver import StorageDriver
from backends.storage.settling import settled


async def hash_range(driver: StorageDriver, path: str, running: Hash, *, first: int, end: int) -> None:
    """Feeds the bytes `first` to `end` (exclusive) of a stored file to a running hash."""
    reader = await driver.open(path)
    try:
        async for chunk in reader.chunks(first, end - first):
            await settled(asyncio.to_thread(running.update, chunk))
    finally:
        reader.close()
