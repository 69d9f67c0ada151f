"""Images of v1 that repositories hold by manifests of which they were made, whether a tag names these or not.

So an image can be had exactly where its manifest can. An id that a schema 1 manifest claims proves nothing: only a
manifest whose image it is now, to the byte, holds it.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress

from backends.model.cache import Cache
from backends.model.conversion.impossible import ImpossibleConversion
from backends.model.conversion.policy import Permission
from backends.model.errors import RegistryError
from backends.model.manifests import Schema1
from backends.model.names import ImageId, RepositoryName, canonical_name, parse_repository_name
from backends.registry.catalog import list_repositories
from backends.registry.links import names_in
from backends.registry.no_room import exists
from backends.registry.repository import Repository
from backends.registry.shared import Shared
from backends.registry.v1_view.chains import claimed_chain
from backends.registry.v1_view.claims import Claims
from backends.registry.v1_view.derived_images import DerivedImage, DerivedImages, ImageSource
from backends.registry.v1_view.holdings import Collecting
from backends.registry.yielding import yielding
from backends.storage import layout
from backends.storage.driver import InvalidPath, PathNotFound

MAX_CHAIN = 512
"""More images than any chain has that this program makes."""

NAMES_AT_ONCE = 1000
IN_A_ROW = 16
CHAINS = 1024
"""So many chains are remembered; an id that is a hash has one chain for ever."""


class MadeImages:
    """A way to hold images (`Held`).

    Args:
        shared: what v2's repositories work with.
        images: those whose ids are hashes.
        claims: those whose ids manifests claim.
    """

    def __init__(self, shared: Shared, images: DerivedImages, claims: Claims) -> None:
        self._shared = shared
        self._images = images
        self._claims = claims
        self._chains: Cache[ImageId, frozenset[ImageId]] = Cache(bound=CHAINS)
        self._claimed: Cache[ImageSource, Mapping[ImageId, DerivedImage]] = Cache(bound=CHAINS)

    async def names(self) -> Sequence[str]:
        found: dict[str, None] = {}
        after = ""
        while page := await list_repositories(self._shared.driver, after=after, limit=NAMES_AT_ONCE):
            found |= dict.fromkeys(map(canonical_name, page))
            after = page[-1]
        return list(found)

    async def stamp(self, name: str) -> Mapping[str, float]:
        found: dict[str, float] = {}
        for own in _names_of(name):
            folder = layout.derived_v1_tops(own)
            for algorithm in await names_in(self._shared.driver, folder):
                with suppress(PathNotFound, InvalidPath):
                    at = f"{folder}/{algorithm}"
                    found[at] = (await self._shared.driver.stat(at)).modified
        return found

    async def collect(self, name: str) -> tuple[Collecting, bool]:
        collected = Collecting()
        parents: dict[ImageId, ImageId | None] = {}
        number = 0
        for own in _names_of(name):
            async for source in self._sources_in(own):
                number += 1
                if number % IN_A_ROW == 0:
                    await asyncio.sleep(0)
                top = await self._top(source)
                if top is not None:
                    collected.add(_by(source), await self._below(top, parents))
        return collected, True

    async def confirms(self, name: str, by: str, image_id: ImageId) -> bool:
        source = _source_of(by)
        if source is None or canonical_name(source.name) != name:
            return False
        if self._shared.conversion_policy.permission(source.name) is Permission.FORBID:
            return False
        top = await self._top(source)
        if top is None:
            return False
        if await self._images.find(image_id) is not None:
            return image_id == top or image_id in await self._chain(top)
        if await self._claims.find(image_id) is not None:
            return await self._is_as_claimed(source, image_id)
        return image_id == top  # it is made when its ancestry is asked for

    async def is_made(self, image_id: ImageId) -> bool:
        """Whether some manifest is, or was, this image, or can be: most images of v1 are none of these."""
        for path in (
            layout.derived_v1_image(image_id),
            layout.claimed_v1_image(image_id),
            layout.derived_v1_sources(image_id),
        ):
            if await exists(self._shared.driver, path):
                return True
        return False

    async def is_as_pushed(self, image_id: ImageId) -> bool:
        """Whether what a manifest claims an id for is the very image that was pushed by v1."""
        claimed = await self._claims.find(image_id)
        return claimed is not None and await self._claims.is_as_pushed(claimed)

    # within

    async def _top(self, source: ImageSource) -> ImageId | None:
        """Returns the topmost image of a manifest that is there."""
        if not await Repository(source.name, self._shared).has_manifest(source.digest):
            return None
        return await self._images.top(source)

    async def _sources_in(self, name: RepositoryName) -> AsyncIterator[ImageSource]:
        folder = layout.derived_v1_tops(name)
        for algorithm in await names_in(self._shared.driver, folder):
            async for text in yielding(await names_in(self._shared.driver, f"{folder}/{algorithm}")):
                digest = layout.referrer_of(f"{algorithm}-{text}")
                if digest is not None:
                    yield ImageSource(name, digest)

    async def _chain(self, top: ImageId) -> frozenset[ImageId]:
        try:
            return self._chains[top]
        except KeyError:
            chain = frozenset(await self._below(top, {}))
        if await self._images.find(top) is not None:  # what claims say may change
            self._chains.put(top, chain)
        return chain

    async def _below(self, top: ImageId, parents: dict[ImageId, ImageId | None]) -> Sequence[ImageId]:
        """Returns an image and all below it, as far as they were made."""
        found: list[ImageId] = []
        following: ImageId | None = top
        while following is not None and len(found) < MAX_CHAIN:
            found.append(following)
            if following not in parents:
                image = await self._images.find(following) or await self._claims.find(following)
                parents[following] = None if image is None else image.parent
            following = parents[following]
        return found

    async def _is_as_claimed(self, source: ImageSource, image_id: ImageId) -> bool:
        """Whether a manifest gives an id to the image that has it now."""
        mine = (await self._claimed_by(source)).get(image_id)
        return mine is not None and mine == await self._claims.find(image_id)

    async def _claimed_by(self, source: ImageSource) -> Mapping[ImageId, DerivedImage]:
        try:
            return self._claimed[source]
        except KeyError:
            pass
        repository = Repository(source.name, self._shared)
        with suppress(RegistryError, ImpossibleConversion):
            manifest = await repository.parse_manifest(source.digest)
            chain = await claimed_chain(repository, manifest) if isinstance(manifest, Schema1) else None
            if chain is not None:
                images = {image.image_id: image for image in chain.images}
                self._claimed.put(source, images)
                return images
        return {}


def _names_of(name: str) -> Sequence[RepositoryName]:
    """Returns what v2 may call a repository: `library/x` is `x` too."""
    names = (name,) if "/" in name else (name, f"library/{name}")
    found: list[RepositoryName] = []
    for each in names:
        with suppress(RegistryError):
            found.append(parse_repository_name(each))
    return found


def _by(source: ImageSource) -> str:
    return f"{source.name}@{source.digest}"


def _source_of(by: str) -> ImageSource | None:
    name, _, digest = by.partition("@")
    found = layout.referrer_of(digest.replace(":", "-", 1))
    return None if found is None else ImageSource(RepositoryName(name), found)
