"""Which repositories hold an image of v1, so that whoever may pull one of them may have it.

An image's address names no repository. One holds it where one of its tags names it or a descendant of it
(`tagged_images`), or where it has a manifest of which it was made (`made_images`). What a push has announced
(`_index_images`) does not count: it is the client's claim.

What is known here only says where to look. That a repository holds an image is found in storage each time. That none
of some does is only said after these have been looked at, since other processes push and delete too: that costs a
`stat` or two of each, and the reading of those that have changed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Protocol, TypeVar

from backends.model.cache import Cache
from backends.model.names import ImageId
from backends.registry.v1_view.holdings import Collecting, Holdings, KnownHoldings
from backends.registry.yielding import yielding
from backends.storage.driver import StorageError

Among = Callable[[str], bool]
"""Whether a repository is in question, by its canonical name."""

MAX_IMAGES = 2_000_000
"""So many images of all repositories are known at most, in 12 bytes each; others are read when they are asked for."""

REMEMBERED = 16384
"""Where so many images were found last is tried first."""

SETTLED_SECONDS = 0.1
"""A folder that was changed within this time may be changed again without its time saying so."""

K = TypeVar("K")


class Held(Protocol):
    """One way in which repositories hold images: each by something of its own, such as a tag."""

    async def names(self) -> Sequence[str]:
        """Returns the canonical names of all repositories that may hold some."""
        ...

    async def stamp(self, name: str) -> Mapping[str, float]:
        """Returns when the folders of a repository were last changed that say what it holds; none without any."""
        ...

    async def collect(self, name: str) -> tuple[Collecting, bool]:
        """Returns what a repository holds by what, and whether its stamp changes with that."""
        ...

    async def confirms(self, name: str, by: str, image_id: ImageId) -> bool:
        """Whether a repository holds an image by something, as it is stored now."""
        ...


class Holders:
    """The repositories of a store that hold images in one way.

    Args:
        held: the way.
        bound: how many images are known at most.
    """

    def __init__(self, held: Held, *, bound: int = MAX_IMAGES) -> None:
        self._held = held
        self._known = KnownHoldings(bound)
        self._reading: dict[str, asyncio.Task[Holdings | None]] = {}
        self._hints: Cache[tuple[str, ImageId], str] = Cache(bound=REMEMBERED)
        self._last: Cache[ImageId, str] = Cache(bound=REMEMBERED)

    async def is_held(self, image_id: ImageId, among: Among, *, first: str = "", max_age: float = 0.0) -> bool:
        """Whether one of some repositories holds an image; the arguments are those of `holder`."""
        return await self.holder(image_id, among, first=first, max_age=max_age) is not None

    async def holder(self, image_id: ImageId, among: Among, *, first: str = "", max_age: float = 0.0) -> str | None:
        """Returns one of some repositories that holds an image, by its canonical name; None where none does.

        Args:
            image_id: the image; one that is not complete is held by none.
            among: which repositories are in question.
            first: the one that is asked first, by its canonical name; "" for none.
            max_age: so many seconds ago the others may have been looked at, where it is no mistake to miss one.

        Raises:
            StorageError: one of them cannot be read, and none of the others holds it.
        """
        if first and among(first) and await self.holds(first, image_id):
            return first
        last = _found(self._last, image_id)
        if last is not None and last != first and among(last) and await self._holds_as_known(last, image_id):
            return last
        known = await self._one_holds_as_known(image_id, among)
        if known is not None:
            return known
        # Only these: neither the answer nor its time depends on what others have.
        failed: StorageError | None = None
        async for name in yielding([name for name in await self._held.names() if among(name)]):
            try:
                if name != first and await self.holds(name, image_id, max_age=max_age):
                    self._last.put(image_id, name)
                    return name
            except StorageError as error:  # another may hold it, all the same
                failed = error
        if failed is not None:
            raise failed
        return None

    async def holds(self, name: str, image_id: ImageId, *, max_age: float = 0.0) -> bool:
        """Whether a repository holds an image; takes its canonical name."""
        if await self._holds_as_known(name, image_id):
            return True
        known = await self._fresh(name, max_age)
        by = None if known is None else known.holder_of(image_id)
        if by is None or not await self._held.confirms(name, by, image_id):
            return False
        self._hints.put((name, image_id), by)
        return True

    def spread(self, name: str, ancestry: Sequence[ImageId]) -> None:
        """Takes note that a client was told what lies below an image: it asks for all of it next."""
        by = _found(self._hints, (name, ancestry[0])) if ancestry else None
        if by is not None:
            for image_id in ancestry:
                self._hints.put((name, image_id), by)

    # as known, and still so

    async def _one_holds_as_known(self, image_id: ImageId, among: Among) -> str | None:
        async for name in yielding(list(self._known.with_image(image_id))):
            if among(name) and await self._holds_as_known(name, image_id):
                self._last.put(image_id, name)
                return name
        return None

    async def _holds_as_known(self, name: str, image_id: ImageId) -> bool:
        hinted = _found(self._hints, (name, image_id))
        if hinted is not None and await self._held.confirms(name, hinted, image_id):
            return True
        known = self._known.find(name)
        by = None if known is None else known.holder_of(image_id)
        if by is None:
            return False
        if await self._held.confirms(name, by, image_id):
            self._hints.put((name, image_id), by)
            return True
        self._known.forget(name)  # something has moved or gone
        return False

    # from storage

    async def _fresh(self, name: str, max_age: float = 0.0) -> Holdings | None:
        """Returns what a repository holds, as it is stored at some time since this was called; None for nothing."""
        known, now = self._known.find(name), time.monotonic()
        if known is not None:
            if now - known.looked < max_age:
                return known
            if known.stamp is not None and known.stamp == await self._held.stamp(name):
                known.looked = now
                return known
        reading = self._reading.get(name)
        if reading is not None:  # it may have begun too early; the next one has not
            await asyncio.wait([reading])
            reading = self._reading.get(name)
        if reading is None:
            reading = self._reading[name] = asyncio.create_task(self._read(name))
            reading.add_done_callback(partial(self._has_read, name))
        return await asyncio.shield(reading)

    def _has_read(self, name: str, reading: asyncio.Task[Holdings | None]) -> None:
        self._reading.pop(name, None)
        if not reading.cancelled():
            reading.exception()  # whoever still waits has it

    async def _read(self, name: str) -> Holdings | None:
        began, looked = time.time(), time.monotonic()
        stamp = await self._held.stamp(name)
        if not stamp:
            self._known.forget(name)
            return None
        collected, is_told = await self._held.collect(name)
        is_sure = is_told and all(0 < modified < began - SETTLED_SECONDS for modified in stamp.values())
        known = await asyncio.to_thread(Holdings, collected, stamp if is_sure else None, looked)
        self._known.put(name, known)
        return known


def _found(cache: Cache[K, str], key: K) -> str | None:
    try:
        return cache[key]
    except KeyError:
        return None
