"""Atomic, durable changes below a root: files appear complete or not at all, and survive a power cut.

A temporary file, write, fsync, rename, fsync of the folder. Missing folders are created around the temporary file and
renamed into place with it, so an observer sees neither an empty folder nor half a file. Deleting is a rename, then a
removal.

Invariants:
- folders that existed already are synced too before a change returns, if another process may have been killed before it
  synced them (`unsynced`);
- a change in a folder that is deleted concurrently takes effect before the deletion, or is repeated and takes effect
  after it.

Everything here may wait for the disk, so it is called in threads. It raises OSError.
"""

from __future__ import annotations

import contextlib
import errno
import os
import time
from collections.abc import Callable, Iterator, Sequence

from backends.storage.cached_reads import Opener
from backends.storage.driver import StorageBusy
from backends.storage.files import write_all
from backends.storage.os_errors import NO_ROOM
from backends.storage.temporary_files import TemporaryFolder, copy_file, remove_tree, sweep, temporary_name
from backends.storage.unsynced import UnsyncedNames

OWN_FOLDER_AND_FILE = 2
ATTEMPTS = 50
PAUSE_SECONDS = 0.002

Fill = Callable[[int, str], None]
"""Creates a file of the given name in an open folder."""

_NO_HARD_LINKS = frozenset({errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS})


