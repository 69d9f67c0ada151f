"""Images of v1 that repositories hold by their tags: each names one, and holds it with all below it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import suppress

from backends.model.errors import RegistryError
from backends.model.image_places import ImageCopy, ImagePlace, place_of
from backends.model.names import ImageId, RepositoryName, TagName, canonical_name, is_tag
from backends.model.targets import Target, V1Target, V2Target
from backends.model.v1names import V1Name, parse_v1_name
from backends.registry.derived.conversions import Conversions
from backends.registry.image_copies import Copies
from backends.registry.links import names_in
from backends.registry.no_room import exists
from backends.registry.tags.service import Tags
from backends.registry.v1.images import Images
from backends.registry.v1.repositories import Repositories
from backends.registry.v1_view.holdings import Collecting
from backends.registry.yielding import yielding
from backends.storage import layout
from backends.storage.driver import InvalidPath, PathNotFound, StorageDriver

IN_A_ROW = 16
"""So many ancestries are read before others are served."""


class TaggedImages:
    """A way to hold images (`Held`).

    Args:
        driver: of v2's root.
        v1_driver: of v1's.
        tags: of both generations.
        repositories: of v1.
        images: of v1.
        conversions: a migration makes manifests of images; whose tags name them hold these images.
    """

    def __init__(
        self,
        driver: StorageDriver,
        v1_driver: StorageDriver,
        *,
        tags: Tags,
        repositories: Repositories,
        images: Images,
        conversions: Conversions,
    ) -> None:
        self._driver = driver
        self._v1_driver = v1_driver
        self._tags = tags
        self._repositories = repositories
        self._images = images
        self._conversions = conversions
        self._copies = Copies(v1_driver)

    async def names(self) -> Sequence[str]:
        return list(dict.fromkeys(canonical_name(name.canonical) for name in await self._repositories.names()))

    async def stamp(self, name: str) -> Mapping[str, float]:
        found: dict[str, float] = {}
        try:
            v1 = parse_v1_name(name)
        except RegistryError:
            return found
        await self._add(found, self._v1_driver, layout.v1_repository(v1.namespace, v1.stored))
        if v1.v2 is not None:
            # A migration makes a derivation, and then a manifest of the repository's own.
            await self._add(found, self._driver, layout.derivation_sources(v1.v2))
            if layout.derivation_sources(v1.v2) in found:
                await self._add(found, self._driver, f"{layout.revisions(v1.v2)}/sha256")
        return found

    async def _add(self, found: dict[str, float], driver: StorageDriver, folder: str) -> None:
        with suppress(PathNotFound, InvalidPath):
            found[folder] = (await driver.stat(folder)).modified

    async def collect(self, name: str) -> tuple[Collecting, bool]:
        collected, v1 = Collecting(), parse_v1_name(name)
        has_migrated = await self._has_migrated(v1.v2)
        tops = await self._tops(v1, has_migrated=has_migrated)
        for number, (top, tag) in enumerate(tops.items(), 1):
            with suppress(RegistryError):  # it is being pushed again, or damaged: nobody can pull it
                collected.add(tag, await self._shared(top))
            if number % IN_A_ROW == 0:
                await asyncio.sleep(0)
        return collected, not has_migrated  # no folder says when a tag of v2 moves

    async def confirms(self, name: str, by: str, image_id: ImageId) -> bool:
        v1 = parse_v1_name(name)
        with suppress(PathNotFound, RegistryError):
            top = await self._top(v1, by)
            return top == image_id or (top is not None and image_id in await self._shared(top))
        return False

    async def _shared(self, top: ImagePlace) -> Sequence[ImageId]:
        """Returns those of an image and all below it that all repositories share."""
        return [place for place in await self._images.places(top) if not isinstance(place, ImageCopy)]

    async def _top(self, v1: V1Name, tag: str) -> ImagePlace | None:
        """Returns where the image is that a tag names."""
        name = v1.v2
        if name is None or not is_tag(tag):
            return await self._copies.resolve(v1, await self._tags.resolve_v1(v1, tag))
        return await self._image_of(name, await self._tags.target(name, TagName(tag)))

    async def _image_of(self, name: RepositoryName, target: Target) -> ImagePlace | None:
        """Returns where the image is that a tag names; the one of which a migration made what it names."""
        match target:
            case V1Target():
                return place_of(name, target)
            case V2Target(digest):
                return await self._conversions.v1_original(name, digest)

    async def _tops(self, v1: V1Name, *, has_migrated: bool) -> Mapping[ImagePlace, str]:
        """Returns the images that a repository's tags name, each with one of these."""
        name = v1.v2
        if name is None:
            with suppress(PathNotFound, InvalidPath):
                return {place: tag for tag, place in (await self._tags.images_of_v1(v1)).items()}
            return {}
        if not has_migrated and not await self._is_in_v1(v1):
            return {}
        found: dict[ImagePlace, str] = {}
        async for tag, target in yielding((await self._tags.targets(name)).items()):
            if isinstance(target, V1Target) or has_migrated:
                top = await self._image_of(name, target)
                if top is not None:
                    found[top] = tag
        return found

    async def _has_migrated(self, name: RepositoryName | None) -> bool:
        """Whether a repository has manifests of its own that were made of images of v1."""
        if name is None:
            return False
        sources = map(layout.source_of_derivation, await names_in(self._driver, layout.derivation_sources(name)))
        async for source in yielding([each for each in sources if isinstance(each, V1Target)]):
            for entry in await names_in(self._driver, layout.derivations(name, source)):
                digest = layout.referrer_of(entry)
                if digest is not None and await exists(self._driver, layout.revision_link(name, digest)):
                    return True
        return False

    async def _is_in_v1(self, v1: V1Name) -> bool:
        try:
            return await exists(self._v1_driver, layout.v1_repository(v1.namespace, v1.stored))
        except InvalidPath:
            return False
