"""Room that a growing file has beyond its end, on a real ext4: it comes, it goes, and nobody else lacks it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import threading
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path

import pytest

from backends.storage import files
from backends.storage.driver import Chunk, SlowTee, StorageFull
from backends.storage.filesystem import THREADS, FilesystemDriver
from backends.storage.preallocation import FIRST, LARGEST, allocate
from tests.support.mounts import fill_up, mounted_ext4
from tests.support.steady_pace import SteadyPace

MIB = 1024 * 1024
UPLOAD = "/uploads/one/data"


@pytest.fixture(scope="module")
def large_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with mounted_ext4(tmp_path_factory.mktemp("large") / "disk", size="2048M", inodes=10_000) as folder:
        yield folder


@pytest.fixture(scope="module")
def small_disk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    with mounted_ext4(tmp_path_factory.mktemp("small") / "disk", size="64M") as folder:
        yield folder


@contextlib.asynccontextmanager
async def driver_of(folder: Path, *, keeps_up: bool) -> AsyncIterator[FilesystemDriver]:
    driver = FilesystemDriver(folder)
    driver.pace = SteadyPace(keeps_up=keeps_up)
    try:
        yield driver
    finally:
        await driver.close()


def beyond_the_end(folder: Path, path: str = UPLOAD) -> int:
    """Bytes of blocks that a file has and does not need."""
    info = (folder / path[1:]).stat()
    return max(0, info.st_blocks * 512 - info.st_size)


def open_below(folder: Path) -> list[str]:
    """The files below a folder that this process has open."""
    found = []
    for link in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError, ValueError):
            found.append(str(link.readlink().relative_to(folder)))
    return found


@pytest.mark.parametrize("keeps_up", [True, False], ids=["the loop writes", "threads write"])
@pytest.mark.parametrize("is_slow", [False, True], ids=["", "a slow tee"])
async def test_a_growing_file_has_room_ahead_and_gives_it_back(
    large_disk: Path, *, keeps_up: bool, is_slow: bool
) -> None:
    async with driver_of(large_disk, keeps_up=keeps_up) as driver:
        seen: list[int] = []

        def count(chunks: Sequence[Chunk]) -> None:
            seen.extend(map(len, chunks))

        writer = await driver.writer(UPLOAD, tee=SlowTee(count) if is_slow else count)
        most = 0
        for number in range(24):
            await writer.write(bytes([number]) * MIB)
            await writer._await_room()  # the thread that asks for it
            most = max(most, beyond_the_end(large_disk))
        await writer.flush()
        assert FIRST <= most <= LARGEST + MIB + MIB // 4, "what a thread still writes counts as written"
        assert beyond_the_end(large_disk) <= LARGEST + MIB // 4
        assert (await driver.stat(UPLOAD)).size == writer.size == 24 * MIB
        await writer.sync()
        assert beyond_the_end(large_disk) < MIB // 4
        await writer.close()
        assert sum(seen) == 24 * MIB
        content = (large_disk / UPLOAD[1:]).read_bytes()
        assert content == b"".join(bytes([number]) * MIB for number in range(24))


async def test_who_syncs_gives_back_what_a_killed_process_was_given(large_disk: Path) -> None:
    async with driver_of(large_disk, keeps_up=True) as driver:
        writer = await driver.writer(UPLOAD)
        for _ in range(8):
            await writer.write(bytes(MIB))
            await writer._await_room()  # the thread that asks for it
        await writer.close()  # without a sync, as a request that breaks off
    assert beyond_the_end(large_disk) >= FIRST
    async with driver_of(large_disk, keeps_up=False) as another:
        writer = await another.writer(UPLOAD, append=True)
        await writer.sync()
        await writer.close()
        assert beyond_the_end(large_disk) < MIB // 4
        assert (await another.stat(UPLOAD)).size == 8 * MIB


async def test_the_loop_does_not_write_to_a_file_for_which_room_is_asked(
    large_disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The kernel has locked it, for as long as its journal takes: the loop would wait with all connections."""
    asking, written_by = threading.Event(), []

    def ask(fd: int, offset: int, length: int) -> None:
        asking.wait(10)
        allocate(fd, offset, length)

    real = files.write_all

    def write_all(fd: int, chunks: Sequence[Chunk]) -> None:
        written_by.append(threading.current_thread() is threading.main_thread())
        real(fd, chunks)

    monkeypatch.setattr(files, "allocate", ask)
    monkeypatch.setattr(files, "write_all", write_all)
    async with driver_of(large_disk, keeps_up=True) as driver:
        writer = await driver.writer(UPLOAD)
        await writer.write(bytes(MIB))
        assert written_by == [True], "and now it asks"
        for _ in range(3):
            await writer.write(bytes(MIB))
        assert not any(written_by[1:])
        asking.set()
        await writer._await_room()
        await writer.catch_up()
        await writer.write(bytes(MIB))
        assert written_by[-1], "the loop goes on as before"
        await writer.sync()
        await writer.close()
        assert (await driver.stat(UPLOAD)).size == 5 * MIB


