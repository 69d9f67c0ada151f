"""Images of the v1 protocol by id, whichever protocol they were pushed by.

What was made of a manifest comes first: its id is a hash, which nobody else can have but by copying it, while the id
of a pushed image is what its pusher says, and might be somebody else's. All others are answered as if there were no
view of v2 (`v1/images.py`).
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import contextmanager

from backends.model.actor import Actor
from backends.model.conversion.impossible import ImpossibleConversion
from backends.model.descriptors import Descriptor
from backends.model.errors import ErrorCode, RegistryError
from backends.model.image_places import ImageCopy, ImagePlace
from backends.model.names import ImageId
from backends.model.v1images import ImageJson
from backends.registry.v1.images import Images
from backends.registry.v1.sight import Sight
from backends.registry.v1.stored_images import ImageAbsent, State, StoredImage
from backends.registry.v1_view.derivations import Derivations
from backends.registry.v1_view.derived_images import DerivedImage
from backends.registry.v1_view.layer_bytes import LayerBytes
from backends.registry.v1_view.pinning import Pinning
from backends.registry.v1_view.viewer import Viewer
from backends.storage import layout
from backends.storage.driver import Chunk, Reader


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
        image = await self._find(image_id, viewer.sight)
        if not isinstance(image, DerivedImage):
            try:
                return await self._pushed.get(image)
            except RegistryError as error:
                image = await self._claimed(image, error)
        with impossible_is_unknown():
            layer = await self._layers.find(image, patience=viewer.patience)
        return StoredImage(image.text, layer.size, ())

    async def open_layer(self, image_id: ImageId, viewer: Viewer) -> Reader:
        """Opens a complete image's layer; raises as `get`."""
        image = await self._find(image_id, viewer.sight)
        if not isinstance(image, DerivedImage):
            try:
                return await self._pushed.open_layer(image)
            except RegistryError as error:
                image = await self._claimed(image, error)
        with impossible_is_unknown():
            return await self._layers.open(image, patience=viewer.patience)

    async def layer_file(self, image_id: ImageId, viewer: Viewer) -> str | None:
        """Returns the path of an image's layer where it lies as docker-registry keeps it, which all repositories share.

        None for those that others cannot be sent to: of manifests, of a repository's own, and those that are not there.
        """
        try:
            image = await self._find(image_id, viewer.sight)
        except RegistryError:
            return None
        if isinstance(image, DerivedImage | ImageCopy) or not await self._pushed.is_whole(image):
            return None
        return layout.v1_image_layer(image)

    async def is_seen(self, image_id: ImageId, sight: Sight) -> bool:
        """Whether a client sees an image with an id; where there is none at all, no repository is looked at."""
        return await self._pushed.place(image_id, sight) is not None or await sight.may_read_made(image_id)

    async def which(self, image_id: ImageId, sight: Sight | None) -> DerivedImage | ImagePlace:
        """Returns the complete image that a client gets for an id, or where it is; whether it has its layer, or not.

        Raises:
            RegistryError: IMAGE_UNKNOWN or IMAGE_UPLOADING.
        """
        image = await self._find(image_id, sight)
        if isinstance(image, DerivedImage):
            return image
        try:
            await self._pushed.require_complete(image)
        except RegistryError as error:
            return await self._claimed(image, error)
        return image

    async def _find(self, image_id: ImageId, sight: Sight | None) -> DerivedImage | ImagePlace:
        """Returns the image that a client gets for an id, or where it is.

        Raises:
            RegistryError: IMAGE_UNKNOWN or IMAGE_UPLOADING, where the client sees none with it.
        """
        if sight is None:
            return await self._view.find(image_id) or image_id
        own = await self._pushed.own(image_id, sight)
        if own is not None:
            return own
        may_read_made = await sight.may_read_made(image_id)
        image = await self._view.find(image_id)
        if image is not None and may_read_made:
            return image
        place = await self._pushed.place(image_id, sight)
        if place is not None:
            return place
        image = await self._view.find_claimed(image_id)
        if image is not None and may_read_made:
            return image
        raise await self._pushed.absent(image_id, sight)

    async def _claimed(self, place: ImagePlace, error: RegistryError) -> DerivedImage:
        """Returns the image that a schema 1 manifest claims an id for; raises the error where none does.

        Nor where there is a pushed one, whatever was wrong with that: a claim is for another image then.
        """
        image = None
        if isinstance(error, ImageAbsent) and not isinstance(place, ImageCopy):
            image = await self._view.find_claimed(place)
        if image is None:
            raise error
        return image

    async def ancestry(self, image_id: ImageId, viewer: Viewer) -> Sequence[ImageId]:
        """Returns the ids from a complete image to its base, its own first.

        Raises:
            RegistryError: IMAGE_UNKNOWN or IMAGE_UPLOADING.
            StillWorking: it is still being made.
        """
        sight = viewer.sight
        own = None if sight is None else await self._pushed.own(image_id, sight)
        if own is not None:
            return await self._pushed.ancestry(own)
        images: Sequence[DerivedImage] = ()
        if sight is None or await sight.may_read_made(image_id):
            with impossible_is_unknown():
                images = await self._view.ancestry(image_id, viewer)
        if images:
            return [image.image_id for image in images]
        if sight is not None and await self._pushed.place(image_id, sight) is None:
            raise await self._pushed.absent(image_id, sight)
        return await self._pushed.ancestry(image_id)

    async def known_layer_blob(self, image_id: ImageId, sight: Sight | None = None) -> Descriptor | None:
        """Returns digest and size of a complete image's layer, if they are known and can be read."""
        if sight is not None:
            try:
                found = await self._find(image_id, sight)
            except RegistryError:  # gone in this moment
                return None
            if isinstance(found, DerivedImage):
                return await self._layers.known(found)
            return await self._pushed.known_layer_blob(found)
        image = await self._view.find(image_id)
        if image is None and await self._pushed.state(image_id) is State.ABSENT:
            image = await self._view.find_claimed(image_id)
        return await (self._pushed.known_layer_blob(image_id) if image is None else self._layers.known(image))

    # pushing

    async def put_json(self, image: ImageJson, *, actor: Actor, sight: Sight | None = None) -> None:
        """Stages an image's JSON; its parents become ordinary images first.

        Args:
            image: the JSON.
            actor: who pushes it.
            sight: what its client sees; None where access is not controlled. So it is below.

        Raises:
            RegistryError: IMAGE_EXISTS; or its parent is not here; or there is little room left.
            StillWorking: as `pin`.
        """
        if await self._view.is_taken(image.image_id) and await self._may_read_made(image.image_id, sight):
            raise RegistryError(ErrorCode.IMAGE_EXISTS, "Image already exists")
        # One that is there whole, with all below it, is an ordinary image, whether or not it was made of a manifest.
        has_parent = image.parent is not None and sight is None and await self._pushed.is_whole(image.parent)
        if image.parent is not None and not has_parent:
            await self.pin(image.parent, actor=actor, sight=sight)
        await self._pushed.put_json(image, sight, has_parent=has_parent)

    async def put_layer(self, image_id: ImageId, chunks: AsyncIterator[Chunk], sight: Sight | None = None) -> None:
        """Receives a layer, as `Images.put_layer` does."""
        await self._pushed.put_layer(image_id, chunks, sight)

    async def put_checksum(self, image_id: ImageId, payload: str, *, actor: Actor, sight: Sight | None = None) -> None:
        """Ends an image's upload, as `Images.put_checksum` does."""
        await self._pushed.put_checksum(image_id, payload, actor=actor, sight=sight, is_taken=self._view.is_taken)

    async def pin(self, image_id: ImageId, *, actor: Actor, sight: Sight | None = None) -> None:
        """Makes an ordinary image of one that was made of a manifest, and of all below it.

        Where access is controlled, these are the repository's own: nobody else's image with such an id counts.

        Raises:
            RegistryError: IMAGE_UNKNOWN: its layers are gone.
            StillWorking: the process ends before it is known what they hold.
        """
        if sight is not None and await self._pushed.own(image_id, sight) is not None:
            await self._pinning.adopt(image_id, sight, actor=actor)
            return
        if await self._may_read_made(image_id, sight):
            with impossible_is_unknown():
                await self._pinning.pin(image_id, actor=actor, owner=None if sight is None else sight.owner)

    async def has_own(self, image_id: ImageId, sight: Sight | None) -> bool:
        """Whether the repository that a client names has an image with this id for itself."""
        if sight is None:
            return False
        own = await self._pushed.own(image_id, sight)
        return own is not None and own.owner == sight.owner

    async def _may_read_made(self, image_id: ImageId, sight: Sight | None) -> bool:
        return sight is None or await sight.may_read_made(image_id)


@contextmanager
def impossible_is_unknown() -> Iterator[None]:
    """Has clients told why there is no such image for them."""
    try:
        yield
    except ImpossibleConversion as error:
        raise RegistryError(ErrorCode.IMAGE_UNKNOWN, str(error)) from None
