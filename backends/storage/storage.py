"""What a registry is given to keep things in: a driver for bytes, and the locks of all who share them."""

from __future__ import annotations

from dataclasses import dataclass

from backends.storage.driver import StorageDriver
from backends.storage.locks import Locks


@dataclass(frozen=True, slots=True)
class Storage:
    """One place for bytes, as this process has opened it."""

    driver: StorageDriver
    locks: Locks

    async def close(self) -> None:
        """Releases both."""
        await self.locks.close()
        await self.driver.close()
