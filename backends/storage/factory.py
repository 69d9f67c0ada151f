"""From settings to a storage: the one place that knows which drivers there are, and which locks go with them."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from backends.storage.file_locks import FileLocks
from backends.storage.filesystem import FilesystemDriver
from backends.storage.locks import MemoryLocks
from backends.storage.room import RoomSettings, RoomWatch
from backends.storage.storage import Storage


@dataclass(frozen=True, slots=True)
class StorageSettings:
    """Which driver, where its root is, and what must be left there (filesystem only)."""

    driver: Literal["filesystem", "inmemory"] = "filesystem"
    root: str = "data"
    room: RoomSettings = field(default_factory=RoomSettings)


def open_storage(settings: StorageSettings) -> Storage:
    """Opens the configured place for bytes.

    Raises:
        StorageError: it cannot be used; the message says why.
    """
    match settings.driver:
        case "filesystem":
            return open_folder(Path(settings.root), settings.room)
        case "inmemory":
            return open_memory()


def open_folder(root: Path, room: RoomSettings | None = None) -> Storage:
    """Opens a folder; makes it if it is missing.

    Args:
        root: the folder.
        room: what must be left on its volumes.

    Raises:
        StorageError: it cannot be made or entered.
    """
    driver = FilesystemDriver(root)
    return Storage(driver, FileLocks(root), RoomWatch(driver, room))


def open_memory() -> Storage:
    """Opens a storage that lasts as long as this process."""
    from backends.storage.inmemory import InMemoryDriver  # noqa: PLC0415 - a folder is what is usual

    return Storage(InMemoryDriver(), MemoryLocks())