async def test_a_file_is_open_until_the_thread_that_asks_has_finished(large_disk: Path) -> None:
    """Else another file that gets its descriptor's number would get the room."""
    async with driver_of(large_disk, keeps_up=True) as driver:
        writer = await driver.writer(UPLOAD)
        busy = threading.Event()
        waiting = [driver.submit(busy.wait, 10) for _ in range(THREADS)]
        await writer.write(bytes(MIB))
        closing = asyncio.create_task(writer.close())
        await asyncio.sleep(0.05)
        assert not closing.done()
        busy.set()
        await closing
        await asyncio.gather(*waiting)
        assert beyond_the_end(large_disk) == MIB


async def test_who_is_cancelled_while_he_closes_a_file_leaves_no_descriptor(large_disk: Path) -> None:
    async with driver_of(large_disk, keeps_up=True) as driver:
        writer = await driver.writer(UPLOAD)
        busy = threading.Event()
        waiting = [driver.submit(busy.wait, 10) for _ in range(THREADS)]
        await writer.write(bytes(MIB))
        closing = asyncio.create_task(writer.close())
        await asyncio.sleep(0.05)
        closing.cancel()
        await asyncio.sleep(0.05)
        busy.set()
        with pytest.raises(asyncio.CancelledError):
            await closing
        await asyncio.gather(*waiting)
        assert UPLOAD[1:] not in open_below(large_disk)


async def test_a_small_file_asks_for_nothing(large_disk: Path) -> None:
    async with driver_of(large_disk, keeps_up=True) as driver:
        writer = await driver.writer("/small")
        await writer.write(bytes(FIRST - 1))
        await writer.flush()
        await writer.close()
        assert beyond_the_end(large_disk, "/small") < MIB // 4


async def test_a_disk_with_little_room_keeps_it_for_what_is_written(small_disk: Path) -> None:
    async with driver_of(small_disk, keeps_up=True) as driver:
        writer = await driver.writer(UPLOAD)
        for _ in range(16):
            await writer.write(bytes(MIB))
            await writer._await_room()  # the thread that asks for it
            assert beyond_the_end(small_disk) < MIB // 4
        await writer.sync()
        filler = fill_up(small_disk)
        await writer.write(bytes(MIB - 1))
        with pytest.raises(StorageFull):
            await writer.flush()
        await writer.close()
        assert (await driver.stat(UPLOAD)).size == 16 * MIB
        filler.unlink()


def test_what_a_file_system_refuses_changes_nothing(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"content")
    fd = os.open(file, os.O_RDONLY)
    try:
        allocate(fd, 0, 1)
    finally:
        os.close(fd)
    assert file.read_bytes() == b"content"


def test_a_volume_that_does_not_tell_its_room_is_not_asked_for_any() -> None:
    """As where it is gone; a descriptor that is closed is told the same way."""
    fd = os.open("/dev/null", os.O_RDONLY)
    os.close(fd)
    allocate(fd, 0, 1)
