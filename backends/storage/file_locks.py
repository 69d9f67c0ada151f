"""Locks among processes that share a folder: one byte each of one empty file, `layout.LOCKS`.

A lock's name is hashed to an offset in that file, and the kernel locks the byte there (an open file description lock:
`F_OFD_SETLK`; bytes beyond the end of a file can be locked too). So there is nothing to make for a lock and nothing to
delete after it, names may have any length, and the kernel releases everything when a process ends, so there are no
stale locks. The file itself is never deleted: a second file of that name would be a second set of locks.

Within a process tasks queue in memory (`MemoryLocks`); the first of them competes with other processes by asking again
after short pauses, since a wait in the kernel could not be cancelled.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import struct
import threading
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path

from backends.storage import layout
from backends.storage.completion import run_to_completion
from backends.storage.files import map_os_errors
from backends.storage.folders import make_folders
from backends.storage.locks import LockHeld, MemoryLocks

FIRST_PAUSE = 0.005
LONGEST_PAUSE = 0.25
THREADS = 2

_FLOCK = struct.Struct("@hhqqi4x")  # struct flock: type, whence, start, length, process (0 for these locks)


class FileLocks:
    """`Locks` among all processes that open the same folder.

    Args:
        root: the folder of the storage; it exists.
    """

    def __init__(self, root: Path) -> None:
        with map_os_errors(str(root)):
            self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._here = MemoryLocks()
        self._file = -1
        self._opening = threading.Lock()
        self._executor = ThreadPoolExecutor(THREADS, thread_name_prefix="locks")

    @asynccontextmanager
    async def hold(self, name: str, *, patience: float = 0.0) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + patience
        offset = _offset(name)
        # Two names with one offset are one lock, so tasks queue by offset: the kernel sees one owner in a process.
        async with self._here.hold(str(offset), patience=patience):
            pause = FIRST_PAUSE
            try:
                while not await run_to_completion(loop.run_in_executor(self._executor, self._try_lock, offset)):
                    left = deadline - loop.time()
                    if left <= 0:
                        raise LockHeld(name)
                    await asyncio.sleep(min(pause, left))
                    pause = min(2 * pause, LONGEST_PAUSE)
                yield
            finally:
                # Also where it was not acquired: a cancelled task does not know whether its thread got it.
                await run_to_completion(loop.run_in_executor(self._executor, self._unlock, offset))

    def _try_lock(self, offset: int) -> bool:
        with map_os_errors(layout.LOCKS):
            file = self._open_file()
            try:
                fcntl.fcntl(file, fcntl.F_OFD_SETLK, _byte(fcntl.F_WRLCK, offset))
            except OSError as error:
                if error.errno in {errno.EAGAIN, errno.EACCES}:
                    return False
                raise
            return True

    def _unlock(self, offset: int) -> None:
        if self._file >= 0:
            with map_os_errors(layout.LOCKS):
                fcntl.fcntl(self._file, fcntl.F_OFD_SETLK, _byte(fcntl.F_UNLCK, offset))

    def _open_file(self) -> int:
        """Opens the file of locks when it is first needed, and when somebody has removed it."""
        with self._opening:
            if self._file >= 0 and os.fstat(self._file).st_nlink == 0:
                os.close(self._file)
                self._file = -1
            if self._file < 0:
                above, _, name = layout.LOCKS.rpartition("/")
                folder = make_folders(self._root, above)
                try:
                    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
                    self._file = os.open(name, flags, 0o644, dir_fd=folder)
                finally:
                    os.close(folder)
            return self._file

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(None, self._executor.shutdown)
        os.close(self._root)
        if self._file >= 0:
            os.close(self._file)
            self._file = -1


def _offset(name: str) -> int:
    return int.from_bytes(sha256(name.encode("utf-8", "surrogateescape")).digest()[:8]) >> 2


def _byte(kind: int, offset: int) -> bytes:
    return _FLOCK.pack(kind, os.SEEK_SET, offset, 1, 0)
