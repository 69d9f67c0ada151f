"""Blobs that a repository has by conversions: who may serve them, and where their bytes are.

A blob is looked up in v2's blob store, the derived one, v1's blob store, and as a v1 image's layer. distribution's
`garbage-collect` removes what only a v1 image has from the first, and no hard link leads from one root to another.
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING

from backends.model.digest import Digest
from backends.model.image_places import ImagePlace, copy_of
from backends.model.names import ImageId, RepositoryName
from backends.model.targets import Target, V1Target
from backends.registry.blobs import Blob
from backends.registry.derived.hints import Damaged
from backends.registry.derived.records import Records
from backends.registry.second_names import link_or_copy
from backends.registry.still_working import PATIENCE_SECONDS
from backends.storage import layout
from backends.storage.driver import InvalidPath, PathNotFound, StorageDriver

if TYPE_CHECKING:
    from backends.registry.layers.layers import Layers

EMPTY_LAYER_HEX = "a3ed95caeb02ffe68cdd9fd84406680ae93d633cb16422d00e8a7c22955b46d4"
"""Of the layer without files that schema 1 names for every step that changes none; every repository has it."""

_log = logging.getLogger("portside.conversion")


class DerivedBlobs:
    """The blobs that repositories have by conversions.

    Args:
        driver: of v2's root.
        v1_driver: of v1's, which may be the same.
        records: who may serve them.
        layers: returns what knows which blob the layer of a v1 image is.
        writes: whether anything may be changed.
    """

    def __init__(
        self,
        driver: StorageDriver,
        v1_driver: StorageDriver,
        *,
        records: Records,
        layers: Callable[[], Layers],
        writes: bool = True,
    ) -> None:
        self._driver = driver
        self._v1_driver = v1_driver
        self._records = records
        self._layers = layers
        self._writes = writes

    async def open(self, name: RepositoryName, digest: Digest) -> Blob | None:
        """Opens a blob that a repository has by a conversion; None where it has not.

        Raises:
            StillWorking: it takes long to find out.
        """
        if digest.hex == EMPTY_LAYER_HEX:
            return _open_empty_layer(digest)
        async for driver, path, size in self._paths(name, digest):
            try:
                reader = await driver.open(path)
            except (PathNotFound, InvalidPath):  # a broken symbolic link is one that is not there
                continue
            if reader.size == size:
                return Blob(digest, reader)
            reader.close()
        return None

    async def size(self, name: RepositoryName, digest: Digest) -> int | None:
        """Returns the size in bytes of such a blob; None where the repository does not have it.

        Raises:
            StillWorking: it takes long to find out.
        """
        if digest.hex == EMPTY_LAYER_HEX:
            return _open_empty_layer(digest).size
        async for driver, path, size in self._paths(name, digest):
            if await _is_whole(driver, path, size):
                return size
        return None

    async def copy_to(self, name: RepositoryName, digest: Digest, target: str) -> None:
        """Gives such a blob another name on v2's root: one file by hard link, else a copy; durable when this returns.

        Raises:
            PathNotFound: the repository does not have it any more.
            StorageError: it is damaged.
        """
        if digest.hex == EMPTY_LAYER_HEX:
            from backends.model.layers import EMPTY_LAYER  # noqa: PLC0415 - only Docker up to 1.9 names it

            await self._driver.write(target, EMPTY_LAYER)
            return
        async for driver, path, size in self._paths(name, digest):
            if not await _is_whole(driver, path, size):
                continue
            with suppress(PathNotFound, InvalidPath):
                await link_or_copy(driver, path, digest, self._driver, target)
                return
        raise PathNotFound(target)

    async def _paths(self, name: RepositoryName, digest: Digest) -> AsyncIterator[tuple[StorageDriver, str, int]]:
        """Yields where the bytes of a blob may be that a repository may serve, where they most often are first.

        With each, how many they must be. Where they are nowhere, no manifest is to be shown any more that names them:
        what conversions made is made again, and the layer of an image was lost, or pushed again. So it is where what is
        kept of the blob is damaged.
        """
        entry = await self._records.member(name, digest)
        if entry is None:
            return
        if isinstance(entry, Damaged):
            await self._forget(name, entry.source, f"what is kept of blob {digest} of {name} is damaged")
            return
        image_id, size = entry.says.image_id, entry.says.size
        own, pushed = layout.derived_blob(digest), layout.blob_data(digest)
        for path in (own, pushed) if image_id is None else (pushed, own):
            yield self._driver, path, size
        if image_id is not None:
            if self._v1_driver is not self._driver:
                yield self._v1_driver, pushed, size
            for image in _places_in(name, image_id, entry.source):
                if await self._is_layer_of(image, digest):
                    yield self._v1_driver, layout.v1_image_layer(image), size
                    return
        what = "a conversion" if image_id is None else f"image {image_id}"
        await self._forget(name, entry.source, f"{what} has lost its blob {digest}")

    async def _forget(self, name: RepositoryName, source: Target, why: str) -> None:
        if self._writes:
            _log.warning("%s; what was made with it is forgotten, and made again when it is asked for", why)
            await self._records.forget_source(name, source)

    async def _is_layer_of(self, image: ImagePlace, digest: Digest) -> bool:
        """Whether an image's layer is still this blob: docker-registry lets a client push it again."""
        from backends.registry.layers.errors import UnreadableLayer  # noqa: PLC0415 - only conversion needs it

        try:
            return (await self._layers().measure_v1(image, patience=PATIENCE_SECONDS)).digest == digest
        except (PathNotFound, UnreadableLayer):
            return False


def _places_in(name: RepositoryName, image_id: ImageId, source: Target) -> Sequence[ImagePlace]:
    """Returns where the image may be whose layer a blob is: its digest says in the end whether it is."""
    if isinstance(source, V1Target) and source.is_copy:
        return (copy_of(name, image_id), image_id)
    return (image_id,)


async def _is_whole(driver: StorageDriver, path: str, size: int) -> bool:
    try:
        info = await driver.stat(path)
    except (PathNotFound, InvalidPath):
        return False
    return not info.is_directory and info.size == size


def _open_empty_layer(digest: Digest) -> Blob:
    from backends.model.layers import EMPTY_LAYER  # noqa: PLC0415 - only Docker up to 1.9 asks for it
    from backends.storage.inmemory import MemoryReader  # noqa: PLC0415 - as above

    return Blob(digest, MemoryReader(bytearray(EMPTY_LAYER), str(digest)))
