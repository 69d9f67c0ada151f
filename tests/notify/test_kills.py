"""Processes that append and send are killed with -9 hundreds of times: at every operation on a file, and at random.

Every endpoint gets every acknowledged event, and all endpoints get all events in the same order, that of the log.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from backends.notify.reporting import report_queues
from tests.support.event_processes import settings_of
from tests.support.webhooks import ACCEPT, CLOSE, HALF, Webhook, firsts, webhook

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

ENOUGH = 100_000_000
RANDOM_KILLS = 60
MOST_OPERATIONS = 70
MOST_ROUNDS = 300
ENOUGH_TO_DROP = 800
"""So many events are several times more than the bound of 40 kB holds."""


@dataclass
class Volume:
    """A folder, and the program that forks processes which use it."""

    root: Path
    program: subprocess.Popen[str]

    def start(
        self, run: object, receivers: list[Webhook], fault: str = "none", number: int = 0, count: int = 1000
    ) -> int:
        urls = ",".join(each.url for each in receivers)
        self._send(f"{run} {urls} {fault} {number} {count}")
        return int(self._read())

    def wait(self, pid: int) -> None:
        self._send(f"wait {pid}")
        assert self._read() == "dead"

    def kill(self, pid: int) -> None:
        os.kill(pid, signal.SIGKILL)
        self.wait(pid)

    def acknowledged(self) -> list[str]:
        path = self.root.parent / "acknowledged"
        return path.read_text().split() if path.exists() else []

    def drain(self, receivers: list[Webhook]) -> None:
        """Lets a last process send what is left."""
        pid = self.start("last", receivers, count=0)
        deadline = time.monotonic() + 60
        folder = os.open(self.root, os.O_RDONLY)
        try:
            while any(report.pending for report in report_queues(folder)):
                assert time.monotonic() < deadline, report_queues(folder)
                time.sleep(0.1)
        finally:
            os.close(folder)
        self.kill(pid)

    def _send(self, line: str) -> None:
        assert self.program.stdin is not None
        self.program.stdin.write(line + "\n")
        self.program.stdin.flush()

    def _read(self) -> str:
        assert self.program.stdout is not None
        return self.program.stdout.readline().strip()


@contextlib.contextmanager
def volume(folder: Path, *, disk_bytes: int = ENOUGH) -> Iterator[Volume]:
    root = folder / "root"
    root.mkdir()
    command = [sys.executable, "-m", "tests.support.event_processes", str(root), str(disk_bytes)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as program:
        yield Volume(root, program)
        assert program.stdin is not None
        program.stdin.close()
        program.wait(20)


@pytest.fixture
def receivers() -> Iterator[list[Webhook]]:
    with webhook() as one, webhook() as other:
        yield [one, other]


def check_order(receivers: list[Webhook]) -> list[str]:
    """All endpoints got the same in the same order, and of each task what it appended in its order."""
    orders = [firsts(each.ids) for each in receivers]
    assert orders[0] == orders[1]
    for task in {each.rpartition(".")[0].rpartition(".")[0] for each in orders[0]}:
        mine = [each for each in orders[0] if each.startswith(f"{task}.") and not each.endswith(".p")]
        numbers = [tuple(map(int, each.split(".")[-2:])) for each in mine]
        assert numbers == sorted(numbers)
    return orders[0]


def test_killed_at_random_with_two_processes_on_one_volume(tmp_path: Path, receivers: list[Webhook]) -> None:
    generator = random.Random(20261127)
    with volume(tmp_path) as place:
        alive = [place.start(f"r{number}", receivers) for number in range(2)]
        for number in range(2, RANDOM_KILLS):
            time.sleep(generator.uniform(0.0, 0.08))
            place.kill(alive.pop(generator.randrange(2)))
            alive.append(place.start(f"r{number}", receivers))
            receivers[1].behaviour = generator.choice([ACCEPT, ACCEPT, CLOSE, HALF, "500 Broken"])
        for pid in alive:
            place.kill(pid)
        receivers[1].behaviour = ACCEPT
        place.drain(receivers)
        acknowledged = place.acknowledged()
        received = check_order(receivers)
        assert len(acknowledged) > 100
        assert set(acknowledged) <= set(received), "an acknowledged event was lost"
        assert len(receivers[0].ids) < 3 * len(received), "it sends again what it has not written down, no more"
        files = list((place.root / "docker/registry/portside/primary/events/log").glob("0*"))
        assert len(files) < 10, "what was taken is deleted"


@pytest.mark.parametrize("fault", ["before", "after", "half"])
def test_killed_at_every_operation_on_a_file(fault: str, tmp_path: Path, receivers: list[Webhook]) -> None:
    with volume(tmp_path) as place:
        for number in range(1, MOST_OPERATIONS):
            place.wait(place.start(f"{fault}{number}", receivers, fault, number))
        place.drain(receivers)
        acknowledged = place.acknowledged()
        received = check_order(receivers)
        assert len(acknowledged) > 50
        assert set(acknowledged) <= set(received), "an acknowledged event was lost"


def test_killed_at_random_while_the_bound_drops_the_oldest(tmp_path: Path, receivers: list[Webhook]) -> None:
    generator = random.Random(7)
    with volume(tmp_path, disk_bytes=40_000) as place:
        receivers[1].stop()
        for number in range(MOST_ROUNDS):
            pid = place.start(f"b{number}", receivers)
            time.sleep(generator.uniform(0.02, 0.15))
            place.kill(pid)
            if number >= 25 and len(place.acknowledged()) > ENOUGH_TO_DROP:
                break
        size = sum(each.stat().st_size for each in place.root.rglob("0*"))
        assert size < 40_000 + 6 * 4096, "a bound is kept"
        receivers[1].start()
        place.drain(receivers)
        acknowledged = place.acknowledged()
        all_of_them, rest = (firsts(each.ids) for each in receivers)
        assert rest == [each for each in all_of_them if each in set(rest)], "the other one got the rest in order"
        events = [each for each in all_of_them if not each.endswith(".p")]
        kept = [each for each in rest if not each.endswith(".p")]
        assert kept == events[len(events) - len(kept) :], "of events the oldest are gone"
        folder = os.open(place.root, os.O_RDONLY)
        reports = {report.key: report for report in report_queues(folder)}
        os.close(folder)
        well, behind = settings_of([each.url for each in receivers], disk_bytes=1).endpoints
        assert reports[behind.key].place.dropped_events >= max(1, len(events) - len(kept))
        lost = set(acknowledged) - set(all_of_them)
        assert len(lost) <= reports[well.key].place.dropped_events, "what is lost is counted"
