"""What a registry is given to keep things in: a driver for bytes, the locks of all who share them, the room left."""

from __future__ import annotations

from dataclasses import dataclass, field

from backends.storage.driver import StorageDriver
from backends.storage.locks import Locks
from backends.storage.room import RoomWatch


@dataclass(frozen=True, slots=True)
class Storage:
    """One place for bytes, as this process has opened it."""

    driver: StorageDriver
    locks: Locks
    room: RoomWatch = field(default_factory=RoomWatch)

    async def close(self) -> None:
        """Releases driver and locks."""
        await self.locks.close()
        await self.driver.close()
