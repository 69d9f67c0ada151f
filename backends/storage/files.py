"""Open files of the filesystem driver: reading and appending without making the event loop wait for the disk.

Invariant: the length and content of a growing file and what its `Tee` has received always agree, even after a failure
or a cancellation. But where a batch was written in part, and the disk refuses to cut it off again, the file has more:
that writer is to be closed, and whoever goes on hashes what the file has.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import suppress
from time import perf_counter
from typing import Final, NamedTuple, Protocol, TypeVar

from backends.storage.cached_reads import read_cached
from backends.storage.completion import run_to_completion
from backends.storage.disk_pace import DiskPace
from backends.storage.driver import Chunk, SlowTee, StorageBusy, StorageError, Tee
from backends.storage.os_errors import map_os_errors
from backends.storage.preallocation import Ahead, allocate, give_back

T = TypeVar("T")

IOV_MAX = 512
WRITTEN_HERE: Final = 256 * 1024
"""Bytes that the event loop writes and hashes at once: a fifth of a millisecond."""
WRITTEN_HERE_OF_FEW: Final = 1024 * 1024
"""The same while few transfers go on: calls and the file system's bookkeeping cost less of each byte then."""


class Disk(Protocol):
    """What an open file needs of its driver: its threads, and where it is.

    Attributes:
        folder: the driver's root, an absolute path.
        pace: whether it keeps up with what is written to it.
        preallocates: whether large files are written faster where room has been asked for.
    """

    folder: str
    pace: DiskPace
    preallocates: bool

    def read_size(self) -> int:
        """How many bytes a reader reads at once."""
        ...

    def write_batch_size(self) -> int:
        """How many bytes a writer collects before a thread takes them."""
        ...

    def are_transfers_few(self) -> bool:
        """Whether a thread may do for one of them what takes time, while the loop does something else."""
        ...

    def transfer_started(self) -> None:
        """Says that a reader or writer begins to transfer bytes."""
        ...

    def submit(self, function: Callable[..., T], *arguments: object) -> asyncio.Future[T]:
        """Starts work in one of the disk's threads.

        Raises:
            StorageBusy: there is none, and none can be started.
        """
        ...

    def transfer_finished(self) -> None:
        """Says that it has finished."""
        ...


