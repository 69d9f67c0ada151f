"""A tag in all its files: v2's link, v1's file, and the record that says which of them holds where there are both.

Most tags have been written by one generation only. They have no record, and cost two looks for what is not there.

Invariants:
- whoever is killed, and whatever finds no room: a tag names what it named before, or what it was moved to;
- who reads without the lock of a tag is told what it named at some time since it asked. So what holds is removed last,
  and the record of it after that: no look at the files finds only what held long ago.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import count

from backends.model.cache import Cache
from backends.model.names import RepositoryName, TagName
from backends.model.tag_records import Seen, TagRecord, load_record, named
from backends.model.targets import Target, V1Target, V2Target
from backends.model.v1names import V1Name
from backends.registry.events import rfc3339
from backends.registry.image_copies import Copies
from backends.registry.no_room import undone_without_room
from backends.registry.tags.records import TagRecords
from backends.registry.tags.v1_files import V1Files
from backends.registry.tags.v2_links import V2Links
from backends.storage import layout
from backends.storage.capabilities import KnowsAbsence, capability
from backends.storage.driver import InvalidPath, PathNotFound, StorageDriver

ATTEMPTS = 5
"""So often a tag is looked at while others keep moving it."""

_log = logging.getLogger("portside.registry")


@dataclass(frozen=True, slots=True)
class Tag:
    """A tag of a repository, by what each generation calls it.

    Attributes:
        v2: the repository in v2; None where v2 has no name for it, or for the tag.
        v1: the repository in v1; None likewise.
        text: the tag.
    """

    v2: RepositoryName | None
    v1: V1Name | None
    text: str


@dataclass(frozen=True, slots=True)
class TagState:
    """All that is stored of a tag.

    Attributes:
        v2: v2's link.
        v1: v1's file.
        record: its record, if it has one that is whole.
        has_record: whether there is one at all.
    """

    v2: Seen | None
    v1: Seen | None
    record: TagRecord | None
    has_record: bool

    @property
    def target(self) -> Target | None:
        """What the tag names; None for nothing."""
        return named(self.record, v2=self.v2, v1=self.v1)

    def own(self, target: Target) -> Seen | None:
        """Returns the file of the generation that a target is of."""
        return self.v2 if isinstance(target, V2Target) else self.v1

    def other(self, target: Target) -> Seen | None:
        """Returns the file of the other generation."""
        return self.v1 if isinstance(target, V2Target) else self.v2


class TagFiles:
    """The files of all tags.

    Args:
        driver: of v2's root, where the records are too.
        v1_driver: of v1's.
        copies: the images that repositories have for themselves, which their tags name by the same ids.

    Attributes:
        links: v2's.
        files: v1's.
        records: which of them holds.
    """

    def __init__(self, driver: StorageDriver, v1_driver: StorageDriver, copies: Copies) -> None:
        self._driver = driver
        self._copies = copies
        self.links = V2Links(driver)
        self.files = V1Files(v1_driver)
        self.records = TagRecords(driver)
        self._knows = capability(driver, KnowsAbsence)
        self._v1_knows = capability(v1_driver, KnowsAbsence)
        self._v1_paths: Cache[RepositoryName, tuple[str, str]] = Cache(bound=4096)
        self._v2_paths: Cache[RepositoryName, tuple[str, str]] = Cache(bound=4096)

    async def target(self, tag: Tag) -> Target:
        """Returns what a tag names.

        Raises:
            PathNotFound: there is no such tag.
        """
        if tag.v2 is not None:
            return await self.target_of(tag.v2, tag.v1, TagName(tag.text))
        if tag.v1 is not None:
            return await self.image(tag.v1, tag.text)
        raise PathNotFound(tag.text)

    async def image(self, name: V1Name, text: str) -> V1Target:
        """Returns the image that v1's file of a tag names.

        Raises:
            PathNotFound: there is no such tag.
        """
        return await self._copies.resolved(name, await self.files.read(name, text))

    async def resolved(self, name: V1Name | None, target: Target) -> Target:
        """Returns what a tag names of which the files have been read."""
        if name is None or isinstance(target, V2Target):
            return target
        return await self._copies.resolved(name, target)

    async def target_of(self, name: RepositoryName, v1: V1Name | None, text: TagName) -> Target:
        """Returns what a tag names that v2 may have; most pulls come here.

        Raises:
            PathNotFound: there is no such tag.
        """
        if v1 is None or self._v2_is_alone(name, v1):
            return V2Target(await self.links.read(name, text))
        if self._v1_is_alone(name):
            try:
                return await self.image(v1, text)
            except InvalidPath:  # what is there in place of the repository is none
                raise PathNotFound(layout.tag(name, text)) from None
        if await self.records.read(name, text) is None:
            if not await self.files.is_there(v1, text):
                return V2Target(await self.links.read(name, text))
            # Where a link held, v1's file was removed before it: what is there once it is gone, holds.
            if not await self.links.is_there(name, text):
                return await self.image(v1, text)
        target = (await self.state(Tag(name, v1, text))).target
        if target is None:
            raise PathNotFound(layout.tag(name, text))
        return await self.resolved(v1, target)

    def _v2_is_alone(self, name: RepositoryName, v1: V1Name) -> bool:
        """Whether surely v1 has nothing of a repository, and none of its tags has a record."""
        if self._knows is None or self._v1_knows is None:
            return False
        try:
            records, of_v1 = self._v1_paths[name]
        except KeyError:
            records, of_v1 = layout.tag_records(name), layout.v1_repository(v1.namespace, v1.stored)
            self._v1_paths.put(name, (records, of_v1))
        if self._knows is self._v1_knows:
            return self._knows.are_absent((records, of_v1))
        return self._knows.are_absent((records,)) and self._v1_knows.are_absent((of_v1,))

    def _v1_is_alone(self, name: RepositoryName) -> bool:
        """Whether surely a repository has had no tag of v2, and none of its tags has a record."""
        if self._knows is None:
            return False
        try:
            paths = self._v2_paths[name]
        except KeyError:
            paths = layout.tag_records(name), layout.tags(name)
            self._v2_paths.put(name, paths)
        return self._knows.are_absent(paths)

    async def state(self, tag: Tag) -> TagState:
        """Returns all that is stored of a tag at one time."""
        record = await self._record(tag)
        for attempt in count(1):
            v1 = None if tag.v1 is None else await self.files.see(tag.v1, tag.text)
            v2 = None if tag.v2 is None else await self.links.see(tag.v2, TagName(tag.text))
            before, record = record, await self._record(tag)
            if record == before or attempt == ATTEMPTS:
                return TagState(v2, v1, None if record is None else load_record(record), record is not None)
        raise AssertionError("unreachable: the last attempt returns")

    async def _record(self, tag: Tag) -> bytes | None:
        if tag.v2 is None or tag.v1 is None:
            return None
        return await self.records.read(tag.v2, TagName(tag.text))

    async def write(
        self, tag: Tag, target: Target, work: Callable[[], Awaitable[None]], *, writer: str, now: int
    ) -> None:
        """Makes a tag name something.

        Args:
            tag: the tag.
            target: what it is to name.
            work: writes the file of the target's generation, as its original program does.
            writer: who does it: a User-Agent.
            now: nanoseconds since 1970.

        Raises:
            StorageFull: the tag names what it named before; or, where both generations have files of it and only the
                new record finds no room, what it was moved to.
        """
        before = await self.state(tag)
        if tag.v2 is None or tag.v1 is None or (not before.has_record and before.other(target) is None):
            await work()
            return
        name, text = tag.v2, TagName(tag.text)
        is_written = False

        async def stays() -> bool:
            return is_written

        def record_of(state: TagState, named_now: Target | None) -> TagRecord:
            return TagRecord(named_now, state.v2, state.v1, written=rfc3339(now), writer=writer)

        async with undone_without_room(self._driver, layout.tag_record(name, text), unless=stays):
            intent = record_of(before, before.target)
            if before.record is None or not before.record.says_the_same_as(intent):
                await self.records.write(name, text, intent)
            else:
                intent = before.record
            await work()
            is_written = True
            after = await self.state(tag)
            # Programs that know of no record may have moved it since. Of its own writing this takes note even where the
            # content and the time are those that the file had before.
            moved = target if after.own(target) == before.own(target) else named(intent, v2=after.v2, v1=after.v1)
            if moved != target:
                _log.info("the tag %s of %s has been moved on by another program at once", text, name)
            await self.records.write(name, text, record_of(after, moved))

    async def delete(self, tag: Tag) -> None:
        """Removes a tag with all its files: what does not hold any more first, then what does, then the record.

        Nothing is written for that, so it works on a full disk.

        Raises:
            PathNotFound: there is nothing of it.
        """
        target = (await self.state(tag)).target
        is_v1_last = isinstance(target, V1Target)
        found = [await self._delete(tag, v1=v1) for v1 in (not is_v1_last, is_v1_last)]
        if tag.v2 is not None and tag.v1 is not None:
            await self.records.delete(tag.v2, TagName(tag.text))
        if not any(found):
            raise PathNotFound(tag.text)

    async def delete_older(self, tag: Tag) -> None:
        """Removes the file of a tag that does not hold; both where none does."""
        target = (await self.state(tag)).target
        for kind in (V1Target, V2Target):
            if not isinstance(target, kind):
                await self._delete(tag, v1=kind is V1Target)

    async def _delete(self, tag: Tag, *, v1: bool) -> bool:
        """Removes the files of one generation; whether there were any."""
        with suppress(PathNotFound):
            if v1 and tag.v1 is not None:
                await self.files.delete(tag.v1, tag.text)
                return True
            if not v1 and tag.v2 is not None:
                await self.links.delete(tag.v2, TagName(tag.text))
                return True
        return False
