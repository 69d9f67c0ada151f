"""A pass over what tags name: the layers of v1 images and of schema 1 are read that nobody has read yet.

These forms say nothing of what a layer holds, and a conversion must know. What is pushed to Portside is looked at on
the way; a volume that another registry has written is not, and the first pull of a large image would wait. So one
process reads it in the background, the newest image first, with the lowest priority, and only what a tag reaches.
"""

from __future__ import annotations

import asyncio
import heapq
import logging
import time
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass, field
from functools import partial

from typing_extensions import override

from backends.model.errors import ErrorCode, RegistryError
from backends.model.image_places import ImagePlace, place_of
from backends.model.manifests import Schema1
from backends.model.media_types import SCHEMA1_TYPES
from backends.model.names import RepositoryName, parse_repository_name
from backends.model.targets import Target, V1Target, V2Target
from backends.model.v1names import V1Name
from backends.registry.layers.errors import UnreadableLayer
from backends.registry.manifests import Manifests
from backends.registry.still_working import StillWorking
from backends.registry.store import NAMES_AT_ONCE, Store
from backends.storage import layout
from backends.storage.driver import InvalidPath, PathNotFound, StorageError

NEWEST = 20_000
"""So many images are looked at by their age; older ones after them, in the order of their names."""

REST = 3.0
"""Beside the layers, which have a pace of their own, it rests three times as long as it works."""

WORKING_SECONDS = 0.02

_log = logging.getLogger("portside.layers")


@dataclass(slots=True)
class Progress:
    """How far a pass is.

    Attributes:
        found: images that tags name.
        done: of these, those whose layers are known, or cannot be.
        read: layers that were read to their end.
        read_bytes: of these, as they are stored.
        unreadable: layers that are damaged, or pass a bound of the settings.
    """

    found: int = 0
    done: int = 0
    read: int = 0
    read_bytes: int = 0
    unreadable: int = 0

    @override
    def __str__(self) -> str:
        size = f"{self.read_bytes / 1e9:.1f} GB" if self.read_bytes >= 1e8 else f"{self.read_bytes / 1e6:.1f} MB"  # noqa: PLR2004 - for people
        return (
            f"{self.done} of {self.found} images looked at; {self.read} layers ({size}) were read,"
            f" {self.unreadable} cannot be read"
        )


@dataclass(frozen=True, slots=True, order=True)
class _Tagged:
    """An image that a tag names; the older ones first."""

    since: float
    text: str
    source: ImagePlace | V2Target = field(compare=False)


