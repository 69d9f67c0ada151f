"""v2's tags in distribution's files: `current/link` is the tag, `index/...` what it has ever named."""

from __future__ import annotations

from collections.abc import Sequence

from backends.model.digest import Digest
from backends.model.errors import RegistryError
from backends.model.names import RepositoryName, TagName
from backends.model.tag_records import Seen
from backends.model.targets import V2Target
from backends.registry.links import parse_link, read_link, write_link
from backends.registry.no_room import exists, undone_without_room
from backends.registry.tags.seeing import see
from backends.storage import layout
from backends.storage.driver import InvalidPath, PathNotFound, StorageDriver


class V2Links:
    """The links of all v2 tags on one root. `service` holds the lock of a tag while one of them is changed."""

    def __init__(self, driver: StorageDriver) -> None:
        self._driver = driver

    async def read(self, name: RepositoryName, tag: TagName) -> Digest:
        """Returns the digest that a tag names.

        Raises:
            PathNotFound: there is no such tag.
        """
        return await read_link(self._driver, layout.tag_current_link(name, tag))

    async def see(self, name: RepositoryName, tag: TagName) -> Seen | None:
        """Returns what a tag names here, and when that was written; None for nothing."""
        return await see(self._driver, layout.tag_current_link(name, tag), _target)

    async def is_there(self, name: RepositoryName, tag: TagName) -> bool:
        """Whether there is a link of a tag, whatever it says."""
        try:
            return await exists(self._driver, layout.tag_current_link(name, tag))
        except InvalidPath:
            return False

    async def names(self, name: RepositoryName) -> Sequence[str] | None:
        """Returns the tags of a repository, sorted bytewise; None when it never had any."""
        try:
            return await self._driver.list(layout.tags(name))
        except PathNotFound:
            return None

    async def are_there(self, name: RepositoryName) -> bool:
        """Whether a repository has tags, or has had any."""
        return await exists(self._driver, layout.tags(name))

    async def write(self, name: RepositoryName, tag: TagName, digest: Digest) -> None:
        """Makes a tag name a digest: by its current link it appears whole or moves; the index only remembers.

        Raises:
            StorageFull: the tag is what it was before.
        """
        current, index = layout.tag_current_link(name, tag), layout.tag_index_link(name, tag, digest)
        # What moves a tag that is there comes last, since it cannot be taken back; what makes a new one comes first.
        is_there = await exists(self._driver, current)
        new = [index.rpartition("/")[0], index] if is_there else [layout.tag(name, tag), index, current]
        async with undone_without_room(self._driver, *new):
            for link in (index, current) if is_there else (current, index):
                await write_link(self._driver, link, digest)

    async def ensure_durable(self, name: RepositoryName) -> None:
        """Makes the present tags of a repository, and the absence of others, survive a power cut."""
        await self._driver.ensure_durable(layout.tags(name))

    async def delete(self, name: RepositoryName, tag: TagName) -> None:
        """Removes a tag and what it has ever named.

        Raises:
            PathNotFound: there is no such tag.
        """
        await self._driver.delete(layout.tag(name, tag))


def _target(content: bytes) -> V2Target | None:
    try:
        return V2Target(parse_link(content))
    except RegistryError:
        return None
