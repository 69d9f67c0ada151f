"""When a disk is believed to keep up with what is written to it."""

from __future__ import annotations

import pytest

from backends.storage.disk_pace import (
    CALM_SECONDS,
    FAST,
    ONCE_SECONDS,
    RECENT_SECONDS,
    SLOW_SECONDS,
    TELLING_BYTES,
    DiskPace,
)

BYTES = 2 * TELLING_BYTES
QUICK = BYTES / FAST


class Clock:
    """A clock that stands still."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def synced(pace: DiskPace, size: int, seconds: float | None) -> bool:
    pace.wrote(size, 0.0001)
    pace.sync_ended(pace.sync_began(), size, seconds)
    return pace.keeps_up


@pytest.mark.parametrize(
    ("size", "seconds", "keeps_up"),
    [
        (BYTES, QUICK, True),
        (BYTES, QUICK * 1.01, False),
        (TELLING_BYTES, TELLING_BYTES / FAST / 2, True),
        (TELLING_BYTES - 1, 1e-6, False),
        (0, 1e-6, False),
        (BYTES, None, False),
    ],
)
def test_a_disk_keeps_up_that_took_some_megabytes_fast(size: int, seconds: float | None, *, keeps_up: bool) -> None:
    assert synced(DiskPace(Clock()), size, seconds) is keeps_up


def test_nothing_is_believed_at_first_and_a_slow_sync_ends_it() -> None:
    pace = DiskPace(Clock())
    assert not pace.keeps_up
    assert synced(pace, BYTES, QUICK)
    assert not synced(pace, BYTES, QUICK * 2)


@pytest.mark.parametrize("first", [0, 3])
def test_syncs_at_once_share_what_a_disk_takes(first: int) -> None:
    """Also the last one to end: the disk was not its own before, whichever began first."""
    pace = DiskPace(Clock())
    syncs = []
    for _ in range(4):
        pace.wrote(BYTES, 0.0001)
        syncs.append(pace.sync_began())
    for sync in syncs if first == 0 else syncs[::-1]:
        pace.sync_ended(sync, BYTES, 4 * QUICK)
        assert pace.keeps_up
    assert not synced(pace, BYTES, 4 * QUICK), "that one had the disk alone"


def test_what_was_written_just_before_counts_whenever_a_span_ends() -> None:
    clock = Clock()
    pace = DiskPace(clock)
    pace.wrote(100 * BYTES, 0.0001)
    for _ in range(30):
        clock.now += RECENT_SECONDS / 7
        pace.wrote(BYTES, 0.0001)
        pace.sync_ended(pace.sync_began(), 100 * BYTES, 6 * QUICK)
        assert pace.keeps_up


def test_a_sync_that_takes_longer_than_what_counts_ends_it() -> None:
    clock = Clock()
    pace = DiskPace(clock)
    assert synced(pace, BYTES, QUICK)
    sync = pace.sync_began()
    clock.now += 10 * RECENT_SECONDS
    pace.sync_ended(sync, BYTES, 10 * RECENT_SECONDS)
    assert not pace.keeps_up


def test_a_file_of_which_little_was_written_lately_tells_nothing() -> None:
    clock = Clock()
    pace = DiskPace(clock)
    pace.wrote(100 * BYTES, 0.0001)
    clock.now += 2 * RECENT_SECONDS
    pace.wrote(TELLING_BYTES - 1, 0.0001)
    pace.sync_ended(pace.sync_began(), 100 * BYTES, 1e-3)
    assert not pace.keeps_up


def test_what_was_written_long_ago_tells_nothing() -> None:
    clock = Clock()
    pace = DiskPace(clock)
    pace.wrote(BYTES, 0.0001)
    clock.now += 2 * RECENT_SECONDS
    pace.sync_ended(pace.sync_began(), BYTES, 1e-3)
    assert not pace.keeps_up


def test_a_write_that_took_long_is_remembered_for_a_moment() -> None:
    clock = Clock()
    pace = DiskPace(clock)
    synced(pace, BYTES, QUICK)
    pace.wrote(1, SLOW_SECONDS)
    assert pace.keeps_up
    for _ in range(3):  # at once
        pace.wrote(1, SLOW_SECONDS * 1.01)
        assert not pace.keeps_up
    clock.now += ONCE_SECONDS * 0.99
    assert not synced(pace, BYTES, QUICK)
    clock.now += ONCE_SECONDS * 0.02
    assert synced(pace, BYTES, QUICK)


@pytest.mark.parametrize("again", [ONCE_SECONDS * 1.01, CALM_SECONDS * 0.99])
def test_two_are_remembered_for_longer(again: float) -> None:
    clock = Clock()
    pace = DiskPace(clock)
    pace.wrote(1, SLOW_SECONDS * 1.01)
    clock.now += again
    pace.wrote(1, SLOW_SECONDS * 1.01)
    clock.now += CALM_SECONDS * 0.99
    assert not synced(pace, BYTES, QUICK)
    clock.now += CALM_SECONDS * 0.02
    assert synced(pace, BYTES, QUICK)
    pace.wrote(1, SLOW_SECONDS * 1.01)
    clock.now += ONCE_SECONDS * 1.01
    assert synced(pace, BYTES, QUICK), "the one before was too long ago"
