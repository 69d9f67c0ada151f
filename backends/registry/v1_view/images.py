"""Images of the v1 protocol by id, whichever protocol they were pushed by.

What was made of a manifest comes first: its id is a hash, which nobody else can have but by copying it, while the id
of a pushed image is what its pusher says, and might be somebody else's. All others are answered as if there were no
view of v2 (`v1/images.py`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from backends.model.actor import Actor
from backends.model.conversion.impossible import ImpossibleConversion
from backends.model.descriptors import Descriptor
from backends.model.errors import ErrorCode, RegistryError
from backends.model.names import ImageId
from backends.model.v1images import ImageJson
from backends.registry.v1.images import Images, State, StoredImage
from backends.registry.v1_view.derivations import Derivations
from backends.registry.v1_view.derived_images import DerivedImage
from backends.registry.v1_view.layer_bytes import LayerBytes
from backends.registry.v1_view.pinning import Pinning
from backends.registry.v1_view.viewer import Viewer
from backends.storage.driver import Reader


class ViewedImages:
    """All images that clients of the v1 protocol can have.

    Args:
        pushed: those that were pushed by it.
        view: those that were made of manifests.
        layers: their layers.
        pinning: makes images of the first kind of those.
    """

    def __init__(self, pushed: Images, view: Derivations, layers: LayerBytes, pinning: Pinning) -> None:
        self._pushed = pushed
        self._view = view
        self._layers = layers
        self._pinning = pinning

    # reading

    async def get(self, image_id: ImageId, viewer: Viewer) -> StoredImage:
        """Returns a complete image.

        Raises:
            RegistryError: IMAGE_UNKNOWN or IMAGE_UPLOADING.
            StillWorking: it is still being found out what its layer holds.
        """
        image = await self._view.find(image_id)
        if image is None:
            try:
                return await self._pushed.get(image_id)
            except RegistryError as error:
                image = await self._claimed(image_id, error)
        with impossible_is_unknown():
            layer = await self._layers.find(image, patience=viewer.patience)
        return StoredImage(image.text, layer.size, ())

    async def open_layer(self, image_id: ImageId, viewer: Viewer) -> Reader:
        """Opens a complete image's layer; raises as `get`."""
        image = await self._view.find(image_id)
        if image is None:
            try:
                return await self._pushed.open_layer(image_id)
            except RegistryError as error:
                image = await self._claimed(image_id, error)
        with impossible_is_unknown():
            return await self._layers.open(image, patience=viewer.patience)

    async def _claimed(self, image_id: ImageId, error: RegistryError) -> DerivedImage:
        """Returns the image that a schema 1 manifest claims an id for; raises the error where none does.

        Nor where there is a pushed one, whatever was wrong with that: a claim is for another image then.
        """
        image = None
        if error.code is ErrorCode.IMAGE_UNKNOWN and await self._pushed.state(image_id) is State.ABSENT:
            image = await self._view.find_claimed(image_id)
        if image is None:
            raise error
        return image

    async def ancestry(self, image_id: ImageId, viewer: Viewer) -> Sequence[ImageId]:
        """Returns the ids from a complete image to its base, its own first.

        Raises:
            RegistryError: IMAGE_UNKNOWN or IMAGE_UPLOADING.
            StillWorking: it is still being made.
        """
        with impossible_is_unknown():
            images = await self._view.ancestry(image_id, viewer)
        return [image.image_id for image in images] or await self._pushed.ancestry(image_id)

    async def known_layer_blob(self, image_id: ImageId) -> Descriptor | None:
        """Returns digest and size of a complete image's layer, if they are known and can be read."""
        image = await self._view.find(image_id)
        if image is None and await self._pushed.state(image_id) is State.ABSENT:
            image = await self._view.find_claimed(image_id)
        return await (self._pushed.known_layer_blob(image_id) if image is None else self._layers.known(image))

    # pushing

    async def put_json(self, image: ImageJson, *, actor: Actor) -> None:
        """Stages an image's JSON; its parents become ordinary images first.

        Raises:
            RegistryError: IMAGE_EXISTS; or its parent is not here; or there is little room left.
            StillWorking: as `pin`.
        """
        if await self._view.is_taken(image.image_id):
            raise RegistryError(ErrorCode.IMAGE_EXISTS, "Image already exists")
        if image.parent is not None:
            await self.pin(image.parent, actor=actor)
        await self._pushed.put_json(image)

    async def pin(self, image_id: ImageId, *, actor: Actor) -> None:
        """Makes an ordinary image of one that was made of a manifest, and of all below it.

        Raises:
            RegistryError: IMAGE_UNKNOWN: its layers are gone.
            StillWorking: the process ends before it is known what they hold.
        """
        with impossible_is_unknown():
            await self._pinning.pin(image_id, actor=actor)


@contextmanager
def impossible_is_unknown() -> Iterator[None]:
    """Has clients told why there is no such image for them."""
    try:
        yield
    except ImpossibleConversion as error:
        raise RegistryError(ErrorCode.IMAGE_UNKNOWN, str(error)) from None
