"""Images that come from the registry that this one mirrors: staged while they arrive, made once they are verified.

An image arrives once in the installation at a time, under a lock, and its layer may be read meanwhile: a note beside it
says which of the staged layers it is, since clients may be pushing others. Like a pushed one it is visible only when it
is whole; its ancestors are before it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backends.model.descriptors import Descriptor
from backends.model.media_types import OCTET_STREAM
from backends.model.names import ImageId
from backends.model.v1images import ImageJson
from backends.registry.blobs import Blobs
from backends.registry.exclusive_lock import exclusive_lock
from backends.registry.hashing import RunningHash
from backends.registry.layers.layer_blobs import LayerBlobs
from backends.registry.low_room import require_room
from backends.registry.v1.image_files import ImageFiles, LayerGone, Lineage
from backends.registry.v1.staging import StagedLayer, Staging
from backends.storage import layout
from backends.storage.completion import run_to_completion
from backends.storage.driver import PathNotFound, Reader, StorageFull
from backends.storage.locks import LockHeld
from backends.storage.storage import Storage

if TYPE_CHECKING:
    from backends.registry.layers.layers import Layers
    from backends.registry.layers.upload_meter import UploadMeter

NOT_KEPT = "images that it mirrors are not kept for now; pull again"

_log = logging.getLogger("portside.v1.mirror")


class NotTheSame(Exception):  # noqa: N818 - a finding, not a fault
    """What arrived is not what was announced; the message is a clause about it."""


@dataclass(frozen=True, slots=True)
class Arriving:
    """A layer that comes from there now.

    Attributes:
        layer: its name within the staging of its image.
        size: in bytes, once it is whole.
        is_verified: whether it is, and is what its image's JSON was announced with.
    """

    layer: str
    size: int
    is_verified: bool = False


class MirroredImages:
    """All of them on one root.

    Args:
        storage: where.
        blobs: its blob store.
        layers: keeps what is found out about layers while they arrive.
    """

    def __init__(self, storage: Storage, blobs: Blobs, layers: Callable[[], Layers]) -> None:
        self._driver = storage.driver
        self._locks = storage.locks
        self._room = storage.room
        self._layers = layers
        self._staging = Staging(storage, self._begin_meter)
        self._files = ImageFiles(storage.driver, blobs, self._staging)
        self._layer_blobs = LayerBlobs(storage.driver)

    def _begin_meter(self, stored: RunningHash) -> UploadMeter:
        return self._layers().begin_meter(stored)

    async def is_whole(self, image_id: ImageId) -> bool:
        """Whether an image is complete and has its layer."""
        return await self._files.is_whole(image_id)

    @asynccontextmanager
    async def alone(self, image_id: ImageId, *, patience: float) -> AsyncIterator[None]:
        """While this is entered, nobody else has the image arrive.

        Raises:
            LockHeld: somebody does, after so many seconds.
        """
        async with self._locks.hold(layout.v1_mirror_lock(image_id), patience=patience):
            yield

    async def arriving(self, image_id: ImageId) -> Arriving | None:
        """Returns the layer that arrives in another process; None where none does, or it has ended.

        One that is verified stays what it is while its ancestors arrive, whoever holds it.
        """
        try:
            said = json.loads(await self._driver.read(layout.v1_mirrored_layer(image_id)))
            found = Arriving(str(said["layer"]), int(said["size"]), bool(said["verified"]))
        except (PathNotFound, ValueError, KeyError, TypeError):
            return None
        if found.is_verified:
            return found
        try:
            async with self._locks.hold(layout.v1_layer_lock(image_id, found.layer)):
                return None  # a killed process has left it
        except LockHeld:
            return found

    async def open(self, image_id: ImageId, layer: str) -> Reader:
        """Opens a layer that arrives.

        Raises:
            PathNotFound: it has ended.
        """
        return await self._driver.open(layout.v1_staged(image_id, f"layer-{layer}"))

    async def received(self, image_id: ImageId, layer: str) -> int:
        """Returns how much of a layer can be read by now; raises as `open`."""
        return (await self._driver.stat(layout.v1_staged(image_id, f"layer-{layer}"))).size

    @asynccontextmanager
    async def receive(self, image: ImageJson, size: int) -> AsyncIterator[StagedLayer]:
        """Stages a layer, while `alone` is entered; nothing is left of it where that fails.

        Raises:
            NotTheSame: there is another image with this id, which has lost its layer.
            RegistryError: there is little room left.
        """
        await self._require_same(image)
        require_room(self._room, refusal=NOT_KEPT)
        await run_to_completion(self.forget(image.image_id))
        try:
            async with self._staging.begin_layer(image.image_id, [image.content]) as layer:
                await self.note(image.image_id, Arriving(layer.name, size))
                yield layer
        except BaseException:
            await run_to_completion(self.forget(image.image_id))
            raise

    async def _require_same(self, image: ImageJson) -> None:
        with suppress(PathNotFound):
            if await self._files.read_json(image.image_id) != image.content:
                raise NotTheSame("its JSON is not that of the image with this id that is here without a layer")

    async def _require_ancestors(self, lineage: Sequence[ImageId]) -> None:
        if not lineage:
            return
        try:
            are_here = tuple(await self._files.read_ancestry(lineage[0])) == tuple(lineage)
        except (PathNotFound, ValueError):
            are_here = False
        if not are_here:
            raise NotTheSame("its ancestors are not those that its parent has here")

    async def note(self, image_id: ImageId, arriving: Arriving) -> None:
        """Notes for other processes how far a layer is."""
        said = {"layer": arriving.layer, "size": arriving.size, "verified": arriving.is_verified}
        await self._driver.write(layout.v1_mirrored_layer(image_id), json.dumps(said).encode(), durable=False)

    async def forget(self, image_id: ImageId) -> None:
        """Removes that note."""
        with suppress(PathNotFound):
            await self._driver.delete(layout.v1_mirrored_layer(image_id), durable=False)
        await self._staging.tidy_if_free(image_id)

    async def drop(self, image: ImageJson, payload: str) -> None:
        """Removes a layer that has arrived, since its image cannot be made."""
        candidate = await self._staging.candidate(image.image_id, payload)
        if candidate is not None:
            await self._staging.discard(image.image_id, candidate)
        await self.forget(image.image_id)

    async def make(self, image: ImageJson, payload: str, lineage: Sequence[ImageId]) -> None:
        """Makes an image of what has arrived, unless it is here now; its ancestors are.

        Args:
            image: its JSON.
            payload: the payload checksum of that and its layer, in hex.
            lineage: the image and its ancestors.

        Raises:
            NotTheSame: somebody has pushed another with this id meanwhile, or its parent has other ancestors here.
            StorageFull: nothing is left of it.
        """
        image_id = image.image_id
        candidate = await self._staging.candidate(image_id, payload)
        if candidate is None:
            raise NotTheSame("its layer has been removed meanwhile")
        async with (
            exclusive_lock(self._locks, layout.v1_image_lock(image_id)),
            exclusive_lock(self._locks, layout.blob_lock(candidate.digest)),
        ):
            await run_to_completion(self._make(image, payload, lineage))

    async def _make(self, image: ImageJson, payload: str, lineage: Sequence[ImageId]) -> None:
        image_id = image.image_id
        candidate = await self._staging.candidate(image_id, payload)
        if candidate is None:
            raise NotTheSame("its layer has been removed meanwhile")
        found = await self._files.look(image_id, is_new=True)
        if not found.is_complete or await self._files.layer_size(image_id) is None:
            try:
                await self._require_same(image)
                await self._require_ancestors(lineage[1:])
                await self._files.make(
                    image_id, candidate, payload=payload, lineage=Lineage(lineage, list(lineage[1:])), found=found
                )
            except LayerGone:
                raise NotTheSame("its layer has been removed meanwhile") from None
            except (StorageFull, NotTheSame):
                await self._staging.discard(image_id, candidate)
                raise
            if candidate.facts is not None:
                await self._layers().learn(candidate.digest, candidate.size, candidate.facts, is_v1=True)
            await self._layer_blobs.note(payload, Descriptor(OCTET_STREAM, candidate.digest, candidate.size))
            _log.info("image %s was had from the registry that is mirrored, %d bytes", image_id, candidate.size)
        await self._staging.finish(candidate, payload)
