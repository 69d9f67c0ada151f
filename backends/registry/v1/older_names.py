"""Names as docker-registry wrote them up to 0.8.0 become those that 0.9.1 reads, and so do we.

0.9.1 escapes once more than they did, so it finds nothing of a repository or a tag whose name it would write
otherwise: `b%2Fc`, where it has `b%252Fc`. No Docker of those days could push such a repository, but other clients
could. Where 0.9.1 reads a name of theirs as another one, `r%2Bx` as `r x`, it stays that.

Nothing of it happens by itself: whatever reads the old names finds nothing afterwards, and a folder that somebody has
put aside under such a name would be served.

Invariants:
- the new file is there before the old one goes, and a tag comes after what describes it; only these files go;
- what has its name already stays as it is, and so does an old tag that v2 clients have moved on: its time would be new.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Collection, Sequence
from dataclasses import dataclass

from typing_extensions import override

from backends.model.names import TagName, is_tag
from backends.model.v1names import V1Name
from backends.registry.exclusive_lock import exclusive_lock
from backends.registry.no_room import exists
from backends.registry.yielding import yielding
from backends.storage import layout
from backends.storage.capabilities import remove_empty
from backends.storage.driver import InvalidPath, PathNotFound
from backends.storage.storage import Storage

_INDEX_IMAGES = "_index_images"


@dataclass(slots=True)
class Renamed:
    """What was done.

    Attributes:
        repositories: folders whose content has another name now.
        tags: tags in other folders likewise.
        left: folders and tags that stay, and cannot be read.
    """

    repositories: int = 0
    tags: int = 0
    left: int = 0

    @override
    def __str__(self) -> str:
        repositories = "repository" if self.repositories == 1 else "repositories"
        tags, stay = "tag" if self.tags == 1 else "tags", "stays and is" if self.left == 1 else "stay and are"
        return f"{self.repositories} {repositories} and {self.tags} {tags} renamed; {self.left} {stay} not read"


class OlderNames:
    """Renames what is on a volume, beside servers that use it.

    Args:
        storage: of v2's tags, and of the locks of both generations.
        v1_storage: of v1's repositories.
        say: told what becomes of each file.
        dry_run: whether nothing is changed.
    """

    def __init__(
        self, storage: Storage, v1_storage: Storage, *, say: Callable[[str], None], dry_run: bool = False
    ) -> None:
        self._storage = storage
        self._driver = v1_storage.driver
        self._say = say
        self._dry_run = dry_run

    async def rename(self) -> Renamed:
        """Looks at all folders and files of v1's repositories.

        Raises:
            StorageError, RegistryError: it could not; what was done stays, and the next time does the rest.
        """
        renamed = Renamed()
        async for namespace, entry in self._folders():
            folder = f"{layout.V1_REPOSITORIES}/{namespace}/{entry}"
            name, older = layout.v1_name_of(namespace, entry), layout.v1_older_name_of(namespace, entry)
            if name is not None and _older_tags(await self._list(folder)):
                async with exclusive_lock(self._storage.locks, layout.repository_lock(name.text)):
                    await self._rename_tags(name, folder, renamed)
            elif older is not None:
                async with exclusive_lock(self._storage.locks, layout.repository_lock(older.text)):
                    await self._rename_repository(older, folder, renamed)
        return renamed

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

    async def _rename_tags(self, name: V1Name, folder: str, renamed: Renamed) -> None:
        entries = frozenset(await self._list(folder))
        for entry in _older_tags(entries):
            if await self._move_tag(name, folder, entry, entries):
                renamed.tags += 1
            else:
                renamed.left += 1

    async def _rename_repository(self, name: V1Name, folder: str, renamed: Renamed) -> None:
        entries = frozenset(await self._list(folder))
        tags = [entry for entry in entries if entry.startswith(layout.V1_TAG)]
        if not tags and _INDEX_IMAGES not in entries:  # not a repository's, or what another process has just renamed
            return
        target = layout.v1_repository(name.namespace, name.stored)
        is_whole = True
        for entry in sorted(layout.V1_REPOSITORY_FILES & entries):
            is_whole &= await self._move(f"{folder}/{entry}", f"{target}/{entry}")
        for entry in _without_descriptions(tags):
            is_whole &= await self._move_tag(name, folder, entry, entries)
        if is_whole and (self._dry_run or await remove_empty(self._driver, folder)):
            renamed.repositories += 1
        else:
            renamed.left += 1
            self._say(f"{folder} stays with what is left in it")

    async def _move_tag(self, name: V1Name, folder: str, entry: str, entries: Collection[str]) -> bool:
        """Gives a tag the names that 0.9.1 reads; whether nothing is left that only the old ones say."""
        text = entry.removeprefix(layout.V1_TAG)
        tag = layout.v1_older_tag_of(entry) or text  # in an old folder, all is old
        place = (name.namespace, name.stored)
        if name.v2 is not None and is_tag(tag):
            link = layout.tag_current_link(name.v2, TagName(tag))
            if await exists(self._storage.driver, link):
                self._say(f"{folder}/{entry} stays: clients of v2 have moved the tag {tag} of {name} on")
                return False
        description = _description(entry)
        if description in entries:
            await self._move(f"{folder}/{description}", layout.v1_tag_json(*place, tag))
        return await self._move(f"{folder}/{entry}", layout.v1_tag(*place, tag))

    async def _move(self, source: str, target: str) -> bool:
        """Gives a small file another name, unless that is taken; whether the old one is gone."""
        try:
            content = await self._driver.read(source)
            is_taken = await exists(self._driver, target)
            self._say(f"{source} {'goes, since there is' if is_taken else 'becomes'} {target}")
            if self._dry_run:
                return True
            if not is_taken:
                await self._driver.write(target, content)
            await self._driver.delete(source)
        except (PathNotFound, InvalidPath) as error:  # a folder, or too long a name
            self._say(f"{source} stays: {error}")
            return False
        return True


def _older_tags(entries: Collection[str]) -> Sequence[str]:
    return _without_descriptions([entry for entry in entries if layout.v1_older_tag_of(entry) is not None])


def _without_descriptions(tags: Sequence[str]) -> Sequence[str]:
    """Returns what describes no other of the tags: who set `_x` is in the file of `x_json`, and goes with it."""
    return sorted(set(tags).difference(map(_description, tags)))


def _description(entry: str) -> str:
    """Returns the file that says who set a tag, by the tag's own."""
    return f"tag{entry.removeprefix(layout.V1_TAG)}_json"
