"""A growing file against a model of it: threads end early and late, the disk fails, whoever writes is cancelled."""

from __future__ import annotations

import asyncio
import errno
import os
import tempfile
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar
from unittest import mock

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from typing_extensions import override

from backends.storage import files, preallocation
from backends.storage.disk_pace import DiskPace
from backends.storage.driver import Chunk, SlowTee, StorageBusy, StorageError, StorageFull
from backends.storage.files import FileWriter
from tests.support.steady_pace import SteadyPace

T = TypeVar("T")
UNIT = 100
"""Instead of a megabyte: all that is counted in bytes is made smaller alike."""
LARGEST_CHUNK = UNIT // 2
MOST_CHUNKS = 6
SIZES = st.sampled_from([0, UNIT // 4, LARGEST_CHUNK, LARGEST_CHUNK])
FAULTS = [errno.ENOSPC, errno.EIO, errno.EFBIG]
TURNS = st.lists(st.integers(0, 1), max_size=4)
"""Which of the two threads that go on at most ends next."""
CANCELLED = st.none() | st.integers(0, 3)
"""After how many of them whoever waits is cancelled."""


@dataclass(slots=True)
class Job:
    """What a thread is to do."""

    future: asyncio.Future[object]
    work: Callable[[], object]
    asks: bool


class Threads:
    """The threads of a disk, which do what they are given when they are told to; the files are real.

    Attributes:
        jobs: what they have not done yet.
        are_there: whether there are any.
        refused: whether somebody has not been told yet that there are none.
        works: whether one of them works now; else the event loop does.
        few: whether few transfers go on.
        closed: how many transfers have finished.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.pace: DiskPace = SteadyPace(keeps_up=True)
        self.preallocates = True
        self.jobs: list[Job] = []
        self.are_there = True
        self.refused = False
        self.works = False
        self.few = True
        self.closed = 0

    def read_size(self) -> int:
        raise NotImplementedError

    def write_batch_size(self) -> int:
        return UNIT if self.few else UNIT // 4

    def are_transfers_few(self) -> bool:
        return self.few

    def transfer_started(self) -> None:
        raise NotImplementedError

    def transfer_finished(self) -> None:
        self.closed += 1

    def submit(self, function: Callable[..., T], *arguments: object) -> asyncio.Future[T]:
        asks = function is preallocation.allocate
        if not self.are_there:
            self.refused = self.refused or not asks
            raise StorageBusy("there are none")
        future: asyncio.Future[T] = asyncio.get_running_loop().create_future()
        self.jobs.append(Job(future, lambda: function(*arguments), asks))  # type: ignore[arg-type] # the same T
        return future

    def work(self, turn: int) -> None:
        """Does one job: whichever of those that go on at once ends first."""
        job = self.jobs.pop(turn % len(self.jobs))
        self.works = True
        try:
            result = job.work()
        except StorageError as error:
            job.future.set_exception(error)
        else:
            job.future.set_result(result)
        finally:
            self.works = False

    @property
    def asks(self) -> bool:
        return any(job.asks for job in self.jobs)


class Kernel:
    """The system calls that a growing file makes, which fail when they are told to.

    Attributes:
        fails: (call, errno, bytes that are written before) of the one that will; None for no one.
        failed: the error that has come and has not been told yet.
        cuts: whether a file can be made shorter.
        is_torn: whether a part of a batch was written, and could not be cut off again.
    """

    def __init__(self, threads: Threads) -> None:
        self._threads = threads
        self._real = {name: getattr(os, name) for name in ("writev", "ftruncate", "fsync")}
        self.fails: tuple[str, int, int] | None = None
        self.failed: int | None = None
        self.cuts = True
        self.is_torn = False
        self.is_slow_tee = False

    def writev(self, fd: int, buffers: Sequence[Chunk]) -> int:
        if not self._threads.works:
            assert not self._threads.asks, "the file is locked meanwhile"
            assert not self.is_slow_tee
            assert self._threads.pace.keeps_up
        if self._is_to_fail("writev"):
            assert self.fails is not None
            _, _, written = self.fails
            whole = b"".join(buffers)
            if 0 < written < len(whole):  # now a part of it, and the error when the rest is to be written
                self.fails = ("writev", self.fails[1], 0)
                return self._real["writev"](fd, [whole[:written]])  # type: ignore[no-any-return]
            self._fail()
        return self._real["writev"](fd, buffers)  # type: ignore[no-any-return]

    def fsync(self, fd: int) -> None:
        assert self._threads.works
        if self._is_to_fail("fsync"):
            self._fail()
        self._real["fsync"](fd)

    def ftruncate(self, fd: int, length: int) -> None:
        if not self.cuts:
            self.is_torn = True
            raise OSError(self.failed or errno.EIO, "it cannot be cut")
        self._real["ftruncate"](fd, length)

    def _is_to_fail(self, call: str) -> bool:
        return self.fails is not None and self.fails[0] == call

    def _fail(self) -> None:
        assert self.fails is not None
        number, self.fails = self.fails[1], None
        assert self.failed is None, "it went on after an error that it has not told"
        self.failed = number
        raise OSError(number, os.strerror(number))


class Growing(RuleBasedStateMachine):
    """One file and those who write to it, one after another; the model is what they gave, and what may be lost."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = asyncio.new_event_loop()
        self.folder = tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None)
        self.path = Path(self.folder.name) / "data"
        self.path.touch()
        self.threads = Threads(self.folder.name)
        self.kernel = Kernel(self.threads)
        self.patched = mock.patch.multiple(
            os, writev=self.kernel.writev, ftruncate=self.kernel.ftruncate, fsync=self.kernel.fsync
        )
        self.smaller = [
            mock.patch.multiple(files, WRITTEN_HERE=UNIT // 4, WRITTEN_HERE_OF_FEW=UNIT, IOV_MAX=MOST_CHUNKS),
            mock.patch.multiple(preallocation, FIRST=UNIT // 2, LARGEST=8 * UNIT, ENOUGH=UNIT),
        ]
        for each in (self.patched, *self.smaller):
            each.start()
        self.given = b""
        self.safe = 0
        self.teed = b""
        self.must_wait = False
        self.number = 0
        self.writers = 0

    def tee(self, chunks: Sequence[Chunk]) -> None:
        self.teed += b"".join(chunks)
        assert self.content().startswith(self.teed), "what it gets is in the file"
        assert self.threads.works or not self.kernel.is_slow_tee

    def content(self) -> bytes:
        return self.path.read_bytes()

    def next_chunk(self, size: int) -> bytes:
        self.number = (self.number + 1) % 256
        return bytes([self.number]) * size

    # the world

    @initialize(slow=st.booleans(), few=st.booleans(), keeps_up=st.booleans(), asks=st.booleans())
    def begin(self, slow: bool, few: bool, keeps_up: bool, asks: bool) -> None:  # noqa: FBT001 - drawn
        self.threads.preallocates = asks
        self.threads.few = few
        self.threads.pace.keeps_up = keeps_up
        self.open(slow)

    def open(self, slow: bool) -> None:  # noqa: FBT001 - drawn
        self.kernel.is_slow_tee = slow
        self.fd = os.open(self.path, os.O_RDWR)
        self.writer = FileWriter(self.fd, "/data", SlowTee(self.tee) if slow else self.tee, self.threads)
        self.writers += 1

    @rule(few=st.booleans(), keeps_up=st.booleans())
    def changes(self, few: bool, keeps_up: bool) -> None:  # noqa: FBT001 - drawn
        """Others come and go, and the disk becomes slow or fast."""
        self.threads.few = few
        self.threads.pace.keeps_up = keeps_up

    @rule(
        call=st.sampled_from(["writev", "writev", "fsync"]),
        number=st.sampled_from(FAULTS),
        written=st.integers(0, 80),
        cuts=st.booleans(),
    )
    def breaks(self, call: str, number: int, written: int, cuts: bool) -> None:  # noqa: FBT001 - drawn
        self.kernel.fails = (call, number, written)
        self.kernel.cuts = cuts

    @rule()
    def mends(self) -> None:
        self.kernel.fails = None
        self.kernel.cuts = True

    @rule(are_there=st.booleans())
    def threads_are(self, are_there: bool) -> None:  # noqa: FBT001 - drawn
        self.threads.are_there = are_there

    @precondition(lambda self: self.threads.jobs)
    @rule(turn=st.integers(0, 1), seen=st.booleans())
    def ends(self, turn: int, seen: bool) -> None:  # noqa: FBT001 - drawn
        """A thread has done something; the event loop has seen it, or not yet."""
        self.threads.work(turn)
        if seen:
            self.loop.run_until_complete(asyncio.sleep(0))

    # who writes

    @precondition(lambda self: not self.must_wait and not self.kernel.is_torn)
    @rule(sizes=st.lists(SIZES, min_size=1, max_size=3))
    def take(self, sizes: list[int]) -> None:
        chunks = [self.next_chunk(size) for size in sizes]
        self.given += b"".join(chunks)

        async def take() -> None:
            self.must_wait = not self.writer.take(chunks)

        self.told(self.loop.run_until_complete, take())

    @rule(turns=TURNS, cancelled=CANCELLED)
    def catch_up(self, turns: list[int], cancelled: int | None) -> None:
        self.must_wait = False
        self.done(self.writer.catch_up(), turns, cancelled)

    @precondition(lambda self: not self.must_wait and not self.kernel.is_torn)
    @rule(
        size=SIZES,
        turns=TURNS,
        cancelled=CANCELLED,
    )
    def write(self, size: int, turns: list[int], cancelled: int | None) -> None:
        chunk = self.next_chunk(size)
        self.given += chunk
        self.done(self.writer.write(chunk), turns, cancelled)

    @rule(turns=TURNS, cancelled=CANCELLED)
    def flush(self, turns: list[int], cancelled: int | None) -> None:
        self.must_wait = False
        if self.done(self.writer.flush(), turns, cancelled):
            self.all_is_there()

    @rule(turns=TURNS, cancelled=CANCELLED)
    def sync(self, turns: list[int], cancelled: int | None) -> None:
        self.must_wait = False
        if self.done(self.writer.sync(), turns, cancelled):
            self.all_is_there()
            assert not self.threads.asks, "and nothing is held beyond it"

    def all_is_there(self) -> None:
        assert self.content() == self.given
        assert self.teed == self.given or self.kernel.is_torn
        self.safe = len(self.given)

    @rule(turns=TURNS, cancelled=CANCELLED, slow=st.booleans())
    def close(self, turns: list[int], cancelled: int | None, slow: bool) -> None:  # noqa: FBT001 - drawn
        """Whoever comes next goes on where this one has got to."""
        if self.done(self.writer.close(), turns, cancelled):
            assert self.content() == self.given
        self.closed()
        self.must_wait = False
        self.open(slow)

    def closed(self) -> None:
        assert not self.threads.jobs, "no thread has its descriptor"
        assert self.threads.closed == self.writers
        with pytest.raises(OSError, match="descriptor"):
            os.fstat(self.fd)
        self.given = self.content()
        if self.kernel.is_torn:  # whoever has a tee hashes what he finds before he goes on
            assert self.given.startswith(self.teed)
            self.teed = self.given
            self.kernel.is_torn = False
        assert self.teed == self.given
        assert len(self.given) >= self.safe

    def done(self, work: Coroutine[None, None, None], turns: list[int], cancelled: int | None) -> bool:
        """Has something done while threads end one by one; returns whether it has succeeded."""
        task = self.loop.create_task(work)
        for step in range(20):
            self.run_the_loop()
            if step == cancelled:
                task.cancel()
                self.run_the_loop()
            if task.done():
                break
            assert self.threads.jobs, "it waits for nothing"
            self.threads.work(turns[step] if step < len(turns) else 0)
        if task.cancelled():
            self.kernel.failed = None  # nobody is there to be told
            self.threads.refused = False
            self.lost()
            return False
        return self.told(task.result)

    def run_the_loop(self) -> None:
        """Until all of it waits for threads."""
        for _ in range(5):
            self.loop.run_until_complete(asyncio.sleep(0))

    def told(self, result: Callable[..., object], *arguments: object) -> bool:
        """Compares an outcome with what has failed until then; returns whether nothing has."""
        try:
            result(*arguments)
        except StorageBusy:
            assert self.threads.refused
            self.threads.refused = self.must_wait = False
            self.lost()
            return False
        except StorageError as error:
            assert self.kernel.failed is not None
            is_full = isinstance(error, StorageFull)
            assert is_full == (self.kernel.failed != errno.EIO)
            self.kernel.failed = None
            self.must_wait = False
            self.lost()
            return False
        # A batch that a thread was given meanwhile fails for whoever comes next.
        assert self.kernel.failed is None
        assert not self.threads.refused
        return True

    def lost(self) -> None:
        """After an error a file is shorter than what was given, and as long as the writer says."""
        assert self.safe <= self.writer.size <= len(self.given)
        self.given = self.given[: self.writer.size]

    @invariant()
    def all_agree(self) -> None:
        if not self.writers:
            return
        content = self.content()
        assert self.given.startswith(content)
        assert content.startswith(self.teed)
        writer = self.writer
        if self.kernel.failed is None:
            assert writer.size == len(self.given)
        if writer._running is None:
            assert content == self.teed or self.kernel.is_torn
            assert len(content) + writer._pending_bytes == writer.size
        assert writer._pending_bytes < UNIT + 3 * LARGEST_CHUNK
        assert len(writer._pending) < MOST_CHUNKS + 3
        assert sum(map(len, writer._batch)) < UNIT + 3 * LARGEST_CHUNK

    @override
    def teardown(self) -> None:
        try:
            if self.writers:
                self.mends()
                self.threads.are_there = True
                self.done(self.writer.close(), [], None)
                self.closed()
        finally:
            for each in (self.patched, *self.smaller):
                each.stop()
            self.loop.close()
            self.folder.cleanup()


Growing.TestCase.settings = settings(max_examples=400, stateful_step_count=40, deadline=None)
TestGrowingFiles = Growing.TestCase
