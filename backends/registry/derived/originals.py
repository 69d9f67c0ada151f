"""What conversions read: manifests, configurations and layers of a repository, images of v1.

A repository's own link, or its membership by another conversion, decides what of it may be read; the
digest alone never does.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Protocol, TypeVar

from backends.model.conversion.image_config import MAX_CONFIG_BYTES
from backends.model.conversion.impossible import ImpossibleNow
from backends.model.conversion.upward import require_few_characters, require_short_chain
from backends.model.descriptors import Descriptor
from backends.model.digest import Digest
from backends.model.errors import ErrorCode, RegistryError
from backends.model.image_places import ImagePlace, id_at, place_of
from backends.model.layers import EMPTY_LAYER_DIGEST, EMPTY_STORED_LAYER, StoredLayer
from backends.model.manifests import Manifest
from backends.model.names import RepositoryName
from backends.model.targets import V1Target
from backends.registry.blobs import Blob, Blobs
from backends.registry.derived.blobs import DerivedBlobs
from backends.registry.derived.sources import Sources
from backends.registry.image_copies import Copies
from backends.registry.layers.errors import UnreadableLayer
from backends.registry.layers.layers import Layers
from backends.registry.layers.looking import look_at
from backends.registry.layers.reading import LayerSource
from backends.registry.links import read_link
from backends.registry.manifests import Manifests
from backends.registry.still_working import StillWorking
from backends.storage import layout
from backends.storage.driver import PathNotFound, Reader, StorageDriver

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)

Tell = Callable[[str], None]
"""Told how far something is, as a clause."""

TOLD_SECONDS = 2.0


@dataclass(frozen=True, slots=True)
class V1Text:
    """Where a v1 image is, and its JSON."""

    place: ImagePlace
    text: str


class Originals:
    """What conversions read.

    Args:
        driver: of v2's root.
        v1_driver: of v1's, which may be the same.
        blobs: v2's.
        manifests: v2's.
        derived: blobs that repositories have by other conversions.
        sources: what is there.
        layers: what is known of layers, and gzips of them.
    """

    def __init__(
        self,
        driver: StorageDriver,
        v1_driver: StorageDriver,
        *,
        blobs: Blobs,
        manifests: Manifests,
        derived: DerivedBlobs,
        sources: Sources,
        layers: Layers,
    ) -> None:
        self._driver = driver
        self._v1_driver = v1_driver
        self._blobs = blobs
        self._manifests = manifests
        self._derived = derived
        self._sources = sources
        self._layers = layers

    async def manifest(self, name: RepositoryName, digest: Digest) -> Manifest:
        """Returns a manifest of a repository.

        Raises:
            RegistryError: MANIFEST_UNKNOWN: the repository does not have it, or it is damaged.
        """
        try:
            await read_link(self._driver, layout.revision_link(name, digest))
            return await self._manifests.parse(digest)
        except PathNotFound:
            raise RegistryError(ErrorCode.MANIFEST_UNKNOWN, f"{name} has no manifest {digest}") from None

    async def config(self, name: RepositoryName, config: Descriptor) -> bytes:
        """Returns an image's configuration.

        Raises:
            ImpossibleConversion: it is not here.
            ValueError: it is too large to be one.
        """
        blob = await self._open(name, config.digest)
        if blob is None:
            raise ImpossibleNow(
                f"the image's configuration {config.digest} is not stored in this registry; push the image again"
            )
        try:
            if blob.size > MAX_CONFIG_BYTES:
                raise ValueError(f"this is not a container image: its configuration has {blob.size} bytes")
            return await _read(blob, blob.size)
        finally:
            blob.reader.close()

    async def has(self, name: RepositoryName, digest: Digest) -> bool:
        """Whether a repository has a blob."""
        blob = await self._open(name, digest)
        if blob is None:
            return False
        blob.reader.close()
        return True

    async def has_zstd(self, name: RepositoryName, digest: Digest) -> bool:
        """Whether a layer is compressed with zstd, by its first bytes, perhaps within gzip.

        Raises:
            ImpossibleConversion: the repository does not have it.
        """
        try:
            return (await look_at(partial(self._reader, name, digest))).has_zstd
        except PathNotFound:
            raise _not_stored(digest) from None

    async def layer(self, name: RepositoryName, digest: Digest, tell: Tell) -> StoredLayer:
        """Returns what is true of a layer of a repository; where nobody knows it, reads it to its end.

        Raises:
            ImpossibleConversion: the repository does not have it, or it cannot be read.
        """
        if digest == EMPTY_LAYER_DIGEST:
            return EMPTY_STORED_LAYER
        blob = await self._require(name, digest)
        size = blob.size
        blob.reader.close()
        work = partial(self._layers.facts, digest, partial(self._reader, name, digest))
        return StoredLayer(digest, size, await _wait(work, f"layer {digest}", tell))

    async def gzip_of(
        self, name: RepositoryName, digest: Digest, diff_id: Digest, tell: Tell, *, image: ImagePlace | None = None
    ) -> StoredLayer:
        """Returns a layer in gzip, made now unless it was before; it is stored.

        Args:
            name: the repository.
            digest: the layer's.
            diff_id: what it must hold.
            tell: told how far that is.
            image: where the v1 image is whose layer it is, if it is one's.

        Raises:
            ImpossibleConversion: the layer is not here, cannot be read, or holds something else.
        """
        source: LayerSource = partial(self._reader, name, digest)
        if image is not None:
            source = partial(self._v1_driver.open, layout.v1_image_layer(image))
        return await _wait(partial(self._layers.gzip_of, digest, source, diff_id=diff_id), f"layer {digest}", tell)

    # v1

    async def v1_chain(self, name: RepositoryName, target: V1Target) -> Sequence[V1Text]:
        """Returns the JSON of an image of a repository and of its ancestors, from the base up.

        Raises:
            ImpossibleConversion: it or an ancestor is not here, or the chain is longer, or says more, than any image's.
            ValueError: what is stored of it is damaged.
        """
        image_id, place = target.image_id, place_of(name, target)
        if not await self._sources.has_image(place):
            raise ImpossibleNow(f"image {image_id} is not whole: a push was cut off, or it was deleted; push it again")
        try:
            places = await Copies(self._v1_driver).places(place)
        except PathNotFound:
            raise ImpossibleNow(f"image {image_id} has lost its ancestry; push the image again") from None
        require_short_chain(len(places))
        texts: list[V1Text] = []
        for each in reversed(places):
            texts.append(await self._v1_text(each))
            require_few_characters(sum(len(image.text) for image in texts))
        return texts

    async def _v1_text(self, place: ImagePlace) -> V1Text:
        image_id = id_at(place)
        try:
            content = await self._v1_driver.read(layout.v1_image_json(place))
        except PathNotFound:
            raise ImpossibleNow(
                f"image {image_id}, on which this one is built, is not stored here; push the image again"
            ) from None
        try:
            return V1Text(place, content.decode("utf-8"))
        except UnicodeDecodeError:
            raise ValueError(f"the JSON of image {image_id} is not UTF-8") from None

    async def v1_layer(self, place: ImagePlace, tell: Tell) -> StoredLayer:
        """Returns which blob an image's layer is, and what is true of it; reads it where nobody knows.

        Raises:
            ImpossibleConversion: the image has lost it, or it cannot be read.
        """
        return await _wait(partial(self._layers.measure_v1, place), f"the layer of image {id_at(place)}", tell)

    # within

    async def _open(self, name: RepositoryName, digest: Digest) -> Blob | None:
        try:
            target = await read_link(self._driver, layout.layer_link(name, digest))
            return Blob(digest, await self._blobs.open(target))
        except PathNotFound:
            return await self._derived.open(name, digest)

    async def _reader(self, name: RepositoryName, digest: Digest) -> Reader:
        blob = await self._open(name, digest)
        if blob is None:
            raise PathNotFound(str(digest))
        return blob.reader

    async def _require(self, name: RepositoryName, digest: Digest) -> Blob:
        blob = await self._open(name, digest)
        if blob is None:
            raise _not_stored(digest)
        return blob


def _not_stored(digest: Digest) -> ImpossibleNow:
    return ImpossibleNow(f"layer {digest} is not stored in this registry; push the image again")


class _Work(Protocol[T_co]):
    def __call__(self, *, patience: float) -> Awaitable[T_co]: ...


async def _wait(work: _Work[T], what: str, tell: Tell) -> T:
    """Waits for what `Layers` does, however long that takes, and tells how far it is.

    Raises:
        ImpossibleConversion: the layer is not here, or cannot be read to its end.
    """
    while True:
        try:
            return await work(patience=TOLD_SECONDS)
        except StillWorking as working:
            tell(working.progress)
        except PathNotFound:
            raise ImpossibleNow(f"{what} is not stored here any more; push the image again") from None
        except UnreadableLayer as error:
            raise ImpossibleNow(f"{what} cannot be read: {error}; {error.remedy}") from None


async def _read(blob: Blob, size: int) -> bytes:
    return b"".join([bytes(chunk) async for chunk in blob.reader.chunks(0, size)])
