"""Files on a local disk, as distribution's and docker-registry's `filesystem` drivers lay them out.

`atomic_writes` makes things visible, `files` reads and grows what is open. Everything that may wait for the disk runs
in this driver's own threads, of which there is a bounded number; what the kernel has in memory is answered at once
(`cached_reads`).
"""

from __future__ import annotations

import asyncio
import errno
import os
import secrets
import stat as stat_module
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from backends.dependencies import NOTED, Dependencies, Question, refuse_keeping
from backends.storage import layout
from backends.storage.absences import Absences
from backends.storage.atomic_writes import AtomicWrites
from backends.storage.cached_reads import Opener, read_cached
from backends.storage.capabilities import Room
from backends.storage.disk_pace import DiskPace
from backends.storage.driver import FileInfo, InvalidPath, PathNotFound, StorageBusy, StorageReadOnly, Tee
from backends.storage.files import FileReader, FileWriter, write_all
from backends.storage.folder_checks import FolderChecks
from backends.storage.folders import make_root
from backends.storage.kept_files import KeptFiles
from backends.storage.listings import Listings
from backends.storage.mounts import file_system_type, tells_changes
from backends.storage.os_errors import map_os_errors, map_write_errors
from backends.storage.preallocation import FILE_SYSTEMS
from backends.storage.repairing import rewrite_differences
from backends.thread_pool import NoThread, ThreadPool

T = TypeVar("T")

SMALL_READ = 4096
SMALL_FILE = 8 * 1024 * 1024
THREADS = 16
BATCH_LARGE = 1024 * 1024
BATCH_SMALL = 128 * 1024
PIECE_LARGE = 512 * 1024
PIECE_SMALL = 64 * 1024
FEW = 2
MOVING_TOTAL = 4 * 1024 * 1024


