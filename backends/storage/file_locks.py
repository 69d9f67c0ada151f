"""Locks among processes that share a folder: each is one byte of one empty file, `layout.LOCKS`.

A lock's name is hashed to an offset in that file, and the kernel locks the byte there (an open file description lock,
`F_OFD_SETLK`; bytes beyond the end of a file can be locked too). So there is nothing to create for a lock and nothing
to delete after it, names may have any length, and the kernel releases a lock when its process exits, so there are no
stale locks. The file itself must not be deleted: a new file of that name would be a second set of locks.

Tasks of one process queue in memory (`MemoryLocks`). The first of them competes with other processes by polling, since
a wait in the kernel cannot be cancelled.
"""

from __future__ import annotations

import asyncio
import errno
import fcntl
import os
import struct
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from backends.storage import layout
from backends.storage.cached_reads import Opener
from backends.storage.completion import run_to_completion
from backends.storage.folders import make_folders
from backends.storage.locks import LockHeld, MemoryLocks
from backends.storage.os_errors import map_os_errors

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
        self._opener = Opener(self._root)
        self._here = MemoryLocks()
        self._executor = ThreadPoolExecutor(THREADS, thread_name_prefix="locks")

    @asynccontextmanager
    async def hold(self, name: str, *, patience: float = 0.0) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + patience
        attempt = _Attempt(_offset(name))
        # Names with the same offset are the same lock, here as in the kernel.
        async with self._here.hold(str(attempt.offset), patience=patience):
            pause = FIRST_PAUSE
            try:
                while not await run_to_completion(loop.run_in_executor(self._executor, self._try_lock, attempt)):
                    left = deadline - loop.time()
                    if left <= 0:
                        raise LockHeld(name)
                    await asyncio.sleep(min(pause, left))
                    pause = min(2 * pause, LONGEST_PAUSE)
                yield
            finally:
                attempt.close()

    def _try_lock(self, attempt: _Attempt) -> bool:
        with map_os_errors(layout.LOCKS):
            if attempt.fd >= 0 and os.fstat(attempt.fd).st_nlink == 0:  # the file was removed meanwhile
                attempt.close()
            if attempt.fd < 0:
                attempt.fd = self._open()
            try:
                fcntl.fcntl(
                    attempt.fd, fcntl.F_OFD_SETLK, _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, attempt.offset, 1, 0)
                )
            except OSError as error:
                if error.errno in {errno.EAGAIN, errno.EACCES}:
                    return False
                raise
            return True

    def _open(self) -> int:
        """Opens the file of locks; creates it when it is first needed.

        Each held lock has a descriptor of its own, so that none is open for writing while no lock is held: that would
        keep the volume from being remounted read-only.
        """
        flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC
        try:
            return self._opener.open(layout.LOCKS[1:].encode(), flags)
        except FileNotFoundError:
            above, _, name = layout.LOCKS.rpartition("/")
            folder = make_folders(self._root, above)
            try:
                return os.open(name, flags | os.O_CREAT, 0o644, dir_fd=folder)
            finally:
                os.close(folder)

    async def close(self) -> None:
        await asyncio.get_running_loop().run_in_executor(None, self._executor.shutdown)
        os.close(self._root)


@dataclass(slots=True)
class _Attempt:
    """A lock that is held or being acquired; the kernel releases it when the descriptor is closed."""

    offset: int
    fd: int = -1

    def close(self) -> None:
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


def _offset(name: str) -> int:
    return int.from_bytes(sha256(name.encode("utf-8", "surrogateescape")).digest()[:8]) >> 2
