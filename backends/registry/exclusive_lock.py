"""Doing something alone, among all processes that share the storage.

A lock is a storage writer's: it goes when its process goes, however that ends, so no ruin can hold anybody up.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from backends.model.errors import ErrorCode, RegistryError
from backends.storage.completion import run_to_completion
from backends.storage.driver import PathBusy, PathNotFound, StorageDriver, Writer

PATIENCE_SECONDS = 300.0
_FIRST_PAUSE = 0.005
_LONGEST_PAUSE = 0.25


@asynccontextmanager
async def exclusive_lock(
    driver: StorageDriver, path: str, *, patience: float = PATIENCE_SECONDS
) -> AsyncIterator[None]:
    """Waits until nobody else is in here with this path; the file at `path` is gone afterwards.

    Raises:
        RegistryError: UNAVAILABLE: somebody else stayed longer than `patience` seconds.
    """
    writer = await _acquire(driver, path, patience)
    try:
        yield
    finally:
        try:
            with suppress(PathNotFound):
                await run_to_completion(driver.delete(path))
        finally:
            await run_to_completion(writer.close())


async def _acquire(driver: StorageDriver, path: str, patience: float) -> Writer:
    pause = _FIRST_PAUSE
    waited = 0.0
    while True:
        try:
            return await driver.writer(path)
        except (PathBusy, PathNotFound):  # not found: whoever had it took it away in this very moment
            if waited >= patience:
                raise RegistryError(
                    ErrorCode.UNAVAILABLE,
                    "another request has been at the same thing for long; send this one again later",
                ) from None
        await asyncio.sleep(pause)
        waited += pause
        pause = min(2 * pause, _LONGEST_PAUSE)
