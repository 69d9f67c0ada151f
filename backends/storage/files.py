"""Open files of the filesystem driver: reading and appending without making the event loop wait for the disk.

Invariant: the length and content of a growing file and what its `Tee` has received always agree, even after a failure
or a cancellation.
"""

from __future__ import annotations

import asyncio
import os
import resource
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from typing import Protocol, TypeVar

from backends.storage.cached_reads import read_cached
from backends.storage.completion import run_to_completion
from backends.storage.driver import Chunk, SlowTee, StorageError, Tee
from backends.storage.os_errors import map_os_errors
from backends.storage.write_back import GrowingFile, WriteBack

T = TypeVar("T")

IOV_MAX = 512
QUICK_BATCH = 64 * 1024
"""Bytes that are written in the event loop together, at least; at most so many more as are received at once."""
STALL_SECONDS = 0.01
"""A write in the event loop that takes longer, asleep, has waited for the disk. Others wait for the interpreter."""


class Disk(Protocol):
    """What an open file needs of its driver: its threads, and where it is.

    Attributes:
        folder: the driver's root, an absolute path.
        write_back: what is on its way to the disk.
    """

    folder: str

    @property
    def write_back(self) -> WriteBack: ...

    def read_size(self) -> int:
        """How many bytes a reader reads at once."""
        ...

    def write_batch_size(self) -> int:
        """How many bytes a writer collects before a thread takes them."""
        ...

    def transfer_started(self) -> None:
        """Says that a reader or writer begins to transfer bytes."""
        ...

    def submit(self, function: Callable[..., T], *arguments: object) -> asyncio.Future[T]:
        """Starts work in one of the disk's threads."""
        ...

    def transfer_finished(self) -> None:
        """Says that it has finished."""
        ...


