"""What derived manifests are made of: whether it is there, asked of storage each time."""

from __future__ import annotations

from dataclasses import dataclass

from backends.model.digest import Digest
from backends.model.image_places import ImagePlace, place_of
from backends.model.names import RepositoryName
from backends.model.targets import Target, V2Target
from backends.registry.links import read_link
from backends.registry.no_room import exists
from backends.storage import layout
from backends.storage.driver import PathNotFound, StorageDriver


@dataclass(frozen=True, slots=True)
class Living:
    """What is there as long as a source is.

    Attributes:
        path: of a link to a manifest, or of a v1 image's JSON.
        is_v1: which of the two.
    """

    path: str
    is_v1: bool


class Sources:
    """The sources of a store.

    Args:
        driver: of v2's root.
        v1_driver: of v1's, which may be the same.
    """

    def __init__(self, driver: StorageDriver, v1_driver: StorageDriver) -> None:
        self._driver = driver
        self._v1_driver = v1_driver

    async def is_there(self, name: RepositoryName, source: Target) -> bool:
        """Whether a source can still be had: a manifest in this repository, an image that all share or its own."""
        return await self.lives(living(name, source))

    async def lives(self, sign: Living) -> bool:
        """Whether what is there as long as a source is there."""
        if sign.is_v1:
            return await exists(self._v1_driver, sign.path)
        try:
            await read_link(self._driver, sign.path)
        except PathNotFound:
            return False
        return True

    async def has_manifest(self, name: RepositoryName, digest: Digest) -> bool:
        """Whether a repository has a manifest."""
        return await self.lives(living(name, V2Target(digest)))

    async def has_image(self, place: ImagePlace) -> bool:
        """Whether a v1 image is complete, and nobody pushes it again; it may have lost its layer."""
        if not await exists(self._v1_driver, layout.v1_image_json(place)):
            return False
        return not await exists(self._v1_driver, layout.v1_image_mark(place))


def living(name: RepositoryName, source: Target) -> Living:
    """Returns what is there as long as a source is."""
    if isinstance(source, V2Target):
        return Living(layout.revision_link(name, source.digest), is_v1=False)
    return Living(layout.v1_image_json(place_of(name, source)), is_v1=True)
