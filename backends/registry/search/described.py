"""What the images of a repository say that it is: its tag `latest`, else the tag that was set last."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from backends.model.descriptions import described_elsewhere, description_of
from backends.model.digest import Digest, parse_digest
from backends.model.errors import RegistryError
from backends.model.image_places import place_of
from backends.model.names import RepositoryName, TagName
from backends.model.targets import Target, V1Target
from backends.model.v1images import load_json
from backends.model.v1names import V1Name
from backends.registry.blobs import Blobs
from backends.registry.links import is_linked
from backends.registry.manifests import parse_off_loop
from backends.registry.search.repositories import names_of
from backends.registry.tags.service import Tags
from backends.storage import layout
from backends.storage.driver import InvalidPath, PathNotFound, StorageDriver

LATEST = "latest"

TAGS_LOOKED_AT = 100
"""Where none is `latest`, so many are looked at for the one that was set last: the last of them by name."""

MAX_BYTES = 4 * 1024 * 1024
"""What is larger is neither a manifest nor a configuration."""

ELSEWHERE = 2
"""An index leads to a manifest, and that to a configuration."""


class Described:
    """Looks up what repositories say that they are.

    Args:
        driver: v2's root.
        v1_driver: v1's.
        tags: of both.
        blobs: v2's.
    """

    def __init__(self, driver: StorageDriver, v1_driver: StorageDriver, *, tags: Tags, blobs: Blobs) -> None:
        self._driver = driver
        self._v1_driver = v1_driver
        self._tags = tags
        self._blobs = blobs

    async def of(self, text: str) -> str:
        """Returns a repository's description, in one line; "" without one, or where what has it is damaged.

        Raises:
            StorageError: it could not be read.
        """
        v2, v1 = names_of(text)
        try:
            if v2 is not None:
                target = await self._newest(v2, v1)
                return "" if target is None else await self._description(v2, target)
            return "" if v1 is None else await self._of_v1_alone(v1)
        except (PathNotFound, InvalidPath, RegistryError):  # gone meanwhile, or nothing that anybody could pull
            return ""

    async def _newest(self, name: RepositoryName, v1: V1Name | None) -> Target | None:
        tags = await self._tags.page(name, after="", limit=None)
        if LATEST in tags:
            return await self._tags.target(name, LATEST)
        newest: tuple[float, str] | None = None
        for tag in tags[-TAGS_LOOKED_AT:]:
            times = [await self._time(self._driver, layout.tag_current_link(name, TagName(tag)))]
            if v1 is not None:
                times.append(await self._time(self._v1_driver, layout.v1_tag(v1.namespace, v1.stored, tag)))
            newest = max(newest or (0.0, tag), (max(times), tag))
        return None if newest is None else await self._tags.target(name, newest[1])

    async def _time(self, driver: StorageDriver, path: str) -> float:
        try:
            return (await driver.stat(path)).modified
        except (PathNotFound, InvalidPath):
            return 0.0

    async def _of_v1_alone(self, name: V1Name) -> str:
        images = await self._tags.images_of_v1(name)
        tag = LATEST if LATEST in images else await self._newest_of_v1(name, sorted(images))
        return "" if tag is None else await self._of_file(layout.v1_image_json(images[tag]))

    async def _newest_of_v1(self, name: V1Name, tags: Sequence[str]) -> str | None:
        times = [
            (await self._time(self._v1_driver, layout.v1_tag(name.namespace, name.stored, tag)), tag)
            for tag in tags[-TAGS_LOOKED_AT:]
        ]
        return max(times)[1] if times else None

    async def _description(self, name: RepositoryName, target: Target) -> str:
        if isinstance(target, V1Target):
            return await self._of_file(layout.v1_image_json(place_of(name, target)))
        digest = target.digest
        for _ in range(ELSEWHERE + 1):
            if not await self._has(name, digest) or (await self._blobs.size(digest) or MAX_BYTES) >= MAX_BYTES:
                break
            document = await parse_off_loop(await self._blobs.read(digest), load_json)
            if found := description_of(document):
                return found
            place: Any = described_elsewhere(document)
            if not isinstance(place, str):
                break
            digest = parse_digest(place)
        return ""

    async def _has(self, name: RepositoryName, digest: Digest) -> bool:
        """Whether the repository has it itself: what it only names may be another's, whom not everybody may pull."""
        links = (layout.revision_link(name, digest), layout.layer_link(name, digest))
        return any([await is_linked(self._driver, link) for link in links])

    async def _of_file(self, path: str) -> str:
        if (await self._v1_driver.stat(path)).size >= MAX_BYTES:
            return ""
        return description_of(await parse_off_loop(await self._v1_driver.read(path), load_json))
