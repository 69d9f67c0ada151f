"""How something becomes visible below a root, and goes: whole or not at all, and to stay.

A temporary file, write, fsync, rename, fsync of the folder. Where folders are missing too, they are built around the
temporary file and renamed into place with it, so an observer sees neither an empty folder nor half a file. Deleting is
a rename first, then a removal. Temporary files live in one folder of our own (`layout.TEMPORARY`): what a killed
process leaves there is never taken for content by any program, and is swept.

Everything here may wait for the disk, so it is called in threads; it raises what the operating system says.
"""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from collections.abc import Callable, Iterator, Sequence

from backends.storage import layout
from backends.storage.cached_reads import Opener
from backends.storage.driver import StorageBusy
from backends.storage.folders import make_folders
from backends.storage.temporary_files import remove_tree, sweep, temporary_name

BUILD_ATTEMPTS = 10
COPY_SIZE = 1024 * 1024

Fill = Callable[[int, str], None]
"""Makes a file under a name in an open folder."""

_NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
_NO_SECOND_NAME = frozenset({errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS})


class AtomicWrites:
    """Puts files below one root.

    Args:
        root: an open descriptor of it; whoever opened it closes it.
        opener: opens what is below it.
    """

    def __init__(self, root: int, opener: Opener) -> None:
        self._root = root
        self._opener = opener
        self._temporary = -1
        self._making_temporary = threading.Lock()

    def put(self, path: str, fill: Fill, *, durable: bool = True) -> None:
        """Makes `path` appear, filled, together with whatever folders are missing above it; replaces what is there."""
        parts = path[1:].split("/")
        for _ in range(BUILD_ATTEMPTS):
            with self._deepest(parts[:-1]) as (folder, depth):
                if self._appear(folder, parts[depth:], fill, durable=durable):
                    return
        raise StorageBusy(f"{path} could not be made: the folders above it keep coming and going")

    def move(self, source: str, target: str) -> None:
        """Gives a file its final name, and no moment in which it has none."""
        with self.parent(source) as (origin, name):
            os.stat(name, dir_fd=origin, follow_symlinks=False)
            parts = target[1:].split("/")
            try:
                with self._deepest(parts[:-1]) as (folder, depth):
                    if depth == len(parts) - 1:
                        os.rename(name, parts[-1], src_dir_fd=origin, dst_dir_fd=folder)
                        os.fsync(folder)
                        return
                # Folders are missing: they appear with a second name of the file in them, so that a failure half-way
                # leaves the source where it was.
                self.put(target, lambda below, temporary: _link(origin, name, below, temporary))
            except OSError as error:
                # Another file system, or one where a file cannot have two names.
                if error.errno != errno.EXDEV and error.errno not in _NO_SECOND_NAME:
                    raise
                self.put(target, lambda below, temporary: _copy(origin, name, below, temporary))
            os.unlink(name, dir_fd=origin)

    def link(self, source: str, target: str) -> bool:
        """Gives a file a second name; False where that cannot be."""
        with self.parent(source) as (origin, name):
            os.stat(name, dir_fd=origin, follow_symlinks=False)
            try:
                self.put(target, lambda below, temporary: _link(origin, name, below, temporary))
            except OSError as error:
                if error.errno == errno.EXDEV or error.errno in _NO_SECOND_NAME:
                    return False
                raise
            return True

    def delete(self, path: str) -> None:
        """Removes a file or a whole folder: it goes at once, by a new name, and is then taken apart.

        Where even a name needs room and there is none, it is taken apart where it is: what is to make room must work.
        """
        with self.parent(path) as (folder, name):
            os.stat(name, dir_fd=folder, follow_symlinks=False)
            temporary = temporary_name()
            for open_holder in (self._scratch, lambda: folder):
                try:
                    holder = open_holder()
                    os.rename(name, temporary, src_dir_fd=folder, dst_dir_fd=holder)
                except OSError as error:
                    if error.errno == errno.EXDEV or error.errno in _NO_ROOM:
                        continue
                    raise
                os.fsync(folder)
                remove_tree(holder, temporary)
                return
            remove_tree(folder, name)
            os.fsync(folder)

    def sweep(self, older_than: float, dry_run: bool) -> Sequence[tuple[str, int]]:  # noqa: FBT001 - run_in_executor passes by position
        """Removes what killed processes left in the folder of temporary files: names, and sizes in bytes."""
        return sweep(self._scratch(), older_than=older_than, dry_run=dry_run)

    def try_out(self, content: bytes) -> None:
        """Writes a temporary file and removes it: whether anything can be written here."""
        folder, name = self._scratch(), temporary_name()
        fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644, dir_fd=folder)
        try:
            view = memoryview(content)
            while view:
                view = view[os.write(fd, view) :]
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
        """Lets go of the folder of temporary files."""
        if self._temporary >= 0:
            os.close(self._temporary)
            self._temporary = -1

    def _appear(self, folder: int, missing: Sequence[str], fill: Fill, *, durable: bool) -> bool:
        """Builds what is missing below `folder` aside and renames it into place.

        Returns:
            False when somebody else made one of the folders meanwhile.
        """
        temporary = temporary_name()
        # A volume may be mounted inside the root: then only a temporary name beside the final one can be renamed.
        for holder in (self._scratch(), folder):
            try:
                _fill_below(holder, [temporary, *missing[1:]], fill, durable=durable)
                os.rename(temporary, missing[0], src_dir_fd=holder, dst_dir_fd=folder)
                if durable:
                    os.fsync(folder)
            except OSError as error:
                remove_tree(holder, temporary)
                if error.errno == errno.EXDEV and holder != folder:
                    continue
                if error.errno in (errno.EEXIST, errno.ENOTEMPTY) and len(missing) > 1:
                    return False
                raise
            return True
        raise AssertionError("unreachable: the second holder is the folder itself")

    def _scratch(self) -> int:
        """Opens the folder of temporary files; made and swept when first needed, and when somebody removed it."""
        with self._making_temporary:
            if self._temporary >= 0 and os.fstat(self._temporary).st_nlink == 0:
                self.close()
            if self._temporary < 0:
                self._temporary = make_folders(self._root, layout.TEMPORARY)
                sweep(self._temporary)
            return self._temporary

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
    os.link(name, second, src_dir_fd=origin, dst_dir_fd=folder, follow_symlinks=False)


def _copy(origin: int, name: str, folder: int, second: str) -> None:
    source = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=origin)
    try:
        target = os.open(second, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644, dir_fd=folder)
        try:
            while chunk := os.read(source, COPY_SIZE):
                view = memoryview(chunk)
                while view:
                    view = view[os.write(target, view) :]
            os.fsync(target)
        finally:
            os.close(target)
    finally:
        os.close(source)
