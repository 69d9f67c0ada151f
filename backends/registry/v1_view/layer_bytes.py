"""The layers of images that were made of manifests, as clients of the v1 protocol can read them.

A manifest and a configuration are claims: what a layer holds is found out once (`layers`), and only a layer that holds
what the image's id says goes out. These clients read gzip, bzip2, xz and plain tars, whatever they are told; zstd they
cannot read, and get a gzip that is made once. A layer without a byte is an error to them, so an image without a layer
has the empty one (FORMATS 1.6, 3.4).
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backends.model.conversion.impossible import ImpossibleConversion, ImpossibleNow
from backends.model.descriptors import Descriptor
from backends.model.digest import Digest
from backends.model.layers import EMPTY_LAYER, EMPTY_LAYER_DIGEST, Compression
from backends.model.media_types import OCTET_STREAM
from backends.registry.layers.errors import UnreadableLayer
from backends.registry.no_room import exists
from backends.registry.still_working import StillWorking
from backends.registry.v1_view.derived_images import DerivedImage
from backends.storage import layout
from backends.storage.driver import InvalidPath, PathNotFound, Reader, StorageDriver, StorageError
from backends.storage.inmemory import MemoryReader

if TYPE_CHECKING:
    from backends.registry.layers.layers import Layers

_log = logging.getLogger("portside.v1")


@dataclass(frozen=True, slots=True)
class LayerFile:
    """A layer as it goes out.

    Attributes:
        digest: what names it.
        driver: where it is.
        path: its file; None for the empty layer, which has none.
        size: in bytes.
        content: of the empty layer, its bytes.
    """

    digest: Digest
    driver: StorageDriver
    path: str | None
    size: int
    content: bytes = b""

    async def open(self) -> Reader:
        """Opens it.

        Raises:
            PathNotFound: it is not here any more.
        """
        if self.path is None:
            return MemoryReader(bytearray(self.content), "the empty layer")
        return await self.driver.open(self.path)


class LayerBytes:
    """The layers of all such images.

    Args:
        driver: of v2's root.
        v1_driver: of v1's, which may be the same.
        layers: what they hold.
    """

    def __init__(self, driver: StorageDriver, v1_driver: StorageDriver, layers: Callable[[], Layers]) -> None:
        self._driver = driver
        self._v1_driver = v1_driver
        self._layers = layers

    async def require(self, image: DerivedImage) -> None:
        """Checks that an image's layer is stored, without reading it.

        Raises:
            ImpossibleConversion: it is not.
        """
        for layer in reversed(image.layers):
            if await self._locate(layer) is not None:
                return
        if image.layers and not await exists(self._v1_driver, layout.v1_image_layer(image.image_id)):
            raise _gone(image)

    async def open(self, image: DerivedImage, *, patience: float | None) -> Reader:
        """Opens an image's layer; raises as `find`."""
        layer = await self.find(image, patience=patience)
        try:
            return await layer.open()
        except PathNotFound:
            raise _gone(image) from None

    async def find(self, image: DerivedImage, *, patience: float | None) -> LayerFile:
        """Returns an image's layer.

        Args:
            image: the image.
            patience: seconds to wait until it is known what the layer holds; None for as long as it takes.

        Raises:
            ImpossibleConversion: it is not stored, or what is stored is not what the image's id says.
            StillWorking: that is still being found out.
        """
        if not image.layers:
            return self._empty()
        why = None
        for digest in await self._ranked(image):
            stored = await self._locate(digest)
            if stored is None:
                continue
            if stored.size == 0:
                return self._empty()
            try:
                return await self._readable(stored, image.diff_id, patience)
            except PathNotFound:
                continue
            except UnreadableLayer as error:
                why = _other(image, digest, error)
        pushed = await self._as_pushed(image, patience)
        if pushed is not None:
            return pushed
        raise why or _gone(image)

    def _empty(self) -> LayerFile:
        return LayerFile(EMPTY_LAYER_DIGEST, self._driver, None, len(EMPTY_LAYER), EMPTY_LAYER)

    async def is_false(self, image: DerivedImage) -> bool:
        """Whether it is known that none of an image's layers holds what its id says, or that all of them are gone."""
        try:
            await self.find(image, patience=0.0)
        except StillWorking:
            return False
        except ImpossibleConversion:
            return True
        return False

    async def _ranked(self, image: DerivedImage) -> Sequence[Digest]:
        """Returns an image's layers, those first that are known to hold what its id says, then the newest.

        So nobody who pushes a manifest that lies about its layers has others wait until that is found out.
        """
        if len(image.layers) < 2:  # noqa: PLR2004 - nothing to choose
            return image.layers
        ranks = {}
        for digest in reversed(image.layers):
            facts = await self._layers().known(digest)
            ranks[digest] = 1 if facts is None else 0 if facts.diff_id == image.diff_id else 2
        return sorted(ranks, key=ranks.__getitem__)

    async def _as_pushed(self, image: DerivedImage, patience: float | None) -> LayerFile | None:
        """Returns the layer of the ordinary image with this id, if it holds the same; None where it does not.

        Such an image was made of this one (`pinning`), or copies its id. distribution's collector removes from the blob
        store what only v1's images have; the file keeps its name as the image's layer.
        """
        try:
            layer = await self._layers().measure_v1(image.image_id, patience=patience)
        except (PathNotFound, UnreadableLayer):
            return None
        if layer.facts.diff_id != image.diff_id or layer.facts.compression is Compression.ZSTD:
            return None
        return LayerFile(layer.digest, self._v1_driver, layout.v1_image_layer(image.image_id), layer.size)

    async def known(self, image: DerivedImage) -> Descriptor | None:
        """Returns digest and size of an image's layer as it goes out, if that is known already."""
        try:
            layer = await self.find(image, patience=0.0)
        except (ImpossibleConversion, StillWorking, StorageError):  # it is only told of a pull, which does not fail
            return None
        return Descriptor(OCTET_STREAM, layer.digest, layer.size)

    async def _readable(self, stored: LayerFile, diff_id: Digest | None, patience: float | None) -> LayerFile:
        """Returns a layer as old clients can read it, once it is known to hold what it must."""
        from backends.registry.layers.looking import look_at  # noqa: PLC0415 - only conversion needs it

        wanted = diff_id if diff_id is not None and diff_id.algorithm == "sha256" else None

        async def source() -> Reader:
            return await stored.open()

        digest = stored.digest
        known = await self._layers().known(digest)
        compression = (await look_at(source)).compression if known is None else known.compression
        if compression is Compression.ZSTD or (wanted is not None and compression is Compression.GZIP):
            # A gzip of what is zstd within is told by its content alone.
            made = await self._layers().gzip_of(digest, source, diff_id=wanted, patience=patience)
            if made.digest == digest:
                return stored
            return LayerFile(made.digest, self._driver, layout.derived_blob(made.digest), made.size)
        if wanted is not None:
            facts = known or await self._layers().facts(digest, source, patience=patience)
            if facts.diff_id != wanted:
                raise UnreadableLayer(f"it holds {facts.diff_id}, and its image's configuration says {wanted}")
        return stored

    async def _locate(self, digest: Digest) -> LayerFile | None:
        """Returns where a blob is stored: among v2's, among those that were made, or among those of v1's own root."""
        places = [(self._driver, layout.blob_data(digest)), (self._driver, layout.derived_blob(digest))]
        if self._v1_driver is not self._driver:
            places.append((self._v1_driver, layout.blob_data(digest)))
        for driver, path in places:
            try:
                info = await driver.stat(path)
            except (PathNotFound, InvalidPath):  # a broken symbolic link is a blob that is not there
                continue
            if not info.is_directory:
                return LayerFile(digest, driver, path, info.size)
        return None


def _other(image: DerivedImage, digest: Digest, error: UnreadableLayer) -> ImpossibleNow:
    why = f"layer {digest} cannot be served as that of image {image.image_id}: {error}; {error.remedy}"
    _log.warning("%s", why)
    return ImpossibleNow(why)


def _gone(image: DerivedImage) -> ImpossibleNow:
    return ImpossibleNow(
        f"the layer of image {image.image_id} is not stored in this registry any more; push the image again"
    )
