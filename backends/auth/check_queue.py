"""What waits for one worker to do it, fairly among those who ask. PURE.

Each asker has a queue of its own, and the askers take turns: one that asks for much waits behind itself, not before the
others.
"""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

T = TypeVar("T")


class FairQueue(Generic[T]):
    """Things that wait, by who asked for them."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[T]] = {}
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def waiting_for(self, asker: str) -> int:
        """Returns how many things of one asker wait."""
        return len(self._waiting.get(asker, ()))

    def add(self, asker: str, thing: T) -> None:
        """Takes one more."""
        self._waiting.setdefault(asker, deque()).append(thing)
        self._size += 1

    def take(self) -> T:
        """Returns the first thing of the asker whose turn it is.

        Raises:
            IndexError: nothing waits.
        """
        asker = next(iter(self._waiting), None)
        if asker is None:
            raise IndexError("nothing waits")
        of_asker = self._waiting.pop(asker)
        thing = of_asker.popleft()
        if of_asker:
            self._waiting[asker] = of_asker  # behind all others
        self._size -= 1
        return thing

    def remove(self, asker: str, thing: T) -> bool:
        """Takes one out that is no longer wanted; False if it is not there."""
        of_asker = self._waiting.get(asker)
        if of_asker is None or thing not in of_asker:
            return False
        of_asker.remove(thing)
        self._size -= 1
        if not of_asker:
            del self._waiting[asker]
        return True

    def take_back(self) -> T:
        """Returns the last thing of the asker that has most, to make room for another one's.

        Raises:
            IndexError: nothing waits.
        """
        if not self._waiting:
            raise IndexError("nothing waits")
        asker = max(self._waiting, key=lambda each: len(self._waiting[each]))
        of_asker = self._waiting[asker]
        thing = of_asker.pop()
        self._size -= 1
        if not of_asker:
            del self._waiting[asker]
        return thing
