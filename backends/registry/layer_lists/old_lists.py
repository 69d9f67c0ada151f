"""Lists in Portside's own folder that nobody has asked to be made for long: they are made again when somebody asks.

Those beside docker-registry's images stay: they are that program's.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator

from backends.registry.links import names_in
from backends.registry.purging import Abandoned
from backends.storage import layout
from backends.storage.completion import run_to_completion
from backends.storage.driver import PathNotFound
from backends.storage.locks import LockHeld
from backends.storage.storage import Storage


class OldLists:
    """A `Source` (`purging`) of such lists."""

    kind = "list of files"

    def __init__(self, storage: Storage) -> None:
        self._driver = storage.driver
        self._locks = storage.locks

    async def find(self) -> AsyncGenerator[Abandoned, None]:
        for prefix in await names_in(self._driver, layout.LAYER_LISTS):
            for key in await names_in(self._driver, f"{layout.LAYER_LISTS}/{prefix}"):
                found = await self._look(key)
                if found is not None:
                    yield found

    async def _look(self, key: str) -> Abandoned | None:
        try:
            info = await self._driver.stat(layout.layer_list(key))
        except PathNotFound:
            return None
        return Abandoned(self.kind, (key,), info.size, info.modified)

    async def remove(self, found: Abandoned, *, before: float) -> bool:
        (key,) = found.what
        path = layout.layer_list(key)
        try:
            async with self._locks.hold(layout.layer_list_lock(path)):
                now = await self._look(key)
                if now is None or now.touched >= before:
                    return False
                await run_to_completion(self._driver.delete(path))
                return True
        except LockHeld:
            return False
