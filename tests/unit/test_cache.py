"""The cache: never more than its bound, never a wrong value, and what is in use stays."""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.model.cache import Cache

KEYS = st.integers(0, 12)
FEW = st.integers(0, 3)


@given(st.lists(st.tuples(st.sampled_from(["put", "get", "forget"]), KEYS, st.integers(1, 6))), st.integers(1, 20))
def test_it_holds_no_more_than_its_bound_and_no_wrong_value(steps: list[tuple[str, int, int]], bound: int) -> None:
    cache: Cache[int, int] = Cache(bound=bound, weigh=lambda _, value: value)
    latest: dict[int, int] = {}
    for what, key, value in steps:
        if what == "put":
            cache.put(key, value)
            latest[key] = value
        elif what == "forget":
            assert cache.forget(key) in {None, latest.get(key)}
            latest.pop(key, None)
            with pytest.raises(KeyError):
                cache[key]
        else:
            with suppress(KeyError):
                assert cache[key] == latest[key]
        held = {key: value for key, value in latest.items() if key in cache or key in cache._old}
        assert sum(held.values()) <= max(bound, 2)
        assert not set(cache) & set(cache._old)


@given(st.lists(KEYS, max_size=60), st.integers(1, 8))
def test_what_was_used_within_half_the_bound_is_there(keys: list[int], half: int) -> None:
    cache: Cache[int, str] = Cache(bound=2 * half)
    recent: OrderedDict[int, None] = OrderedDict()
    for key in keys:
        known = key in recent
        try:
            assert cache[key] == str(key)
        except KeyError:
            assert not known
            cache.put(key, str(key))
        recent[key] = None
        recent.move_to_end(key)
        while len(recent) > half:
            recent.popitem(last=False)


@given(st.lists(st.tuples(st.sampled_from(["put", "get", "forget"]), FEW, FEW), min_size=5), st.integers(1, 7))
def test_entries_that_are_not_weighed_count_for_one(steps: list[tuple[str, int, int]], bound: int) -> None:
    plain: Cache[int, int] = Cache(bound=bound)
    weighed: Cache[int, int] = Cache(bound=bound, weigh=lambda _key, _value: 1)
    for what, key, value in steps:
        if what == "put":
            plain.put(key, value)
            weighed.put(key, value)
        elif what == "forget":
            assert plain.forget(key) == weighed.forget(key)
        else:
            assert plain.find(key) == weighed.find(key)
        assert (dict(plain), plain._old, plain.weight) == (dict(weighed), weighed._old, weighed.weight)


def test_it_makes_what_is_not_there_once_as_long_as_it_is_in_use() -> None:
    made: list[str] = []

    def make(key: str) -> str:
        made.append(key)
        return key.upper()

    cache = Cache(make, bound=4)
    for key in ["a", "b", "a", "c", "a", "d", "a", "e", "a"]:
        assert cache[key] == key.upper()
    assert made.count("a") == 1
    for key in "bcdefgh":
        assert cache[key] == key.upper()
    assert cache["a"] == "A"
    assert made.count("a") == 2


def test_what_cannot_be_made_is_not_remembered() -> None:
    def make(key: str) -> str:
        raise ValueError(key)

    cache: Cache[str, str] = Cache(make, bound=4)
    for _ in range(2):
        with pytest.raises(ValueError, match="x"):
            cache["x"]


def test_one_that_would_take_half_of_it_is_not_kept() -> None:
    cache: Cache[str, bytes] = Cache(bound=100, weigh=lambda _, value: len(value))
    cache.put("small", b"x" * 50)
    cache.put("large", b"x" * 51)
    assert cache["small"]
    with pytest.raises(KeyError):
        cache["large"]


def test_none_is_a_value_too() -> None:
    cache: Cache[str, None] = Cache(bound=4)
    cache.put("x", None)
    assert cache["x"] is None
    cache.put("x", None)
    assert cache["x"] is None
