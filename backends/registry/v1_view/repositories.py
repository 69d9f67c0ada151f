"""Repositories as clients of the v1 protocol see them: the tags of both generations.

A tag that names something they cannot read is not in their lists, and a 404 with the reason where it is asked for by
its name. Which image a tag of an index names depends on what the client runs on.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass

from backends.model.actor import Actor
from backends.model.conversion.impossible import ImpossibleConversion
from backends.model.errors import ErrorCode, RegistryError
from backends.model.names import ImageId, RepositoryName, TagName, is_tag
from backends.model.targets import Target, V1Target, V2Target
from backends.model.v1images import dump_json, load_index_images
from backends.model.v1names import V1Name
from backends.registry.still_working import StillWorking
from backends.registry.tags.service import Tags
from backends.registry.v1.repositories import Repositories
from backends.registry.v1.sight import sight_in
from backends.registry.v1_view.derivations import Derivations, Origin
from backends.registry.v1_view.images import ViewedImages
from backends.registry.v1_view.viewer import Viewer
from backends.registry.yielding import yielding
from backends.storage.driver import PathNotFound, StorageFull

_log = logging.getLogger("portside.v1")


@dataclass(frozen=True, slots=True)
class TaggedImage:
    """What a tag names for a client of the v1 protocol.

    Attributes:
        image_id: the image.
        origin: what it was made of; None of one that was pushed by this protocol.
    """

    image_id: str
    origin: Origin | None = None


class ViewedRepositories:
    """What clients of the v1 protocol are told of repositories of either generation, and how they tag.

    Args:
        pushed: what was pushed by it.
        tags: of both generations.
        view: what was pushed by the other.
        images: of both.
    """

    def __init__(self, pushed: Repositories, tags: Tags, view: Derivations, images: ViewedImages) -> None:
        self._pushed = pushed
        self._tags = tags
        self._view = view
        self._images = images

    # tags

    async def tags(self, name: V1Name, viewer: Viewer) -> Mapping[str, str]:
        """Returns tags and the ids they name; without those that name nothing v1 can have.

        Raises:
            RegistryError: NAME_UNKNOWN: there is no such repository, or nothing in it that v1 can have.
            StillWorking: it is still being found out what some of them name.
        """
        if name.v2 is None or not await self._tags.are_in_v2(name.v2):
            return await self._pushed.tags(name)
        targets = await self._tags.targets(name.v2)
        if not any(isinstance(target, V2Target) for target in targets.values()):
            return await self._pushed.tags(name)
        found: dict[str, str] = {}
        refused = ""
        full: StorageFull | None = None
        # What is found out is kept, so a client that asks again is further each time.
        until = math.inf if viewer.patience is None else time.monotonic() + viewer.patience
        async for number, (tag, target) in yielding(enumerate(targets.items())):
            if time.monotonic() > until:
                raise StillWorking(f"of the {len(targets)} tags of {name}, {number} have been looked at")
            try:
                found[tag] = await self._image_of(name.v2, target, viewer)
            except ImpossibleConversion as error:
                of_tag = f"this client can pull none of the {len(targets)} tags of {name}; tag {tag}: {error}"
                refused = refused or (of_tag if len(targets) > 1 else str(error))
            except StorageFull as error:  # others can be pulled all the same
                full = error
            except RegistryError as error:
                if error.code is not ErrorCode.MANIFEST_UNKNOWN:
                    raise
        if full is not None:
            _log.warning("some tags of %s are not shown to v1 clients, since nothing new can be kept: %s", name, full)
        if found:
            return found
        if full is not None:
            raise full
        raise RegistryError(ErrorCode.NAME_UNKNOWN, refused or "Repository not found")

    async def tag(self, name: V1Name, tag: str, viewer: Viewer) -> TaggedImage:
        """Returns the image that a tag names.

        Raises:
            RegistryError: MANIFEST_UNKNOWN, in docker-registry's words, or with the reason why v1 cannot have it.
            StillWorking: it is still being found out what it names.
        """
        if name.v2 is None:
            return TaggedImage(await self._pushed.tag(name, tag))
        try:
            target = await self._tags.target(name.v2, tag)
            image_id = await self._image_of(name.v2, target, viewer)
            if isinstance(target, V1Target):
                return TaggedImage(image_id)
            return TaggedImage(image_id, await self._view.origin(name.v2, target.digest, viewer))
        except PathNotFound:
            raise RegistryError(ErrorCode.MANIFEST_UNKNOWN, "Tag not found") from None
        except ImpossibleConversion as error:
            raise RegistryError(ErrorCode.MANIFEST_UNKNOWN, str(error)) from None

    async def put_tag(
        self, name: V1Name, tag: str, image_id: ImageId, *, viewer: Viewer, actor: Actor, now: int
    ) -> None:
        """Moves a tag to an image that is whole, with all its ancestors.

        Of an image that was made of a manifest of this repository, that manifest is tagged; elsewhere the image and
        its ancestors become ordinary ones first.

        Args:
            name: the repository.
            tag: the tag.
            image_id: what it is to name.
            viewer: the client.
            actor: who moves it.
            now: seconds since 1970.

        Raises:
            RegistryError: IMAGE_UNKNOWN: the image or an ancestor is not here or has no layer.
        """
        sight = sight_in(viewer.sight, name)
        is_own = await self._images.has_own(image_id, sight)
        if (
            not is_own
            and name.v2 is not None
            and is_tag(tag)  # else v2 cannot have it, and the image becomes an ordinary one of v1
            and await self._restore(name.v2, TagName(tag), image_id, viewer, actor=actor)
        ):
            return
        await self._images.pin(image_id, actor=actor, sight=sight)
        await self._pushed.put_tag(name, tag, image_id, actor=actor, now=now, sight=sight)

    async def _restore(
        self, name: RepositoryName, tag: TagName, image_id: ImageId, viewer: Viewer, *, actor: Actor
    ) -> bool:
        source = await self._view.source_of(name, image_id)
        if source is None:
            return False
        with suppress(PathNotFound, ImpossibleConversion, RegistryError):  # it names something else
            target = await self._tags.target(name, tag)
            if isinstance(target, V2Target) and await self._view.top(name, target.digest, viewer) == image_id:
                source = target.digest  # an index, of which the client knows one platform's image only
        await self._view.restore(name, tag, source, actor=actor)
        return True

    async def _image_of(self, name: RepositoryName, target: Target, viewer: Viewer) -> str:
        match target:
            case V1Target(image_id):
                return image_id
            case V2Target(digest):
                return await self._view.top(name, digest, viewer)

    # repositories

    async def images(self, name: V1Name, viewer: Viewer) -> bytes:
        """Returns the list of images, as it goes out: those that v1 clients announced, then what tags of v2 name.

        Raises:
            RegistryError: NAME_UNKNOWN, in docker-registry's words, or with the reason why v1 can have nothing of it.
        """
        if name.v2 is None or not await self._tags.are_in_v2(name.v2):
            return await self._pushed.images(name)
        targets = await self._tags.targets(name.v2)
        if not any(isinstance(target, V2Target) for target in targets.values()):
            return await self._pushed.images(name)
        try:
            content = await self._pushed.images(name)
        except RegistryError as error:
            if error.code is not ErrorCode.NAME_UNKNOWN:
                raise
            content = b"[]"
        announced = load_index_images(content)
        known = {entry.get("id") for entry in announced if isinstance(entry, Mapping)}
        try:
            tagged = await self.tags(name, viewer)
        except RegistryError as error:
            if not known or error.code is not ErrorCode.NAME_UNKNOWN:
                raise
            return content
        added = [{"id": image_id} for image_id in dict.fromkeys(tagged.values()) if image_id not in known]
        return dump_json([*announced, *added])