class FilesystemDriver:
    """A `StorageDriver` over one folder, with every capability of `capabilities` but wrapping.

    Args:
        root: the folder; made if it is missing.

    Raises:
        StorageError: it cannot be made or entered.
    """

    def __init__(self, root: Path) -> None:
        with map_os_errors(str(root)):
            self._root = make_root(root)
        self.folder = str(root.absolute())
        self._opener = Opener(self._root)
        self._atomic = AtomicWrites(self._root, self._opener)
        self._checks = FolderChecks(root.absolute(), self._root, self._opener)
        self._executor = ThreadPool(THREADS, thread_name_prefix="disk")
        self._moving = 0
        self.pace = DiskPace()
        self.preallocates = file_system_type(str(root)) in FILE_SYSTEMS
        self._listings = Listings(self._opener)
        self._absences = Absences(self._opener, self.submit)
        self._opens_at_once = self._opener.cached and tells_changes(str(root))
        self._kept = KeptFiles(self._root) if self._opens_at_once else None
        self.boot_id = _boot_id()

    # reading

    async def read(self, path: str) -> bytes:
        kept = self._kept
        if kept is not None and (content := kept.content(path)) is not None:
            if (noted := NOTED.get()) is not None:
                noted.add_of_storage(kept.still_reads(path, content))
            return content
        if self._opener.cached:
            try:
                fd = self._opener.open_cached(path[1:].encode())
            except FileNotFoundError:
                refuse_keeping()
                raise PathNotFound(path) from None
            if fd >= 0:
                is_kept = False
                try:
                    buffer = bytearray(SMALL_READ)
                    count = read_cached(fd, buffer, 0)
                    if 0 <= count < SMALL_READ:
                        content = bytes(memoryview(buffer)[:count])
                        is_kept = kept is not None and kept.keep(path, fd, content)
                        if (noted := NOTED.get()) is not None:
                            _note(noted, kept.still_reads(path, content) if kept is not None and is_kept else None)
                        return content
                except IsADirectoryError:
                    refuse_keeping()
                    raise PathNotFound(path) from None
                finally:
                    if not is_kept:
                        os.close(fd)
        return await self.submit(self._read, path)

    def _read(self, path: str) -> bytes:
        with map_os_errors(path):
            fd = self._opener.open(path[1:].encode(), os.O_RDONLY | os.O_NONBLOCK)
            with open(fd, "rb", buffering=0) as file:
                info = os.fstat(fd)
                if not stat_module.S_ISREG(info.st_mode):
                    raise PathNotFound(path)
                if info.st_size > SMALL_FILE:  # of a strange volume: no small file is a tenth of it
                    raise PathNotFound(f"{path} has {info.st_size} bytes, too many to be read whole")
                return file.read()

    async def open(self, path: str) -> FileReader:
        fd = -1
        if self._opener.cached:
            try:
                fd = self._opener.open_cached(path[1:].encode())
            except FileNotFoundError:
                refuse_keeping()
                raise PathNotFound(path) from None
        if (noted := NOTED.get()) is not None:
            _note(noted, self._kept.still_is(path, fd) if self._kept is not None and fd >= 0 else None)
        if fd < 0:
            fd = await self._opened(self._open, path)
        info = os.fstat(fd)
        if not stat_module.S_ISREG(info.st_mode):
            os.close(fd)
            raise PathNotFound(path)
        return FileReader(fd, info.st_size, path, self)

    def _open(self, path: str) -> int:
        with map_os_errors(path):
            return self._opener.open(path[1:].encode(), os.O_RDONLY | os.O_NONBLOCK)

    async def stat(self, path: str) -> FileInfo:
        kept = self._kept
        if kept is not None and (info := kept.info(path)) is not None:
            if (noted := NOTED.get()) is not None:
                noted.add_of_storage(kept.still_has(path, info))
            return info
        if self._opener.cached:
            try:
                fd = self._opener.open_cached(path[1:].encode())
            except FileNotFoundError:
                refuse_keeping()
                raise PathNotFound(path) from None
            if fd >= 0:
                is_kept = False
                try:
                    info = _info(fd, path)
                    is_kept = kept is not None and kept.keep(path, fd)
                    if (noted := NOTED.get()) is not None:
                        _note(noted, kept.still_has(path, info) if kept is not None and is_kept else None)
                    return info
                finally:
                    if not is_kept:
                        os.close(fd)
        return await self.submit(self._stat, path)

    def _stat(self, path: str) -> FileInfo:
        with map_os_errors(path):
            fd = self._opener.open(path[1:].encode() or b".", os.O_PATH)
            try:
                return _info(fd, path)
            finally:
                os.close(fd)

    def are_absent(self, paths: tuple[str, ...]) -> bool:
        if not self._absences.are_absent(paths):
            return False
        if (noted := NOTED.get()) is not None:
            noted.add_of_storage(self._absences.still_absent(paths))
        return True

    async def list(self, path: str) -> Sequence[str]:
        return await self.submit(self._list, path)

    def _list(self, path: str) -> Sequence[str]:
        with map_os_errors(path):
            return self._listings.list(path)

    async def list_page(self, path: str, *, start: str, limit: int) -> Sequence[str]:
        return await self.submit(self._list_page, path, start, limit)

    def _list_page(self, path: str, start: str, limit: int) -> Sequence[str]:
        with map_os_errors(path):
            return self._listings.page(path, start, limit)

    async def list_pages(self, pages: Sequence[tuple[str, str]], *, limit: int) -> Sequence[Sequence[str]]:
        return await self.submit(self._list_pages, pages, limit)

    def _list_pages(self, pages: Sequence[tuple[str, str]], limit: int) -> Sequence[Sequence[str]]:
        found: list[Sequence[str]] = []
        for path, start in pages:
            try:
                found.append(self._list_page(path, start, limit))
            except (PathNotFound, InvalidPath):
                found.append(())
        return found

    # writing

    async def write(self, path: str, content: bytes, *, durable: bool = True) -> None:
        await self.submit(self._write, path, content, durable)

    def _write(self, path: str, content: bytes, durable: bool) -> None:  # noqa: FBT001 - run_in_executor passes by position
        mode = 0o640 if path in layout.SECRETS else 0o644

        def fill(folder: int, name: str) -> None:
            fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode, dir_fd=folder)
            try:
                write_all(fd, [content])
                if durable:
                    os.fsync(fd)
            finally:
                os.close(fd)

        with map_write_errors(path):
            self._atomic.put(path, fill, durable=durable)

    async def writer(
        self, path: str, *, append: bool = False, durable: bool = True, tee: Tee | None = None
    ) -> FileWriter:
        fd = self._opener.open_to_write_cached(path[1:].encode()) if append and self._opens_at_once else -1
        if fd >= 0:
            _require_one_name(fd, path)
        else:
            opening = (self._open_to_append, path) if append else (self._open_anew, path, durable)
            fd = await self._opened(*opening)
        self.transfer_started()
        return FileWriter(fd, path, tee, self)

    def _open_to_append(self, path: str) -> int:
        with map_os_errors(path):
            fd = self._opener.open(path[1:].encode(), os.O_RDWR)
        _require_one_name(fd, path)
        return fd

    def _open_anew(self, path: str, durable: bool) -> int:  # noqa: FBT001 - run_in_executor passes by position
        """Creates an empty file; a file that it replaces keeps its content under its other hard links."""
        made: list[int] = []

        def fill(folder: int, name: str) -> None:
            made.append(os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644, dir_fd=folder))

        with map_write_errors(path):
            try:
                self._atomic.put(path, fill, durable=durable)
                return made.pop()
            finally:
                for fd in made:  # of attempts that failed
                    os.close(fd)

    async def append(self, path: str, line: bytes) -> int:
        return await self.submit(self._append, path, line)

    def _append(self, path: str, line: bytes) -> int:
        with map_os_errors(path):
            fd = self._opener.open(path[1:].encode(), os.O_WRONLY | os.O_APPEND | os.O_NONBLOCK)
            try:
                if not stat_module.S_ISREG(os.fstat(fd).st_mode):
                    raise PathNotFound(path)
                os.write(fd, line)
                return os.fstat(fd).st_size
            finally:
                os.close(fd)

    async def move(self, source: str, target: str) -> None:
        await self.submit(self._move, source, target)

    def _move(self, source: str, target: str) -> None:
        with map_os_errors(source):
            self._atomic.move(source, target)

    async def link(self, source: str, target: str) -> bool:
        return await self.submit(self._link, source, target)

    def _link(self, source: str, target: str) -> bool:
        with map_os_errors(source):
            return self._atomic.link(source, target)

    async def repair(self, source: str, target: str) -> int | None:
        return await self.submit(self._repair, source, target)

    def _repair(self, source: str, target: str) -> int | None:
        with map_os_errors(target):
            fd = self._open_if_it_has_other_links(target)
            if fd < 0:
                return None
            try:
                with self._atomic.parent(source) as (folder, name):
                    content = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=folder)
                    try:
                        changed = rewrite_differences(content, fd)
                    except OSError as error:
                        if error.errno == errno.EBADF:  # it could be opened for reading only
                            raise StorageReadOnly(f"{target} is damaged, and may not be written") from None
                        raise
                    finally:
                        os.close(content)
                    os.unlink(name, dir_fd=folder)
            finally:
                os.close(fd)
            self._atomic.sync_found(target)
            return changed

    def _open_if_it_has_other_links(self, path: str) -> int:
        """Opens a file for reading, and for writing if that is allowed; -1 if it has no other hard link."""
        fd = -1
        for flags in (os.O_RDWR, os.O_RDONLY):
            try:
                fd = self._opener.open(path[1:].encode(), flags | os.O_NONBLOCK)
                break
            except (FileNotFoundError, IsADirectoryError):
                return -1
            except OSError as error:
                if error.errno in {errno.ELOOP, errno.EXDEV}:
                    return -1
                if error.errno not in {errno.EACCES, errno.EPERM, errno.EROFS} or flags == os.O_RDONLY:
                    raise
        info = os.fstat(fd)
        if stat_module.S_ISREG(info.st_mode) and info.st_nlink > 1:
            return fd
        os.close(fd)
        return -1

    async def ensure_durable(self, *paths: str) -> None:
        await self.submit(self._ensure_durable, paths)

    def _ensure_durable(self, paths: Sequence[str]) -> None:
        with map_os_errors(paths[0] if paths else "/"):
            self._atomic.sync_found(*paths)

    async def delete(self, path: str, *, durable: bool = True) -> None:
        await self.submit(self._delete, path, durable)

    def _delete(self, path: str, durable: bool) -> None:  # noqa: FBT001 - run_in_executor passes by position
        with map_os_errors(path):
            self._atomic.delete(path, durable=durable)

    async def remove_empty(self, path: str) -> bool:
        return await self.submit(self._remove_empty, path)

    def _remove_empty(self, path: str) -> bool:
        with map_os_errors(path):
            return self._atomic.remove_empty(path)

    async def write_several(self, files: Sequence[tuple[str, bytes]], *, durable: bool = True) -> None:
        await self.submit(self._write_several, files, durable)

    def _write_several(self, files: Sequence[tuple[str, bytes]], durable: bool) -> None:  # noqa: FBT001 - run_in_executor passes by position
        for path, content in files:
            self._write(path, content, durable)

    async def clear(self, folder: str, names: Sequence[str]) -> None:
        await self.submit(self._clear, folder, names)

    def _clear(self, folder: str, names: Sequence[str]) -> None:
        with map_os_errors(folder):
            self._atomic.clear(folder, names)

    # itself

    async def measure_room(self) -> Sequence[Room]:
        return await self.submit(self._checks.measure_room)

    async def sweep_temporary(self, *, older_than: float, dry_run: bool) -> Sequence[tuple[str, int]]:
        return await self.submit(self._sweep_temporary, older_than, dry_run)

    def _sweep_temporary(self, older_than: float, dry_run: bool) -> Sequence[tuple[str, int]]:  # noqa: FBT001 - run_in_executor passes by position
        with map_os_errors(layout.TEMPORARY):
            return self._atomic.sweep(older_than, dry_run)

    async def check_reading(self) -> None:
        await self.submit(self._checks.check_reading)

    async def check_writing(self) -> None:
        await self.submit(self._checks.check_writing, self._atomic.try_out)

    # threads

    def read_size(self) -> int:
        """How many bytes a reader reads at once: fewer the more transfers there are, so that memory is bounded."""
        return max(PIECE_SMALL, min(PIECE_LARGE, MOVING_TOTAL // max(1, self._moving)))

    def write_batch_size(self) -> int:
        """How many bytes a writer collects for a thread to write: fewer the more transfers there are."""
        return max(BATCH_SMALL, min(BATCH_LARGE, MOVING_TOTAL // max(1, self._moving)))

    def are_transfers_few(self) -> bool:
        """Whether so few transfer bytes that threads and the event loop are not in each other's way."""
        return self._moving <= FEW

    def transfer_started(self) -> None:
        """Says that a reader or writer begins to transfer bytes."""
        self._moving += 1

    def submit(self, function: Callable[..., T], *arguments: object) -> asyncio.Future[T]:
        """Starts work in one of the disk's threads.

        Raises:
            StorageBusy: there is none, and none can be started.
        """
        try:
            return asyncio.get_running_loop().run_in_executor(self._executor, function, *arguments)
        except NoThread as error:
            raise StorageBusy(f"no thread can be started for the registry's disk: {error}") from error

    async def _opened(self, function: Callable[..., int], *arguments: object) -> int:
        """Waits for a thread to open a descriptor; closes it if the wait is cancelled."""
        future = self.submit(function, *arguments)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            future.add_done_callback(_close_opened)
            raise

    def transfer_finished(self) -> None:
        """Says that it has finished."""
        self._moving -= 1

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(None, self._close)

    def _close(self) -> None:
        self._executor.shutdown()
        self._atomic.close()
        self._listings.close()
        self._absences.close()
        if self._kept is not None:
            self._kept.close()
        os.close(self._root)


def _close_opened(future: asyncio.Future[int]) -> None:
    if not future.cancelled() and future.exception() is None:
        os.close(future.result())


def _require_one_name(fd: int, path: str) -> None:
    """Requires that what was opened may grow; else it is closed.

    A file with two names has been committed as a blob, and a power cut brought back its old one: it must not grow.

    Raises:
        PathNotFound: it has two, or is not a file at all.
    """
    info = os.fstat(fd)
    if info.st_nlink > 1 or not stat_module.S_ISREG(info.st_mode):
        os.close(fd)
        raise PathNotFound(path)


def _note(noted: Dependencies, question: Question | None) -> None:
    """Notes what an answer depends on; where nobody can tell later whether it is still so, none is kept."""
    if question is None:
        noted.refuse()
    else:
        noted.add_of_storage(question)


def _info(fd: int, path: str) -> FileInfo:
    info = os.fstat(fd)
    if stat_module.S_ISLNK(info.st_mode):  # where `Opener` cannot follow links
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
    return FileInfo(info.st_size, info.st_mtime, stat_module.S_ISDIR(info.st_mode))


def _boot_id() -> str:
    """Identifies this boot of the machine: what was never synced may be trusted only until the next reboot."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return secrets.token_hex(16)
