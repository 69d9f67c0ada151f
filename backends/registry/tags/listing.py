"""All tags of a repository, or a page of them: those of v2, those of v1, each once and only if it names something.

A page costs what the page costs: so many names of each folder, and a look at those tags that have a record.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

from backends.model.names import RepositoryName, TagName, is_tag
from backends.model.targets import Target, V2Target
from backends.model.v1names import V1Name
from backends.registry.tags.tag_files import Tag, TagFiles
from backends.registry.yielding import yielding
from backends.storage import layout
from backends.storage.capabilities import after_name, list_pages
from backends.storage.driver import PathNotFound, StorageDriver


class TagListing:
    """Lists tags.

    Args:
        driver: of v2's root, where the records are too.
        v1_driver: of v1's.
        tags: the files of all.
    """

    def __init__(self, driver: StorageDriver, v1_driver: StorageDriver, tags: TagFiles) -> None:
        self._driver = driver
        self._v1_driver = v1_driver
        self._tags = tags

    async def targets(self, name: RepositoryName | None, v1: V1Name | None) -> Mapping[str, Target]:
        """Returns all tags of a repository with what they name, sorted bytewise; also those that only v1 can have."""
        links = frozenset(await self._tags.links.names(name) or ()) if name is not None else frozenset[str]()
        files = frozenset(await self._v1_names(v1))
        records = frozenset(await self._tags.records.names(name)) if name and v1 else frozenset[str]()
        found: dict[str, Target] = {}
        async for text in yielding(sorted(links | files)):
            tag = Tag(name if is_tag(text) else None, v1, text)
            with suppress(PathNotFound):
                if text in records or (text in links and text in files):
                    found[text] = await self._tags.target(tag)
                elif text in links and name is not None:
                    found[text] = V2Target(await self._tags.links.read(name, TagName(text)))
                elif v1 is not None:
                    found[text] = await self._tags.image(v1, text)
        return found

    async def names(self, name: RepositoryName, v1: V1Name | None) -> Sequence[str]:
        """Returns all tags that v2 could have, sorted bytewise."""
        links = await self._tags.links.names(name) or ()
        if v1 is None:
            return links
        files = [tag for tag in await self._v1_names(v1) if await self._tags.files.is_tag(v1, tag)]
        records = await self._tags.records.names(name)
        if not files and not records:
            return links
        return await self._without_deleted(name, v1, sorted({*links, *files}), records)

    async def page(self, name: RepositoryName, v1: V1Name | None, *, after: str, limit: int) -> Sequence[str]:
        """Returns the first tags after a text ("" for the beginning) that v2 could have, sorted bytewise."""
        found: list[str] = []
        while (wanted := limit - len(found)) > 0:
            links, records, files = await self._pages(name, v1, after=after, limit=wanted)
            page = sorted({*links, *files})[:wanted] if files else links
            found += page if v1 is None else await self._without_deleted(name, v1, page, records)
            if len(page) < wanted:
                break
            after = page[-1]
        return found

    async def _pages(
        self, name: RepositoryName, v1: V1Name | None, *, after: str, limit: int
    ) -> tuple[Sequence[str], Sequence[str], Sequence[str]]:
        """Returns the first names of each kind: of v2's links, of records, of v1's files."""
        start = after_name(after)
        folders = [(layout.tags(name), start)]
        if v1 is None:
            (links,) = await list_pages(self._driver, folders, limit=limit)
            return links, (), ()
        folders.append((layout.tag_records(name), start))
        of_v1 = (layout.v1_repository(v1.namespace, v1.stored), layout.V1_TAG + start)
        if self._v1_driver is self._driver:
            links, records, entries = await list_pages(self._driver, [*folders, of_v1], limit=limit)
        else:
            links, records = await list_pages(self._driver, folders, limit=limit)
            (entries,) = await list_pages(self._v1_driver, [of_v1], limit=limit)
        if not any(entry.startswith(layout.V1_TAG) for entry in entries[:1]):
            return links, records, ()
        return links, records, await self._tags.files.page(v1, after=after, limit=limit)

    async def _without_deleted(
        self, name: RepositoryName, v1: V1Name, tags: Sequence[str], records: Sequence[str]
    ) -> Sequence[str]:
        """Leaves out tags whose file has been removed by another program: an older one of v1 or v2 does not hold."""
        deleted: set[str] = set()
        async for text in yielding(frozenset(tags).intersection(records)):
            try:
                await self._tags.target(Tag(name, v1, text))
            except PathNotFound:
                deleted.add(text)
        return [text for text in tags if text not in deleted] if deleted else tags

    async def _v1_names(self, v1: V1Name | None) -> Sequence[str]:
        if v1 is None:
            return ()
        try:
            return await self._tags.files.names(v1)
        except PathNotFound:
            return ()
