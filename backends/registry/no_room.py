"""Taking back what a change had made before it found the disk full, so that nothing half made keeps it full."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from backends.storage.driver import PathNotFound, StorageDriver, StorageError, StorageFull


@asynccontextmanager
async def undone_without_room(
    driver: StorageDriver, *paths: str, unless: Callable[[], Awaitable[bool]] | None = None
) -> AsyncIterator[None]:
    """When there is no room for what is done in the context, removes those of these paths that were not there before.

    Also when the caller was cancelled meanwhile (`run_to_completion` says then what stopped the work).

    Its caller holds the lock under which they are made, so what was not there before belongs to no other request.

    Args:
        driver: the storage.
        paths: files, or folders that hold nothing else; removed from the last to the first.
        unless: asked then; whether others may have found what was made, and rely on it, so that it must stay.
    """
    made = [path for path in paths if not await exists(driver, path)]
    try:
        yield
    except (StorageFull, asyncio.CancelledError) as error:
        if not isinstance(error, StorageFull) and not isinstance(error.__cause__, StorageFull):
            raise
        for path in () if unless is not None and await unless() else reversed(made):
            with suppress(StorageError):  # absent, or refused too: the error that is reported is the missing room
                await driver.delete(path)
        raise


async def exists(driver: StorageDriver, path: str) -> bool:
    """Whether anything is there."""
    try:
        await driver.stat(path)
    except PathNotFound:
        return False
    return True
