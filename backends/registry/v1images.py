"""v1 images: staged by id while they are pushed, there for everybody once their JSON has its final name.

A push is three requests, json, layer and checksum, and their URLs name no repository and no session. So what arrives is
staged by image id. Each layer that was received whole is a candidate, keyed by the payload checksum of the JSON it was
received for and its own bytes; `PUT checksum` names the candidate that becomes the image. Two who push one id at once,
in two processes, do not disturb one another.

Invariant: `images/<id>/json` is written last. Until then the image is not there, whatever else lies in its folder; a
mark `_inprogress` of docker-registry, on a volume of its own, says the same and is removed last.
"""

from __future__ import annotations

import json
import logging
import uuid
from collections.abc import AsyncIterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from enum import Enum

from backends.model.digest import Digest, new_hash, parse_digest
from backends.model.errors import ErrorCode, RegistryError
from backends.model.names import ImageId
from backends.model.v1images import (
    MAX_ANCESTRY,
    ImageJson,
    dump_json,
    parse_ancestry,
    parse_image_json,
    parse_stored_checksums,
)
from backends.registry.blobs import Blobs
from backends.storage import layout
from backends.storage.driver import Chunk, LinksFiles, PathNotFound, Reader, StorageDriver
from backends.storage.settling import settled

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
    """All v1 images over one storage."""

    def __init__(self, driver: StorageDriver, blobs: Blobs) -> None:
        self._driver = driver
        self._blobs = blobs

    # reading

    async def state(self, image_id: ImageId) -> State:
        """Returns how far an image has come."""
        if await self._there(layout.v1_image_mark(image_id)):
            return State.UPLOADING
        if await self._there(layout.v1_image_json(image_id)):
            return State.COMPLETE
        return State.UPLOADING if await self._there(layout.v1_staged_json(image_id)) else State.ABSENT

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
            content = await self._driver.read(layout.v1_image_json(image_id))
        except PathNotFound:
            raise _unknown() from None
        checksums: Sequence[str] = ()
        with suppress(PathNotFound):
            checksums = parse_stored_checksums(await self._driver.read(layout.v1_image_checksum(image_id)))
        size: int | None = None
        with suppress(PathNotFound):
            size = (await self._driver.stat(layout.v1_image_layer(image_id))).size
        return StoredImage(content, size, checksums)

    async def open_layer(self, image_id: ImageId) -> Reader:
        """Opens a complete image's layer.

        Raises:
            RegistryError: IMAGE_UNKNOWN or IMAGE_UPLOADING.
        """
        await self.require_complete(image_id)
        try:
            return await self._driver.open(layout.v1_image_layer(image_id))
        except PathNotFound:
            raise _unknown() from None

    async def ancestry(self, image_id: ImageId) -> Sequence[ImageId]:
        """Returns the ids from a complete image to its base, its own first.

        Raises:
            RegistryError: IMAGE_UNKNOWN or IMAGE_UPLOADING; also when what is stored is damaged.
        """
        await self.require_complete(image_id)
        try:
            return parse_ancestry(await self._driver.read(layout.v1_image_ancestry(image_id)))
        except (PathNotFound, ValueError) as error:
            _log.warning("image %s has no ancestry that can be read: %s", image_id, error)
            raise _unknown() from None

    # pushing

    async def put_json(self, image: ImageJson) -> None:
        """Stages an image's JSON.

        Raises:
            RegistryError: IMAGE_EXISTS; or its parent is not here.
        """
        if image.parent is not None and await self.state(image.parent) is State.ABSENT:
            raise RegistryError(ErrorCode.IMAGE_INVALID, "Image depends on a non existing parent")
        if await self.state(image.image_id) is State.COMPLETE:
            raise _exists()
        await self._driver.write(layout.v1_staged_json(image.image_id), image.content)

    async def put_layer(self, image_id: ImageId, chunks: AsyncIterator[Chunk]) -> None:
        """Receives a layer in one pass: written, hashed as a blob, hashed for the payload checksum.

        Raises:
            RegistryError: IMAGE_UNKNOWN: no JSON came before; IMAGE_EXISTS.
        """
        image_json = await self._pending_json(image_id)
        blob, payload = new_hash(), new_hash()
        payload.update(image_json + b"\n")
        path = layout.v1_incoming_layer(image_id, uuid.uuid4().hex)
        try:
            writer = await self._driver.writer(path, hashes=[blob, payload])
            try:
                async for chunk in chunks:
                    await writer.write(chunk)
                await writer.sync()
                size = writer.size
            finally:
                await settled(writer.close())
            candidate = layout.v1_candidate(image_id, payload.hexdigest())
            facts: dict[str, str | int] = {"digest": f"sha256:{blob.hexdigest()}", "size": size}
            await settled(self._keep_candidate(path, candidate, image_json, facts))
        finally:
            await settled(self._forget(path.rpartition("/")[0]))

    async def _keep_candidate(self, path: str, candidate: str, image_json: bytes, facts: dict[str, str | int]) -> None:
        await self._driver.write(f"{candidate}/facts", json.dumps(facts).encode())
        await self._driver.write(f"{candidate}/json", image_json)
        await self._driver.move(path, f"{candidate}/layer")

    async def put_checksum(self, image_id: ImageId, payload: str) -> None:
        """Makes the candidate with this payload checksum the image.

        Args:
            image_id: the image.
            payload: hex of the sha256 over JSON, a newline, and the layer as pushed.

        Raises:
            RegistryError: CHECKSUM_MISMATCH, IMAGE_UNKNOWN; IMAGE_EXISTS when another content has this id already.
        """
        state = await self.state(image_id)
        if state is State.ABSENT:
            raise _unknown()
        if state is State.COMPLETE:
            # Somebody else who pushed the same was quicker: both are content.
            if f"sha256:{payload}" not in (await self.get(image_id)).checksums:
                raise RegistryError(ErrorCode.IMAGE_EXISTS, "Cannot set this image checksum")
            await self._forget(layout.v1_staging(image_id))
            return
        await settled(self._commit(image_id, payload))

    async def _commit(self, image_id: ImageId, payload: str) -> None:
        candidate = layout.v1_candidate(image_id, payload)
        try:
            content = await self._driver.read(f"{candidate}/json")
            facts = json.loads(await self._driver.read(f"{candidate}/facts"))
            await self._driver.stat(f"{candidate}/layer")
        except PathNotFound:
            raise RegistryError(ErrorCode.CHECKSUM_MISMATCH, "Checksum mismatch") from None
        digest, size = parse_digest(facts["digest"]), int(facts["size"])
        ancestry = await self._ancestry_of(parse_image_json(content, image_id))
        await self._blobs.adopt(f"{candidate}/layer", digest, size)
        await self._name_layer(image_id, digest)
        await self._driver.write(layout.v1_image_ancestry(image_id), dump_json(list(ancestry)))
        await self._driver.write(layout.v1_image_checksum(image_id), dump_json([f"sha256:{payload}"]))
        await self._driver.write(layout.v1_image_json(image_id), content)
        with suppress(PathNotFound):
            await self._driver.delete(layout.v1_image_mark(image_id))
        await self._forget(layout.v1_staging(image_id))

    async def _name_layer(self, image_id: ImageId, digest: Digest) -> None:
        """Gives a blob its second name as this image's layer: one file by hard link, else a copy."""
        source, target = layout.blob_data(digest), layout.v1_image_layer(image_id)
        if isinstance(self._driver, LinksFiles) and await self._driver.link(source, target):
            return
        _log.warning("layer of image %s is copied: this file system gives a file no second name", image_id)
        incoming = layout.v1_incoming_layer(image_id, uuid.uuid4().hex)
        reader = await self._driver.open(source)
        try:
            writer = await self._driver.writer(incoming)
            try:
                async for chunk in reader.chunks(0, reader.size):
                    await writer.write(chunk)
                await writer.sync()
            finally:
                await writer.close()
        finally:
            reader.close()
        await self._driver.move(incoming, target)

    async def _ancestry_of(self, image: ImageJson) -> Sequence[ImageId]:
        ids = [image.image_id]
        parent = image.parent
        while parent is not None:
            if parent in ids or len(ids) >= MAX_ANCESTRY:
                raise RegistryError(ErrorCode.IMAGE_INVALID, "the image's ancestry is endless")
            if await self.state(parent) is State.COMPLETE:
                rest = await self.ancestry(parent)
                if set(rest) & set(ids) or len(ids) + len(rest) > MAX_ANCESTRY:
                    raise RegistryError(ErrorCode.IMAGE_INVALID, "the image's ancestry is endless")
                return [*ids, *rest]
            ids.append(parent)
            parent = parse_image_json(await self._pending_json(parent), parent).parent
        return ids

    async def _pending_json(self, image_id: ImageId) -> bytes:
        """Returns the JSON of an image whose layer may still come."""
        match await self.state(image_id):
            case State.COMPLETE:
                raise _exists()
            case State.ABSENT:
                raise _unknown()
            case State.UPLOADING:
                try:
                    return await self._driver.read(layout.v1_staged_json(image_id))
                except PathNotFound:
                    pass
        try:  # begun with docker-registry, on a volume of its own
            return await self._driver.read(layout.v1_image_json(image_id))
        except PathNotFound:
            raise _unknown() from None

    async def _there(self, path: str) -> bool:
        try:
            await self._driver.stat(path)
        except PathNotFound:
            return False
        return True

    async def _forget(self, path: str) -> None:
        with suppress(PathNotFound):
            await self._driver.delete(path)


def _unknown() -> RegistryError:
    return RegistryError(ErrorCode.IMAGE_UNKNOWN, "Image not found")


def _exists() -> RegistryError:
    return RegistryError(ErrorCode.IMAGE_EXISTS, "Image already exists")
