"""What grows is sent to the disk early, and writers are told when the event loop may write."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import pytest
from typing_extensions import override

from backends.storage import write_back
from backends.storage.write_back import (
    LEAST,
    MOST,
    PAGE,
    PAUSE_SECONDS,
    WINDOW_LARGE,
    WINDOW_SMALL,
    DirtyMemory,
    GrowingFile,
    WriteBack,
    parse_vmstat,
)

MIB = 1 << 20
QUIET = DirtyMemory(waiting=0, background=2048 * MIB, limit=4096 * MIB)


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (
            "nr_dirty 3\nnr_writeback 4\nnr_dirty_threshold 200\nnr_dirty_background_threshold 100\npgfault 9\n",
            DirtyMemory(7 * PAGE, 100 * PAGE, 200 * PAGE),
        ),
        ("nr_dirty 3\nnr_writeback 4\n", None),
        ("nr_dirty x\nnr_writeback 4\nnr_dirty_threshold 200\nnr_dirty_background_threshold 100\n", None),
        ("", None),
    ],
)
def test_the_kernels_figures_are_read(text: str, found: DirtyMemory | None) -> None:
    assert parse_vmstat(text) == found


def test_this_machines_figures_can_be_read() -> None:
    found = parse_vmstat(Path("/proc/vmstat").read_text())
    assert found is not None
    assert 0 < found.background < found.limit


@pytest.mark.parametrize(
    ("waiting", "is_crowded"),
    [(0, False), (1530, False), (1540, True), (4096, True)],
)
def test_writers_stop_long_before_the_kernel_has_them_wait(waiting: int, *, is_crowded: bool) -> None:
    """mm/page-writeback.c: it does from the middle between the limits on, here at 3 GiB."""
    assert DirtyMemory(waiting * MIB, QUIET.background, QUIET.limit).is_crowded == is_crowded


@pytest.mark.parametrize(("background", "share"), [(2048 * MIB, MOST), (160 * MIB, 10 * MIB), (MIB, LEAST)])
def test_a_process_has_a_small_share_of_what_may_wait(background: int, share: int) -> None:
    assert DirtyMemory(0, background, 2 * background).share == share


def test_windows_are_smaller_the_more_files_grow() -> None:
    disk = WriteBack(lambda: QUIET)
    assert disk.window == WINDOW_LARGE
    for _ in range(16):
        disk.opened()
    assert disk.window == MOST // 32
    for _ in range(1000):
        disk.opened()
    assert disk.window == WINDOW_SMALL


def test_the_loop_writes_again_after_a_pause_that_grows_while_the_disk_stalls() -> None:
    now = 1000.0
    disk = WriteBack(lambda: QUIET, clock=lambda: now)
    assert disk.is_quick()
    pauses = []
    for _ in range(8):
        disk.stalled()
        begun = now
        while not disk.is_quick():
            now += 0.5
        pauses.append(now - begun)
    assert pauses == [2.0, 4.0, 8.0, 16.0, 32.0, 60.0, 60.0, 60.0]
    now += 1000
    disk.stalled()
    now += PAUSE_SECONDS
    assert disk.is_quick()


def test_the_loop_does_not_write_while_the_kernels_memory_is_crowded() -> None:
    now = 1000.0
    found = DirtyMemory(4096 * MIB, QUIET.background, QUIET.limit)
    disk = WriteBack(lambda: found, clock=lambda: now)
    disk.look_now()
    assert not disk.is_quick()
    found = QUIET
    disk.look_now()
    assert not disk.is_quick()  # it has just looked
    now += 1
    disk.look_now()
    assert disk.is_quick()


def test_without_proc_the_loop_writes() -> None:
    def fail() -> DirtyMemory:
        raise FileNotFoundError

    disk = WriteBack(fail)
    disk.look_now()
    assert disk.is_quick()


class SlowDisk(WriteBack):
    """A disk that writes when it is told to."""

    def __init__(self) -> None:
        super().__init__(lambda: DirtyMemory(0, 0, 0))
        self.look_now()
        self.parts: list[tuple[int, int]] = []
        self.may_write = asyncio.Event()

    @override
    def _send(self, fd: int, offset: int, size: int) -> None:
        self.parts.append((offset, size))
        asyncio.run_coroutine_threadsafe(self.may_write.wait(), self.loop).result(10)
        super()._send(fd, offset, size)

    @property
    def loop(self) -> asyncio.AbstractEventLoop:
        return self._of

    def begin(self) -> None:
        self._of = asyncio.get_running_loop()


def test_whoever_grows_a_file_waits_when_the_disk_does_not_follow(tmp_path: Path) -> None:
    async def check() -> None:
        disk = SlowDisk()
        disk.begin()
        fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
        os.write(fd, b"x" * (LEAST + 10 * PAGE))
        file = GrowingFile(fd, 0, disk)
        assert not file.is_due(disk.window - 1)
        await asyncio.wait_for(file.send(LEAST + 1), 5)  # so much may be on its way
        waiting = asyncio.ensure_future(file.send(LEAST + 2 * PAGE + 7))
        await asyncio.sleep(0.05)
        assert not waiting.done()
        file.close()
        os.close(fd)
        disk.may_write.set()
        await asyncio.wait_for(waiting, 5)
        assert sorted(disk.parts) == [(0, LEAST), (LEAST, 2 * PAGE)]
        await asyncio.to_thread(disk.close)
        await asyncio.sleep(0)

    asyncio.run(check())
    open_files = [os.path.realpath(each) for each in Path("/proc/self/fd").iterdir()]
    assert not [each for each in open_files if each.startswith(str(tmp_path))]


def test_a_file_that_cannot_be_sent_is_written_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a system without sync_file_range."""
    monkeypatch.setattr(write_back, "_find_sync_file_range", lambda: None)
    disk = WriteBack(lambda: QUIET)
    fd = os.open(tmp_path / "file", os.O_RDWR | os.O_CREAT)
    file = GrowingFile(fd, 0, disk)
    assert not file.is_due(1 << 40)
    file.close()
    os.close(fd)
