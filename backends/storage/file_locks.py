"""Locks among processes that share a folder: each is one byte of one empty file, `layout.LOCKS`.

A lock's name is hashed to an offset in that file, and the kernel locks the byte there (an open file description lock,
`F_OFD_SETLK`, for writing to hold it alone and for reading to share it; bytes beyond the end of a file can be locked
too). So there is nothing to create for a lock and nothing to delete after it, names may have any length, and the kernel
releases a lock when its process exits, so there are no stale locks. The file itself must not be deleted: a new file of
that name would be a second set of locks.

Where the file is missing and there is no room to create it (another program's volume, on a full disk), a process holds
all locks at once, by locking the root folder itself: deleting is what makes room, and must work. The file is created
while that lock is held, so the two kinds of locks are never held at the same time.

Tasks of one process queue in memory (`MemoryLocks`). The first of them, or those who share, compete with other
processes by polling, since a wait in the kernel cannot be cancelled.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import struct
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from enum import Enum
from hashlib import sha256
from pathlib import Path

from backends.storage import layout
from backends.storage.cached_reads import Opener
from backends.storage.completion import run_to_completion
from backends.storage.folders import make_folders
from backends.storage.locks import LockHeld, MemoryLocks
from backends.storage.mounts import tells_changes
from backends.storage.os_errors import NO_ROOM, map_os_errors
from backends.thread_pool import ThreadPool

FIRST_PAUSE = 0.005
LONGEST_PAUSE = 0.25
EXCLUDED_SECONDS = 2.0
"""Who asks once waits so long while the file is being created, which says nothing about the lock itself."""
THREADS = 2

_LOCKS = layout.LOCKS[1:].encode()
_FLAGS = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
_FLOCK = struct.Struct("@hhqqi4x")  # struct flock: type, whence, start, length, process (0 for these locks)


class _Outcome(Enum):
    """What became of one try: EXCLUDED says that another process is creating the file, or holds all locks."""

    LOCKED = "locked"
    HELD = "held"
    EXCLUDED = "excluded"


class FileLocks:
    """`Locks` among all processes that open the same folder.

    Args:
        root: the folder of the storage; it exists.
    """

    def __init__(self, root: Path) -> None:
        with map_os_errors(str(root)):
            self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._opener = Opener(self._root)
        # On these file systems a lock is something in this kernel's memory, so no thread need wait for it.
        self._is_quick = self._opener.cached and tells_changes(str(root))
        self._here = MemoryLocks()
        self._all = _AllLocks(self._root)
        self._executor = ThreadPool(THREADS, thread_name_prefix="locks")

    @asynccontextmanager
    async def hold(self, name: str, *, patience: float = 0.0, shared: bool = False) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        begun = loop.time()
        attempt = _Attempt(_offset(name), fcntl.F_RDLCK if shared else fcntl.F_WRLCK)
        # Names with the same offset are the same lock, here as in the kernel.
        async with self._here.hold(str(attempt.offset), patience=patience, shared=shared):
            pause = FIRST_PAUSE
            try:
                while True:
                    if self._is_quick and self._open_cached(attempt):
                        outcome = self._try_open(attempt)
                    else:
                        outcome = await run_to_completion(loop.run_in_executor(self._executor, self._try_lock, attempt))
                    if outcome is _Outcome.LOCKED:
                        break
                    least = EXCLUDED_SECONDS if outcome is _Outcome.EXCLUDED else 0.0
                    left = begun + max(patience, least) - loop.time()
                    if left <= 0:
                        raise LockHeld(name)
                    await asyncio.sleep(min(pause, left))
                    pause = min(2 * pause, LONGEST_PAUSE)
                yield
            finally:
                attempt.close()

    def _try_lock(self, attempt: _Attempt) -> _Outcome:
        with map_os_errors(layout.LOCKS):
            if attempt.fd >= 0 and os.fstat(attempt.fd).st_nlink == 0:  # the file was removed meanwhile
                attempt.close()
            if attempt.fd < 0:
                try:
                    attempt.fd = self._open()
                except FileNotFoundError:
                    if not self._all.make_or_hold(attempt, self._open, self._make):
                        return _Outcome.EXCLUDED
                    if attempt.all is not None:
                        return _Outcome.LOCKED
            return self._try_open(attempt)

    def _try_open(self, attempt: _Attempt) -> _Outcome:
        """Tries to get the lock by the attempt's descriptor, without waiting."""
        with map_os_errors(layout.LOCKS):
            try:
                fcntl.fcntl(attempt.fd, fcntl.F_OFD_SETLK, _FLOCK.pack(attempt.kind, os.SEEK_SET, attempt.offset, 1, 0))
            except OSError as error:
                if error.errno in {errno.EAGAIN, errno.EACCES}:
                    return _Outcome.HELD
                raise
            return _Outcome.LOCKED

    def _open_cached(self, attempt: _Attempt) -> bool:
        """Opens the file of locks for a first try, if the kernel has its path in memory; a thread does all else."""
        if attempt.fd < 0:
            attempt.fd = self._opener.open_to_write_cached(_LOCKS)
            return attempt.fd >= 0
        return False

    def _open(self) -> int:
        """Opens the file of locks.

        Each held lock has a descriptor of its own, so that none is open for writing while no lock is held: that would
        keep the volume from being remounted read-only.
        """
        return self._opener.open(_LOCKS, _FLAGS)

    def _make(self) -> int:
        """Creates the file of locks, when it is first needed."""
        above, _, name = layout.LOCKS.rpartition("/")
        folder = make_folders(self._root, above)
        try:
            return os.open(name, _FLAGS | os.O_CREAT, 0o644, dir_fd=folder)
        finally:
            os.close(folder)

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(None, self._executor.shutdown)
        os.close(self._root)