class _Times(NamedTuple):
    """What a thread took to write, and to sync, in seconds."""

    write: float
    sync: float


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
    """A `Writer`.

    While the disk keeps up, the event loop writes: threads and a loop that decrypts take the interpreter's lock in
    turns, and wait for each other. Else, and for a slow `tee`, a thread writes a batch while the next is collected.

    `tee` gets a batch when it has been written. A slow one gets it in the thread, and so does any that a thread has
    written while few transfers go on: the other cores are free.
    """

    def __init__(self, fd: int, path: str, tee: Tee | None, disk: Disk) -> None:
        self._fd = fd
        self._path = path
        self._tee = tee
        self._is_slow = isinstance(tee, SlowTee)
        self._is_teed = False
        self._disk = disk
        self._written = os.fstat(fd).st_size
        os.lseek(fd, self._written, os.SEEK_SET)
        self._pending: list[Chunk] = []
        self._pending_bytes = 0
        self._running: asyncio.Future[_Times] | None = None
        self._batch: list[Chunk] = []
        self._ahead = Ahead(self._written) if disk.preallocates else None
        self._allocating: asyncio.Future[None] | None = None
        self._closed = False

    @property
    def size(self) -> int:
        return self._written + self._pending_bytes

    async def write(self, chunk: Chunk) -> None:
        if not self.take((chunk,)):
            await self.catch_up()

    def take(self, chunks: Sequence[Chunk]) -> bool:
        """Appends chunks, which must not be changed afterwards; see `pouring`."""
        self._pending += chunks
        for chunk in chunks:
            self._pending_bytes += len(chunk)
        if self._running is not None and self._running.done():
            self._settle(self._running)
        if self._may_write_here():
            enough = WRITTEN_HERE_OF_FEW if self._disk.are_transfers_few() else WRITTEN_HERE
            if self._pending_bytes >= enough or len(self._pending) >= IOV_MAX:
                self._write_here()
            return True
        if not self._is_batch():
            return True
        if self._running is not None:
            return False
        self._start(sync=False)
        return True

    async def catch_up(self) -> None:
        """Waits until the previous batch has been written, and has the next one be."""
        await self._await_batch()
        if self._is_batch():
            if self._may_write_here():
                self._write_here()
            else:
                self._start(sync=False)

    async def flush(self) -> None:
        await self._await_batch()
        if self._pending and self._may_write_here():
            self._write_here()
        elif self._pending:
            self._start(sync=False)
            await self._await_batch()

    async def sync(self) -> None:
        await self._await_batch()
        await self._await_room()
        seconds: float | None = None
        sync = self._disk.pace.sync_began()
        try:
            self._start(sync=True)
            times = await self._await_batch()
            seconds = times.sync if times is not None else None
        finally:
            self._disk.pace.sync_ended(sync, self._written, seconds)

    async def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        try:
            await self.flush()
        finally:
            try:
                await self._await_room()
            finally:
                os.close(self._fd)
                self._fd = -1
                self._disk.transfer_finished()

    def _may_write_here(self) -> bool:
        """Whether the event loop may write: not while a thread asks for room, since the file is locked meanwhile."""
        is_free = self._running is None and self._allocating is None
        return is_free and self._disk.pace.keeps_up and not self._is_slow

    def _write_here(self) -> None:
        batch, self._pending = self._pending, []
        size, self._pending_bytes = self._pending_bytes, 0
        began = perf_counter()
        try:
            self._write(batch, self._written)
        except StorageError:
            self._written = os.fstat(self._fd).st_size
            raise
        finally:
            self._disk.pace.wrote(size, perf_counter() - began)
        self._written += size
        self._ask_for_room(self._written)
        if self._tee is not None:
            self._tee(batch)

    def _ask_for_room(self, size: int) -> None:
        """Has a thread ask for room for what comes after so many bytes, when it is time."""
        if self._ahead is None or self._allocating is not None or (step := self._ahead.step(size)) is None:
            return
        with suppress(StorageBusy):  # what is written needs no such room
            self._allocating = self._disk.submit(allocate, self._fd, *step)
            self._allocating.add_done_callback(self._has_room)

    def _has_room(self, _: asyncio.Future[None]) -> None:
        self._allocating = None

    async def _await_room(self) -> None:
        """Waits for that thread: its descriptor must stay what it is."""
        if self._allocating is not None:
            await run_to_completion(self._allocating)

    def _is_batch(self) -> bool:
        return self._pending_bytes >= self._disk.write_batch_size() or len(self._pending) >= IOV_MAX

    def _start(self, *, sync: bool) -> None:
        batch, self._pending = self._pending, []
        size, self._pending_bytes = self._pending_bytes, 0
        if not sync:
            self._ask_for_room(self._written + size)
        # With an fsync in the thread too: if that fails, what was written stays.
        is_teed = self._tee is None or self._is_slow or sync or self._disk.are_transfers_few()
        self._running = self._disk.submit(self._work, batch, self._written, self._tee if is_teed else None, sync)
        self._batch, self._is_teed = batch, is_teed
        self._written += size

    async def _await_batch(self) -> _Times | None:
        """Waits for what a thread is doing; returns how long it took, None where none is doing anything."""
        running = self._running
        if running is None:
            return None
        try:
            return await run_to_completion(running)
        finally:
            if self._running is running:
                self._settle(running, raises=False)

    def _settle(self, running: asyncio.Future[_Times], *, raises: bool = True) -> None:
        """Gives a batch that has been written to `tee`.

        When it could not be written, what came after it has no place in the file.
        """
        self._running = None
        batch, self._batch = self._batch, []
        if running.cancelled() or running.exception() is not None:
            self._written = os.fstat(self._fd).st_size
            self._pending, self._pending_bytes = [], 0
            if raises:
                running.result()
            return
        self._disk.pace.wrote(sum(map(len, batch)), running.result().write)
        if self._tee is not None and not self._is_teed:
            self._tee(batch)

    def _work(self, batch: list[Chunk], before: int, tee: Tee | None, sync: bool) -> _Times:  # noqa: FBT001 - run_in_executor passes by position
        began = perf_counter()
        self._write(batch, before)
        written = perf_counter()
        if tee is not None:
            tee(batch)
        if not sync:
            return _Times(written - began, 0.0)
        syncing = perf_counter()
        with map_os_errors(self._path):
            if self._disk.preallocates:
                give_back(self._fd)
            os.fsync(self._fd)
        return _Times(written - began, perf_counter() - syncing)

    def _write(self, batch: list[Chunk], before: int) -> None:
        """Writes a batch where the file ends, or nothing of it."""
        with map_os_errors(self._path):
            try:
                write_all(self._fd, batch)
            except OSError:
                # A batch that was written in part is cut off again: `tee` has not received any of it.
                os.ftruncate(self._fd, before)
                os.lseek(self._fd, before, os.SEEK_SET)
                raise


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
