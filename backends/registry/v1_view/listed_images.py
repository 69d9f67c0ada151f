"""The layers of images whose files clients of the v1 protocol ask for, whichever protocol they were pushed by.

Invariant: of an image's layers below it, only those are gone through that the client could have by their own ids: what
an image changes tells what is in them.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

from backends.model.errors import ErrorCode, RegistryError
from backends.model.image_places import ImageCopy, ImagePlace
from backends.model.names import ImageId
from backends.registry.layer_lists.lists import KeptList, LayerLists, ListedLayer
from backends.registry.layers.errors import UnreadableLayer
from backends.registry.v1.images import Images
from backends.registry.v1.sight import Sight
from backends.registry.v1_view.derivations import Derivations
from backends.registry.v1_view.derived_images import DerivedImage
from backends.registry.v1_view.images import ViewedImages, impossible_is_unknown
from backends.registry.v1_view.layer_bytes import LayerBytes
from backends.registry.v1_view.viewer import Viewer
from backends.storage import layout
from backends.storage.driver import PathNotFound, Reader
from backends.storage.storage import Storage

NOT_A_TAR = "Layer format not supported"
"""docker-registry's words."""


class ListedImages:
    """Lists of what images hold and change.

    Args:
        images: all images.
        pushed: those that were pushed by v1.
        view: those that were made of manifests.
        layers: the layers of these.
        lists: makes the lists.
        storage: of v2's root.
        v1_storage: of v1's.
    """

    def __init__(
        self,
        images: ViewedImages,
        pushed: Images,
        view: Derivations,
        layers: LayerBytes,
        lists: LayerLists,
        *,
        storage: Storage,
        v1_storage: Storage,
    ) -> None:
        self._images = images
        self._pushed = pushed
        self._view = view
        self._layers = layers
        self._lists = lists
        self._storage = storage
        self._v1_storage = v1_storage

    async def files(self, image_id: ImageId, viewer: Viewer) -> Reader:
        """Opens the list of the files in an image's layer.

        Raises:
            RegistryError: IMAGE_UNKNOWN or IMAGE_UPLOADING; IMAGE_INVALID: its layer is no tar archive, or has more
                files than are listed.
            StillWorking: it is still being made.
        """
        image = await self._images.which(image_id, viewer.sight)
        async with _refused():
            layer = await self._layer(image, viewer.patience)
            return await (await self._lists.files(layer, patience=viewer.patience)).open()

    async def diff(self, image_id: ImageId, viewer: Viewer) -> Reader:
        """Opens the list of what an image's layer changes of those below it; raises as `files`."""
        image = await self._images.which(image_id, viewer.sight)
        chain = await self._chain(image, viewer)
        async with _refused():
            patience = _Patience(viewer.patience)
            layers = [await self._layer(each, patience.left()) for each in chain]
            kept: KeptList = await self._lists.diff(layers, patience=patience.left())
            return await kept.open()

    async def _chain(self, image: DerivedImage | ImagePlace, viewer: Viewer) -> Sequence[DerivedImage | ImagePlace]:
        """Returns an image and those below it, all of which a client may read.

        Raises:
            RegistryError: IMAGE_UNKNOWN: it may not.
        """
        sight = viewer.sight
        if isinstance(image, DerivedImage):
            with impossible_is_unknown():
                made = await self._view.ancestry(image.image_id, viewer)
            if not made:  # one below it is gone
                raise _unknown()
            await _require_all(made, lambda each: _may_read_made(each, sight))
            return made
        places = await self._pushed.places(image)
        await _require_all(places[1:], lambda each: self._may_read(each, image, sight))
        return places

    async def _may_read(self, below: ImagePlace, image: ImagePlace, sight: Sight | None) -> bool:
        if isinstance(below, ImageCopy):  # of the repository that has the image for itself, which the client may pull
            return isinstance(image, ImageCopy) and below.owner == image.owner
        return await self._pushed.sees(below, sight)

    async def _layer(self, image: DerivedImage | ImagePlace, patience: float | None) -> ListedLayer:
        """Returns an image's layer.

        Raises:
            ImpossibleConversion, StillWorking: as `LayerBytes.find`.
        """
        if isinstance(image, DerivedImage):
            with impossible_is_unknown():
                found = await self._layers.find(image, patience=patience)
            return ListedLayer(f"layer {found.digest}", f"layer {found.digest}", found.open, self._storage)
        path, driver, what = layout.v1_image_layer(image), self._v1_storage.driver, f"the layer of image {image}"

        async def source() -> Reader:
            return await driver.open(path)

        try:
            file = await driver.stat(path)
        except PathNotFound:  # it has lost its layer; its list may have been kept
            return ListedLayer(f"image {image}", what, source, self._v1_storage, image)
        key = f"image {image}, {file.size} bytes of {file.modified}"
        return ListedLayer(key, what, source, self._v1_storage, image)


class _Patience:
    """How long a client waits for all that is looked for, one after the other."""

    def __init__(self, seconds: float | None) -> None:
        self._seconds = seconds
        self._began = asyncio.get_running_loop().time()

    def left(self) -> float | None:
        if self._seconds is None:
            return None
        return max(0.0, self._seconds - (asyncio.get_running_loop().time() - self._began))


async def _require_all(images: Sequence[DerivedImage | ImagePlace], may: Callable[..., Awaitable[bool]]) -> None:
    for image in images:
        if not await may(image):
            raise _unknown()


async def _may_read_made(image: DerivedImage, sight: Sight | None) -> bool:
    return sight is None or await sight.may_read_made(image.image_id)


@asynccontextmanager
async def _refused() -> AsyncIterator[None]:
    """Has clients told, in docker-registry's words where it has them, why there is no list."""
    try:
        yield
    except PathNotFound:
        raise _unknown() from None
    except UnreadableLayer as error:
        sentence = NOT_A_TAR if error.damaged else f"the files of this layer are not listed: {error}"
        raise RegistryError(ErrorCode.IMAGE_INVALID, sentence) from None


def _unknown() -> RegistryError:
    return RegistryError(ErrorCode.IMAGE_UNKNOWN, "Image not found")