class _AllLocks:
    """All locks of a root, held by one process for any number of its tasks; `MemoryLocks` separates those.

    Args:
        root: an open descriptor of the folder.
    """

    def __init__(self, root: int) -> None:
        self._root = root
        self._changing = threading.Lock()
        self._fd = -1
        self._holders = 0

    def make_or_hold(self, attempt: _Attempt, find: Callable[[], int], make: Callable[[], int]) -> bool:
        """Opens the file of locks for an attempt, or creates it; where there is no room for it, holds all locks.

        Returns:
            False while another process holds them all, or is creating the file.
        """
        with self._changing:
            if self._holders == 0:
                exclusive = self._exclude()
                if exclusive is None:
                    return False
                try:
                    attempt.fd = _found_or_made(find, make)
                except OSError as error:
                    if error.errno not in NO_ROOM or exclusive < 0:
                        _close(exclusive)
                        raise
                    self._fd = exclusive
                else:
                    _close(exclusive)
                    return True
            self._holders += 1
            attempt.all = self
            return True

    def release(self) -> None:
        """Removes one holder."""
        with self._changing:
            self._holders -= 1
            if self._holders == 0:
                os.close(self._fd)
                self._fd = -1

    def _exclude(self) -> int | None:
        """Excludes other processes.

        Returns:
            a descriptor that excludes them as long as it is open; None when another process excludes this one; -1 where
            folders cannot be locked, as on NFS.
        """
        fd = os.open(".", os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC, dir_fd=self._root)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(fd)
            return None
        except OSError:
            os.close(fd)
            return -1
        return fd


def _found_or_made(find: Callable[[], int], make: Callable[[], int]) -> int:
    try:
        return find()
    except FileNotFoundError:
        return make()


def _close(fd: int) -> None:
    if fd >= 0:
        os.close(fd)


@dataclass(slots=True)
class _Attempt:
    """A lock that is held or being acquired, `F_RDLCK` or `F_WRLCK`; closing the descriptor releases it."""

    offset: int
    kind: int
    fd: int = -1
    all: _AllLocks | None = None

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1
        if self.all is not None:
            self.all.release()
            self.all = None


def _offset(name: str) -> int:
    return int.from_bytes(sha256(name.encode("utf-8", "surrogateescape")).digest()[:8]) >> 2
