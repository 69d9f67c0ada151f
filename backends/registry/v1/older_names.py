"""Names as docker-registry wrote them up to 0.8.0 become those that 0.9.1 reads, and so do we; once for a volume.

0.9.1 escapes once more than they did, so it finds nothing of a repository or a tag whose name it would write
otherwise: `b%2Fc`, where it has `b%252Fc`. No Docker of those days could push such a repository, but other clients
could. Where 0.9.1 reads a name of theirs as another one, `r%2Bx` as `r x`, it stays that.

Invariants:
- the new file is there before the old one goes, and a tag comes after what describes it;
- what has its name already stays as it is, and so does an old tag that v2 clients have moved on: its time would be new.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

from typing_extensions import override

from backends.model.names import TagName, is_tag
from backends.model.v1names import V1Name
from backends.registry.exclusive_lock import exclusive_lock
from backends.registry.no_room import exists
from backends.registry.schedule import Schedule
from backends.registry.yielding import yielding
from backends.storage import layout
from backends.storage.driver import InvalidPath, PathNotFound
from backends.storage.storage import Storage

_log = logging.getLogger("portside.v1")


@dataclass(slots=True)
class Renamed:
    """What a pass has done.

    Attributes:
        repositories: folders whose content has another name now.
        tags: tags in other folders likewise.
        left: what stays, and cannot be read.
    """

    repositories: int = 0
    tags: int = 0
    left: int = 0

    @override
    def __str__(self) -> str:
        return f"{self.repositories} repositories and {self.tags} tags; {self.left} stay and are not read"


class OlderNames:
    """Makes the pass over a volume that is due: one, unless its note there is deleted.

    Args:
        storage: of v2's tags, and of the locks of both generations.
        v1_storage: of v1's repositories.
    """

    def __init__(self, storage: Storage, v1_storage: Storage) -> None:
        self._storage = storage
        self._driver = v1_storage.driver
        self._renamed = Renamed()
        self._schedule = Schedule(
            v1_storage,
            self._make,
            "what docker-registry wrote before 0.8.1",
            lock=layout.V1_NAMES_LOCK,
            note=layout.V1_NAMES_READ,
            interval_seconds=0,
            started=0.0,
            log=_log,
        )
        self.watch = self._schedule.watch
        self.tick = self._schedule.tick

    async def _make(self) -> None:
        renamed = await self.run()
        if renamed != Renamed():
            _log.info("names that docker-registry wrote before 0.8.1 are now as 0.9.1 writes them: %s", renamed)

    async def run(self) -> Renamed:
        """Looks at all folders and files of v1's repositories.

        Raises:
            StorageError, RegistryError: it could not; what was done stays.
        """
        self._renamed = Renamed()
        async for namespace, entry in self._folders():
            folder = f"{layout.V1_REPOSITORIES}/{namespace}/{entry}"
            name, older = layout.v1_name_of(namespace, entry), layout.v1_older_name_of(namespace, entry)
            if name is not None:
                await self._rename_tags(name, folder)
            elif older is not None:
                async with exclusive_lock(self._storage.locks, layout.repository_lock(older.text)):
                    await self._rename_repository(older, folder)
        return self._renamed

    async def _folders(self) -> AsyncIterator[tuple[str, str]]:
        async for namespace in yielding(await self._list(layout.V1_REPOSITORIES)):
            async for entry in yielding(await self._list(f"{layout.V1_REPOSITORIES}/{namespace}")):
                yield namespace, entry

    async def _list(self, folder: str) -> Sequence[str]:
        """Returns what is in a folder; what is none, or has a name beyond ASCII, is not docker-registry's."""
        if not folder.isascii():
            return ()
        try:
            return [entry for entry in await self._driver.list(folder) if entry.isascii()]
        except (PathNotFound, InvalidPath):
            return ()

    async def _rename_tags(self, name: V1Name, folder: str) -> None:
        entries = await self._list(folder)
        tags = [tag for tag in map(layout.v1_older_tag_of, entries) if tag is not None]
        if not tags:
            return
        async with exclusive_lock(self._storage.locks, layout.repository_lock(name.text)):
            for entry in entries:
                if layout.v1_older_tag_of(entry) is not None and await self._take_tag(name, folder, entry):
                    self._renamed.tags += 1
                    for old in (_description(entry), entry):
                        if old in entries:
                            await self._driver.delete(f"{folder}/{old}")

    async def _rename_repository(self, name: V1Name, folder: str) -> None:
        entries = await self._list(folder)
        tags = [entry for entry in entries if entry.startswith(layout.V1_TAG)]
        described = set(map(_description, tags))
        is_whole = True
        for entry in entries:
            if entry not in tags and entry not in described:
                target = f"{layout.v1_repository(name.namespace, name.stored)}/{entry}"
                is_whole &= await self._copy(f"{folder}/{entry}", target)
        for entry in tags:
            is_whole &= await self._take_tag(name, folder, entry)
        if is_whole:
            self._renamed.repositories += 1
            await self._driver.delete(folder)
        else:
            self._renamed.left += 1

    async def _take_tag(self, name: V1Name, folder: str, entry: str) -> bool:
        """Gives a tag the names that 0.9.1 reads; whether nothing is left that only the old ones say."""
        text = entry.removeprefix(layout.V1_TAG)
        tag = layout.v1_older_tag_of(entry) or text  # in an old folder, all is old
        place = (name.namespace, name.stored)
        if name.v2 is not None and is_tag(tag):
            link = layout.tag_current_link(name.v2, TagName(tag))
            if await exists(self._storage.driver, link):
                _log.warning("%s stays: clients of v2 have moved the tag %s of %s on", f"{folder}/{entry}", tag, name)
                return False
        if _description(entry) in await self._list(folder):
            await self._copy(f"{folder}/{_description(entry)}", layout.v1_tag_json(*place, tag))
        return await self._copy(f"{folder}/{entry}", layout.v1_tag(*place, tag))

    async def _copy(self, source: str, target: str) -> bool:
        """Writes what a file says under another name, unless that is taken; whether it is there now."""
        try:
            if not await exists(self._driver, target):
                await self._driver.write(target, await self._driver.read(source))
        except (PathNotFound, InvalidPath) as error:  # a folder, or too long a name
            _log.warning("%s stays, and is not read: %s", source, error)
            return False
        return True


def _description(entry: str) -> str:
    """Returns the file that says who set a tag, by the tag's own."""
    return f"tag{entry.removeprefix(layout.V1_TAG)}_json"
