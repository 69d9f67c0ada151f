"""Measuring room on the disks every few seconds, for `Storage.room` and the metrics."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from typing import NoReturn

from backends.storage.driver import StorageError
from backends.storage.storage import Storage
from portside.observe.metrics import Metrics

MEASURE_SECONDS = 2.0

_log = logging.getLogger("portside.room")


async def measure_room(storages: Mapping[str, Storage], metrics: Metrics | None) -> None:
    """Measures each storage once.

    Args:
        storages: by what they are called.
        metrics: where it is shown; None when there is no listener for them.
    """
    for name, storage in storages.items():
        try:
            await storage.room.measure()
        except StorageError as error:
            _log.debug("%s: %s", name, error)  # the last measurement stays; health says what is wrong
            continue
        if metrics is not None and storage.room.rooms:
            tightest = min(storage.room.rooms, key=lambda room: room.share)
            metrics.set_room(name, tightest, low=storage.room.is_low)


async def watch_room(storages: Mapping[str, Storage], metrics: Metrics | None) -> NoReturn:
    """Measures every few seconds until it is cancelled."""
    while True:
        await asyncio.sleep(MEASURE_SECONDS)
        await measure_room(storages, metrics)
