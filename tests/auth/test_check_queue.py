"""Who waits behind whom."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.auth.check_queue import FairQueue


def queue_of(*askers: str) -> FairQueue[str]:
    """A queue of `a1 a2 b1`, for what each asks in its order."""
    queue: FairQueue[str] = FairQueue()
    for asker in askers:
        queue.add(asker, f"{asker}{queue.waiting_for(asker) + 1}")
    return queue


def test_askers_take_turns() -> None:
    queue = queue_of("a", "a", "a", "a", "b", "c", "b")
    assert [queue.take() for _ in range(7)] == ["a1", "b1", "c1", "a2", "b2", "a3", "a4"]
    with pytest.raises(IndexError):
        queue.take()


def test_a_newcomer_waits_for_one_of_each_other() -> None:
    queue = queue_of(*("a" * 50), *("b" * 50))
    queue.add("c", "c1")
    assert "c1" in [queue.take() for _ in range(3)]


def test_room_is_taken_from_whoever_has_most() -> None:
    queue = queue_of("a", "b", "b", "b", "c")
    assert queue.take_back() == "b3"
    assert [queue.take() for _ in range(4)] == ["a1", "b1", "c1", "b2"]
    with pytest.raises(IndexError):
        queue.take_back()


def test_what_is_no_longer_wanted_is_taken_out_once() -> None:
    queue = queue_of("a", "a", "b")
    assert queue.remove("a", "a1")
    assert not queue.remove("a", "a1")
    assert not queue.remove("c", "c1")
    assert queue.remove("b", "b1")
    assert (len(queue), queue.take()) == (1, "a2")


@given(st.lists(st.sampled_from("abc")), st.data())
def test_everything_comes_out_once_and_each_askers_in_its_order(askers: list[str], data: st.DataObject) -> None:
    queue: FairQueue[tuple[str, int]] = FairQueue()
    out: list[tuple[str, int]] = []
    for number, asker in enumerate(askers):
        queue.add(asker, (asker, number))
        if data.draw(st.booleans()):
            out.append(queue.take())
    while queue:
        out.append(queue.take())
    assert sorted(out) == sorted((asker, number) for number, asker in enumerate(askers))
    for asker in "abc":
        numbers = [number for of, number in out if of == asker]
        assert numbers == sorted(numbers)
        assert queue.waiting_for(asker) == 0
