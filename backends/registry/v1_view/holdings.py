"""Which images a repository holds, and by what, in little memory: a number for each image. PURE.

It says where to look and proves nothing: a number may stand for several ids, and a tag may have moved since.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping

from backends.model.names import ImageId


class Collecting:
    """The images of a repository while it is read what it holds."""

    def __init__(self) -> None:
        self.by: list[str] = []
        self.found: dict[int, int] = {}

    def add(self, by: str, ids: Iterable[ImageId]) -> None:
        """Adds the images that a repository holds by something, such as a tag."""
        number = len(self.by)
        self.by.append(by)
        for image_id in ids:
            # Python's own hash of a text has a key of this process: nobody can choose ids that have the same.
            self.found.setdefault(hash(image_id), number)


class Holdings:
    """The images of a repository.

    Args:
        collected: what it holds.
        stamp: when its folders were changed before they were read; None where that says nothing.
        looked: when it was seen last that this holds, on the monotonic clock.
    """

    __slots__ = ("_at", "_by", "_keys", "looked", "stamp")

    def __init__(self, collected: Collecting, stamp: Mapping[str, float] | None, looked: float = 0.0) -> None:
        self.stamp = stamp
        self.looked = looked
        self._by = collected.by
        self._keys = array("q", sorted(collected.found))
        self._at = array("I", [collected.found[key] for key in self._keys])

    def __len__(self) -> int:
        """Returns how many images it holds."""
        return len(self._keys)

    def holder_of(self, image_id: ImageId) -> str | None:
        """Returns by what it holds an image, as far as is known here; None where it does not."""
        key = hash(image_id)
        place = bisect_left(self._keys, key)
        if place == len(self._keys) or self._keys[place] != key:
            return None
        return self._by[self._at[place]]


class KnownHoldings:
    """The holdings of repositories, those used last, within a bound.

    Args:
        bound: how many images at most, of all repositories together; a repository counts for one more.
    """

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._weight = 0
        self._known: OrderedDict[str, Holdings] = OrderedDict()

    def find(self, name: str) -> Holdings | None:
        """Returns what is known of a repository; None for nothing."""
        known = self._known.get(name)
        if known is not None:
            self._known.move_to_end(name)
        return known

    def with_image(self, image_id: ImageId) -> Iterator[str]:
        """Yields the repositories that hold an image, as far as is known; they may not be changed meanwhile."""
        for name, known in self._known.items():
            if known.holder_of(image_id) is not None:
                yield name

    def put(self, name: str, known: Holdings) -> None:
        """Takes what a repository holds, in place of what was known; what exceeds the bound alone is not kept."""
        self.forget(name)
        if len(known) + 1 > self._bound:
            return
        self._known[name] = known
        self._weight += len(known) + 1
        while self._weight > self._bound:
            _, oldest = self._known.popitem(last=False)
            self._weight -= len(oldest) + 1

    def forget(self, name: str) -> None:
        """Drops what is known of a repository."""
        known = self._known.pop(name, None)
        if known is not None:
            self._weight -= len(known) + 1
