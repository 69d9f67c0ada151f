"""What some drivers can do beyond `StorageDriver`, and how to find it through wrappers.

Ask with `capability`, never with `isinstance`: a wrapper that meters or retries need not implement any of these, and
what it wraps keeps them. A wrapper that changes one implements it, and is found first.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

from backends.storage.driver import InvalidPath, PathNotFound, StorageDriver

Kind = TypeVar("Kind")


@runtime_checkable
class WrapsDriver(Protocol):
    """A driver around another one."""

    def unwrap(self) -> StorageDriver:
        """Returns the wrapped driver."""
        ...


def capability(driver: StorageDriver, kind: type[Kind]) -> Kind | None:
    """Returns the outermost driver that implements a capability, or None when none of them does.

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
    """A driver with hard links: one file with several names."""

    async def link(self, source: str, target: str) -> bool:
        """Makes `target` a hard link to `source`, atomically and durably; replaces `target`.

        Returns:
            False when this file system or its permissions do not allow it; then nothing was done.

        Raises:
            PathNotFound: there is no `source`.
        """
        ...

    async def repair(self, source: str, target: str) -> int | None:
        """Overwrites a file that has other hard links with the content of `source`, in place, and removes `source`.

        A move would replace one of its names only. A concurrent reader may get old and new bytes, so this is for a file
        that is either the same or damaged.

        Returns:
            how many bytes were written; None when there is no `target`, or it has no other hard link: then nothing was
            done, and a move replaces it.

        Raises:
            PathNotFound: there is no `source`.
            StorageReadOnly: the file is damaged, and may not be written.
        """
        ...


@runtime_checkable
class KnowsAbsence(Protocol):
    """A driver that may know without a look that there is nothing at some paths."""

    def are_absent(self, paths: tuple[str, ...]) -> bool:
        """Whether surely none of some paths exists; False says nothing. It never waits.

        Args:
            paths: what is asked for together, again and again, in the same order.
        """
        ...


@dataclass(frozen=True, slots=True)
class Room:
    """What is left on one volume where a driver writes: bytes and files (inodes), and how many there are in all.

    Attributes:
        total_files: 0 where the file system has no fixed number; then `free_files` says nothing.
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
class AppendsLines(Protocol):
    """A driver in which several processes may add to the end of one small file, without a lock."""

    async def append(self, path: str, line: bytes) -> int:
        """Adds to the end of a file that is there, by one write; it need not survive a power cut.

        Returns:
            the size of the file then, in bytes.

        Raises:
            PathNotFound: there is no such file.
        """
        ...


@runtime_checkable
class MeasuresRoom(Protocol):
    """A driver that knows how much room is left."""

    async def measure_room(self) -> Sequence[Room]:
        """Returns what is left on each volume that it writes to, at least one.

        Raises:
            StorageError: it cannot be measured.
        """
        ...


@runtime_checkable
class GivesUrls(Protocol):
    """A driver whose files can be had from elsewhere, each at an address of its own."""

    async def url_of(self, path: str) -> str | None:
        """Returns where GET and HEAD find a file, which need not exist; None when only this driver can read it.

        Raises:
            StorageError: an address cannot be made.
        """
        ...


@runtime_checkable
class ChecksItself(Protocol):
    """A driver that can check cheaply whether it still works, by trying."""

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
        """Removes temporary files that no process is writing or removing any more.

        Args:
            older_than: seconds since anything about them was last changed.
            dry_run: only find them.

        Returns:
            their names, and their sizes in bytes.
        """
        ...


@runtime_checkable
class ListsPages(Protocol):
    """A driver that lists a part of a folder without listing all of it."""

    async def list_page(self, path: str, *, start: str, limit: int) -> Sequence[str]:
        """Returns the first names in a folder from a text on, sorted bytewise, without temporary files.

        Args:
            path: the folder.
            start: names that come before this text are left out; `after_name(name)` leaves out that name too.
            limit: how many at most.

        Raises:
            PathNotFound: there is no such folder.
        """
        ...

    async def list_pages(self, pages: Sequence[tuple[str, str]], *, limit: int) -> Sequence[Sequence[str]]:
        """Returns a page of each of several folders, named with its start; an empty one where there is no folder."""
        ...


async def list_page(driver: StorageDriver, path: str, *, start: str, limit: int) -> Sequence[str]:
    """Returns a page of a folder's names: as `ListsPages` says, from any driver."""
    pages = capability(driver, ListsPages)
    if pages is not None:
        return await pages.list_page(path, start=start, limit=limit)
    names = await driver.list(path)
    first = bisect_left(names, start)
    return names[first : first + limit]


async def list_pages(driver: StorageDriver, pages: Sequence[tuple[str, str]], *, limit: int) -> Sequence[Sequence[str]]:
    """Returns a page of each of several folders: as `ListsPages` says, from any driver."""
    lister = capability(driver, ListsPages)
    if lister is not None:
        return await lister.list_pages(pages, limit=limit)
    found: list[Sequence[str]] = []
    for path, start in pages:
        try:
            found.append(await list_page(driver, path, start=start, limit=limit))
        except (PathNotFound, InvalidPath):
            found.append(())
    return found


def after_name(name: str) -> str:
    """Returns where a page starts that comes after a name; "" for the beginning."""
    return f"{name}\0" if name else ""


@runtime_checkable
class RemovesEmptyFolders(Protocol):
    """A driver that has folders with nothing in them."""

    async def remove_empty(self, path: str) -> bool:
        """Removes a folder durably if no file is in it or below it; whether nothing is there now.

        What others put there meanwhile stays, and so does the folder then.
        """
        ...


async def remove_empty(driver: StorageDriver, path: str) -> bool:
    """Removes a folder if no file is in it or below it; whether nothing is there now."""
    remover = capability(driver, RemovesEmptyFolders)
    if remover is not None:
        return await remover.remove_empty(path)
    try:
        await driver.stat(path)
    except PathNotFound:
        return True
    return False


@runtime_checkable
class ChangesSeveral(Protocol):
    """A driver that makes several small changes for the price of one wait."""

    async def write_several(self, files: Sequence[tuple[str, bytes]], *, durable: bool = True) -> None:
        """Writes files, each as `write` does, in this order: what the first failure leaves is the ones before it."""
        ...

    async def clear(self, folder: str, names: Sequence[str]) -> None:
        """Removes files of a folder, and then the folder if nothing else is in it.

        What is not there need not be removed; what is removed may be there again after a power cut.
        """
        ...


async def write_several(driver: StorageDriver, files: Sequence[tuple[str, bytes]], *, durable: bool = True) -> None:
    """Writes several files in this order: as `ChangesSeveral` says, with any driver."""
    several = capability(driver, ChangesSeveral)
    if several is not None:
        await several.write_several(files, durable=durable)
        return
    for path, content in files:
        await driver.write(path, content, durable=durable)


async def clear(driver: StorageDriver, folder: str, names: Sequence[str]) -> None:
    """Removes files of a folder, and the folder if it is empty then: as `ChangesSeveral` says, with any driver."""
    several = capability(driver, ChangesSeveral)
    if several is not None:
        await several.clear(folder, names)
        return
    for name in names:
        with suppress(PathNotFound):
            await driver.delete(f"{folder}/{name}", durable=False)
    await remove_empty(driver, folder)
