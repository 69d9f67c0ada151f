"""What the source has said of repositories, kept in storage: for all processes, and for when it does not answer.

It is none of this registry's own: v2 does not see it, and neither does docker-registry on the same volume. Deleting it
makes the source be asked again.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from backends.storage.driver import PathNotFound, StorageError
from backends.storage.storage import Storage
from backends.v1.mirror.answers import Remembered, decode_remembered
from backends.v1.mirror.upstream import Unavailable

T = TypeVar("T")

_log = logging.getLogger("portside.v1.mirror")


class Remembering:
    """All of it.

    Args:
        storage: of v1.
        clock: seconds since 1970.
    """

    def __init__(self, storage: Storage, *, clock: Callable[[], float] = time.time) -> None:
        self._storage = storage
        self._clock = clock

    async def get(self, path: str, ask: Callable[[], Awaitable[T | None]], *, seconds: float) -> T | None:
        """Returns what the source says, or has said; None where it says that there is no such thing, or never said.

        Args:
            path: where it is kept.
            ask: asks the source; None for what it does not have.
            seconds: for so long it is not asked again.

        Raises:
            StorageError: the path is not possible here.
        """
        known = await self._read(path)
        before: T | None = None if known is None else known.value
        if known is not None and known.is_fresh(self._clock(), seconds):
            return before
        try:
            value = await ask()
        except Unavailable:
            return before
        if value is None:
            await self._forget(path)
        elif value != before or seconds > 0:
            await self._write(path, Remembered(value, self._clock()))
        return value

    async def _read(self, path: str) -> Remembered | None:
        try:
            return decode_remembered(await self._storage.driver.read(path))
        except (PathNotFound, ValueError):
            return None

    async def _write(self, path: str, remembered: Remembered) -> None:
        if self._storage.room.is_low:
            return
        try:
            await self._storage.driver.write(path, remembered.encode(), durable=False)
        except StorageError as error:  # it only spares asking again
            _log.warning("what the registry that is mirrored says is not kept: %s", error)

    async def _forget(self, path: str) -> None:
        with suppress(PathNotFound):
            await self._storage.driver.delete(path, durable=False)
