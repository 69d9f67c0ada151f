"""v1 repositories: tags, the list of images that a push announced, in docker-registry 0.9.1's files.

Invariant: a tag is written last, after what it names was found whole; what describes it comes before it.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any
from urllib.parse import unquote_plus

from backends.model.actor import Actor
from backends.model.errors import ErrorCode, RegistryError
from backends.model.names import ImageId, is_image_id
from backends.model.v1images import V1Name, describe_agent, dump_json, load_json, merge_index_images, without_tags
from backends.registry.changes import Change, note_change
from backends.registry.exclusive_lock import exclusive_lock
from backends.registry.v1.images import Images
from backends.storage import layout
from backends.storage.completion import run_to_completion
from backends.storage.driver import PathNotFound
from backends.storage.storage import Storage

LATEST = "latest"


class Repositories:
    """All v1 repositories over one storage."""

    def __init__(self, storage: Storage, images: Images) -> None:
        self._driver = storage.driver
        self._locks = storage.locks
        self._images = images

    # tags

    async def tags(self, name: V1Name) -> dict[str, str]:
        """Returns tags and the ids they name.

        Raises:
            RegistryError: NAME_UNKNOWN.
        """
        try:
            entries = await self._driver.list(layout.v1_repository(name.namespace, name.stored))
        except PathNotFound:
            raise RegistryError(ErrorCode.NAME_UNKNOWN, "Repository not found") from None
        tags: dict[str, str] = {}
        for entry in entries:
            tag = layout.v1_tag_of(entry)
            if tag is not None:
                with suppress(PathNotFound):
                    tags[tag] = await self._read_id(layout.v1_repository_entry(name.namespace, name.stored, entry))
        return tags

    async def tag(self, name: V1Name, tag: str) -> str:
        """Returns the id that a tag names.

        Raises:
            RegistryError: MANIFEST_UNKNOWN, in docker-registry's words.
        """
        try:
            return await self._read_id(layout.v1_tag(name.namespace, name.stored, tag))
        except PathNotFound:
            raise RegistryError(ErrorCode.MANIFEST_UNKNOWN, "Tag not found") from None

    async def put_tag(self, name: V1Name, tag: str, image_id: ImageId, *, actor: Actor, now: int) -> None:
        """Moves a tag to an image that is whole, with all its ancestors.

        Args:
            name: the repository.
            tag: the tag.
            image_id: what it is to name.
            actor: who moves it, of whose User-Agent docker-registry keeps a note with the tag.
            now: seconds since 1970, for that note.

        Raises:
            RegistryError: IMAGE_UNKNOWN: the image or an ancestor is not here or has no layer.
        """
        for ancestor in await self._images.ancestry(image_id):
            if (await self._images.get(ancestor)).layer_size is None:
                raise RegistryError(
                    ErrorCode.IMAGE_UNKNOWN,
                    f"Image not found: {ancestor} has lost its layer; PUT its layer and its checksum again",
                )
        described = dump_json(describe_agent(actor.agent, now=now))
        await run_to_completion(self._put_tag(name, tag, image_id, described))
        note_change(Change.PUSHED, f"tag {tag} for image {image_id}", name.text, actor=actor)

    async def _put_tag(self, name: V1Name, tag: str, image_id: ImageId, described: bytes) -> None:
        await self._driver.write(layout.v1_tag_json(name.namespace, name.stored, tag), described)
        if tag == LATEST:
            await self._driver.write(layout.v1_repository_json(name.namespace, name.stored), described)
        await self._driver.write(layout.v1_tag(name.namespace, name.stored, tag), image_id.encode())

    async def delete_tag(self, name: V1Name, tag: str, *, actor: Actor) -> None:
        """Removes a tag; images stay.

        Raises:
            RegistryError: MANIFEST_UNKNOWN, in docker-registry's words.
        """
        try:
            await self._driver.delete(layout.v1_tag(name.namespace, name.stored, tag))
        except PathNotFound:
            raise RegistryError(ErrorCode.MANIFEST_UNKNOWN, f"Tag not found: {tag}") from None
        with suppress(PathNotFound):
            await self._driver.delete(layout.v1_tag_json(name.namespace, name.stored, tag))
        if tag == LATEST:
            with suppress(PathNotFound):
                await self._driver.delete(layout.v1_repository_json(name.namespace, name.stored))
        note_change(Change.DELETED, f"tag {tag}", name.text, actor=actor)

    async def description(self, name: V1Name, tag: str | None) -> Any:
        """Returns what was noted of who set a tag (None: `latest`); None when nothing was."""
        path = (
            layout.v1_repository_json(name.namespace, name.stored)
            if tag is None
            else layout.v1_tag_json(name.namespace, name.stored, tag)
        )
        try:
            return load_json(await self._driver.read(path))
        except PathNotFound:
            return None

    # repositories

    async def put_images(self, name: V1Name, body: bytes, announced: Sequence[Any], *, actor: Actor) -> None:
        """Notes the images of a push; the first list is kept to the byte, later ones are merged into it.

        Raises:
            RegistryError: an entry is no object with an id.
        """
        merge_index_images([], announced)  # only looks
        async with exclusive_lock(self._locks, layout.v1_images_lock(name.namespace, name.stored)):
            await run_to_completion(self._put_images(name, body, announced))
        note_change(Change.PUSHED, "the list of images", name.text, actor=actor)

    async def _put_images(self, name: V1Name, body: bytes, announced: Sequence[Any]) -> None:
        path = layout.v1_index_images(name.namespace, name.stored)
        try:
            stored = load_json(await self._driver.read(path))
        except PathNotFound:
            await self._driver.write(path, body)
            return
        if announced:
            merged = merge_index_images(stored if isinstance(stored, list) else [], announced)
            await self._driver.write(path, dump_json(merged))

    async def images(self, name: V1Name) -> bytes:
        """Returns the list of images, as it goes out.

        Raises:
            RegistryError: NAME_UNKNOWN, in docker-registry's words.
        """
        try:
            return without_tags(await self._driver.read(layout.v1_index_images(name.namespace, name.stored)))
        except PathNotFound:
            raise RegistryError(ErrorCode.NAME_UNKNOWN, "images not found") from None

    async def delete(self, name: V1Name, *, actor: Actor) -> None:
        """Removes a repository; images stay.

        Raises:
            RegistryError: NAME_UNKNOWN.
        """
        try:
            await self._driver.delete(layout.v1_repository(name.namespace, name.stored))
        except PathNotFound:
            raise RegistryError(ErrorCode.NAME_UNKNOWN, "Repository not found") from None
        note_change(Change.DELETED, "all tags", name.text, actor=actor)

    async def is_private(self, name: V1Name) -> bool:
        """Whether a repository is marked private; without an index nobody asks."""
        try:
            await self._driver.stat(layout.v1_private(name.namespace, name.stored))
        except PathNotFound:
            return False
        return True

    async def set_private(self, name: V1Name, *, private: bool, actor: Actor) -> None:
        """Sets or removes the mark."""
        path = layout.v1_private(name.namespace, name.stored)
        if private:
            await self._driver.write(path, b"")
        else:
            with suppress(PathNotFound):
                await self._driver.delete(path)
        note_change(Change.PUSHED, f"the mark {'private' if private else 'public'}", name.text, actor=actor)

    async def names(self) -> Sequence[str]:
        """Returns all names, `namespace/repository` as one writes them to pull, sorted."""
        found: list[str] = []
        for namespace in await self._list(layout.V1_REPOSITORIES):
            repositories = await self._list(f"{layout.V1_REPOSITORIES}/{namespace}")
            found += [f"{unquote_plus(namespace)}/{unquote_plus(unquote_plus(entry))}" for entry in repositories]
        return sorted(found)

    async def _list(self, path: str) -> Sequence[str]:
        """Returns what is in a folder; names that docker-registry cannot have written are passed over."""
        try:
            return [entry for entry in await self._driver.list(path) if entry.isascii()]
        except PathNotFound:
            return ()

    async def _read_id(self, path: str) -> str:
        text = (await self._driver.read(path)).decode("ascii", "replace").strip()
        if not is_image_id(text):
            raise PathNotFound(path)
        return text
