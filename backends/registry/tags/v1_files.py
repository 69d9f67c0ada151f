"""v1's tags in docker-registry's files: `tag_<t>` is the tag, `tag<t>_json` and `json` say who set it."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from typing import Any

from backends.model.names import ImageId, is_image_id
from backends.model.v1images import V1Name, dump_json, load_json
from backends.registry.no_room import undone_without_room
from backends.registry.yielding import yielding
from backends.storage import layout
from backends.storage.capabilities import list_page
from backends.storage.driver import PathNotFound, StorageDriver

LATEST = "latest"


class V1Files:
    """The files of all v1 tags on one root. `service` holds the lock of a tag while one of them is changed."""

    def __init__(self, driver: StorageDriver) -> None:
        self._driver = driver

    async def read(self, name: V1Name, tag: str) -> str:
        """Returns the id that a tag names.

        Raises:
            PathNotFound: there is no such tag.
        """
        return await self._read_id(layout.v1_tag(name.namespace, name.stored, tag))

    async def read_all(self, name: V1Name) -> Mapping[str, str]:
        """Returns tags and the ids they name.

        Raises:
            PathNotFound: there is no such repository.
        """
        tags: dict[str, str] = {}
        async for entry in yielding(await self._driver.list(layout.v1_repository(name.namespace, name.stored))):
            tag = layout.v1_tag_of(entry)
            if tag is not None:
                with suppress(PathNotFound):
                    tags[tag] = await self._read_id(layout.v1_repository_entry(name.namespace, name.stored, entry))
        return tags

    async def describe(self, name: V1Name, tag: str | None) -> Any:
        """Returns what is recorded of who set a tag (None: `latest`); None when nothing was."""
        path = (
            layout.v1_repository_json(name.namespace, name.stored)
            if tag is None
            else layout.v1_tag_json(name.namespace, name.stored, tag)
        )
        try:
            return load_json(await self._driver.read(path))
        except PathNotFound:
            return None

    async def write(self, name: V1Name, tag: str, image_id: ImageId, described: Mapping[str, Any]) -> None:
        """Makes a tag name an image. What describes it comes first, the tag itself last."""
        text = dump_json(described)
        notes = [layout.v1_tag_json(name.namespace, name.stored, tag)]
        if tag == LATEST:
            notes.append(layout.v1_repository_json(name.namespace, name.stored))
        async with undone_without_room(self._driver, *notes):
            for note in notes:
                await self._driver.write(note, text)
            await self._driver.write(layout.v1_tag(name.namespace, name.stored, tag), image_id.encode())

    async def delete(self, name: V1Name, tag: str) -> None:
        """Removes a tag, then what describes it.

        Raises:
            PathNotFound: there is no such tag.
        """
        await self._driver.delete(layout.v1_tag(name.namespace, name.stored, tag))
        with suppress(PathNotFound):
            await self._driver.delete(layout.v1_tag_json(name.namespace, name.stored, tag))
        if tag == LATEST:
            with suppress(PathNotFound):
                await self._driver.delete(layout.v1_repository_json(name.namespace, name.stored))

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

    async def _read_id(self, path: str) -> str:
        text = (await self._driver.read(path)).decode("ascii", "replace").strip()
        if not is_image_id(text):
            raise PathNotFound(path)
        return text
