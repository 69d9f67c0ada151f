"""v1 images as they are stored: how far each has come, and what is read of it."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from backends.model.descriptors import Descriptor
from backends.model.errors import ErrorCode, RegistryError
from backends.model.image_places import ImageCopy, ImagePlace, id_at
from backends.model.names import ImageId
from backends.registry.image_copies import Copies
from backends.registry.layers.layer_blobs import LayerBlobs
from backends.registry.v1.image_files import ImageFiles
from backends.registry.v1.seeing import Seeing
from backends.registry.v1.sight import Sight
from backends.registry.v1.staging import Staging
from backends.storage.driver import PathNotFound, Reader, StorageDriver, StorageError

_log = logging.getLogger("portside.v1")


class ImageAbsent(RegistryError):  # noqa: N818 - a finding
    """There is nothing of an image, not even the beginning of its push."""

    def __init__(self) -> None:
        super().__init__(ErrorCode.IMAGE_UNKNOWN, "Image not found")


class State(Enum):
    """How far an image has come."""

    ABSENT = "absent"
    UPLOADING = "uploading"
    COMPLETE = "complete"


@dataclass(frozen=True, slots=True)
class StoredImage:
    """A complete image's JSON, the size of its layer in bytes (None: it has lost it), and its checksums."""

    content: bytes
    layer_size: int | None
    checksums: Sequence[str]


class StoredImages:
    """The images on one root.

    Args:
        driver: of the root.
        staging: what is being pushed.
        files: of the images.
        copies: which of them are a repository's own.
    """

    def __init__(self, driver: StorageDriver, *, staging: Staging, files: ImageFiles, copies: Copies) -> None:
        self._staging = staging
        self._files = files
        self._copies = copies
        self._seeing = Seeing(files, copies)
        self._layer_blobs = LayerBlobs(driver)

    # which

    async def own(self, image_id: ImageId, sight: Sight) -> ImageCopy | None:
        """Returns the copy of an image that the repository has which a client names; None for none."""
        return await self._seeing.own(image_id, sight)

    async def place(self, image_id: ImageId, sight: Sight | None) -> ImagePlace | None:
        """Returns where the complete image is that a client sees; None where it sees none."""
        return await self._seeing.place(image_id, sight)

    async def sees(self, place: ImagePlace, sight: Sight | None) -> bool:
        """Whether a client sees the complete image at a place."""
        return await self._seeing.sees(place, sight)

    async def absent(self, image_id: ImageId, sight: Sight) -> RegistryError:
        """Returns what a client is told of an image that it does not see: whether its repository's push has begun."""
        return unknown() if await self.seen_state(image_id, sight) is State.ABSENT else uploading()

    async def places(self, place: ImagePlace) -> Sequence[ImagePlace]:
        """Returns where a complete image and its ancestors are, its own first.

        Raises:
            RegistryError: IMAGE_UNKNOWN or IMAGE_UPLOADING; also when what is stored is damaged.
        """
        await self.require_complete(place)
        return await self._places_of_complete(place)

    async def _places_of_complete(self, place: ImagePlace) -> Sequence[ImagePlace]:
        try:
            return await self._copies.places(place)
        except (PathNotFound, ValueError) as error:
            raise _no_ancestry(place, error) from None

    async def seen_state(self, image_id: ImageId, sight: Sight | None) -> State:
        """Returns how far an image has come, as a client sees it."""
        if sight is None:
            return await self.state(image_id)
        if await self._seeing.place(image_id, sight) is not None:
            return State.COMPLETE
        if sight.owner is not None and await self._staging.is_announced(ImageCopy(sight.owner, image_id)):
            return State.UPLOADING
        return State.ABSENT

    # reading

    async def state(self, place: ImagePlace) -> State:
        """Returns how far an image has come."""
        found = await self._files.look(place)
        if found.is_complete:
            return State.COMPLETE
        return State.UPLOADING if found.is_marked or await self._staging.is_announced(place) else State.ABSENT

    async def require_complete(self, place: ImagePlace) -> None:
        """Raises what docker-registry answers for an image that cannot be read."""
        match await self.state(place):
            case State.ABSENT:
                raise ImageAbsent
            case State.UPLOADING:
                raise uploading()
            case State.COMPLETE:
                return

    async def require_whole(self, place: ImagePlace) -> None:
        """Raises that too of an image that has lost its layer."""
        await self.require_complete(place)
        if await self._files.layer_size(place) is None:
            raise RegistryError(
                ErrorCode.IMAGE_UNKNOWN,
                f"Image not found: {id_at(place)} has lost its layer; PUT its layer and its checksum again",
            )

    async def get(self, place: ImagePlace) -> StoredImage:
        """Returns a complete image.

        Raises:
            RegistryError: IMAGE_UNKNOWN or IMAGE_UPLOADING.
        """
        await self.require_complete(place)
        try:
            content = await self._files.read_json(place)
        except PathNotFound:
            raise unknown() from None
        checksums = await self._files.read_checksums(place)
        return StoredImage(content, await self._files.layer_size(place), checksums)

    async def open_layer(self, place: ImagePlace) -> Reader:
        """Opens a complete image's layer.

        Raises:
            RegistryError: IMAGE_UNKNOWN or IMAGE_UPLOADING.
        """
        await self.require_complete(place)
        try:
            return await self._files.open_layer(place)
        except PathNotFound:
            raise unknown() from None

    async def known_layer_blob(self, place: ImagePlace) -> Descriptor | None:
        """Returns digest and size of a complete image's layer, if they were noted and can be read."""
        try:
            return await self._layer_blobs.find(await self._files.read_checksums(place))
        except StorageError:  # it is only told of a pull, which does not fail for that
            return None

    async def layer_blob(self, place: ImagePlace) -> Descriptor | None:
        """Returns digest and size of a complete image's layer; None when it has lost it. May read all of it."""
        checksums = await self._files.read_checksums(place)
        known = await self._layer_blobs.find(checksums)
        size = await self._files.layer_size(place)
        if size is None or (known is not None and known.size == size):
            return known
        try:
            return await self._layer_blobs.measure(place, checksums, size)
        except PathNotFound:
            return None

    async def ancestry(self, place: ImagePlace) -> Sequence[ImageId]:
        """Returns the ids from a complete image to its base, its own first.

        Raises:
            RegistryError: IMAGE_UNKNOWN or IMAGE_UPLOADING; also when what is stored is damaged.
        """
        await self.require_complete(place)
        try:
            return await self._files.read_ancestry(place)
        except (PathNotFound, ValueError) as error:
            raise _no_ancestry(place, error) from None

    async def is_whole(self, place: ImagePlace) -> bool:
        """Whether an image is complete and has its layer."""
        return await self._files.is_whole(place)

    async def ensure_durable(self, place: ImagePlace) -> None:
        """Makes sure that a complete image survives a power cut."""
        await self._files.ensure_durable(place)


def _no_ancestry(place: ImagePlace, error: Exception) -> RegistryError:
    _log.warning("image %s has no ancestry that can be read: %s", place, error)
    return unknown()


def unknown() -> RegistryError:
    """Returns what docker-registry says of an image that is not there."""
    return RegistryError(ErrorCode.IMAGE_UNKNOWN, "Image not found")


def uploading() -> RegistryError:
    """Returns what it says of one that is still being pushed."""
    return RegistryError(ErrorCode.IMAGE_UPLOADING, "Image is being uploaded, retry later")