class FileReader:
    """A `Reader` of one descriptor.

    Args:
        fd: it.
        size: of the file in bytes.
        path: below the driver's root.
        disk: the driver's.

    Attributes:
        file: the file's absolute path.
    """

    def __init__(self, fd: int, size: int, path: str, disk: Disk) -> None:
        self._fd = fd
        self._size = size
        self._path = path
        self._disk = disk

    @property
    def size(self) -> int:
        return self._size

    @property
    def file(self) -> str:
        return f"{self._disk.folder}{self._path}"

    async def chunks(self, offset: int, length: int) -> AsyncGenerator[Chunk, None]:
        end = offset + length
        self._disk.transfer_started()
        try:
            while offset < end:
                wanted = min(self._disk.read_size(), end - offset)
                buffer = bytearray(wanted)
                count = read_cached(self._fd, buffer, offset)
                if count < 0:
                    with map_os_errors(self._path):
                        count = await run_to_completion(self._disk.submit(os.preadv, self._fd, [buffer], offset))
                if count == 0:
                    raise StorageError(f"{self._path} ends at {offset} bytes where {end} were expected")
                yield buffer if count == wanted else memoryview(buffer)[:count]
                offset += count
        finally:
            self._disk.transfer_finished()

    def close(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1


class FileWriter:
    """A `Writer`: it writes, and passes to `tee`, in the event loop as long as that is quick.

    Where the disk is slow, or `tee` is, a thread writes one batch of chunks while the next is collected.
    """

    def __init__(self, fd: int, path: str, tee: Tee | None, disk: Disk) -> None:
        self._fd = fd
        self._path = path
        self._tee = tee
        self._disk = disk
        self._written = os.fstat(fd).st_size
        os.lseek(fd, self._written, os.SEEK_SET)
        self._growing = GrowingFile(fd, self._written, disk.write_back)
        self._may_be_quick = not isinstance(tee, SlowTee)
        self._pending: list[Chunk] = []
        self._pending_bytes = 0
        self._running: asyncio.Future[None] | None = None
        self._closed = False

    @property
    def size(self) -> int:
        return self._written + self._pending_bytes

    async def write(self, chunk: Chunk) -> None:
        written = self._written
        if not self.take((chunk,)):
            await self.catch_up()
        elif self._written != written:
            await asyncio.sleep(0)  # whoever copies a file from the kernel's memory waits for nothing else

    def take(self, chunks: Sequence[Chunk]) -> bool:
        """Appends chunks, which must not be changed afterwards; see `pouring`."""
        self._pending += chunks
        for chunk in chunks:
            self._pending_bytes += len(chunk)
        if self._pending_bytes < QUICK_BATCH and len(self._pending) < IOV_MAX:
            return True
        if self._running is not None or not self._is_quick():
            return False
        self._write_here()
        return not self._growing.is_due(self._written)

    async def catch_up(self) -> None:
        """Has a thread write what has been collected, if that is enough; waits where the disk has too much to do."""
        written = self._written
        if self._pending_bytes >= self._disk.write_batch_size() or len(self._pending) >= IOV_MAX:
            await self._await_batch()
            written = self._written
            self._start(sync=False)
        elif self._running is not None and self._is_quick():
            await self._await_batch()
            written = self._written
        if self._growing.is_due(written):
            await self._growing.send(written)

    def _is_quick(self) -> bool:
        return self._may_be_quick and self._disk.write_back.is_quick()

    async def flush(self) -> None:
        await self._await_batch()
        if not self._pending:
            return
        if self._is_quick():
            self._write_here()
        else:
            self._start(sync=False)
            await self._await_batch()

    async def sync(self) -> None:
        await self._await_batch()
        self._start(sync=True)
        await self._await_batch()

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            await self.flush()
        finally:
            self._growing.close()
            os.close(self._fd)
            self._disk.transfer_finished()

    def _start(self, *, sync: bool) -> None:
        batch, before = self._take_pending()
        self._running = self._disk.submit(self._work, batch, before, sync)

    def _take_pending(self) -> tuple[list[Chunk], int]:
        """Returns what has been collected, and where in the file it belongs."""
        batch, self._pending = self._pending, []
        size, self._pending_bytes = self._pending_bytes, 0
        before, self._written = self._written, self._written + size
        return batch, before

    def _write_here(self) -> None:
        """Writes what has been collected in the event loop."""
        batch, before = self._take_pending()
        sleeps, begun = _sleeps(), time.perf_counter()
        try:
            self._write(batch, before)
        except BaseException:
            self._written = os.fstat(self._fd).st_size
            raise
        # Longer than that it takes when the process is not running; only when it slept the disk was slow.
        if time.perf_counter() - begun > STALL_SECONDS and _sleeps() != sleeps:
            self._disk.write_back.stalled()
        if self._tee is not None:
            self._tee(batch)

    async def _await_batch(self) -> None:
        running, self._running = self._running, None
        if running is None:
            return
        try:
            await run_to_completion(running)
        finally:
            # Cancelled or not: when a batch could not be written, what came after it has no place in the file.
            if not running.cancelled() and running.exception() is not None:
                self._written = os.fstat(self._fd).st_size
                self._pending, self._pending_bytes = [], 0

    def _work(self, batch: list[Chunk], before: int, sync: bool) -> None:  # noqa: FBT001 - run_in_executor passes by position
        self._write(batch, before)
        if self._tee is not None:
            self._tee(batch)
        if sync:
            with map_os_errors(self._path):
                os.fsync(self._fd)

    def _write(self, batch: list[Chunk], before: int) -> None:
        with map_os_errors(self._path):
            try:
                write_all(self._fd, batch)
            except OSError:
                # A batch that was written in part is cut off again: `tee` has not received any of it.
                os.ftruncate(self._fd, before)
                os.lseek(self._fd, before, os.SEEK_SET)
                raise


def _sleeps() -> int:
    """How often this thread has gone to sleep of itself: within write(2), when that waits for the disk."""
    return resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw


def write_all(fd: int, chunks: Sequence[Chunk]) -> None:
    """Writes chunks to a descriptor, also where the kernel takes only part of them at a time."""
    rest = [memoryview(chunk).cast("B") for chunk in chunks if len(chunk)]
    while rest:
        count = os.writev(fd, rest[:IOV_MAX])
        while rest and count >= len(rest[0]):
            count -= len(rest[0])
            del rest[0]
        if count:
            rest[0] = rest[0][count:]
