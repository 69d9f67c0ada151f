"""v1 repositories: tags of whole images, the list of images that a push announced, a mark for private ones.

Invariant: a tag is moved only to an image that was found whole.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

from backends.model.actor import Actor
from backends.model.errors import ErrorCode, RegistryError
from backends.model.image_places import ImageCopy, ImagePlace, id_at
from backends.model.names import ImageId
from backends.model.v1images import dump_json, load_index_images, merge_index_images, without_tags
from backends.model.v1names import V1Name, is_plain
from backends.registry.changes import Change, carry_out
from backends.registry.events import Events, of_v1_image
from backends.registry.exclusive_lock import exclusive_lock, shared_lock
from backends.registry.no_room import exists
from backends.registry.tags.service import Tags
from backends.registry.v1.images import Images
from backends.registry.v1.sight import Sight
from backends.registry.yielding import yielding
from backends.storage import layout
from backends.storage.completion import run_to_completion
from backends.storage.driver import PathNotFound
from backends.storage.locks import Locks
from backends.storage.storage import Storage


class Repositories:
    """All v1 repositories over one storage.

    Args:
        storage: where they are.
        locks: those of v2's repositories too, wherever these are: a name is one repository.
        images: what tags may name.
        tags: of both.
        events: where it is told what happens.
    """

    def __init__(self, storage: Storage, locks: Locks, *, images: Images, tags: Tags, events: Events) -> None:
        self._driver = storage.driver
        self._locks = locks
        self._images = images
        self._tags = tags
        self._events = events

    # tags

    async def tags(self, name: V1Name) -> Mapping[str, str]:
        """Returns tags and the ids they name.

        Raises:
            RegistryError: NAME_UNKNOWN.
        """
        try:
            return await self._tags.all_of_v1(name)
        except PathNotFound:
            raise _repository_unknown() from None

    async def tag(self, name: V1Name, tag: str) -> str:
        """Returns the id that a tag names.

        Raises:
            RegistryError: MANIFEST_UNKNOWN, in docker-registry's words.
        """
        try:
            return await self._tags.resolve_v1(name, tag)
        except PathNotFound:
            raise RegistryError(ErrorCode.MANIFEST_UNKNOWN, "Tag not found") from None

    async def put_tag(
        self, name: V1Name, tag: str, image_id: ImageId, *, actor: Actor, now: int, sight: Sight | None = None
    ) -> None:
        """Moves a tag to an image that is whole, with all its ancestors.

        Args:
            name: the repository.
            tag: the tag.
            image_id: what it is to name.
            actor: who moves it.
            now: seconds since 1970.
            sight: what its client sees; None where access is not controlled.

        Raises:
            RegistryError: IMAGE_UNKNOWN: the image or an ancestor is not here, or not for this client, or has no layer.
        """
        places = await self._places(image_id, sight)
        async for place in yielding(places):
            await self._images.require_whole(place)
        # A client that found an image here did not send it; a killed process may not have come to sync its folder.
        await self._driver.ensure_durable(*map(layout.v1_image_json, places))
        telling = None
        if self._events.wanted:
            blob = await self._images.layer_blob(places[0])
            telling = of_v1_image(self._events, name, tag, image_id, blob, actor=actor)
        require = partial(self._require_own, places) if any(isinstance(each, ImageCopy) for each in places) else None
        await self._tags.move_v1(name, tag, image_id, actor=actor, now=now, telling=telling, require=require)

    async def _places(self, image_id: ImageId, sight: Sight | None) -> Sequence[ImagePlace]:
        """Returns where an image and its ancestors are; its client must see each of them, and may know ids alone."""
        if sight is None:
            return await self._images.ancestry(image_id)
        place = await self._images.place(image_id, sight)
        if place is None:
            raise RegistryError(ErrorCode.IMAGE_UNKNOWN, "Image not found")
        places = await self._images.places(place)
        async for each in yielding(places):
            if not await self._images.sees(each, sight):
                raise _image_unknown(id_at(each))
        return places

    async def _require_own(self, places: Sequence[ImagePlace]) -> None:
        """Requires, while the repository's lock is held, that its own images have not been deleted with it meanwhile.

        A tag would name another repository's image with the same id else.
        """
        for place in places:
            if isinstance(place, ImageCopy) and not await self._images.is_whole(place):
                raise _image_unknown(place.image_id)

    async def delete_tag(self, name: V1Name, tag: str, *, actor: Actor) -> None:
        """Removes a tag; images stay.

        Raises:
            RegistryError: MANIFEST_UNKNOWN, in docker-registry's words.
        """
        try:
            await self._tags.delete_v1(name, tag, actor=actor)
        except PathNotFound:
            raise RegistryError(ErrorCode.MANIFEST_UNKNOWN, f"Tag not found: {tag}") from None

    async def description(self, name: V1Name, tag: str | None) -> Any:
        """Returns what is recorded of who set a tag (None: `latest`); None when nothing is."""
        return await self._tags.describe_v1(name, tag)

    # repositories

    async def put_images(self, name: V1Name, body: bytes, announced: Sequence[Any], *, actor: Actor) -> None:
        """Records the images of a push; the first list is kept to the byte, later ones are merged into it.

        Raises:
            RegistryError: an entry is not an object with an id.
        """
        merge_index_images([], announced)  # only looks
        async with (
            shared_lock(self._locks, layout.repository_lock(name.text)),
            exclusive_lock(self._locks, layout.v1_images_lock(name.namespace, name.stored)),
        ):
            work = self._put_images(name, body, announced)
            await carry_out(work, Change.PUSHED, "the list of images", name.text, actor=actor)

    async def _put_images(self, name: V1Name, body: bytes, announced: Sequence[Any]) -> None:
        path = layout.v1_index_images(name.namespace, name.stored)
        try:
            stored = load_index_images(await self._driver.read(path))
        except PathNotFound:
            await self._driver.write(path, body)
            return
        if announced:
            merged = merge_index_images(stored, announced)
            await self._driver.write(path, dump_json(merged))
        else:
            await self._driver.ensure_durable(path)

    async def images(self, name: V1Name) -> bytes:
        """Returns the list of images, as it goes out.

        Raises:
            RegistryError: NAME_UNKNOWN, in docker-registry's words.
        """
        try:
            return without_tags(await self._driver.read(layout.v1_index_images(name.namespace, name.stored)))
        except PathNotFound:
            raise RegistryError(ErrorCode.NAME_UNKNOWN, "images not found") from None

    async def is_private(self, name: V1Name) -> bool:
        """Whether a repository is marked private; without an index nobody asks."""
        return await exists(self._driver, layout.v1_private(name.namespace, name.stored))

    async def set_private(self, name: V1Name, *, private: bool, actor: Actor) -> None:
        """Marks a repository private or public."""
        what = "the mark private" if private else "the mark public"
        async with shared_lock(self._locks, layout.repository_lock(name.text)):
            await carry_out(self._set_private(name, private=private), Change.PUSHED, what, name.text, actor=actor)

    async def _set_private(self, name: V1Name, *, private: bool) -> None:
        path = layout.v1_private(name.namespace, name.stored)
        if private:
            await self._driver.write(path, b"")
            return
        with suppress(PathNotFound):
            await self._driver.delete(path)

    async def keep_images_list(self, name: V1Name, ids: Sequence[str]) -> None:
        """Keeps the list of images that an index has of a repository, as docker-registry does; nobody here reads it."""
        path, content = layout.v1_images_list(name.namespace, name.stored), json.dumps(list(ids)).encode("ascii")
        with suppress(PathNotFound):
            if await self._driver.read(path) == content:
                return
        async with shared_lock(self._locks, layout.repository_lock(name.text)):
            await run_to_completion(self._driver.write(path, content))

    async def names_of_v1_alone(self) -> Sequence[V1Name]:
        """Returns the names that v2 cannot have, sorted as their folders are."""
        return [name for name in await self.names() if name.v2 is None]

    async def names(self) -> Sequence[V1Name]:
        """Returns all names, sorted as their folders are."""
        found: list[V1Name] = []
        async for namespace in yielding(await self._list(layout.V1_REPOSITORIES)):
            if not is_plain(namespace):  # not docker-registry's
                continue
            entries = await self._list(f"{layout.V1_REPOSITORIES}/{namespace}")
            found += filter(None, (layout.v1_name_of(namespace, entry) for entry in entries))
        return found

    async def _list(self, path: str) -> Sequence[str]:
        try:
            return await self._driver.list(path)
        except PathNotFound:
            return ()


def _image_unknown(image_id: ImageId) -> RegistryError:
    return RegistryError(ErrorCode.IMAGE_UNKNOWN, f"Image not found: {image_id}")


def _repository_unknown() -> RegistryError:
    return RegistryError(ErrorCode.NAME_UNKNOWN, "Repository not found")