class LayersPass:
    """One pass over what a store has.

    Args:
        store: which.
        on_progress: called after each image.
    """

    def __init__(self, store: Store, *, on_progress: Callable[[Progress, str], None] | None = None) -> None:
        self._store = store
        self._on_progress = on_progress
        self._manifests = Manifests(store.blobs)  # what others have asked for lately stays in the store's own
        self._progress = Progress()
        self._failure: StorageError | RegistryError | None = None
        self._rested = time.monotonic()

    async def run(self) -> Progress:
        """Looks at everything; what it found.

        Raises:
            StorageError, RegistryError: it could not, or not at everything; what was found out stays.
        """
        newest: list[_Tagged] = []
        seen: set[ImagePlace | V2Target] = set()
        async for tagged in self._tagged():
            if tagged.source in seen:
                continue
            self._progress.found += 1
            if len(newest) < NEWEST:
                seen.add(tagged.source)
                heapq.heappush(newest, tagged)
            else:
                oldest = heapq.heappushpop(newest, tagged)
                seen.add(tagged.source)
                seen.discard(oldest.source)
        for tagged in sorted(newest, reverse=True):
            await self._look(tagged)
        if self._progress.found > len(newest):
            async for tagged in self._tagged():
                if tagged.source not in seen:
                    await self._look(tagged)
        if self._failure is not None:
            raise self._failure
        return self._progress

    async def _look(self, tagged: _Tagged) -> None:
        try:
            if isinstance(tagged.source, V2Target):
                await self._look_at_schema1(tagged.source, tagged.text)
            else:
                await self._look_at_v1(tagged.source, tagged.text)
        except (PathNotFound, InvalidPath, ValueError) as error:  # deleted meanwhile, or damaged: who asks is told so
            _log.debug("the layers of %s are not known: %s", tagged.text, error)
        except StorageError as error:  # one file that cannot be read must not keep the rest from being looked at
            if error.transient:
                raise
            self._failure = self._failure or error
        except StillWorking as working:  # as many clients as are taken on wait for other layers
            self._failure = self._failure or RegistryError(ErrorCode.UNAVAILABLE, working.progress)
        self._progress.done += 1
        if self._on_progress is not None:
            self._on_progress(self._progress, tagged.text)
        await self._pause()

    async def _look_at_v1(self, image: ImagePlace, text: str) -> None:
        layers = self._store.layers
        for place in await self._store.v1_copies.places(image):
            try:
                if await layers.known_v1(place) is None:
                    layer = await layers.measure_v1_in_background(place)
                    self._count(layer.size)
            except PathNotFound:
                continue
            except UnreadableLayer as error:
                self._cannot_read(f"the layer of image {place}", text, error)
            await self._pause()

    async def _look_at_schema1(self, target: V2Target, text: str) -> None:
        try:
            manifest = await self._manifests.parse(target.digest)
        except RegistryError as error:
            raise ValueError(str(error)) from None
        if not isinstance(manifest, Schema1):
            return
        layers, blobs = self._store.layers, self._store.blobs
        for digest in dict.fromkeys(manifest.layers):
            size = await blobs.size(digest)
            if size is None or await layers.known(digest) is not None:
                continue
            try:
                await layers.facts_in_background(digest, partial(blobs.open, digest))
                self._count(size)
            except PathNotFound:
                continue
            except UnreadableLayer as error:
                self._cannot_read(f"layer {digest}", text, error)
            await self._pause()

    def _count(self, size: int) -> None:
        self._progress.read += 1
        self._progress.read_bytes += size

    def _cannot_read(self, layer: str, text: str, error: UnreadableLayer) -> None:
        self._progress.unreadable += 1
        _log.warning("%s of %s cannot be read, so it will not be converted: %s", layer, text, error)

    async def _tagged(self) -> AsyncIterator[_Tagged]:
        """Yields all that tags name and that has layers to be looked at."""
        async for name in self._names():
            for tag, target in (await self._targets(name)).items():
                source = place_of(name, target) if isinstance(target, V1Target) else target
                tagged = await self._describe(source, f"{name}:{tag}")
                if tagged is not None:
                    yield tagged
                await self._pause()
        for v1_name in await self._store.v1_repositories.names_of_v1_alone():
            for tag, image in (await self._images_of_v1(v1_name)).items():
                tagged = await self._describe(image, f"{v1_name.text}:{tag}")
                if tagged is not None:
                    yield tagged
                await self._pause()

    async def _names(self) -> AsyncIterator[RepositoryName]:
        after = ""
        while names := await self._store.list_repositories(after=after, limit=NAMES_AT_ONCE):
            for text in names:
                try:
                    yield parse_repository_name(text)
                except RegistryError:
                    continue
            after = names[-1]

    async def _targets(self, name: RepositoryName) -> Mapping[str, Target]:
        try:
            return await self._store.tags.targets(name)
        except (PathNotFound, InvalidPath):
            return {}

    async def _images_of_v1(self, name: V1Name) -> Mapping[str, ImagePlace]:
        try:
            return await self._store.tags.images_of_v1(name)
        except (PathNotFound, InvalidPath):
            return {}

    async def _describe(self, source: ImagePlace | V2Target, text: str) -> _Tagged | None:
        try:
            if not isinstance(source, V2Target):
                file = await self._store.v1_storage.driver.stat(layout.v1_image_json(source))
            else:
                media_type, _ = await self._manifests.describe(source.digest)
                if media_type not in SCHEMA1_TYPES:
                    return None
                file = await self._store.storage.driver.stat(layout.blob_data(source.digest))
        except (PathNotFound, InvalidPath, RegistryError):
            return None
        return _Tagged(file.modified, text, source)

    async def _pause(self) -> None:
        await asyncio.sleep(0)
        worked = time.monotonic() - self._rested
        if worked >= WORKING_SECONDS:
            await asyncio.sleep(min(1.0, worked) * REST)
            self._rested = time.monotonic()
