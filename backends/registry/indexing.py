"""When the pass over what is stored is made (`index_pass`): at the start, at intervals, by a command; by one process.

A volume of another registry, and one of an earlier Portside, has manifests with a `subject` and no entries, and so has
one to which another registry writes. The process that holds the indexer's lock makes the pass; a note on the volume
says when the last one that came to its end began: workers, roles and containers share both. What is pushed meanwhile
or later brings its own entry. Who deletes the index has it made again within minutes.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

from backends.model.errors import RegistryError
from backends.registry.index_pass import IndexPass, Progress
from backends.registry.index_settings import IndexSettings
from backends.storage import layout
from backends.storage.driver import PathNotFound, StorageDriver, StorageError
from backends.storage.locks import LockHeld
from backends.storage.storage import Storage

FIRST_SECONDS = 3.0
"""Requests come before it when a process starts."""

AGAIN_SECONDS = 300.0
"""So often is it asked whether a pass is due; what failed is tried again after so long."""

SOON_SECONDS = 30.0
"""The same where the machine was out of descriptors, memory or locks: who cannot serve for that reason says so."""

TOLD_SECONDS = 30.0
"""How often the log hears how far it is."""

REST = 3.0
"""A pass rests three times as long as it works."""

CLOCKS_DIFFER_SECONDS = 300.0
"""A pass that seems to have begun later than this is the doing of a wrong clock, and does not count."""

_log = logging.getLogger("portside.indexing")


class Indexer:
    """Makes the passes over one storage that are due.

    Args:
        storage: where.
        settings: how often.
        started: what was seen before this time, in seconds since 1970, is looked at once more: the program's start.
        on_manifest: called for each manifest that was looked at: whether it is a referrer.
    """

    def __init__(
        self,
        storage: Storage,
        settings: IndexSettings | None = None,
        *,
        started: float = 0.0,
        on_manifest: Callable[[bool], None] | None = None,
    ) -> None:
        self._storage = storage
        self._interval = (settings or IndexSettings()).interval_seconds or math.inf
        self._started = started
        self._on_manifest = on_manifest
        self._told = 0.0

    async def watch(self) -> None:
        """Never ends by itself."""
        pause = FIRST_SECONDS
        while True:
            await asyncio.sleep(random.uniform(0.5, 1.0) * pause)  # noqa: S311 - so that workers do not ask all at once
            pause = AGAIN_SECONDS
            try:
                await self.tick()
            except (StorageError, RegistryError) as error:
                if isinstance(error, StorageError) and error.transient:
                    pause = SOON_SECONDS
                    _log.debug("the index is made a little later: %s", error)
                    continue
                _log.warning("the index of referrers is not complete yet, and is made later: %s", error)
            except Exception:  # noqa: BLE001 - the last net: what fails once must not end it for good
                _log.exception("making the index of referrers failed")

    async def tick(self) -> bool:
        """Makes a pass if one is due, unless another process is at it; whether none is due any more.

        Raises:
            StorageError, RegistryError: it could not be made; what was written stays.
        """
        if not await self._is_due():
            return True
        try:
            async with self._storage.locks.hold(layout.INDEXER_LOCK):
                if await self._is_due():
                    self._told = time.monotonic()
                    made = IndexPass(self._storage, rest=REST, on_manifest=self._on_manifest, on_progress=self._tell)
                    progress = await make(made, self._storage.driver)
                    if progress.manifests:
                        _log.info("the index of referrers is complete: %s", progress)
                return True
        except LockHeld:
            return False

    async def _is_due(self) -> bool:
        began = await _began(self._storage.driver)
        now = time.time()
        return not max(self._started, now - self._interval) <= began <= now + CLOCKS_DIFFER_SECONDS

    def _tell(self, progress: Progress) -> None:
        if time.monotonic() - self._told >= TOLD_SECONDS:
            self._told = time.monotonic()
            _log.info("making the index of referrers: %s; now at %s", progress, progress.name)


async def make(made: IndexPass, driver: StorageDriver) -> Progress:
    """Makes a pass, and notes on the volume when it began; the caller holds the indexer's lock.

    Raises:
        StorageError, RegistryError: it could not be made; what was written stays.
    """
    began = time.time()
    progress = await made.run()
    await driver.write(layout.REFERRERS_BUILT, f"{began:.3f}\n".encode())
    return progress


@asynccontextmanager
async def indexing_alone(storage: Storage, *, on_wait: Callable[[], None]) -> AsyncIterator[None]:
    """Waits until no other process makes a pass, and keeps others from it.

    Args:
        storage: of the pass.
        on_wait: called once if another process is at it.
    """
    async with AsyncExitStack() as stack:
        has_told = False
        while True:
            try:
                await stack.enter_async_context(storage.locks.hold(layout.INDEXER_LOCK, patience=1.0))
                break
            except LockHeld:
                if not has_told:
                    on_wait()
                has_told = True
        yield


async def _began(driver: StorageDriver) -> float:
    """Returns when the last whole pass began; -inf when there was none, or an earlier Portside has not noted it."""
    try:
        return float(await driver.read(layout.REFERRERS_BUILT) or b"-inf")
    except (PathNotFound, ValueError):
        return -math.inf
