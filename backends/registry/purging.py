"""Removing what pushes have left behind: abandoned uploads and staged images.

Distribution's rule, its keys and its defaults (`storage.maintenance.uploadpurging`): what was not touched for a week is
looked for once a day. When room is low, the oldest goes first, of what nobody has touched for an hour, until there is
room again. Files that killed processes left in our folder for temporary files go with it.

Invariant: nothing that is in progress is ever taken. A writer holds a lock, and each thing is removed under that
same lock, after its age was looked at once more; so it does not depend on one process purging at a time, which only
spares work. That process is the one that holds the purger's lock, and a note on the volume says when
it was done last: workers, roles and containers share both.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import NoReturn, Protocol

from backends.registry.purge_settings import PurgeSettings
from backends.storage import layout
from backends.storage.capabilities import SweepsTemporary, capability
from backends.storage.driver import PathNotFound, StorageError
from backends.storage.locks import LockHeld
from backends.storage.room import show_size
from backends.storage.storage import Storage

UNTOUCHED_SECONDS = 3600.0
"""When room is low, what was touched within it still counts as in progress."""

TICK_SECONDS = 30.0
"""How often it is asked whether something is to be done, at most."""

ROOM_SECONDS = 300.0
"""Where everything was looked through and room is still low, it is looked through again after so long."""

_log = logging.getLogger("portside.purging")


@dataclass(frozen=True, slots=True)
class Abandoned:
    """Something that may be left behind.

    Attributes:
        kind: `v2 upload`, `v1 image`.
        what: its name, which says to its `Source` where it is.
        size: bytes.
        touched: when it was last changed, in seconds since 1970.
    """

    kind: str
    what: tuple[str, ...]
    size: int
    touched: float


class Source(Protocol):
    """Knows one kind of what can be left behind.

    Attributes:
        kind: of all that it finds.
    """

    kind: str

    def find(self) -> AsyncGenerator[Abandoned, None]:
        """Yields all there is of it, whatever its age; what has no name of ours is skipped."""
        ...

    async def remove(self, found: Abandoned, *, before: float) -> bool:
        """Removes it, unless somebody is at it, or has touched it since `before` (seconds since 1970).

        Raises:
            StorageError: it could not be removed.
        """
        ...


class Purger:
    """Purges one storage.

    Args:
        storage: where.
        sources: returns what; asked each time, by the one process that purges.
        settings: when, and whether.
        on_purged: called for everything that was removed: its kind and its size in bytes.
    """

    def __init__(
        self,
        storage: Storage,
        sources: Callable[[], Sequence[Source]],
        settings: PurgeSettings,
        *,
        on_purged: Callable[[str, int], None] | None = None,
    ) -> None:
        self._storage = storage
        self._sources = sources
        self._settings = settings
        self._on_purged = on_purged
        self._noted: dict[str, float] = {}

    async def watch(self) -> NoReturn:
        """Purges whenever it is due, until it is cancelled."""
        tick = min(TICK_SECONDS, self._settings.interval_seconds)
        while True:
            await asyncio.sleep(random.uniform(0.5, 1.0) * tick)  # noqa: S311 - so that workers do not ask all at once
            try:
                await self.tick()
            except StorageError as error:
                _log.warning("abandoned uploads could not be purged: %s", error)
            except Exception:  # noqa: BLE001 - the last net: what fails once must not end it for good
                _log.exception("purging abandoned uploads failed")

    async def tick(self) -> None:
        """Purges if it is due and no other process does."""
        if self._storage.room.is_low and await self._is_due(layout.ROOM_SOUGHT, ROOM_SECONDS):
            await self._exclusively(self._make_room_if_due)
        if await self._is_due(layout.PURGED, self._settings.interval_seconds):
            await self._exclusively(self._purge_if_due)

    async def _exclusively(self, work: Callable[[], Awaitable[None]]) -> None:
        try:
            async with self._storage.locks.hold(layout.PURGER_LOCK):
                await work()
        except LockHeld:
            return  # another process is at it

    async def _make_room_if_due(self) -> None:
        if not await self._is_due(layout.ROOM_SOUGHT, ROOM_SECONDS):
            return  # another process was quicker
        await self.make_room()
        if self._storage.room.is_low:
            await self._note(layout.ROOM_SOUGHT)

    async def _purge_if_due(self) -> None:
        if not await self._is_due(layout.PURGED, self._settings.interval_seconds):
            return  # another process was quicker
        try:
            await self.purge()
        finally:
            await self._note(layout.PURGED)  # what fails is tried at the next interval, not at the next tick

    async def _is_due(self, note: str, interval: float) -> bool:
        last = self._noted.get(note, 0.0)
        with suppress(PathNotFound):
            last = max(last, (await self._storage.driver.stat(note)).modified)
        return not last <= time.time() < last + interval

    async def _note(self, note: str) -> None:
        """Notes on the volume that something was done now; where that cannot be, this process remembers it."""
        try:
            await self._storage.driver.write(note, b"", durable=False)
        except StorageError:
            self._noted[note] = time.time()

    async def purge(self) -> None:
        """Removes what nobody has touched for as long as the settings say."""
        await self._sweep()
        before = time.time() - self._settings.age_seconds
        for source in self._sources():
            async with aclosing(source.find()) as everything:
                async for found in everything:
                    if found.touched < before:
                        await self._remove(source, found, before=before)

    async def make_room(self) -> None:
        """Removes the oldest of what nobody has touched for an hour, until room is not low any more."""
        await self._sweep()
        before = time.time() - UNTOUCHED_SECONDS
        candidates: list[tuple[Source, Abandoned]] = []
        for source in self._sources():
            async with aclosing(source.find()) as everything:
                candidates += [(source, found) async for found in everything if found.touched < before]
        for source, found in sorted(candidates, key=lambda each: each[1].touched):
            await self._storage.room.measure()
            if not self._storage.room.is_low:
                return
            await self._remove(source, found, before=before)
        await self._storage.room.measure()

    async def _remove(self, source: Source, found: Abandoned, *, before: float) -> None:
        what = f"{found.kind} {' '.join(found.what)}"
        found_text = f"{show_size(found.size)}, untouched for {show_age(time.time() - found.touched)}"
        if self._settings.dry_run:
            _log.info("would purge %s (%s)", what, found_text)
            return
        try:
            if not await source.remove(found, before=before):
                return
        except StorageError as error:
            _log.warning("%s could not be purged: %s", what, error)
            return
        _log.info("purged %s (%s)", what, found_text)
        if self._on_purged is not None:
            self._on_purged(found.kind, found.size)

    async def _sweep(self) -> None:
        """Takes away temporary files that nobody has touched for an hour: no process comes back for them."""
        sweeper = capability(self._storage.driver, SweepsTemporary)
        if sweeper is None:
            return
        dry_run = self._settings.dry_run
        for name, size in await sweeper.sweep_temporary(older_than=UNTOUCHED_SECONDS, dry_run=dry_run):
            _log.info("%s temporary file %s (%s)", "would purge" if dry_run else "purged", name, show_size(size))
            if self._on_purged is not None and not dry_run:
                self._on_purged("temporary file", size)


def show_age(seconds: float) -> str:
    """Returns how long ago something was, as people say it: `8 days`, `90 minutes`."""
    for unit, length in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} seconds"
