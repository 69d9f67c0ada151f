"""v1 images being pushed: staged by id, visible once their JSON has its final name; read as `stored_images` says.

A push is three requests, json, layer and checksum. `staging` keeps what arrives; `PUT checksum` names the candidate
that becomes the image, which one request at a time makes (`image_files`).
"""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager, nullcontext
from typing import TYPE_CHECKING

from backends.model.actor import Actor
from backends.model.descriptors import Descriptor
from backends.model.errors import ErrorCode, RegistryError
from backends.model.image_places import ImageCopy, ImagePlace, id_at
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
from backends.registry.exclusive_lock import exclusive_lock, shared_lock
from backends.registry.hashing import RunningHash
from backends.registry.image_copies import Copies
from backends.registry.low_room import require_room
from backends.registry.v1.image_files import ImageFiles, LayerGone, Lineage, Look, StoredElsewhere
from backends.registry.v1.seeing import IsTaken
from backends.registry.v1.sight import Sight
from backends.registry.v1.staging import Candidate, Staging
from backends.registry.v1.stored_images import State, StoredImages, unknown
from backends.storage import layout
from backends.storage.completion import run_to_completion
from backends.storage.driver import Chunk, PathNotFound, StorageFull
from backends.storage.locks import Locks
from backends.storage.storage import Storage

if TYPE_CHECKING:
    from backends.registry.layers.layers import Layers
    from backends.registry.layers.upload_meter import UploadMeter

_log = logging.getLogger("portside.v1")


