"""From settings to a driver: the one place that knows which drivers there are."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from backends.storage.driver import StorageDriver
from backends.storage.filesystem import FilesystemDriver
from backends.storage.inmemory import InMemoryDriver


@dataclass(frozen=True, slots=True)
class StorageSettings:
    """Which driver, and where its root is (filesystem only)."""

    driver: Literal["filesystem", "inmemory"] = "filesystem"
    root: str = "data"


def open_storage(settings: StorageSettings) -> StorageDriver:
    """Opens the configured place for bytes.

    Raises:
        StorageError: it cannot be used; the message says why.
    """
    match settings.driver:
        case "filesystem":
            return FilesystemDriver(Path(settings.root))
        case "inmemory":
            return InMemoryDriver()
