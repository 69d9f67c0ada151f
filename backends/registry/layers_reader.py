"""When the layers of old images are read in the background (`layers_pass`), and what is said of it."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from backends.registry.index_settings import IndexSettings
from backends.registry.schedule import Schedule
from backends.registry.store import Store
from backends.storage import layout

if TYPE_CHECKING:
    from backends.registry.layers_pass import Progress

_log = logging.getLogger("portside.layers")


class LayersReader:
    """Makes the passes over a store that are due.

    Args:
        store: which.
        settings: how often.
        started: what was seen before this time, in seconds since 1970, is looked at once more: the program's start.
    """

    def __init__(self, store: Store, settings: IndexSettings | None = None, *, started: float = 0.0) -> None:
        self._store = store
        self._schedule = Schedule(
            store.storage,
            self._make,
            "what layers hold",
            lock=layout.LAYER_READER_LOCK,
            note=layout.LAYERS_READ,
            interval_seconds=(settings or IndexSettings()).interval_seconds,
            started=started,
            log=_log,
        )
        self.watch = self._schedule.watch
        self.tick = self._schedule.tick

    async def _make(self) -> None:
        from backends.registry.layers_pass import LayersPass  # noqa: PLC0415 - one process of all makes a pass

        progress = await LayersPass(self._store, on_progress=self._tell).run()
        if progress.read or progress.unreadable:
            _log.info("the layers of old images are known: %s", progress)

    def _tell(self, progress: Progress, text: str) -> None:
        if self._store.layer_observer is not None:
            self._store.layer_observer.passed(progress.done, progress.found)
        self._schedule.tell("reading the layers of old images: %s; now at %s", progress, text)
