"""Sending what grows to the disk early, so that the kernel never makes a writer wait for it.

What is written to a file goes to the kernel's memory first. When too much there waits for the disk, the kernel has
whoever writes sleep within write(2), for up to 200 ms each time (balance_dirty_pages in mm/page-writeback.c). So what
writers append is sent to the disk in windows, by threads (sync_file_range), and a writer whose process has too much on
its way waits for them, which delays nobody but its client. The last fsync has little left to do then.

Where the kernel makes writers wait all the same, because others have filled its memory, or because the disk stalls,
`is_quick` tells it, and they write in threads.

Invariant: what a file's own fsync reports is not changed by this. An error of writing back is told once to each open
file description (errseq_t), so files are watched through one of their own, and its errors are left to fsync.
"""

from __future__ import annotations

import asyncio
import ctypes
import errno
import os
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final

MOST: Final = 64 * 1024 * 1024
"""Bytes of a process on their way to the disk; fewer where the kernel's own limit is low."""
LEAST: Final = 2 * 1024 * 1024
SHARE: Final = 16
"""A process has this part of what the kernel lets wait for the disk: there are other workers, and other programs."""
WINDOW_LARGE: Final = 8 * 1024 * 1024
WINDOW_SMALL: Final = 256 * 1024
THREADS: Final = 4
LOOK_SECONDS: Final = 0.1
PAUSE_SECONDS: Final = 2.0
LONGEST_PAUSE_SECONDS: Final = 60.0
PAGE: Final = os.sysconf("SC_PAGE_SIZE")
_WRITE_AND_WAIT: Final = 2 | 4  # SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER
_NOT_HERE: Final = frozenset({errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL, errno.ESPIPE, errno.EPERM})
_VMSTAT: Final = Path("/proc/vmstat")


