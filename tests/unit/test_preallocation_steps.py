"""How much room a growing file asks for before it needs it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from backends.storage.preallocation import ENOUGH, FIRST, LARGEST, Ahead

BEGINNINGS = st.integers(0, 1 << 40)
WRITTEN = st.lists(st.integers(1, 4 * LARGEST), max_size=60)


@given(BEGINNINGS, WRITTEN)
def test_it_asks_for_no_more_than_it_has_and_never_for_what_it_has_asked_for(
    beginning: int, written: list[int]
) -> None:
    ahead, size, asked = Ahead(beginning), beginning, beginning
    for more in written:
        size += more
        step = ahead.step(size)
        if step is None:
            continue
        offset, length = step
        assert offset >= max(size, asked)
        assert length > 0
        assert offset + length - size <= min(LARGEST, size), "with what it has left"
        assert offset - size < ENOUGH
        asked = offset + length


@given(BEGINNINGS, WRITTEN)
def test_a_large_file_always_has_room_ahead(beginning: int, written: list[int]) -> None:
    ahead, size, until = Ahead(beginning), beginning, beginning
    for more in written:
        size += more
        step = ahead.step(size)
        until = sum(step) if step is not None else until
        if size >= beginning + FIRST:
            assert until - size >= min(ENOUGH, size // 2)


@given(BEGINNINGS, st.integers(0, FIRST - 1))
def test_what_grows_little_asks_for_nothing(beginning: int, more: int) -> None:
    assert Ahead(beginning).step(beginning + more) is None
