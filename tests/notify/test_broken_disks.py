"""A log on a disk that is full, that reports errors, or whose lock somebody keeps."""

from __future__ import annotations

import errno
import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path

import pytest

from backends.notify import appending, group_commit
from backends.notify.file_log import FileLog
from backends.notify.log import Place, Queue
from backends.notify.settings import EndpointSettings, NotifySettings
from backends.storage.driver import StorageBusy, StorageError, StorageFull
from tests.support.mounts import fill_up, mounted_ext4, mounted_tmpfs

EVENTS = "docker/registry/portside/primary/events"
SETTINGS = NotifySettings((EndpointSettings("a", "http://127.0.0.1:1/", key="a"),), segment_bytes=20_000)


@pytest.fixture(params=[mounted_tmpfs, mounted_ext4])
def disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    mounted: Callable[[Path], AbstractContextManager[Path]] = request.param
    with mounted(tmp_path / "disk") as folder:
        yield folder


def event(number: int, size: int = 900) -> bytes:
    return b'{"id":%d,"more":"%s"}' % (number, b"x" * size)


async def read_all(queue: Queue) -> list[bytes]:
    found: list[bytes] = []
    place = queue.place
    while (batch := await queue.read()).last != place.sequence:
        assert sum(each.dropped_events for each in batch.events) == batch.dropped_events == 0
        found += [each.content for each in batch.events]
        place = replace(place, sequence=batch.last)
    return found


async def test_on_a_full_disk_an_append_fails_whole_and_nothing_before_it_is_lost(
    disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_commit, "NOTE_SECONDS", 0.05)
    log = FileLog(disk, SETTINGS)
    await log.prepare()
    queue = await log.open_queue("a")
    assert queue is not None
    await log.append([event(1)])
    filler = fill_up(disk)
    kept, failed = [event(1)], list[bytes]()
    for number in range(2, 200):
        try:
            await log.append([event(number), event(-number)])
            kept += [event(number), event(-number)]
        except StorageFull:
            failed += [event(number), event(-number)]
    assert len(failed) > 200
    log.note(event(1000))
    filler.unlink()
    await log.append([event(1001)])
    found = [each for each in await read_all(queue) if each not in failed]
    assert found == [*kept, event(1000), event(1001)], "a pull that was noted waits for room"
    await queue.close()
    await log.close()


async def test_what_a_write_that_failed_has_left_is_sent_and_its_sequences_are_not_given_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An endpoint may have taken it before the failure was noticed: another event of that sequence would be lost."""
    log = FileLog(tmp_path, SETTINGS)
    await log.prepare()
    queue = await log.open_queue("a")
    assert queue is not None
    await log.append([event(1)])
    write = os.pwrite

    def failing(fd: int, content: memoryview, offset: int) -> int:
        """It takes one event and a half."""
        if offset > 1000:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return write(fd, content[: len(content) * 3 // 4], offset)

    monkeypatch.setattr(os, "pwrite", failing)
    with pytest.raises(StorageFull):
        await log.append([event(2), event(3)])
    monkeypatch.setattr(os, "pwrite", write)
    batch = await queue.read()
    assert [each.content for each in batch.events] == [event(1), event(2)]
    await queue.advance(Place(batch.last))
    await log.append([event(3)])
    assert await read_all(queue) == [event(3)]
    await queue.close()
    await log.close()


async def test_a_log_that_found_no_room_at_its_start_begins_when_there_is(disk: Path) -> None:
    filler = fill_up(disk)
    log = FileLog(disk, SETTINGS)
    with pytest.raises(StorageFull):
        await log.prepare()
    with pytest.raises(StorageFull):
        await log.append([event(1)])
    filler.unlink()
    await log.append([event(2)])
    queue = await log.open_queue("a")
    assert queue is not None
    assert await read_all(queue) == [event(2)]
    await queue.close()
    await log.close()


async def test_after_a_sync_that_failed_nothing_more_is_written_to_that_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    log = FileLog(tmp_path, SETTINGS)
    await log.prepare()
    await log.append([event(1)])
    sync = os.fdatasync

    def failing(fd: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(os, "fdatasync", failing)
    with pytest.raises(StorageError):
        await log.append([event(2)])
    monkeypatch.setattr(os, "fdatasync", sync)
    other = FileLog(tmp_path, SETTINGS)
    await other.append([event(3)])
    await log.append([event(4)])
    files = sorted((tmp_path / EVENTS / "log").glob("0*"))
    assert len(files) == 2
    assert event(3) in files[1].read_bytes()
    assert event(4) in files[1].read_bytes()
    queue = await log.open_queue("a")
    assert queue is not None
    assert await read_all(queue) == [event(1), event(2), event(3), event(4)]
    await queue.close()
    for each in (log, other):
        await each.close()


async def test_who_keeps_the_lock_keeps_nobody_waiting_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(appending, "PATIENCE_SECONDS", 0.2)
    log = FileLog(tmp_path, SETTINGS)
    await log.prepare()
    with (tmp_path / EVENTS / "lock").open("rb") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(StorageBusy):
            await log.append([event(1)])
    await log.append([event(2)])
    queue = await log.open_queue("a")
    assert queue is not None
    assert await read_all(queue) == [event(2)]
    await queue.close()
    await log.close()


async def test_pulls_that_cannot_be_written_are_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_commit, "MOST_NOTED", 50)
    log = FileLog(tmp_path, SETTINGS)
    await log.prepare()
    for number in range(80):
        log.note(event(number))
    queue = await log.open_queue("a")
    assert queue is not None
    await log.append([event(100)])
    assert await read_all(queue) == [event(number) for number in (*range(30, 80), 100)]
    await queue.close()
    await log.close()


async def test_pulls_that_cannot_be_written_are_bounded_in_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One may be megabytes, with all that a large index names."""
    monkeypatch.setattr(group_commit, "MOST_NOTED_BYTES", 100_000)
    log = FileLog(tmp_path, SETTINGS)
    await log.prepare()
    lock = tmp_path / EVENTS / "lock"
    with lock.open("rb") as held:
        monkeypatch.setattr(appending, "PATIENCE_SECONDS", 0.05)
        fcntl.flock(held, fcntl.LOCK_EX)
        for number in range(30):
            log.note(event(number, 10_000))
        with pytest.raises(StorageBusy):
            await log.append([event(99)])
        for number in range(30, 60):
            log.note(event(number, 10_000))
    queue = await log.open_queue("a")
    assert queue is not None
    await log.append([event(100)])
    assert await read_all(queue) == [*(event(number, 10_000) for number in range(51, 60)), event(100)]
    await queue.close()
    await log.close()


async def test_what_a_killed_trimmer_left_is_removed(tmp_path: Path) -> None:
    log = FileLog(tmp_path, SETTINGS)
    await log.prepare()
    left = tmp_path / EVENTS / "log" / ".00000000000000000001.tmp"
    left.write_bytes(b"x")
    await log.tend()
    assert not left.exists()
    await log.close()
