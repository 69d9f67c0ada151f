"""From settings to a storage: the one place that knows which drivers there are, and which locks go with them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from backends.storage.file_locks import FileLocks
from backends.storage.filesystem import FilesystemDriver
from backends.storage.inmemory import InMemoryDriver
from backends.storage.locks import MemoryLocks
from backends.storage.storage import Storage


@dataclass(frozen=True, slots=True)
class StorageSettings:
    """Which driver, and where its root is (filesystem only)."""

    driver: Literal["filesystem", "inmemory"] = "filesystem"
    root: str = "data"


def open_storage(settings: StorageSettings) -> Storage:
    """Opens the configured place for bytes.

    Raises:
        StorageError: it cannot be used; the message says why.
    """
    match settings.driver:
        case "filesystem":
            return open_folder(Path(settings.root))
        case "inmemory":
            return open_memory()


def open_folder(root: Path) -> Storage:
    """Opens a folder; makes it if it is missing.

    Raises:
        StorageError: it cannot be made or entered.
    """
    return Storage(FilesystemDriver(root), FileLocks(root))


def open_memory() -> Storage:
    """Opens a storage that lasts as long as this process."""
    return Storage(InMemoryDriver(), MemoryLocks())
