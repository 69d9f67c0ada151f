"""v1's tags in docker-registry's files: `tag_<t>` is the tag, `tag<t>_json` and `json` say who set it."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Mapping, Sequence
from contextlib import suppress
from typing import Any

from backends.model.cache import Cache
from backends.model.names import ImageId, is_image_id, is_tag
from backends.model.tag_records import Seen
from backends.model.targets import V1Target
from backends.model.v1images import dump_json, load_json
from backends.model.v1names import V1Name
from backends.registry.links import LONGEST_KEPT, read_filled
from backends.registry.no_room import exists, undone_without_room
from backends.registry.tags.seeing import see
from backends.storage import layout
from backends.storage.capabilities import after_name, list_page
from backends.storage.driver import InvalidPath, PathNotFound, StorageDriver

LATEST = "latest"
_DESCRIPTION = "_json"
"""So ends the name of a file that says who set a tag."""


class V1Files:
    """The files of all v1 tags on one root. `service` holds the lock of a tag while one of them is changed."""

    def __init__(self, driver: StorageDriver) -> None:
        self._driver = driver

    async def read(self, name: V1Name, tag: str) -> V1Target:
        """Returns the image that a tag names.

        Raises:
            PathNotFound: there is no such tag.
        """
        path = layout.v1_tag(name.namespace, name.stored, tag)
        target = _target(await read_filled(self._driver, path))
        if target is None:
            raise PathNotFound(path)
        return target

    async def see(self, name: V1Name, tag: str) -> Seen | None:
        """Returns what a tag names here, and when that was written; None for nothing."""
        return await see(self._driver, layout.v1_tag(name.namespace, name.stored, tag), _target)

    async def is_there(self, name: V1Name, tag: str) -> bool:
        """Whether there is a file of a tag, whatever it says."""
        try:
            return await exists(self._driver, layout.v1_tag(name.namespace, name.stored, tag))
        except InvalidPath:
            return False

    async def names(self, name: V1Name) -> Sequence[str]:
        """Returns the tags of a repository, and what else may be one by the name of its file.

        Raises:
            PathNotFound: there is no such repository.
        """
        entries = await self._driver.list(layout.v1_repository(name.namespace, name.stored))
        first, end = bisect_left(entries, layout.V1_TAG), bisect_left(entries, layout.AFTER_V1_TAGS)
        return [tag for tag in map(layout.v1_tag_of, entries[first:end]) if tag is not None]

    async def is_tag(self, name: V1Name, text: str) -> bool:
        """Whether what may be a tag by the name of its file is one, and one that v2 could have too.

        The description of the tag `_x` lies in `tag_x_json`. Others are not read, since a page costs what its names
        cost: they may name nothing.
        """
        return is_tag(text) and (not text.endswith(_DESCRIPTION) or await self._names_image(name, text))

    async def page(self, name: V1Name, *, after: str, limit: int) -> Sequence[str]:
        """Returns the first tags after a text ("" for the beginning) that v2 could have too, sorted bytewise."""
        folder = layout.v1_repository(name.namespace, name.stored)
        found: list[str] = []
        start = layout.V1_TAG + after_name(after)
        try:
            while len(found) < limit:
                entries = await list_page(self._driver, folder, start=start, limit=limit)
                for entry in entries:
                    tag = layout.v1_tag_of(entry)
                    if tag is not None and entry == layout.V1_TAG + tag and await self.is_tag(name, tag):
                        found.append(tag)
                if len(entries) < limit or not entries[-1].startswith(layout.V1_TAG):
                    break
                start = after_name(entries[-1])
        except (PathNotFound, InvalidPath):
            return ()
        return found[:limit]

    async def describe(self, name: V1Name, tag: str | None) -> Any:
        """Returns what is recorded of who set a tag (None: `latest`); None when nothing was."""
        path = (
            layout.v1_repository_json(name.namespace, name.stored)
            if tag is None
            else layout.v1_tag_json(name.namespace, name.stored, tag)
        )
        try:
            described = load_json(await self._driver.read(path))
        except PathNotFound:
            return None
        except InvalidPath:  # its name may be too long where that of the tag just fits
            if tag is None or not await self.is_there(name, tag):
                raise
            return None
        return described if isinstance(described, Mapping) else None  # it may be the tag of this file's name

    async def write(self, name: V1Name, tag: str, image_id: ImageId, described: Mapping[str, Any]) -> None:
        """Makes a tag name an image. What describes it comes first, the tag itself last."""
        text = dump_json(described)
        notes = await self._notes(name, tag)
        async with undone_without_room(self._driver, *notes):
            for note in notes:
                await self._driver.write(note, text)
            await self._driver.write(layout.v1_tag(name.namespace, name.stored, tag), image_id.encode())

    async def delete(self, name: V1Name, tag: str) -> None:
        """Removes a tag, then what describes it.

        Raises:
            PathNotFound: there is no such tag.
        """
        path = layout.v1_tag(name.namespace, name.stored, tag)
        if tag.endswith(_DESCRIPTION) and not await self._names_image(name, tag):  # it says who set another tag
            raise PathNotFound(path)
        await self._driver.delete(path)
        for note in await self._notes(name, tag):
            with suppress(PathNotFound, InvalidPath):
                await self._driver.delete(note)

    async def _names_image(self, name: V1Name, text: str) -> bool:
        """Whether a file with the name of a tag's names an image."""
        try:
            await self.read(name, text)
        except (PathNotFound, InvalidPath):
            return False
        return True

    async def _notes(self, name: V1Name, tag: str) -> Sequence[str]:
        """Returns the files that say who set a tag, but for one that is a tag itself: that of `_x` is `x_json`."""
        notes: list[str] = []
        twin = layout.v1_twin(tag)
        if twin == tag or not await self._names_image(name, twin):
            notes.append(layout.v1_tag_json(name.namespace, name.stored, tag))
        if tag == LATEST:
            notes.append(layout.v1_repository_json(name.namespace, name.stored))
        return notes

    async def are_there(self, name: V1Name) -> bool:
        """Whether a repository has tags."""
        try:
            found = await list_page(
                self._driver, layout.v1_repository(name.namespace, name.stored), start=layout.V1_TAG, limit=1
            )
        except PathNotFound:
            return False
        return any(entry.startswith(layout.V1_TAG) for entry in found)

    async def delete_all(self, name: V1Name) -> None:
        """Removes a repository with all its tags, at once.

        Raises:
            PathNotFound: there is no such repository.
        """
        await self._driver.delete(layout.v1_repository(name.namespace, name.stored))


def _target(content: bytes) -> V1Target | None:
    return _targets[content] if len(content) <= LONGEST_KEPT else _parse(content)


def _parse(content: bytes) -> V1Target | None:
    text = content.decode("ascii", "replace").strip()
    return V1Target(ImageId(text)) if is_image_id(text) else None


_targets = Cache(_parse, bound=8192)
