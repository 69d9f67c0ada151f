"""Files on a local disk, as distribution's and docker-registry's `filesystem` drivers lay them out.

How something becomes visible here: a temporary file, write, fsync, rename, fsync of the folder. Where folders are
missing too, they are built around the temporary file and renamed into place with it, so an observer sees neither an
empty folder nor half a file. Deleting is a rename first, then a removal. Temporary files live in one folder of our
own (`layout.TEMPORARY`): what a killed process leaves there is never taken for content by any program, and is swept.
Everything that may wait for the disk runs in this driver's own bounded threads; what the kernel has in memory is
answered at once (`nowait`).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import secrets
import shutil
import stat as stat_module
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TypeVar

from backends.model.digest import Hash
from backends.storage import layout
from backends.storage.driver import (
    Chunk,
    FileInfo,
    PathBusy,
    PathNotFound,
    StorageError,
    StorageFull,
    StorageReadOnly,
)
from backends.storage.nowait import Opener, read_cached
from backends.storage.settling import settled

T = TypeVar("T")

READ_SIZE = 512 * 1024
SMALL_READ = 4096
SMALL_FILE = 8 * 1024 * 1024
THREADS = 16
BATCH_LARGE = 1024 * 1024
BATCH_SMALL = 256 * 1024
BATCHES_TOTAL = 8 * 1024 * 1024
LISTINGS_KEPT = 64
SETTLED_SECONDS = 2
IOV_MAX = 512
BUILD_ATTEMPTS = 10
SWEEP_SECONDS = 3600


class FilesystemDriver:
    """A `StorageDriver` (and `LinksFiles`) over one folder.

    Args:
        root: the folder; made if it is missing.

    Raises:
        StorageReadOnly: it cannot be made or entered.
    """

    def __init__(self, root: Path) -> None:
        with _told(str(root)):
            root.mkdir(parents=True, exist_ok=True)
            self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._opener = Opener(self._root)
        self._executor = ThreadPoolExecutor(THREADS, thread_name_prefix="disk")
        self._temporary: int | None = None
        self._writers = 0
        self._listings: OrderedDict[str, tuple[int, tuple[str, ...]]] = OrderedDict()
        self.epoch = _boot_id()

    async def _in_thread(self, function: Callable[..., T], *arguments: object) -> T:
        return await self.submit(function, *arguments)

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
        return await self._in_thread(self._read, path)

    def _read(self, path: str) -> bytes:
        with _told(path):
            fd = self._opener.open(path[1:].encode(), os.O_RDONLY)
            with open(fd, "rb", buffering=0) as file:
                if os.fstat(fd).st_size > SMALL_FILE:
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
            fd = await self._in_thread(self._open, path)
        info = os.fstat(fd)
        if not stat_module.S_ISREG(info.st_mode):
            os.close(fd)
            raise PathNotFound(path)
        return FileReader(fd, info.st_size, path, self._executor)

    def _open(self, path: str) -> int:
        with _told(path):
            return self._opener.open(path[1:].encode(), os.O_RDONLY | os.O_NONBLOCK)

    async def stat(self, path: str) -> FileInfo:
        if self._opener.cached:
            try:
                fd = self._opener.open_cached(path[1:].encode())
            except FileNotFoundError:
                raise PathNotFound(path) from None
            if fd >= 0:
                return _info(fd)
        return await self._in_thread(self._stat, path)

    def _stat(self, path: str) -> FileInfo:
        with _told(path):
            return _info(self._opener.open(path[1:].encode() or b".", os.O_PATH))

    async def list(self, path: str) -> Sequence[str]:
        return await self._in_thread(self._list, path)

    def _list(self, path: str) -> tuple[str, ...]:
        """Keeps the sorted names of large folders against the folder's time of change: a page costs a page."""
        with _told(path):
            fd = self._opener.open(path[1:].encode() or b".", os.O_RDONLY | os.O_DIRECTORY)
            try:
                changed = os.fstat(fd).st_mtime_ns
                kept = self._listings.get(path)
                if kept is not None and kept[0] == changed:
                    return kept[1]
                names = tuple(sorted(name for name in os.listdir(fd) if not _is_temporary(name)))
            finally:
                os.close(fd)
        if time.time_ns() - changed > SETTLED_SECONDS * 1_000_000_000:  # later changes get another time
            self._listings[path] = (changed, names)
            while len(self._listings) > LISTINGS_KEPT:
                self._listings.popitem(last=False)
        return names

    # writing

    async def write(self, path: str, content: bytes, *, durable: bool = True) -> None:
        await self._in_thread(self._write, path, content, durable)

    def _write(self, path: str, content: bytes, durable: bool) -> None:  # noqa: FBT001 - run_in_executor passes by position
        def fill(folder: int, name: str) -> None:
            fd = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644, dir_fd=folder)
            try:
                _write_all(fd, [content])
                if durable:
                    os.fsync(fd)
            finally:
                os.close(fd)

        with _told(path):
            self._put(path, fill, durable=durable)

    async def writer(self, path: str, *, append: bool = False, hashes: Sequence[Hash] = ()) -> FileWriter:
        fd = await self._in_thread(self._open_for_writing, path, append)
        self._writers += 1
        return FileWriter(fd, path, hashes, self)

    def _open_for_writing(self, path: str, append: bool) -> int:  # noqa: FBT001 - run_in_executor passes by position
        with _told(path):
            if not append:
                self._make_new(path)
            fd = self._opener.open(path[1:].encode(), os.O_RDWR)
            try:
                _lock(fd, path)
                # Whoever had the lock before may have moved the file away: what is at the path now is what counts.
                with contextlib.closing(_Fd(self._opener.open(path[1:].encode(), os.O_PATH))) as there:
                    if not os.path.samestat(os.fstat(there.fd), os.fstat(fd)):
                        raise PathNotFound(path)
            except BaseException:
                os.close(fd)
                raise
            return fd

    def _make_new(self, path: str) -> None:
        """Makes an empty file; one that is there already gives way unless somebody is writing it."""
        for _ in range(BUILD_ATTEMPTS):
            try:
                self._put(path, _make_empty, durable=True, replace=False)
            except FileExistsError:
                with contextlib.suppress(FileNotFoundError):  # gone meanwhile
                    self._give_way(path)
            else:
                return
        raise PathBusy(path)

    def _give_way(self, path: str) -> None:
        """Removes a file that nobody is writing."""
        with contextlib.closing(_Fd(self._opener.open(path[1:].encode(), os.O_RDWR))) as old:
            _lock(old.fd, path)
            with self._parent(path) as (folder, name):
                if os.path.samestat(os.stat(name, dir_fd=folder, follow_symlinks=False), os.fstat(old.fd)):
                    os.unlink(name, dir_fd=folder)

    def _put(self, path: str, fill: Callable[[int, str], None], *, durable: bool, replace: bool = True) -> None:
        """Makes `path` appear, filled, together with whatever folders are missing above it.

        Raises:
            FileExistsError: not `replace`, and something has this path.
        """
        parts = path[1:].split("/")
        for _ in range(BUILD_ATTEMPTS):
            folder, depth = self._deepest(parts[:-1])
            try:
                if not replace and depth == len(parts) - 1:
                    fill(folder, parts[-1])  # creates exclusively: of two, one gets FileExistsError
                    os.fsync(folder)
                    return
                if self._appear(folder, parts[depth:], fill, durable=durable):
                    return
            finally:
                os.close(folder)
        raise StorageError(f"{path} could not be made: the folders above it keep coming and going")

    def _appear(self, folder: int, missing: Sequence[str], fill: Callable[[int, str], None], *, durable: bool) -> bool:
        """Builds what is missing below `folder` aside and renames it into place.

        Returns:
            False when somebody else made one of the folders meanwhile.
        """
        temporary = f".{secrets.token_hex(12)}.tmp"
        # A volume may be mounted inside the root: then only a temporary name beside the final one can be renamed.
        for holder in (self._scratch(), folder):
            try:
                self._fill_below(holder, [temporary, *missing[1:]], fill, durable=durable)
                os.rename(temporary, missing[0], src_dir_fd=holder, dst_dir_fd=folder)
                if durable:
                    os.fsync(folder)
            except OSError as error:
                _remove_tree(holder, temporary)
                if error.errno == errno.EXDEV and holder != folder:
                    continue
                if error.errno in (errno.EEXIST, errno.ENOTEMPTY) and len(missing) > 1:
                    return False
                raise
            return True
        raise AssertionError("unreachable: the second holder is the folder itself")

    def _scratch(self) -> int:
        """Opens the folder of temporary files, made and swept when first needed."""
        if self._temporary is None:
            path = layout.TEMPORARY[1:]
            os.makedirs(f"/proc/self/fd/{self._root}/{path}", mode=0o755, exist_ok=True)
            self._temporary = self._opener.open(path.encode(), os.O_RDONLY | os.O_DIRECTORY)
            _sweep(self._temporary)
        return self._temporary

    def _fill_below(
        self, folder: int, parts: Sequence[str], fill: Callable[[int, str], None], *, durable: bool
    ) -> None:
        if len(parts) == 1:
            fill(folder, parts[0])
            return
        os.mkdir(parts[0], 0o755, dir_fd=folder)
        below = os.open(parts[0], os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=folder)
        try:
            self._fill_below(below, parts[1:], fill, durable=durable)
            if durable:
                os.fsync(below)
        finally:
            os.close(below)

    def _deepest(self, folders: Sequence[str]) -> tuple[int, int]:
        """Opens the deepest of these nested folders that exists: (descriptor, how many of them exist)."""
        for depth in range(len(folders), 0, -1):
            try:
                return self._opener.open("/".join(folders[:depth]).encode(), os.O_RDONLY | os.O_DIRECTORY), depth
            except FileNotFoundError:
                continue
        return os.dup(self._root), 0

    async def move(self, source: str, target: str) -> None:
        await self._in_thread(self._move, source, target)

    def _move(self, source: str, target: str) -> None:
        with _told(source), self._parent(source) as (origin, name):
            os.stat(name, dir_fd=origin, follow_symlinks=False)
            parts = target[1:].split("/")
            folder, depth = self._deepest(parts[:-1])
            try:
                if depth == len(parts) - 1:
                    os.rename(name, parts[-1], src_dir_fd=origin, dst_dir_fd=folder)
                    os.fsync(folder)
                    return
            finally:
                os.close(folder)
            # Folders are missing: they appear with a second name of the file in them, so that a failure half-way
            # leaves the source where it was.
            self._put(target, lambda below, temporary: _link(origin, name, below, temporary), durable=True)
            os.unlink(name, dir_fd=origin)

    async def link(self, source: str, target: str) -> bool:
        return await self._in_thread(self._link, source, target)

    def _link(self, source: str, target: str) -> bool:
        with _told(source), self._parent(source) as (origin, name):
            os.stat(name, dir_fd=origin, follow_symlinks=False)
            try:
                self._put(target, lambda below, temporary: _link(origin, name, below, temporary), durable=True)
            except OSError as error:
                if error.errno in (errno.EXDEV, errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP):
                    return False
                raise
            return True

    async def delete(self, path: str) -> None:
        await self._in_thread(self._delete, path)

    def _delete(self, path: str) -> None:
        with _told(path), self._parent(path) as (folder, name):
            os.stat(name, dir_fd=folder, follow_symlinks=False)
            temporary = f".{secrets.token_hex(12)}.tmp"
            for holder in (self._scratch(), folder):
                try:
                    os.rename(name, temporary, src_dir_fd=folder, dst_dir_fd=holder)
                except OSError as error:
                    if error.errno == errno.EXDEV and holder != folder:
                        continue
                    raise
                os.fsync(folder)
                _remove_tree(holder, temporary)
                return

    @contextlib.contextmanager
    def _parent(self, path: str) -> Iterator[tuple[int, str]]:
        above, _, name = path[1:].rpartition("/")
        fd = self._opener.open(above.encode() or b".", os.O_RDONLY | os.O_DIRECTORY)
        try:
            yield fd, name
        finally:
            os.close(fd)

    def batch(self) -> int:
        """How many bytes a writer collects before a thread takes them: the more writers, the fewer each."""
        return max(BATCH_SMALL, min(BATCH_LARGE, BATCHES_TOTAL // max(1, self._writers)))

    def submit(self, function: Callable[..., T], *arguments: object) -> asyncio.Future[T]:
        """Starts work in one of the disk's threads."""
        return asyncio.get_running_loop().run_in_executor(self._executor, function, *arguments)

    def released(self) -> None:
        """Tells that a writer has finished."""
        self._writers -= 1

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(None, self._executor.shutdown)
        os.close(self._root)
        if self._temporary is not None:
            os.close(self._temporary)


class FileReader:
    """A `Reader` of one descriptor."""

    def __init__(self, fd: int, size: int, path: str, executor: ThreadPoolExecutor) -> None:
        self._fd = fd
        self._size = size
        self._path = path
        self._executor = executor

    @property
    def size(self) -> int:
        return self._size

    async def chunks(self, offset: int, length: int) -> AsyncIterator[Chunk]:
        end = offset + length
        loop = asyncio.get_running_loop()
        while offset < end:
            wanted = min(READ_SIZE, end - offset)
            buffer = bytearray(wanted)
            count = read_cached(self._fd, buffer, offset)
            if count < 0:
                with _told(self._path):
                    count = await settled(loop.run_in_executor(self._executor, os.preadv, self._fd, [buffer], offset))
            if count == 0:
                raise StorageError(f"{self._path} ends at {offset} bytes where {end} were expected")
            yield buffer if count == wanted else memoryview(buffer)[:count]
            offset += count

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class FileWriter:
    """A `Writer`: collects chunks, and a thread writes and hashes one batch while the next is being collected."""

    def __init__(self, fd: int, path: str, hashes: Sequence[Hash], driver: FilesystemDriver) -> None:
        self._fd = fd
        self._path = path
        self._hashes = hashes
        self._driver = driver
        self._written = os.fstat(fd).st_size
        os.lseek(fd, self._written, os.SEEK_SET)
        self._pending: list[Chunk] = []
        self._pending_bytes = 0
        self._running: asyncio.Future[None] | None = None
        self._closed = False

    @property
    def size(self) -> int:
        return self._written + self._pending_bytes

    async def write(self, chunk: Chunk) -> None:
        self._pending.append(chunk)
        self._pending_bytes += len(chunk)
        if self._pending_bytes >= self._driver.batch() or len(self._pending) >= IOV_MAX:
            await self._settle()
            self._start(sync=False)

    async def flush(self) -> None:
        await self._settle()
        if self._pending:
            self._start(sync=False)
            await self._settle()

    async def sync(self) -> None:
        await self._settle()
        self._start(sync=True)
        await self._settle()

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            await self.flush()
        finally:
            os.close(self._fd)
            self._driver.released()

    def _start(self, *, sync: bool) -> None:
        batch, self._pending = self._pending, []
        size, self._pending_bytes = self._pending_bytes, 0
        before, self._written = self._written, self._written + size
        self._running = self._driver.submit(self._work, batch, before, sync)

    async def _settle(self) -> None:
        running, self._running = self._running, None
        if running is None:
            return
        try:
            await settled(running)
        except StorageError:
            self._written = os.fstat(self._fd).st_size
            self._pending, self._pending_bytes = [], 0
            raise

    def _work(self, batch: list[Chunk], before: int, sync: bool) -> None:  # noqa: FBT001 - run_in_executor passes by position
        with _told(self._path):
            try:
                _write_all(self._fd, batch)
            except OSError:
                # What was not written whole is taken back, so that length and running hash stay of one mind.
                os.ftruncate(self._fd, before)
                os.lseek(self._fd, before, os.SEEK_SET)
                raise
            for chunk in batch:
                for running in self._hashes:
                    running.update(chunk)
            if sync:
                os.fsync(self._fd)


class _Fd:
    def __init__(self, fd: int) -> None:
        self.fd = fd

    def close(self) -> None:
        os.close(self.fd)


def _make_empty(folder: int, name: str) -> None:
    os.close(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644, dir_fd=folder))


def _link(origin: int, name: str, folder: int, second: str) -> None:
    os.link(name, second, src_dir_fd=origin, dst_dir_fd=folder, follow_symlinks=False)


def _lock(fd: int, path: str) -> None:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise PathBusy(path) from None


def _write_all(fd: int, chunks: Sequence[Chunk]) -> None:
    rest = [memoryview(chunk).cast("B") for chunk in chunks if len(chunk)]
    while rest:
        count = os.writev(fd, rest[:IOV_MAX])
        while rest and count >= len(rest[0]):
            count -= len(rest[0])
            del rest[0]
        if count:
            rest[0] = rest[0][count:]


def _remove_tree(folder: int, name: str) -> None:
    """Removes a temporary file or folder; one that is not there (any more) is fine."""
    try:
        os.unlink(name, dir_fd=folder)
    except FileNotFoundError:
        return
    except (IsADirectoryError, PermissionError):
        shutil.rmtree(name, dir_fd=folder)


def _sweep(folder: int) -> None:
    """Removes what killed processes left behind; nothing that is under way is as old."""
    for name in os.listdir(folder):
        try:
            old = time.time() - os.stat(name, dir_fd=folder, follow_symlinks=False).st_mtime > SWEEP_SECONDS
        except FileNotFoundError:
            continue
        if old:
            _remove_tree(folder, name)


def _is_temporary(name: str) -> bool:
    return name.startswith(".") and name.endswith(".tmp")


def _info(fd: int) -> FileInfo:
    try:
        info = os.fstat(fd)
    finally:
        os.close(fd)
    return FileInfo(info.st_size, info.st_mtime, stat_module.S_ISDIR(info.st_mode))


def _boot_id() -> str:
    """Names the time since the machine was started: what was never synced is to be believed only within it."""
    try:
        return Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    except OSError:
        return secrets.token_hex(16)


@contextlib.contextmanager
def _told(path: str) -> Iterator[None]:
    """Turns what the operating system says into the driver's own words."""
    try:
        yield
    except OSError as error:
        match error.errno:
            case errno.ENOENT | errno.ENOTDIR | errno.EISDIR | errno.ENAMETOOLONG | errno.EXDEV | errno.ELOOP:
                raise PathNotFound(path) from error
            case errno.ENOSPC | errno.EDQUOT | errno.EFBIG:
                raise StorageFull(f"no room to write {path}: {error.strerror}") from error
            case errno.EROFS | errno.EACCES | errno.EPERM:
                raise StorageReadOnly(f"{path} cannot be written or read: {error.strerror}") from error
            case _:
                raise StorageError(f"{path}: {error.strerror}") from error
