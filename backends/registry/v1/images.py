"""v1 images: staged by id while they are pushed, visible once their JSON has its final name.

A push is three requests, json, layer and checksum. `staging` keeps what arrives; `PUT checksum` names the candidate
that becomes the image, which one request at a time makes (`image_files`).
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

from backends.model.actor import Actor
from backends.model.descriptors import Descriptor
from backends.model.digest import Digest
from backends.model.errors import ErrorCode, RegistryError
from backends.model.media_types import OCTET_STREAM
from backends.model.names import ImageId
from backends.model.v1images import (
    MAX_ANCESTRY,
    ImageJson,
    parse_image_json,
)
from backends.registry.blobs import Blobs
from backends.registry.changes import Change, carry_out
from backends.registry.events import NO_EVENTS, Events, of_v1_layer
from backends.registry.exclusive_lock import exclusive_lock
from backends.registry.hashing import RunningHash
from backends.registry.layers.layer_blobs import LayerBlobs
from backends.registry.low_room import require_room
from backends.registry.v1.image_files import ImageFiles, LayerGone, StoredElsewhere
from backends.registry.v1.staging import Candidate, Staging
from backends.storage import layout
from backends.storage.completion import run_to_completion
from backends.storage.driver import Chunk, PathNotFound, Reader, StorageError, StorageFull
from backends.storage.storage import Storage

if TYPE_CHECKING:
    from backends.registry.layers.layers import Layers
    from backends.registry.layers.upload_meter import UploadMeter

_log = logging.getLogger("portside.v1")


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


class Images:
    """All v1 images over one storage.

    Args:
        storage: where.
        blobs: its blob store.
        events: where it is told what happens; by default nobody wants to know.
        layers: keeps what is found out about layers while they are pushed; None for nobody.
    """

    def __init__(
        self,
        storage: Storage,
        blobs: Blobs,
        events: Events = NO_EVENTS,
        *,
        layers: Callable[[], Layers] | None = None,
    ) -> None:
        self._locks = storage.locks
        self._room = storage.room
        self._layers = layers
        self._staging = Staging(storage, self._begin_meter if layers is not None else None)
        self._files = ImageFiles(storage.driver, blobs, self._staging)
        self._events = events
        self._layer_blobs = LayerBlobs(storage.driver)

    def _begin_meter(self, stored: RunningHash) -> UploadMeter:
        assert self._layers is not None
        return self._layers().begin_meter(stored)

    # reading

    async def state(self, image_id: ImageId) -> State:
        """Returns how far an image has come."""
        if await self._files.is_marked(image_id):
            return State.UPLOADING
        if await self._files.has_json(image_id):
            return State.COMPLETE
        return State.UPLOADING if await self._staging.is_announced(image_id) else State.ABSENT

    async def require_complete(self, image_id: ImageId) -> None:
        """Raises what docker-registry answers for an image that cannot be read."""
        match await self.state(image_id):
            case State.ABSENT:
                raise _unknown()
            case State.UPLOADING:
                raise RegistryError(ErrorCode.IMAGE_UPLOADING, "Image is being uploaded, retry later")
            case State.COMPLETE:
                return

    async def get(self, image_id: ImageId) -> StoredImage:
        """Returns a complete image.

        Raises:
            RegistryError: IMAGE_UNKNOWN or IMAGE_UPLOADING.
        """
        await self.require_complete(image_id)
        try:
            content = await self._files.read_json(image_id)
        except PathNotFound:
            raise _unknown() from None
        checksums = await self._files.read_checksums(image_id)
        return StoredImage(content, await self._files.layer_size(image_id), checksums)

    async def open_layer(self, image_id: ImageId) -> Reader:
        """Opens a complete image's layer.

        Raises:
            RegistryError: IMAGE_UNKNOWN or IMAGE_UPLOADING.
        """
        await self.require_complete(image_id)
        try:
            return await self._files.open_layer(image_id)
        except PathNotFound:
            raise _unknown() from None

    async def known_layer_blob(self, image_id: ImageId) -> Descriptor | None:
        """Returns digest and size of a complete image's layer, if they were noted and can be read."""
        try:
            return await self._layer_blobs.find(await self._files.read_checksums(image_id))
        except StorageError:  # it is only told of a pull, which does not fail for that
            return None

    async def layer_blob(self, image_id: ImageId) -> Descriptor | None:
        """Returns digest and size of a complete image's layer; None when it has lost it. May read all of it."""
        checksums = await self._files.read_checksums(image_id)
        known = await self._layer_blobs.find(checksums)
        size = await self._files.layer_size(image_id)
        if size is None or (known is not None and known.size == size):
            return known
        try:
            return await self._layer_blobs.measure(image_id, checksums, size)
        except PathNotFound:
            return None

    async def ancestry(self, image_id: ImageId) -> Sequence[ImageId]:
        """Returns the ids from a complete image to its base, its own first.

        Raises:
            RegistryError: IMAGE_UNKNOWN or IMAGE_UPLOADING; also when what is stored is damaged.
        """
        await self.require_complete(image_id)
        try:
            return await self._files.read_ancestry(image_id)
        except (PathNotFound, ValueError) as error:
            _log.warning("image %s has no ancestry that can be read: %s", image_id, error)
            raise _unknown() from None

    # pushing

    async def put_json(self, image: ImageJson) -> None:
        """Stages an image's JSON.

        Raises:
            RegistryError: IMAGE_EXISTS; or its parent is not here; or there is little room left.
        """
        if image.parent is not None and await self.state(image.parent) is State.ABSENT:
            raise RegistryError(ErrorCode.IMAGE_INVALID, "Image depends on a non existing parent")
        async with exclusive_lock(self._locks, layout.v1_image_lock(image.image_id)):
            if await self.state(image.image_id) is State.COMPLETE:
                raise _exists()
            require_room(self._room)
            await run_to_completion(self._staging.announce(image))

    async def put_layer(self, image_id: ImageId, chunks: AsyncIterator[Chunk]) -> None:
        """Receives a layer for the JSON that was put before.

        Raises:
            RegistryError: IMAGE_UNKNOWN: no JSON came before; IMAGE_EXISTS: and nobody else is still pushing it;
                INSUFFICIENT_STORAGE: there is little room left.
        """
        try:
            async with AsyncExitStack() as in_progress:
                async with exclusive_lock(self._locks, layout.v1_image_lock(image_id)):
                    texts = await self._pending_texts(image_id)
                    require_room(self._room)
                    layer = await in_progress.enter_async_context(self._staging.begin_layer(image_id, texts))
                await layer.receive(chunks)
        except StorageFull:
            await run_to_completion(self._staging.tidy_if_free(image_id))
            raise
        if await self._files.is_whole(image_id):
            await run_to_completion(self._staging.drop_layer(image_id, layer.name))

    async def put_checksum(self, image_id: ImageId, payload: str, *, actor: Actor) -> None:
        """Makes the candidate with this payload checksum the image.

        Of several clients that pushed the same at once, each succeeds once.

        Args:
            image_id: the image.
            payload: hex of the sha256 over JSON, a newline, and the layer as pushed.
            actor: who pushes it.

        Raises:
            RegistryError: CHECKSUM_MISMATCH, IMAGE_UNKNOWN; IMAGE_EXISTS when it was set already.
        """
        state = await self.state(image_id)
        if state is State.ABSENT:
            raise _unknown()
        candidate = await self._staging.candidate(image_id, payload)
        if candidate is None:
            raise _set_already() if state is State.COMPLETE else _mismatch()
        async with (
            exclusive_lock(self._locks, layout.v1_image_lock(image_id)),
            exclusive_lock(self._locks, layout.blob_lock(candidate.digest)),
        ):
            work = self._complete(image_id, payload, candidate.digest)
            telling = of_v1_layer(self._events, image_id, candidate.digest, candidate.size, actor=actor)
            await carry_out(work, Change.PUSHED, f"image {image_id}", "", actor=actor, telling=telling)

    async def make_of_stored(self, image: StoredElsewhere, *, actor: Actor) -> None:
        """Makes an image of what another client has pushed, unless it is there; its ancestors must be.

        Args:
            image: what it is made of.
            actor: who needs it.

        Raises:
            PathNotFound: its layer is not stored any more.
            RegistryError: UNAVAILABLE, or there is little room left.
        """
        async with exclusive_lock(self._locks, layout.v1_image_lock(image.image_id)):
            if await self._files.is_whole(image.image_id):
                await self._files.ensure_durable(image.image_id)
                return
            require_room(self._room)
            work = self._files.make_of_stored(image)
            await carry_out(work, Change.PUSHED, f"image {image.image_id}", "", actor=actor)

    async def is_whole(self, image_id: ImageId) -> bool:
        """Whether an image is complete and has its layer."""
        return await self._files.is_whole(image_id)

    async def ensure_durable(self, image_id: ImageId) -> None:
        """Makes sure that a complete image survives a power cut."""
        await self._files.ensure_durable(image_id)

    async def _complete(self, image_id: ImageId, payload: str, digest: Digest) -> None:
        candidate = await self._staging.candidate(image_id, payload)
        whole = await self._files.is_whole(image_id)
        if candidate is None or candidate.digest != digest:
            await self._staging.tidy(image_id)
            raise _set_already() if whole else _mismatch()
        if whole:
            await self._files.ensure_durable(image_id)
        else:
            try:
                await self._make(image_id, candidate, payload)
            except StorageFull:
                await self._staging.give_up(image_id, candidate)
                raise
        if self._layers is not None and candidate.facts is not None:
            await self._layers().learn(candidate.digest, candidate.size, candidate.facts, is_v1=True)
        if self._layers is not None or self._events.wanted:
            await self._layer_blobs.note(payload, Descriptor(OCTET_STREAM, candidate.digest, candidate.size))
        same = not whole or f"sha256:{payload}" in (await self.get(image_id)).checksums
        await self._staging.finish(image_id, candidate, payload)
        if not same:
            raise _set_already()

    async def _make(self, image_id: ImageId, candidate: Candidate, payload: str) -> None:
        ancestry = await self._ancestry_of(parse_image_json(candidate.content, image_id))
        try:
            await self._files.make(image_id, candidate, payload=payload, ancestry=ancestry)
        except LayerGone:
            raise _mismatch() from None

    async def _ancestry_of(self, image: ImageJson) -> Sequence[ImageId]:
        ids = [image.image_id]
        parent = image.parent
        while parent is not None:
            if parent in ids or len(ids) >= MAX_ANCESTRY:
                raise RegistryError(ErrorCode.IMAGE_INVALID, "the image's ancestry is circular")
            if await self.state(parent) is State.COMPLETE:
                rest = await self.ancestry(parent)
                if set(rest) & set(ids) or len(ids) + len(rest) > MAX_ANCESTRY:
                    raise RegistryError(ErrorCode.IMAGE_INVALID, "the image's ancestry is circular")
                return [*ids, *rest]
            ids.append(parent)
            parent = parse_image_json((await self._pending_texts(parent))[0], parent).parent
        return ids

    async def _pending_texts(self, image_id: ImageId) -> Sequence[bytes]:
        """Returns the JSON texts of an image whose layer may still come, the newest first, at least one."""
        texts = await self._staging.texts(image_id)
        if texts:
            return texts
        state = await self.state(image_id)
        if state is State.COMPLETE and await self._files.is_whole(image_id):
            raise _exists()
        if state is State.ABSENT:
            raise _unknown()
        try:  # begun with docker-registry, or it has lost its layer since
            content = await self._files.read_json(image_id)
        except PathNotFound:
            raise _unknown() from None
        return [parse_image_json(content, image_id).content]


def _unknown() -> RegistryError:
    return RegistryError(ErrorCode.IMAGE_UNKNOWN, "Image not found")


def _exists() -> RegistryError:
    return RegistryError(ErrorCode.IMAGE_EXISTS, "Image already exists")


def _set_already() -> RegistryError:
    return RegistryError(ErrorCode.IMAGE_EXISTS, "Cannot set this image checksum")


def _mismatch() -> RegistryError:
    return RegistryError(ErrorCode.CHECKSUM_MISMATCH, "Checksum mismatch")
