"""Slots for checks of passwords, held by processes of their own."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from backends.auth.check_slots import CheckSlots

HOLDS_SECONDS = 0.02
ROUNDS = 8


def fork(work: Callable[[], None]) -> int:
    child = os.fork()
    if child:
        return child
    try:
        work()
    finally:
        os._exit(0)
    raise AssertionError


@pytest.mark.parametrize("count", [1, 2, 3])
def test_so_many_processes_hold_one_at_once_and_each_gets_its_turns(count: int, tmp_path: Path) -> None:
    slots = CheckSlots(count)
    log = os.open(tmp_path / "log", os.O_CREAT | os.O_APPEND | os.O_WRONLY)

    def work() -> None:
        for _ in range(ROUNDS):
            with slots.slot():
                os.write(log, b"+")
                time.sleep(HOLDS_SECONDS)
                os.write(log, b"-")

    for child in [fork(work) for _ in range(5)]:
        os.waitpid(child, 0)
    held = most = 0
    events = (tmp_path / "log").read_bytes()
    for event in events:
        held += 1 if event == ord("+") else -1
        most = max(most, held)
    assert most == count
    assert events.count(b"+") == 5 * ROUNDS


def test_a_killed_process_gives_its_slot_back() -> None:
    slots = CheckSlots(1)
    told, tell = os.pipe()

    def hold() -> None:
        with slots.slot():
            os.write(tell, b".")
            time.sleep(60)

    holder = fork(hold)
    assert os.read(told, 1) == b"."

    def wait() -> None:
        with slots.slot():
            os.write(tell, b"!")

    waiter = fork(wait)
    os.kill(holder, signal.SIGKILL)
    assert os.read(told, 1) == b"!"
    for child in (holder, waiter):
        os.waitpid(child, 0)
    os.close(told)
    os.close(tell)


def test_some_cores_are_left() -> None:
    assert 1 <= CheckSlots().count <= max(1, len(os.sched_getaffinity(0)) // 2)
