"""The passes over what is stored in v2's repositories (`index_pass`): when they are due (`schedule`), or by a command.

A volume of another registry, and one of an earlier Portside, has manifests with a `subject` and no entries, and so has
one to which another registry writes. What is pushed meanwhile or later brings its own entry.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import TYPE_CHECKING

from backends.registry.index_settings import IndexSettings
from backends.registry.schedule import Schedule, make_and_note
from backends.storage import layout
from backends.storage.driver import StorageDriver
from backends.storage.locks import LockHeld
from backends.storage.storage import Storage

if TYPE_CHECKING:
    from backends.registry.index_pass import IndexPass, Progress

REST = 3.0
"""A pass rests three times as long as it works."""

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
        self._on_manifest = on_manifest
        self._schedule = Schedule(
            storage,
            self._make,
            "the index of referrers",
            lock=layout.INDEXER_LOCK,
            note=layout.REFERRERS_BUILT,
            interval_seconds=(settings or IndexSettings()).interval_seconds,
            started=started,
            log=_log,
        )
        self.watch = self._schedule.watch
        self.tick = self._schedule.tick

    async def _make(self) -> None:
        from backends.registry.index_pass import IndexPass  # noqa: PLC0415 - only the process that makes the pass

        made = IndexPass(self._storage, rest=REST, on_manifest=self._on_manifest, on_progress=self._tell)
        progress = await made.run()
        if progress.manifests:
            _log.info("the index of referrers is complete: %s", progress)

    def _tell(self, progress: Progress) -> None:
        self._schedule.tell("making the index of referrers: %s; now at %s", progress, progress.name)


async def make(made: IndexPass, driver: StorageDriver) -> Progress:
    """Makes a pass, and notes on the volume when it began; the caller holds the indexer's lock.

    Raises:
        StorageError, RegistryError: it could not be made; what was written stays.
    """
    found: list[Progress] = []

    async def run() -> None:
        found.append(await made.run())

    await make_and_note(driver, run, layout.REFERRERS_BUILT)
    return found[0]


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