@dataclass(frozen=True, slots=True)
class DirtyMemory:
    """The kernel's memory that waits for disks, in bytes.

    Attributes:
        waiting: how much waits.
        background: beyond this the kernel writes it by itself.
        limit: beyond this nobody may add to it.
    """

    waiting: int
    background: int
    limit: int

    @property
    def is_crowded(self) -> bool:
        """Whether writers are about to be made to wait: that begins in the middle between the two limits."""
        return 4 * self.waiting > self.background + self.limit

    @property
    def share(self) -> int:
        """How much a process may have on its way without coming near to that."""
        return max(LEAST, min(MOST, self.background // SHARE))


def parse_vmstat(text: str) -> DirtyMemory | None:
    """Reads /proc/vmstat; None where it says nothing of this."""
    pages = dict(line.split(" ", 1) for line in text.splitlines())
    try:
        waiting = int(pages["nr_dirty"]) + int(pages["nr_writeback"])
        limits = int(pages["nr_dirty_background_threshold"]), int(pages["nr_dirty_threshold"])
    except (KeyError, ValueError):
        return None
    return DirtyMemory(waiting * PAGE, limits[0] * PAGE, limits[1] * PAGE)


class WriteBack:
    """What a process has on its way to a disk.

    Args:
        look: reads the kernel's figures.
        clock: seconds, of any beginning.
    """

    def __init__(
        self,
        look: Callable[[], DirtyMemory | None] = lambda: parse_vmstat(_VMSTAT.read_text()),
        *,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._look = look
        self._clock = clock
        self._sync_file_range = _find_sync_file_range()
        self._threads: ThreadPoolExecutor | None = None
        self._most = MOST
        self._on_way = 0
        self._files = 0
        self._is_crowded = False
        self._looked = clock() - LOOK_SECONDS
        self._slow_until = 0.0
        self._pause = PAUSE_SECONDS
        self._waiters: list[asyncio.Future[None]] = []

    def is_quick(self) -> bool:
        """Whether the event loop may write by itself."""
        return not self._is_crowded and (not self._slow_until or self._clock() >= self._slow_until)

    def stalled(self) -> None:
        """Says that a write in the event loop had to wait: for a while there is none; for longer, if it comes again."""
        now = self._clock()
        if self._slow_until and now < self._slow_until + self._pause:
            self._pause = min(2 * self._pause, LONGEST_PAUSE_SECONDS)
        else:
            self._pause = PAUSE_SECONDS
        self._slow_until = now + self._pause

    @property
    def window(self) -> int:
        """How many bytes of a file are sent at once: fewer, the more files grow."""
        return max(WINDOW_SMALL, min(WINDOW_LARGE, self._most // (2 * max(1, self._files))))

    def look_now(self) -> None:
        """Looks at the kernel's figures, in a thread, unless somebody just has."""
        now = self._clock()
        if now - self._looked < LOOK_SECONDS:
            return
        self._looked = now
        try:
            found = self._look()
        except OSError:  # no /proc: what makes writers wait is noticed when it does
            return
        if found is not None:
            self._is_crowded, self._most = found.is_crowded, found.share

    def close(self) -> None:
        """Waits for what is on its way."""
        if self._threads is not None:
            self._threads.shutdown()

    # of a file

    def opened(self) -> None:
        """Says that a file begins to grow."""
        self._files += 1

    def closed(self) -> None:
        """Says that it has ended."""
        self._files -= 1

    def can_send(self) -> bool:
        """Whether anything can be sent here."""
        return self._sync_file_range is not None

    def send(self, fd: int, offset: int, size: int) -> asyncio.Future[None]:
        """Sends a part of a file, which stays open until then."""
        if self._threads is None:
            self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="write-back")
        self._on_way += size
        sending = asyncio.get_running_loop().run_in_executor(self._threads, self._send, fd, offset, size)
        sending.add_done_callback(partial(self._sent, size))
        return sending

    def _send(self, fd: int, offset: int, size: int) -> None:
        assert self._sync_file_range is not None
        if self._sync_file_range(fd, offset, size, _WRITE_AND_WAIT) and ctypes.get_errno() in _NOT_HERE:
            self._sync_file_range = None
        self.look_now()

    def _sent(self, size: int, _: asyncio.Future[None]) -> None:
        self._on_way -= size
        if self._on_way <= self._most:
            waiters, self._waiters = self._waiters, []
            for waiter in waiters:
                if not waiter.done():
                    waiter.set_result(None)

    async def wait(self) -> None:
        """Waits while too much is on its way."""
        while self._on_way > self._most:
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.append(waiter)
            await waiter


class GrowingFile:
    """How much of a file that grows has been sent to the disk.

    Args:
        fd: of the file, open for longer than this is.
        size: its bytes now.
        write_back: of its disk.
    """

    def __init__(self, fd: int, size: int, write_back: WriteBack) -> None:
        self._fd = fd
        self._sent = size
        self._write_back = write_back
        self._watched = -1
        self._sending = 0
        self._is_closed = False
        write_back.opened()

    def is_due(self, size: int) -> bool:
        """Whether it has grown by a window, to `size` bytes."""
        return size - self._sent >= self._write_back.window and self._write_back.can_send()

    async def send(self, size: int) -> None:
        """Sends what has been written; waits while the disk has too much to do."""
        if self._watched < 0:
            try:
                self._watched = os.open(f"/proc/self/fd/{self._fd}", os.O_RDONLY | os.O_CLOEXEC)
            except OSError:  # no /proc here
                self._sent = size
                return
        end = size // PAGE * PAGE  # the rest of the page is still to come
        self._sending += 1
        self._write_back.send(self._watched, self._sent, end - self._sent).add_done_callback(self._one_sent)
        self._sent = end
        await self._write_back.wait()

    def _one_sent(self, _: asyncio.Future[None]) -> None:
        self._sending -= 1
        self._end()

    def close(self) -> None:
        """Ends it; what is being sent is sent."""
        self._write_back.closed()
        self._is_closed = True
        self._end()

    def _end(self) -> None:
        if self._is_closed and not self._sending and self._watched >= 0:
            os.close(self._watched)
            self._watched = -1


def _find_sync_file_range() -> Callable[[int, int, int, int], int] | None:
    """Finds sync_file_range(2), which Linux alone has."""
    function = getattr(ctypes.CDLL(None, use_errno=True), "sync_file_range", None)
    if function is None:
        return None
    function.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
    function.restype = ctypes.c_int
    return function  # type: ignore[no-any-return] # ctypes cannot tell
