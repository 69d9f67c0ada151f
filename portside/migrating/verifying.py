"""Whether what was migrated is what v1 has: each byte is read again, on both sides, and no note about it is believed.

A v2 image is right when another registry would serve it from these files alone: the tag's link, the manifest's, those
of its blobs, and the blobs themselves with the digests that name them; when it has the v1 images' layers in their
order; and when its configuration is what their JSON becomes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass

from backends.model.conversion.impossible import ImpossibleConversion
from backends.model.conversion.upward import convert_upward
from backends.model.descriptors import Descriptor
from backends.model.digest import Digest
from backends.model.errors import RegistryError
from backends.model.image_places import ImagePlace
from backends.model.layers import StoredLayer
from backends.model.manifests import Schema2, parse_stored_manifest
from backends.model.names import RepositoryName
from backends.model.targets import V2Target
from backends.registry.layers.errors import UnreadableLayer
from backends.registry.links import read_link
from backends.registry.store import Store
from backends.storage import layout
from backends.storage.driver import PathNotFound, Reader
from portside.migrating.measuring import measure
from portside.migrating.planning import MigrationPlan, State, TagPlan

MAX_MANIFEST_BYTES = 4 * 1024 * 1024
"""As for a push."""


@dataclass(frozen=True, slots=True)
class Difference:
    """Something that is not as in v1.

    Attributes:
        plan: the tag.
        sentence: what it is.
    """

    plan: TagPlan
    sentence: str


class Verifier:
    """Compares migrated images with those of v1. What several of them have in common is read once.

    Args:
        store: the volume.
        on_read: told how many bytes of layers were read.
    """

    def __init__(self, store: Store, on_read: Callable[[int], None]) -> None:
        self._store = store
        self._on_read = on_read
        self._v1_layers: dict[ImagePlace, StoredLayer | str] = {}
        self._blobs: dict[Digest, StoredLayer | str] = {}

    async def verify(self, plan: MigrationPlan) -> AsyncIterator[Difference]:
        """Yields what is not as it should be, of what is migrated or could be.

        Raises:
            StorageError: the volume cannot be read.
        """
        for each in plan.tags:
            match each.state:
                case State.TO_DO:
                    yield Difference(each, "it is not migrated; run portside migrate run")
                case State.DONE:
                    for sentence in await self._compare(each):
                        yield Difference(each, sentence)
                case State.SKIPPED | State.IMPOSSIBLE:
                    continue

    async def _compare(self, each: TagPlan) -> Sequence[str]:
        try:
            manifest = await self._manifest(each)
            config = await self._blob_content(_name(each), manifest.config)
            layers = await self._v1_chain(each)
            image = convert_upward([text for text, _ in layers], [layer for _, layer in layers])
        except _Wrong as wrong:
            return [str(wrong)]
        except (ImpossibleConversion, ValueError) as error:
            return [f"the v1 image cannot be read: {error}"]
        found: list[str] = []
        if len(manifest.layers) != len(image.layers):
            found.append(f"it has {len(manifest.layers)} layers, the v1 image {len(image.layers)} that are not empty")
        for number, (layer, expected) in enumerate(zip(manifest.layers, image.layers, strict=False), start=1):
            found += await self._compare_layer(each, f"layer {number}, {layer.digest},", layer, expected)
        if config != image.config:
            found.append(f"its configuration {manifest.config.digest} is not what the v1 images' JSON becomes")
        return found

    async def _compare_layer(
        self, each: TagPlan, which: str, layer: Descriptor, expected: StoredLayer
    ) -> Sequence[str]:
        try:
            stored = await self._layer(_name(each), layer)
        except _Wrong as wrong:
            return [str(wrong)]
        if stored.facts.diff_id != expected.facts.diff_id:
            return [f"{which} has the content {stored.facts.diff_id}, the v1 image's {expected.facts.diff_id}"]
        return []

    # v2, as distribution would read it

    async def _manifest(self, each: TagPlan) -> Schema2:
        assert each.place is not None
        target = await self._store.tags.target(each.place.name, each.place.tag)
        if not isinstance(target, V2Target):
            raise _Wrong(f"the tag {each.place} names v1's image, not a manifest")
        driver, digest = self._store.storage.driver, target.digest
        for path in (
            layout.tag_current_link(each.place.name, each.place.tag),
            layout.revision_link(each.place.name, digest),
        ):
            if await _link(read_link(driver, path)) != digest:
                raise _Wrong(f"{path} does not name {digest}")
        content = await self._read(digest, MAX_MANIFEST_BYTES)
        try:
            manifest = parse_stored_manifest(content)
        except ValueError as error:
            raise _Wrong(f"the manifest {digest} is not one: {error}") from None
        if not isinstance(manifest, Schema2):
            raise _Wrong(f"the manifest {digest} is of type {manifest.media_type}, not schema 2")
        return manifest

    async def _blob_content(self, name: RepositoryName, blob: Descriptor) -> bytes:
        await self._require_link(name, blob)
        return await self._read(blob.digest, blob.size)

    async def _layer(self, name: RepositoryName, layer: Descriptor) -> StoredLayer:
        await self._require_link(name, layer)
        if layer.digest not in self._blobs:
            self._blobs[layer.digest] = await self._measure(
                f"blob {layer.digest}", lambda: self._store.blobs.open(layer.digest)
            )
        stored = self._blobs[layer.digest]
        if isinstance(stored, str):
            raise _Wrong(stored)
        if stored.digest.hex != layer.digest.hex:
            raise _Wrong(f"blob {layer.digest} is damaged on disk: its bytes have digest {stored.digest}")
        if stored.size != layer.size:
            raise _Wrong(f"blob {layer.digest} has {stored.size} bytes, and the manifest says {layer.size}")
        return stored

    async def _require_link(self, name: RepositoryName, blob: Descriptor) -> None:
        path = layout.layer_link(name, blob.digest)
        if await _link(read_link(self._store.storage.driver, path)) != blob.digest:
            raise _Wrong(f"{path} does not name {blob.digest}")

    async def _read(self, digest: Digest, most: int) -> bytes:
        try:
            reader = await self._store.blobs.open(digest)
        except PathNotFound:
            raise _Wrong(f"blob {digest} is not stored") from None
        try:
            if reader.size > most:
                raise _Wrong(f"blob {digest} has {reader.size} bytes, and {most} are expected at most")
            async with aclosing(reader.chunks(0, reader.size)) as chunks:
                content = b"".join([bytes(chunk) async for chunk in chunks])
        finally:
            reader.close()
        if Digest.of(content, digest.algorithm) != digest:
            raise _Wrong(f"blob {digest} is damaged on disk: its bytes have another digest")
        return content

    # v1, as docker-registry would read it

    async def _v1_chain(self, each: TagPlan) -> Sequence[tuple[str, StoredLayer]]:
        """Returns JSON and layer of each image, from the base up."""
        images = self._store.v1_images
        try:
            places = await images.places(each.tag.image)
            texts = [(await images.get(place)).content.decode("utf-8") for place in reversed(places)]
        except RegistryError as error:
            raise _Wrong(f"the v1 image cannot be read: {error.detail}") from None
        return [(text, await self._v1_layer(place)) for text, place in zip(texts, reversed(places), strict=True)]

    async def _v1_layer(self, place: ImagePlace) -> StoredLayer:
        if place not in self._v1_layers:
            self._v1_layers[place] = await self._measure(f"the layer of image {place}", lambda: self._open_v1(place))
        layer = self._v1_layers[place]
        if isinstance(layer, str):
            raise _Wrong(layer)
        return layer

    async def _open_v1(self, place: ImagePlace) -> Reader:
        return await self._store.v1_storage.driver.open(layout.v1_image_layer(place))

    async def _measure(self, what: str, source: Callable[[], Awaitable[Reader]]) -> StoredLayer | str:
        """Returns what a layer is, by its bytes; or a sentence why it is nothing."""
        try:
            return await measure(source, self._store.layers.settings, self._on_read)
        except PathNotFound:
            return f"{what} is not stored"
        except UnreadableLayer as error:
            return f"{what} cannot be read: {error}"


class _Wrong(Exception):  # noqa: N818 - a finding, with its sentence
    """What is compared is not even there, or not what it should be."""


async def _link(reading: Awaitable[Digest]) -> Digest | None:
    try:
        return await reading
    except PathNotFound:
        return None


def _name(each: TagPlan) -> RepositoryName:
    assert each.place is not None, "what is migrated is somewhere"
    return each.place.name
