"""When a pass over what is stored is made: at the start, at intervals; by one process of those that share the storage.

Who holds the pass's lock makes it; a note on the volume says when the last one that came to its end began, for workers,
roles and containers alike. Who deletes the note, with what the pass makes, has it made again within minutes.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections.abc import Awaitable, Callable

from backends.model.errors import RegistryError
from backends.storage.driver import PathNotFound, StorageDriver, StorageError
from backends.storage.locks import LockHeld
from backends.storage.storage import Storage

FIRST_SECONDS = 3.0
"""Requests come before it when a process starts."""

AGAIN_SECONDS = 300.0
"""So often is it asked whether a pass is due; what failed is tried again after so long."""

SOON_SECONDS = 30.0
"""The same where the machine was out of descriptors, memory or locks: who cannot serve for that reason says so."""

CLOCKS_DIFFER_SECONDS = 300.0
"""A pass that seems to have begun later than this is the doing of a wrong clock, and does not count."""


TOLD_SECONDS = 30.0
"""How often the log hears how far a pass is."""


class Schedule:
    """When one kind of pass over one storage is made.

    Args:
        storage: where.
        make: makes a pass.
        what: names what it makes, in a sentence.
        lock: held by who makes it.
        note: the file that says when the last whole one began.
        interval_seconds: so often, beside the pass at the start; 0 for never.
        started: what was seen before this time, in seconds since 1970, is looked at once more: the program's start.
        log: is told how far a pass is, and why one could not be made.
    """

    def __init__(
        self,
        storage: Storage,
        make: Callable[[], Awaitable[None]],
        what: str,
        *,
        lock: str,
        note: str,
        interval_seconds: float,
        started: float,
        log: logging.Logger,
    ) -> None:
        self._storage = storage
        self._make = make
        self._what = what
        self._lock = lock
        self._note = note
        self._interval = interval_seconds or math.inf
        self._started = started
        self._log = log
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
                    self._log.debug("%s is made a little later: %s", self._what, error)
                    continue
                self._log.warning("%s is not complete yet, and is made later: %s", self._what, error)
            except Exception:  # noqa: BLE001 - the last net: what fails once must not end it for good
                self._log.exception("making %s failed", self._what)

    async def tick(self) -> bool:
        """Makes a pass if one is due, unless another process is at it; whether none is due any more.

        Raises:
            StorageError, RegistryError: it could not be made; what was written stays.
        """
        if not await self._is_due():
            return True
        try:
            async with self._storage.locks.hold(self._lock):
                if await self._is_due():
                    self._told = time.monotonic()
                    await make_and_note(self._storage.driver, self._make, self._note)
                return True
        except LockHeld:
            return False

    def tell(self, message: str, *arguments: object) -> None:
        """Logs how far the pass is, unless that was done lately; takes what a logger takes."""
        if time.monotonic() - self._told >= TOLD_SECONDS:
            self._told = time.monotonic()
            self._log.info(message, *arguments)

    async def _is_due(self) -> bool:
        began = await _began(self._storage.driver, self._note)
        now = time.time()
        return not max(self._started, now - self._interval) <= began <= now + CLOCKS_DIFFER_SECONDS


async def make_and_note(driver: StorageDriver, make: Callable[[], Awaitable[None]], note: str) -> None:
    """Makes a pass, and notes when it began; the caller holds its lock.

    Raises:
        StorageError, RegistryError: it could not be made; what was written stays.
    """
    began = time.time()
    await make()
    await driver.write(note, f"{began:.3f}\n".encode())


async def _began(driver: StorageDriver, note: str) -> float:
    """Returns when the last whole pass began; -inf when there was none, or an earlier Portside has not noted it."""
    try:
        return float(await driver.read(note) or b"-inf")
    except (PathNotFound, ValueError):
        return -math.inf
