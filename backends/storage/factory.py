"""From settings to a storage: the one place that knows which drivers there are, and which locks go with them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from backends.storage.file_locks import FileLocks
from backends.storage.filesystem import FilesystemDriver
from backends.storage.locks import MemoryLocks
from backends.storage.room import RoomSettings, RoomWatch
from backends.storage.settings import StorageSettings
from backends.storage.storage import Storage

if TYPE_CHECKING:
    from backends.storage.addresses import Step


def open_storage(settings: StorageSettings) -> Storage:
    """Opens the configured place for bytes.

    Raises:
        StorageError: it cannot be used; the message says why.
    """
    match settings.driver:
        case "filesystem":
            return _addressed(open_folder(Path(settings.root), settings.room), settings.addresses)
        case "inmemory":
            return open_memory()


def _addressed(storage: Storage, steps: tuple[Step, ...]) -> Storage:
    if not steps:
        return storage
    from backends.storage.addressed_driver import AddressedDriver  # noqa: PLC0415 - few have others serve their files

    return replace(storage, driver=AddressedDriver(storage.driver, steps))


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
