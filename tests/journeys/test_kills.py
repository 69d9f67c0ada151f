"""More than two hundred pushes killed with -9: at every operation on a file, and at random moments.

What was acknowledged stays true to the byte, nothing half made is visible, and every push can be repeated.
"""

from __future__ import annotations

import os
import random
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.nursery import GONE, Nursery, Promise, Push, V1Push, V2Push, ask, open_nursery

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

RANDOM_KILLS = 50
MOST_OPERATIONS = 60


@pytest.fixture
def nursery(tmp_path: Path) -> Iterator[Nursery]:
    with open_nursery(tmp_path / "data") as made:
        yield made


def check(nursery: Nursery, push: Push, promise: Promise) -> None:
    """Looks at a new server over what a dead one left, and repeats the push."""
    nursery.start()
    for (protocol, path), content in promise.kept.items():
        status, body, _ = ask(nursery.v1 if protocol == "v1" else nursery.v2, "GET", path)
        assert (status, body) == (200, content), f"{path} was acknowledged and is {status} now"
    push.check_whole_or_absent(nursery)
    again = Promise()
    push.run(nursery, again)
    push.check_whole_or_absent(nursery)
    for (protocol, path), content in again.kept.items():
        assert ask(nursery.v1 if protocol == "v1" else nursery.v2, "GET", path)[1] == content
    nursery.kill()


@pytest.mark.parametrize("protocol", [V1Push, V2Push])
@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_every_operation_on_a_file(when: str, protocol: type[Push], nursery: Nursery) -> None:
    stages: list[str] = []
    for fatal in range(1, MOST_OPERATIONS):
        push, promise = protocol(f"{when}{fatal}"), Promise()
        nursery.start(fatal, when)
        try:
            push.run(nursery, promise)
        except GONE:
            stages.append(nursery.wait_dead())
            check(nursery, push, promise)
            continue
        nursery.kill()
        break
    else:
        pytest.fail(f"a push has {MOST_OPERATIONS} operations or more; the test must go further")
    seen = " ".join(stages)
    wanted = (
        ("staging json", "sync staging", "blobs", "link to layer", "ancestry", "_checksum", "write json", "v1 tag")
        if protocol is V1Push
        else (
            "upload startedat",
            "sync upload data",
            "blobs",
            "_layers",
            "revisions",
            "current",
            "index",
            "delete upload",
        )
    )
    missing = [stage for stage in wanted if stage not in seen]
    assert not missing, f"no kill hit {missing}; hit were {stages}"
    assert len(stages) >= 25


@pytest.mark.parametrize("protocol", [V1Push, V2Push])
def test_killed_at_random_moments(protocol: type[Push], nursery: Nursery) -> None:
    generator = random.Random(20261124)
    killed = 0
    for number in range(RANDOM_KILLS):
        push, promise = protocol(f"random{number}"), Promise()
        nursery.start()
        delay = generator.uniform(0.0, 0.09)
        timer = threading.Timer(delay, os.kill, (nursery.pid, signal.SIGKILL))
        timer.start()
        try:
            push.run(nursery, promise)
        except GONE:
            killed += 1
        timer.join()
        nursery.wait_dead()
        check(nursery, push, promise)
    assert killed >= RANDOM_KILLS // 4, f"only {killed} of {RANDOM_KILLS} pushes were in progress when they were killed"


def test_the_count_of_kills_is_what_was_asked_for() -> None:
    """Two protocols, each killed before and after at least 25 operations and at 50 random moments: 200."""
    assert 2 * (2 * 25 + RANDOM_KILLS) >= 200


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_every_step_of_deleting_a_repository(when: str, nursery: Nursery) -> None:
    """It is there whole or gone, and deleting it again removes what is left."""
    for fatal in range(1, MOST_OPERATIONS):
        push = V2Push(f"deleted-{when}{fatal}")
        nursery.start()
        push.run(nursery, Promise())
        nursery.kill()
        nursery.start(fatal, when)
        try:
            push.delete_repository(nursery)
        except GONE:
            nursery.wait_dead()
            nursery.start()
            push.check_whole_or_absent(nursery)
            push.delete_repository(nursery)
            push.check_gone(nursery)
            nursery.kill()
            continue
        push.check_gone(nursery)
        nursery.kill()
        break
    assert fatal > 3, "it was never killed"
