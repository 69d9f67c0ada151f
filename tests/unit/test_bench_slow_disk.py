"""The disk of bench/ that is slow: it is, nothing of it stays, and where none can be made a sentence says why."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from bench import slow_disk
from bench.programs import Unavailable
from bench.scale import MIB

SPEED, DIRTY = 16 * MIB, MIB
WRITTEN = 8 * MIB


def test_who_writes_more_than_may_wait_is_held_back_and_nothing_stays(tmp_path: Path) -> None:
    missing, took = None, 0.0
    try:
        with slow_disk.slow_disk(tmp_path, size=64 * MIB, speed=SPEED, dirty=DIRTY) as disk:
            assert os.path.ismount(disk)
            begun = time.monotonic()
            (disk / "file").write_bytes(bytes(WRITTEN))  # nobody asks that it be on the disk
            took = time.monotonic() - begun
    except Unavailable as why:
        missing = str(why)
    assert list(tmp_path.iterdir()) == []
    if missing is None:
        assert took > (WRITTEN - 3 * DIRTY) / SPEED
    else:
        assert "a slow disk" in missing


def test_a_machine_that_cannot_make_one_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(slow_disk, "BLKIO", tmp_path / "absent")
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    disk = slow_disk.slow_disk(tmp_path, size=MIB, speed=MIB, dirty=MIB)
    with pytest.raises(Unavailable, match=r"is slowed by .*absent"), disk:
        pass
    assert list(tmp_path.iterdir()) == []
