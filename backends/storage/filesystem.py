"""Files on a local disk, as distribution's and docker-registry's `filesystem` drivers lay them out.

`atomic_writes` makes things visible, `files` reads and grows what is open. Everything that may wait for the disk runs
in this driver's own threads, of which there is a bounded number; what the kernel has in memory is answered at once
(`cached_reads`).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import secrets
import stat as stat_module
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from backends.model.cache import Cache
from backends.storage import layout
from backends.storage.atomic_writes import AtomicWrites
from backends.storage.cached_reads import Opener, read_cached
from backends.storage.capabilities import Room
from backends.storage.driver import FileInfo, PathNotFound, StorageError, Tee
from backends.storage.files import FileReader, FileWriter, write_all
from backends.storage.folder_checks import FolderChecks
from backends.storage.os_errors import map_os_errors
from backends.storage.temporary_files import is_temporary

T = TypeVar("T")

SMALL_READ = 4096
SMALL_FILE = 8 * 1024 * 1024
THREADS = 16
BATCH_LARGE = 1024 * 1024
BATCH_SMALL = 128 * 1024
PIECE_LARGE = 512 * 1024
PIECE_SMALL = 64 * 1024
MOVING_TOTAL = 4 * 1024 * 1024
LISTINGS_KEPT = 64
RACY_MTIME_SECONDS = 2


class FilesystemDriver:
    """A `StorageDriver` (and `LinksFiles`, `MeasuresRoom`, `ChecksItself`, `SweepsTemporary`) over one folder.

    Args:
        root: the folder; made if it is missing.

    Raises:
        StorageReadOnly: it cannot be made or entered.
    """

    def __init__(self, root: Path) -> None:
        with map_os_errors(str(root)):
            root.mkdir(parents=True, exist_ok=True)
            self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._opener = Opener(self._root)
        self._atomic = AtomicWrites(self._root, self._opener)
        self._checks = FolderChecks(root.absolute(), self._root, self._opener)
        self._executor = ThreadPoolExecutor(THREADS, thread_name_prefix="disk")
        self._moving = 0
        self._listings: Cache[str, tuple[_Version, tuple[str, ...]]] = Cache(bound=LISTINGS_KEPT)
        self.boot_id = _boot_id()

    # reading

    async def read(self, path: str) -> bytes:
        if self._opener.cached:
            try:
                fd = self._opener.open_cached(path[1:].encode())
            except FileNotFoundError:
                raise PathNotFound(path) from None
            if fd >= 0:
                try:
                    buffer = bytearray(SMALL_READ)
                    count = read_cached(fd, buffer, 0)
                    if 0 <= count < SMALL_READ:
                        return bytes(memoryview(buffer)[:count])
                except IsADirectoryError:
                    raise PathNotFound(path) from None
                finally:
                    os.close(fd)
        return await self.submit(self._read, path)

    def _read(self, path: str) -> bytes:
        with map_os_errors(path):
            fd = self._opener.open(path[1:].encode(), os.O_RDONLY | os.O_NONBLOCK)
            with open(fd, "rb", buffering=0) as file:
                info = os.fstat(fd)
                if not stat_module.S_ISREG(info.st_mode):
                    raise PathNotFound(path)
                if info.st_size > SMALL_FILE:
                    raise StorageError(f"{path} is too large to be read whole")
                return file.read()

    async def open(self, path: str) -> FileReader:
        fd = -1
        if self._opener.cached:
            try:
                fd = self._opener.open_cached(path[1:].encode())
            except FileNotFoundError:
                raise PathNotFound(path) from None
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
        if self._opener.cached:
            try:
                fd = self._opener.open_cached(path[1:].encode())
            except FileNotFoundError:
                raise PathNotFound(path) from None
            if fd >= 0:
                return _info(fd, path)
        return await self.submit(self._stat, path)

    def _stat(self, path: str) -> FileInfo:
        with map_os_errors(path):
            return _info(self._opener.open(path[1:].encode() or b".", os.O_PATH), path)

    async def list(self, path: str) -> Sequence[str]:
        return await self.submit(self._list, path)

    def _list(self, path: str) -> tuple[str, ...]:
        """Keeps the sorted names of a folder for as long as it is the same: a page costs a page."""
        with map_os_errors(path):
            fd = self._opener.open(path[1:].encode() or b".", os.O_RDONLY | os.O_DIRECTORY)
            try:
                version, changed = _version(fd)
                with contextlib.suppress(KeyError):
                    known, names = self._listings[path]
                    if known == version:
                        return names
                names = tuple(sorted(name for name in os.listdir(fd) if not is_temporary(name)))
            finally:
                os.close(fd)
        if time.time_ns() - changed > RACY_MTIME_SECONDS * 1_000_000_000:  # later changes get another time
            self._listings.put(path, (version, names))
        return names

    # writing

    async def write(self, path: str, content: bytes, *, durable: bool = True) -> None:
        await self.submit(self._write, path, content, durable)

    def _write(self, path: str, content: bytes, durable: bool) -> None:  # noqa: FBT001 - run_in_executor passes by position
        def fill(folder: int, name: str) -> None:
            fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644, dir_fd=folder)
            try:
                write_all(fd, [content])
                if durable:
                    os.fsync(fd)
            finally:
                os.close(fd)

        with map_os_errors(path):
            self._atomic.put(path, fill, durable=durable)

    async def writer(self, path: str, *, append: bool = False, tee: Tee | None = None) -> FileWriter:
        fd = await self._opened(self._open_to_append if append else self._open_anew, path)
        self.transfer_started()
        return FileWriter(fd, path, tee, self)

    def _open_to_append(self, path: str) -> int:
        with map_os_errors(path):
            return self._opener.open(path[1:].encode(), os.O_RDWR)

    def _open_anew(self, path: str) -> int:
        """Puts an empty file at the path; a file that has the name now keeps its content under its other names."""
        made: list[int] = []

        def fill(folder: int, name: str) -> None:
            made.append(os.open(name, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644, dir_fd=folder))

        with map_os_errors(path):
            try:
                self._atomic.put(path, fill)
                return made.pop()
            finally:
                for fd in made:  # of attempts that failed
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

    async def delete(self, path: str) -> None:
        await self.submit(self._delete, path)

    def _delete(self, path: str) -> None:
        with map_os_errors(path):
            self._atomic.delete(path)

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
        """How many bytes a reader reads at once: the more that move, the fewer each, so that memory has a bound."""
        return max(PIECE_SMALL, min(PIECE_LARGE, MOVING_TOTAL // max(1, self._moving)))

    def write_batch_size(self) -> int:
        """How many bytes a writer collects before a thread takes them: the more that move, the fewer each."""
        return max(BATCH_SMALL, min(BATCH_LARGE, MOVING_TOTAL // max(1, self._moving)))

    def transfer_started(self) -> None:
        """Tells that a reader or writer begins to move bytes."""
        self._moving += 1

    def submit(self, function: Callable[..., T], *arguments: object) -> asyncio.Future[T]:
        """Starts work in one of the disk's threads."""
        return asyncio.get_running_loop().run_in_executor(self._executor, function, *arguments)

    async def _opened(self, function: Callable[..., int], *arguments: object) -> int:
        """Waits for a thread to open a descriptor; when the wait is cancelled, the thread's descriptor is closed."""
        future = self.submit(function, *arguments)
        try:
            return await asyncio.shield(future)
        except asyncio.CancelledError:
            future.add_done_callback(_close_opened)
            raise

    def transfer_finished(self) -> None:
        """Tells that it has finished."""
        self._moving -= 1

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(None, self._executor.shutdown)
        os.close(self._root)
        self._atomic.close()


_Version = tuple[int, int, int, int]


def _version(fd: int) -> tuple[_Version, int]:
    """What changes whenever a folder does, and when that was last, in nanoseconds since 1970.

    The time of modification can be set back (by a restored backup), the time of change cannot.
    """
    info = os.fstat(fd)
    return (info.st_dev, info.st_ino, info.st_mtime_ns, info.st_ctime_ns), max(info.st_mtime_ns, info.st_ctime_ns)


def _close_opened(future: asyncio.Future[int]) -> None:
    if not future.cancelled() and future.exception() is None:
        os.close(future.result())


def _info(fd: int, path: str) -> FileInfo:
    try:
        info = os.fstat(fd)
    finally:
        os.close(fd)
    if stat_module.S_ISLNK(info.st_mode):  # where `Opener` cannot follow links
        raise OSError(errno.ELOOP, os.strerror(errno.ELOOP), path)
    return FileInfo(info.st_size, info.st_mtime, stat_module.S_ISDIR(info.st_mode))


def _boot_id() -> str:
    """Names the time since the machine was started: what was never synced may be trusted only until the next reboot."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return secrets.token_hex(16)
