"""What some drivers can do beyond `StorageDriver`, and how it is found through drivers around drivers.

Ask with `capability`, never with `isinstance`: a wrapper that meters or retries need not know of any of these, and what
it wraps keeps them. A wrapper that is to change one implements it itself, and is found first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

from backends.storage.driver import StorageDriver

Kind = TypeVar("Kind")


@runtime_checkable
class WrapsDriver(Protocol):
    """A driver around another one."""

    def unwrap(self) -> StorageDriver:
        """Returns the driver that it asks."""
        ...


def capability(driver: StorageDriver, kind: type[Kind]) -> Kind | None:
    """Returns the outermost driver that can do what `kind` says, or None when none of them can.

    Args:
        driver: any driver, wrapped or not.
        kind: a protocol of this module.
    """
    while True:
        if isinstance(driver, kind):
            return driver
        if not isinstance(driver, WrapsDriver):
            return None
        driver = driver.unwrap()


@runtime_checkable
class LinksFiles(Protocol):
    """A driver that can give one file two names."""

    async def link(self, source: str, target: str) -> bool:
        """Gives `source` the second name `target`, atomically and durably, replacing what has it.

        Returns:
            False when this file system or its permissions do not allow it; then nothing was done.
        """
        ...

    async def repair(self, source: str, target: str) -> int | None:
        """Gives a file that has several names the content that another one has, under all its names, and removes that.

        Who reads it meanwhile gets old bytes and new ones: it is for a file that is damaged, if anything.

        Returns:
            how many bytes had to be written; None when there is no `target`, or it has no other name: then nothing was
            done, and a move is what replaces it.
        """
        ...


@dataclass(frozen=True, slots=True)
class Room:
    """What is left on one volume where a driver writes: bytes and files (inodes), and how many there are in all.

    Attributes:
        total_files: 0 where nobody counts them; then `free_files` says nothing.
    """

    free_bytes: int
    total_bytes: int
    free_files: int
    total_files: int

    @property
    def share(self) -> float:
        """The share that is left, of bytes or of files, whichever is smaller: 0 to 1."""
        files = self.free_files / self.total_files if self.total_files else 1.0
        return min(files, self.free_bytes / self.total_bytes if self.total_bytes else 0.0)


@runtime_checkable
class MeasuresRoom(Protocol):
    """A driver that knows how much room is left."""

    async def measure_room(self) -> Sequence[Room]:
        """Returns what is left on each volume that it writes to, at least one.

        Raises:
            StorageError: nobody can tell.
        """
        ...


@runtime_checkable
class ChecksItself(Protocol):
    """A driver that can tell whether it still works, cheaply, by trying."""

    async def check_reading(self) -> None:
        """Raises StorageError, with a sentence for its operator, when what is stored cannot be read any more."""
        ...

    async def check_writing(self) -> None:
        """Raises StorageError, likewise, when nothing can be written; leaves nothing behind."""
        ...


@runtime_checkable
class SweepsTemporary(Protocol):
    """A driver that writes to temporary files first, which a killed process leaves behind."""

    async def sweep_temporary(self, *, older_than: float, dry_run: bool) -> Sequence[tuple[str, int]]:
        """Removes temporary files that nobody is writing or removing any more.

        Args:
            older_than: seconds since anything about them was last changed.
            dry_run: only find them.

        Returns:
            their names, and their sizes in bytes.
        """
        ...