class Images(StoredImages):
    """All v1 images over one storage.

    Args:
        storage: where.
        blobs: its blob store.
        events: where it is told what happens; by default nobody wants to know.
        layers: keeps what is found out about layers while they are pushed; None for nobody.
        copies: which of them are a repository's own.
        repository_locks: those of v2's repositories too, wherever these are; by default the storage's.
    """

    def __init__(
        self,
        storage: Storage,
        blobs: Blobs,
        events: Events = NO_EVENTS,
        *,
        layers: Callable[[], Layers] | None = None,
        copies: Copies | None = None,
        repository_locks: Locks | None = None,
    ) -> None:
        self._locks = storage.locks
        self._repository_locks = repository_locks or storage.locks
        self._room = storage.room
        self._layers = layers
        self._events = events
        staging = Staging(storage, self._begin_meter if layers is not None else None)
        files = ImageFiles(storage.driver, blobs, staging)
        super().__init__(storage.driver, staging=staging, files=files, copies=copies or Copies(storage.driver))

    def _begin_meter(self, stored: RunningHash) -> UploadMeter:
        assert self._layers is not None
        return self._layers().begin_meter(stored)

    async def put_json(self, image: ImageJson, sight: Sight | None = None, *, has_parent: bool = False) -> None:
        """Stages an image's JSON.

        Args:
            image: the JSON.
            sight: what its client sees; None where access is not controlled. So it is below.
            has_parent: whether its parent was found already.

        Raises:
            RegistryError: IMAGE_EXISTS; or its parent is not here; or there is little room left.
        """
        staged = self._seeing.staged_at(image.image_id, sight)
        if image.parent is not None and not has_parent and not await self._is_begun(image.parent, sight):
            raise RegistryError(ErrorCode.IMAGE_INVALID, "Image depends on a non existing parent")
        async with exclusive_lock(self._locks, layout.v1_image_lock(staged)):
            if await self._seeing.place(image.image_id, sight) is not None:
                raise _exists()
            require_room(self._room)
            await run_to_completion(self._staging.announce(staged, image.content))

    async def _is_begun(self, image_id: ImageId, sight: Sight | None) -> bool:
        """Whether a client sees an image, or that it is being pushed."""
        if sight is None and await self._files.has_json(image_id):
            return True
        return await self.seen_state(image_id, sight) is not State.ABSENT

    async def put_layer(self, image_id: ImageId, chunks: AsyncIterator[Chunk], sight: Sight | None = None) -> None:
        """Receives a layer for the JSON that was put before.

        Raises:
            RegistryError: IMAGE_UNKNOWN: no JSON came before; IMAGE_EXISTS: and nobody else is still pushing it;
                INSUFFICIENT_STORAGE: there is little room left.
        """
        staged = self._seeing.staged_at(image_id, sight)
        try:
            async with AsyncExitStack() as in_progress:
                async with exclusive_lock(self._locks, layout.v1_image_lock(staged)):
                    texts = await self._pending_texts(image_id, sight)
                    require_room(self._room)
                    layer = await in_progress.enter_async_context(self._staging.begin_layer(staged, texts))
                await layer.receive(chunks)
        except StorageFull:
            await run_to_completion(self._staging.tidy_if_free(staged))
            raise
        if await self._files.is_whole(staged):
            await run_to_completion(self._staging.drop_layer(staged, layer.name))

    async def put_checksum(
        self,
        image_id: ImageId,
        payload: str,
        *,
        actor: Actor,
        sight: Sight | None = None,
        is_taken: IsTaken | None = None,
    ) -> None:
        """Makes the candidate with this payload checksum the image.

        Of several clients that pushed the same at once, each succeeds once.

        Args:
            image_id: the image.
            payload: hex of the sha256 over JSON, a newline, and the layer as pushed.
            actor: who pushes it.
            sight: as above.
            is_taken: whether an image that was made of a manifest has an id; asked where access is controlled.

        Raises:
            RegistryError: CHECKSUM_MISMATCH, IMAGE_UNKNOWN; IMAGE_EXISTS when it was set already.
        """
        staged = self._seeing.staged_at(image_id, sight)
        async with self._owner_stays(staged), AsyncExitStack() as held:
            for lock in map(layout.v1_image_lock, _once(staged, image_id)):
                await held.enter_async_context(exclusive_lock(self._locks, lock))
            candidate = await self._staging.candidate(staged, payload)
            if candidate is None:
                raise _no_candidate(await self.seen_state(image_id, sight))
            await held.enter_async_context(exclusive_lock(self._locks, layout.blob_lock(candidate.digest)))
            work = self._complete(candidate, payload, sight=sight, is_taken=is_taken)
            telling = of_v1_layer(self._events, image_id, candidate.digest, candidate.size, actor=actor)
            await carry_out(work, Change.PUSHED, f"image {image_id}", "", actor=actor, telling=telling)

    async def make_of_stored(self, image: StoredElsewhere, *, actor: Actor) -> None:
        """Makes an image of what another client has pushed, unless it is there; its ancestors must be.

        Args:
            image: what it is made of.
            actor: who needs it.

        Raises:
            PathNotFound: its layer is not stored any more.
            RegistryError: UNAVAILABLE, or there is little room left; IMAGE_UNKNOWN: its parent has been deleted.
        """
        async with self._owner_stays(image.place), exclusive_lock(self._locks, layout.v1_image_lock(image.place)):
            if await self._files.is_whole(image.place):
                await self._files.ensure_durable(image.place)
                return
            parent = image.own_parent
            if parent is not None and not await self._copies.has(parent):
                raise unknown()
            require_room(self._room)
            work = self._make_of_stored(image)
            await carry_out(work, Change.PUSHED, f"image {image.place}", "", actor=actor)

    async def _make_of_stored(self, image: StoredElsewhere) -> None:
        async with self._noted(image.place, image.place, image.payload):
            await self._files.make_of_stored(image)

    def _owner_stays(self, place: ImagePlace) -> AbstractAsyncContextManager[None]:
        """While this is entered, the repository is not deleted whose own an image is; before all other locks."""
        if not isinstance(place, ImageCopy):
            return nullcontext()
        return shared_lock(self._repository_locks, layout.repository_lock(place.owner.text))

    async def _complete(
        self, candidate: Candidate, payload: str, *, sight: Sight | None, is_taken: IsTaken | None
    ) -> None:
        """Makes a candidate the image; the locks of all that this changes are held."""
        staged = candidate.staged
        place: ImagePlace = id_at(staged)
        lineage = None
        if sight is not None:
            lineage = await self._lineage(candidate, sight)
            place = await self._seeing.destination(lineage, payload, sight, is_taken=is_taken)
        found = await self._files.look(place, is_new=True)
        whole = found.is_complete and await self._files.layer_size(place) is not None
        if whole:
            await self._files.ensure_durable(place)
        try:
            async with self._noted(staged, place, payload):
                if not whole:
                    lineage = lineage or await self._lineage(candidate, sight)
                    await self._make(place, candidate, payload, lineage, found)
        except StorageFull:
            await self._staging.give_up(staged, candidate)
            raise
        if self._layers is not None and candidate.facts is not None:
            await self._layers().learn(candidate.digest, candidate.size, candidate.facts, is_v1=True)
        if self._layers is not None or self._events.wanted:
            await self._layer_blobs.note(payload, Descriptor(OCTET_STREAM, candidate.digest, candidate.size))
        same = not whole or f"sha256:{payload}" in await self._files.read_checksums(place)
        await self._staging.finish(candidate, payload)
        if not same:
            raise _set_already()

    @asynccontextmanager
    async def _noted(self, staged: ImagePlace, place: ImagePlace, payload: str) -> AsyncIterator[None]:
        """Notes first which repository has pushed an image; of one that all share, that this very image was pushed."""
        if not isinstance(staged, ImageCopy):
            yield
            return
        async with self._copies.undone_without_room(staged):
            await self._copies.note_owner(staged)
            if staged != place:
                await self._copies.note_pushed(staged, payload)
            yield

    async def _make(self, place: ImagePlace, candidate: Candidate, payload: str, lineage: Lineage, found: Look) -> None:
        try:
            await self._files.make(place, candidate, payload=payload, lineage=lineage, found=found)
        except LayerGone:
            raise _mismatch() from None

    async def _lineage(self, candidate: Candidate, sight: Sight | None) -> Lineage:
        image = parse_image_json(candidate.content, id_at(candidate.staged))
        ids = [image.image_id]
        parent = image.parent
        while parent is not None:
            if parent in ids or len(ids) >= MAX_ANCESTRY:
                raise RegistryError(ErrorCode.IMAGE_INVALID, "the image's ancestry is circular")
            place = await self._seeing.place(parent, sight)
            if place is not None:
                rest = await self._places_of_complete(place)
                found = list(map(id_at, rest))
                if sight is not None and any(
                    isinstance(each, ImageCopy) and each.owner != sight.owner for each in rest
                ):
                    raise RegistryError(ErrorCode.IMAGE_INVALID, "Image depends on a non existing parent")
                if set(found) & set(ids) or len(ids) + len(rest) > MAX_ANCESTRY:
                    raise RegistryError(ErrorCode.IMAGE_INVALID, "the image's ancestry is circular")
                return Lineage([*ids, *found], [each for each in rest if not isinstance(each, ImageCopy)])
            ids.append(parent)
            parent = parse_image_json((await self._pending_texts(parent, sight))[0], parent).parent
        return Lineage(ids, ())

    async def _pending_texts(self, image_id: ImageId, sight: Sight | None) -> Sequence[bytes]:
        """Returns the JSON texts of an image whose layer may still come, the newest first, at least one."""
        texts, are_awaited = await self._staging.texts(self._seeing.staged_at(image_id, sight))
        if texts and are_awaited:
            return texts
        place = await self._seeing.place(image_id, sight)
        if place is not None and await self._files.is_whole(place):
            raise _exists()
        if texts:
            return texts
        if place is None and (sight is not None or await self.state(image_id) is State.ABSENT):
            raise unknown()
        try:  # begun with docker-registry, or it has lost its layer since
            content = await self._files.read_json(image_id if place is None else place)
        except PathNotFound:
            raise unknown() from None
        return [parse_image_json(content, image_id).content]


def _once(staged: ImagePlace, image_id: ImageId) -> Sequence[ImagePlace]:
    """Returns where an image may be when it is made, each place once."""
    return [image_id] if staged == image_id else [staged, image_id]


def _exists() -> RegistryError:
    return RegistryError(ErrorCode.IMAGE_EXISTS, "Image already exists")


def _set_already() -> RegistryError:
    return RegistryError(ErrorCode.IMAGE_EXISTS, "Cannot set this image checksum")


def _mismatch() -> RegistryError:
    return RegistryError(ErrorCode.CHECKSUM_MISMATCH, "Checksum mismatch")


def _no_candidate(state: State) -> RegistryError:
    """Returns what is said of a checksum for which nothing was pushed, by how far its image has come."""
    match state:
        case State.ABSENT:
            return unknown()
        case State.UPLOADING:
            return _mismatch()
        case State.COMPLETE:
            return _set_already()
