"""What is remembered, within a bound: the one cache of this project. PURE.

It holds two generations. What is found or put is in the young one; when that is full it becomes the old one, and what
was in the old one and has not been asked for since goes. So the longest unused go first, a generation at a time, and a
hit costs one look into a dictionary, without any bookkeeping.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Generic, TypeVar

K = TypeVar("K")
V = TypeVar("V")


class _Nothing:
    """The value of what is not there; None may be one that is."""


NOTHING = _Nothing()


class Cache(dict[K, V], Generic[K, V]):
    """A bounded mapping, to be used through `cache[key]`, `find`, `put` and `forget`.

    The dictionary itself is the young generation, so what iterates, counts or compares does not see the old one.
    Several threads may use it: where they race, something is made twice or forgotten early.

    Args:
        make: makes the value of a key that is not there; without it, `cache[key]` raises KeyError.
        bound: how much is remembered at most: entries, or whatever `weigh` returns.
        weigh: returns what an entry counts for; 1 unless given.
    """

    __slots__ = ("_half", "_make", "_old", "_weigh", "_weight")

    def __init__(
        self,
        make: Callable[[K], V] | None = None,
        *,
        bound: int,
        weigh: Callable[[K, V], int] | None = None,
    ) -> None:
        super().__init__()
        self._make = make
        self._weigh = weigh
        self._half = max(1, bound // 2)
        self._weight = 0
        self._old: dict[K, V] = {}

    def __missing__(self, key: K) -> V:
        value: V | _Nothing = self._old.get(key, NOTHING)
        if isinstance(value, _Nothing):
            if self._make is None:
                raise KeyError(key)
            value = self._make(key)
        self.put(key, value)
        return value

    def put(self, key: K, value: V) -> None:
        """Remembers a value, in place of another one of this key; what takes more than half the bound is not kept."""
        if self._weigh is None:  # the same in fewer steps: what is asked for once pays for this each time
            if self._old:
                self._old.pop(key, None)
            if len(self) >= self._half and key not in self:
                self._old = dict(self)
                self.clear()
            self[key] = value
            return
        weight = self._weigh(key, value)
        self.forget(key)
        if weight > self._half:
            return
        if self._weight + weight > self._half:
            self._old = dict(self)
            self.clear()
            self._weight = 0
        self[key] = value
        self._weight += weight

    @property
    def weight(self) -> int:
        """What all that is remembered counts for."""
        if self._weigh is None:
            return len(self) + len(self._old)
        return self._weight + sum(self._weigh(key, value) for key, value in self._old.items())

    def find(self, key: K) -> V | None:
        """Returns what is remembered, and None for nothing, without making any: for what is seldom there."""
        found = self.get(key)
        if found is None and self._old:
            found = self._old.get(key)
            if found is not None:
                self.put(key, found)
        return found

    def forget(self, key: K) -> V | None:
        """Drops a value; returns it, or None when there was none."""
        old = self._old.pop(key, None)
        value: V | _Nothing = self.pop(key, NOTHING)
        if isinstance(value, _Nothing):
            return old
        if self._weigh is not None:
            self._weight -= self._weigh(key, value)
        return value
