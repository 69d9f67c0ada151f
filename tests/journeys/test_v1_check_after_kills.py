"""`portside v1 check` after servers were killed in the middle of v1 pushes: nothing is wrong, traces are noted."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from portside.v1_check import structure
from portside.v1_check.command import Request, check
from portside.v1_check.reading import Pace
from tests.support.nursery import GONE, Promise, V1Push, open_nursery

pytestmark = [pytest.mark.slow, pytest.mark.timeout(400)]

MOST_OPERATIONS = 80
TRACES = {"staged", "image-unfinished", "parent-not-yet", "index-names-absent", "description-left", "temporary"}


def _kinds(root: Path) -> dict[str, set[str]]:
    lines: list[str] = []
    request = Request(None, {}, {"data": str(root)}, (), quick=False, as_json=True)
    check(request, Pace(None), say=lines.append, is_terminal=False)
    found: dict[str, set[str]] = {"wrong": set(), "note": set()}
    for each in map(json.loads, lines[:-1]):
        found[each["level"]].add(each["kind"])
    return found


@pytest.mark.parametrize("when", ["before", "after"])
def test_killed_at_every_operation_of_a_push(tmp_path: Path, when: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(structure, "SETTLING_SECONDS", (0.01, 0.01, 0.01))
    root = tmp_path / "data"
    seen: set[str] = set()
    with open_nursery(root) as nursery:
        nursery.start()
        V1Push("first").run(nursery, Promise())
        nursery.kill()
        for fatal in range(1, MOST_OPERATIONS):
            push = V1Push(f"{when}{fatal}")
            nursery.start(fatal, when)
            try:
                push.run(nursery, Promise())
            except GONE:
                nursery.wait_dead()
                found = _kinds(root)
                assert found["wrong"] == set()
                seen |= found["note"]
                nursery.start()
                push.run(nursery, Promise())
                nursery.kill()
                assert _kinds(root)["wrong"] == set()
                continue
            nursery.kill()
            break
        else:
            pytest.fail("a push has more operations than were tried")
    assert {"staged", "image-unfinished"} <= seen <= TRACES
    assert _kinds(root)["wrong"] == set()
