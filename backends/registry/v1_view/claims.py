"""Images of the v1 protocol whose ids schema 1 manifests claim (FORMATS 4.5, 7.3).

Docker 1.6 to 1.9 pushed by v2 what older ones pushed by v1: images with random ids of their own. A client that has some
of them finds them again under these ids. But an id proves nothing: it belongs to the first image that has it, and a
manifest that gives it to another one is seen by v1 with ids that are made for it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING

from backends.model.digest import Digest, parse_digest
from backends.model.errors import ErrorCode, RegistryError
from backends.model.layers import EMPTY_LAYER_DIGEST
from backends.model.names import ImageId, parse_repository_name
from backends.model.v1images import load_json
from backends.registry.exclusive_lock import exclusive_lock
from backends.registry.layers.errors import UnreadableLayer
from backends.registry.v1.images import Images
from backends.registry.v1.stored_images import State
from backends.registry.v1_view.derived_images import (
    DerivedImage,
    DerivedImages,
    ImageSource,
    decode_image,
    encode_image,
)
from backends.storage import layout
from backends.storage.driver import PathNotFound, StorageDriver
from backends.storage.locks import Locks

if TYPE_CHECKING:
    from backends.registry.layers.layers import Layers

_log = logging.getLogger("portside.v1")


class Claims:
    """The images of all schema 1 manifests.

    Args:
        driver: where they are kept.
        locks: of v1's images, which have the same ids.
        pushed: those.
        derived: images whose ids are hashes.
        layers: which blobs the layers of v1's images are.
        is_there: whether a repository still has a manifest.
    """

    def __init__(
        self,
        driver: StorageDriver,
        locks: Locks,
        *,
        pushed: Images,
        derived: DerivedImages,
        layers: Callable[[], Layers],
        is_there: Callable[[ImageSource], Awaitable[bool]],
    ) -> None:
        self._driver = driver
        self._locks = locks
        self._pushed = pushed
        self._derived = derived
        self._layers = layers
        self._is_there = is_there

    async def find(self, image_id: ImageId) -> DerivedImage | None:
        """Returns the image that a manifest claims an id for; None where none does, or what is stored is damaged."""
        found = await read_claim(self._driver, image_id)
        return None if found is None else found[0]

    async def is_taken(self, image_id: ImageId) -> bool:
        """Whether a manifest that is still there claims an id."""
        found = await read_claim(self._driver, image_id)
        return found is not None and await self._is_there(found[1])

    async def claim(self, images: Sequence[DerivedImage], source: ImageSource) -> bool:
        """Claims the ids of a manifest's images, from the base up.

        Returns:
            False when one of them belongs to another image; the manifest's images need others then.
        """
        for image in images:
            async with exclusive_lock(self._locks, layout.v1_image_lock(image.image_id)):
                if not await self._claim(image, source):
                    return False
        return True

    async def _claim(self, image: DerivedImage, source: ImageSource) -> bool:
        found = await read_claim(self._driver, image.image_id)
        if found is not None and found[0] == image and await self._is_there(found[1]):
            await self._driver.ensure_durable(layout.claimed_v1_image(image.image_id))
            return True
        if found is not None and found[0] != image and await self._is_there(found[1]):
            return False
        if await self._derived.find(image.image_id) is not None or not await self.is_as_pushed(image):
            return False
        await self._driver.write(layout.claimed_v1_image(image.image_id), _encode(image, source))
        return True

    async def is_as_pushed(self, image: DerivedImage) -> bool:
        """Whether nobody has pushed another image with this id by v1, or is at it."""
        match await self._pushed.state(image.image_id):
            case State.ABSENT:
                return True
            case State.UPLOADING:
                return False
            case State.COMPLETE:
                return await self._is_same(image)

    async def _is_same(self, image: DerivedImage) -> bool:
        try:
            if (await self._pushed.get(image.image_id)).content != image.text:
                return False
            layer = await self._layers().measure_v1(image.image_id)
        except (PathNotFound, UnreadableLayer):
            return False
        except RegistryError as error:
            if error.code is not ErrorCode.IMAGE_UNKNOWN:
                raise
            return False
        return layer.digest in (image.layers or (EMPTY_LAYER_DIGEST,))


async def read_claim(driver: StorageDriver, image_id: ImageId) -> tuple[DerivedImage, ImageSource] | None:
    """Returns the image that a manifest claims an id for, and the manifest; None where none does, or it is damaged."""
    path = layout.claimed_v1_image(image_id)
    try:
        content = await driver.read(path)
    except PathNotFound:
        return None
    try:
        first, _, rest = content.partition(b"\n")
        said = load_json(first)
        source = ImageSource(parse_repository_name(said["name"]), parse_digest(said["digest"]))
        return decode_image(image_id, rest), source
    except (ValueError, KeyError, TypeError, RegistryError) as error:
        _log.warning("%s is damaged on disk (%s); it is made again when its repository is asked for", path, error)
        return None


def _encode(image: DerivedImage, source: ImageSource) -> bytes:
    said: dict[str, str | Digest] = {"name": source.name, "digest": str(source.digest)}
    return json.dumps(said).encode() + b"\n" + encode_image(image)