class AtomicWrites:
    """Changes files below one root.

    Args:
        root: an open descriptor of the root, which the caller closes.
        opener: opens what is below it.
    """

    def __init__(self, root: int, opener: Opener) -> None:
        self._root = root
        self._opener = opener
        self._temporary = TemporaryFolder(root)
        self._unsynced = UnsyncedNames(root, self._sync_folder)

    def put(self, path: str, fill: Fill, *, durable: bool = True) -> None:
        """Creates or replaces a file, with the folders above it.

        Args:
            path: the file.
            fill: creates it; called again if a folder above it is deleted meanwhile.
            durable: whether the file, and its own folder if that is new, must survive a power cut. Folders further up
                always do, since other files will be in them.
        """
        parts = path[1:].split("/")
        for _ in self._attempts(path):
            with self._deepest(parts[:-1]) as (folder, depth):
                missing = parts[depth:]
                synced = durable or len(missing) > OWN_FOLDER_AND_FILE
                above = _join(parts[:depth])
                if self._appear(folder, above, missing, fill, durable=synced):
                    if synced:
                        self.sync_found(path, but=above)
                    return

    def move(self, source: str, target: str) -> None:
        """Renames a file.

        It gets the new name first, and loses the old one when the new one is safe: a rename into a folder that is being
        deleted would lose the file. Where hard links are not supported, the file is copied.
        """
        if not self.link(source, target):
            with self.parent(source) as (origin, name):
                self.put(target, lambda below, temporary: copy_file(origin, name, below, temporary))
        with self.parent(source) as (origin, name):
            os.unlink(name, dir_fd=origin)

    def link(self, source: str, target: str) -> bool:
        """Creates a hard link; False where that is not supported."""
        with self.parent(source) as (origin, name):
            info = os.stat(name, dir_fd=origin, follow_symlinks=False)
            if self._is_file(target, info):  # rename does nothing between two hard links of one file
                self.sync_found(target)
                return True
            try:
                self.put(target, lambda below, temporary: _link(origin, name, below, temporary))
            except OSError as error:
                if error.errno == errno.EXDEV or error.errno in _NO_HARD_LINKS:
                    return False
                raise
            return True

    def delete(self, path: str, *, durable: bool = True) -> None:
        """Removes a file or a whole folder, which is renamed first, so that it disappears at once.

        If there is no space even for a new name, it is removed in place: freeing space must work on a full disk.
        """
        try:
            with self.parent(path) as (folder, name):
                os.stat(name, dir_fd=folder, follow_symlinks=False)
                if not durable:
                    remove_tree(*self._take_away(folder, name))
                    return
                with self._unsynced.changing(path.rpartition("/")[0] or "/", frees_room=True) as change:
                    holder, temporary = self._take_away(folder, name)
                    change.changed = True
                    os.fsync(folder)
                remove_tree(holder, temporary)
                if holder == folder:
                    os.fsync(folder)
        except FileNotFoundError:
            self.sync_found(path)  # another process may have removed it and not synced yet
            raise

    def remove_empty(self, path: str) -> bool:
        """Removes a folder in which and below which there is no file; whether nothing is there now.

        Each folder goes by itself and only while it is empty, so nothing that is put there meanwhile is lost.
        """
        try:
            with self.parent(path) as (folder, name):
                if not _is_hollow(folder, name):
                    return False
                with self._unsynced.changing(path.rpartition("/")[0] or "/", frees_room=True) as change:
                    change.changed = True
                    is_gone = _remove_hollow(folder, name)
                    os.fsync(folder)
                return is_gone
        except FileNotFoundError:
            self.sync_found(path)
            return True

    def clear(self, path: str, names: Sequence[str]) -> None:
        """Removes files of a folder, and the folder if nothing else is in it; none of this survives a power cut."""
        with contextlib.suppress(FileNotFoundError), self.parent(path) as (above, own_name):
            folder = os.open(own_name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=above)
            try:
                for name in names:
                    with contextlib.suppress(FileNotFoundError):
                        os.unlink(name, dir_fd=folder)
            finally:
                os.close(folder)
            try:
                os.rmdir(own_name, dir_fd=above)
            except OSError as error:
                if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                    raise

    def sync_found(self, *paths: str, but: str = "") -> None:
        """Makes what exists at these paths, or does not exist there, survive a power cut.

        Args:
            paths: what the caller is going to rely on.
            but: a folder that the caller has just synced.
        """
        self._unsynced.sync_above(*paths, but=but)

    def sweep(self, older_than: float, dry_run: bool) -> Sequence[tuple[str, int]]:  # noqa: FBT001 - run_in_executor passes by position
        """Removes what killed processes left in the folder of temporary files: names, and sizes in bytes."""
        return sweep(self._temporary.open(), older_than=older_than, dry_run=dry_run)

    def try_out(self, content: bytes) -> None:
        """Writes a temporary file and removes it: whether anything can be written here."""
        folder, name = self._temporary.open(), temporary_name()
        fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644, dir_fd=folder)
        try:
            write_all(fd, [content])
        finally:
            os.close(fd)
            os.unlink(name, dir_fd=folder)

    @contextlib.contextmanager
    def parent(self, path: str) -> Iterator[tuple[int, str]]:
        """Opens the folder that holds `path`: (descriptor, name in it)."""
        above, _, name = path[1:].rpartition("/")
        fd = self._opener.open(above.encode() or b".", os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield fd, name
        finally:
            os.close(fd)

    def close(self) -> None:
        """Closes what it holds open."""
        self._temporary.close()
        self._unsynced.close()

    def _appear(self, folder: int, above: str, missing: Sequence[str], fill: Fill, *, durable: bool) -> bool:
        """Builds what is missing below `folder` elsewhere and renames it into place.

        Returns:
            False when another process has created one of the folders meanwhile, or removed this one.
        """
        temporary = temporary_name()
        # A volume may be mounted inside the root: then only a temporary name beside the final one can be renamed.
        for holder in (self._temporary.open(), folder):
            try:
                _fill_below(holder, [temporary, *missing[1:]], fill, durable=durable)
                if not durable:
                    os.rename(temporary, missing[0], src_dir_fd=holder, dst_dir_fd=folder)
                    return True
                with self._unsynced.changing(above) as change:
                    os.rename(temporary, missing[0], src_dir_fd=holder, dst_dir_fd=folder)
                    change.changed = True
                    os.fsync(folder)
            except _SourceGone:
                remove_tree(holder, temporary)
                raise
            except FileNotFoundError:
                remove_tree(holder, temporary)
                return False
            except OSError as error:
                remove_tree(holder, temporary)
                if error.errno == errno.EXDEV and holder != folder:
                    continue
                if error.errno in (errno.EEXIST, errno.ENOTEMPTY) and len(missing) > 1:
                    return False
                raise
            return True
        raise AssertionError("unreachable: the second holder is the folder itself")

    def _take_away(self, folder: int, name: str) -> tuple[int, str]:
        """Renames what is to be removed; returns the folder that it is in then, and its name."""
        temporary = temporary_name()
        for open_holder in (self._temporary.open, lambda: folder):
            try:
                holder = open_holder()
                os.rename(name, temporary, src_dir_fd=folder, dst_dir_fd=holder)
            except OSError as error:
                if error.errno == errno.EXDEV or error.errno in NO_ROOM:
                    continue
                raise
            return holder, temporary
        return folder, name

    def _attempts(self, path: str) -> Iterator[None]:
        for attempt in range(ATTEMPTS):
            yield
            time.sleep(PAUSE_SECONDS * attempt)
        raise StorageBusy(f"{path} could not be made: others keep creating and removing the folders above it")

    @contextlib.contextmanager
    def _deepest(self, folders: Sequence[str]) -> Iterator[tuple[int, int]]:
        """Opens the deepest of these nested folders that exists: (descriptor, how many of them exist)."""
        fd, depth = self._open_deepest(folders)
        try:
            yield fd, depth
        finally:
            os.close(fd)

    def _open_deepest(self, folders: Sequence[str]) -> tuple[int, int]:
        for depth in range(len(folders), 0, -1):
            try:
                return self._opener.open("/".join(folders[:depth]).encode(), os.O_RDONLY | os.O_DIRECTORY), depth
            except FileNotFoundError:
                continue
        return os.dup(self._root), 0

    def _is_file(self, path: str, info: os.stat_result) -> bool:
        try:
            with self.parent(path) as (folder, name):
                return os.path.samestat(os.stat(name, dir_fd=folder, follow_symlinks=False), info)
        except FileNotFoundError:
            return False

    def _sync_folder(self, path: str) -> None:
        try:
            fd = self._opener.open(path[1:].encode() or b".", os.O_RDONLY | os.O_DIRECTORY)
        except (FileNotFoundError, NotADirectoryError):
            return
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


class _SourceGone(FileNotFoundError):  # noqa: N818 - a finding
    """The file that was to be linked does not exist (any more)."""


def _join(parts: Sequence[str]) -> str:
    return "/" + "/".join(parts)


def _fill_below(folder: int, parts: Sequence[str], fill: Fill, *, durable: bool) -> None:
    if len(parts) == 1:
        fill(folder, parts[0])
        return
    os.mkdir(parts[0], 0o755, dir_fd=folder)
    below = os.open(parts[0], os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
    try:
        _fill_below(below, parts[1:], fill, durable=durable)
        if durable:
            os.fsync(below)
    finally:
        os.close(below)


def _link(origin: int, name: str, folder: int, second: str) -> None:
    try:
        os.link(name, second, src_dir_fd=origin, dst_dir_fd=folder, follow_symlinks=False)
    except FileNotFoundError:
        try:
            os.stat(name, dir_fd=origin, follow_symlinks=False)
        except FileNotFoundError as error:
            raise _SourceGone(error.errno, error.strerror, name) from None
        raise


def _is_hollow(folder: int, name: str) -> bool:
    """Whether this is a folder, and no file is in it or below it; stops at the first one."""
    try:
        fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
    except OSError as error:
        if error.errno in {errno.ENOTDIR, errno.ELOOP}:
            return False
        raise
    try:
        with os.scandir(fd) as entries:
            return all(entry.is_dir(follow_symlinks=False) and _is_hollow(fd, entry.name) for entry in entries)
    finally:
        os.close(fd)


def _remove_hollow(folder: int, name: str) -> bool:
    """Removes a folder and those in it, from below; whether it is gone: others may have put something into it."""
    try:
        fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
        try:
            for below in os.listdir(fd):
                if not _remove_hollow(fd, below):
                    return False
        finally:
            os.close(fd)
        os.rmdir(name, dir_fd=folder)
    except FileNotFoundError:
        return True
    except OSError as error:
        if error.errno in {errno.ENOTDIR, errno.ENOTEMPTY, errno.EEXIST, errno.ELOOP}:
            return False
        raise
    return True
