"""Which blob an image's layer is: docker-registry keeps the checksum of JSON and layer together, and not the layer's.

What was found out is noted under that checksum, so it is never out of date: a new layer of the same image has another
one. A note may be lost; then the layer is hashed again.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from backends.model.descriptors import Descriptor
from backends.model.digest import Digest, parse_digest
from backends.model.errors import RegistryError
from backends.model.image_places import ImagePlace
from backends.model.media_types import OCTET_STREAM
from backends.model.v1images import parse_payload_checksum
from backends.registry.hashing import RunningHash
from backends.storage import layout
from backends.storage.driver import PathNotFound, StorageDriver, StorageError

_log = logging.getLogger("portside.v1")


class LayerBlobs:
    """The blobs of all images' layers on one root."""

    def __init__(self, driver: StorageDriver) -> None:
        self._driver = driver

    async def note(self, payload: str, blob: Descriptor) -> None:
        """Notes which blob a layer is that was just received.

        Args:
            payload: the payload checksum of JSON and layer, in hex.
            blob: digest and size of the layer.
        """
        note = f"{blob.digest} {blob.size}".encode()
        try:
            await self._driver.write(layout.v1_layer_blob(payload), note, durable=False)
        except StorageError as error:  # it only spares hashing the layer
            _log.debug("no note which blob the layer with payload checksum %s is: %s", payload, error)

    async def note_all(self, checksums: Sequence[str], blob: Descriptor) -> bool:
        """Notes which blob a layer is under each payload checksum of its image; whether there is one.

        Args:
            checksums: those of the image, as they are stored.
            blob: digest and size of the layer.
        """
        payloads = list(filter(None, map(parse_payload_checksum, checksums)))
        for payload in payloads:
            await self.note(payload, blob)
        return bool(payloads)

    async def find(self, checksums: Sequence[str]) -> Descriptor | None:
        """Returns the blob that is noted of an image's layer.

        Args:
            checksums: those of the image, as they are stored.
        """
        for payload in filter(None, map(parse_payload_checksum, checksums)):
            try:
                noted, _, size = (await self._driver.read(layout.v1_layer_blob(payload))).decode("ascii").partition(" ")
                return Descriptor(OCTET_STREAM, parse_digest(noted), int(size))
            except (PathNotFound, RegistryError, ValueError):  # a power cut may have left half a note
                continue
        return None

    async def measure(self, place: ImagePlace, checksums: Sequence[str], size: int) -> Descriptor:
        """Hashes an image's layer, and notes what it found.

        Args:
            place: where the image is.
            checksums: those of the image, as they are stored.
            size: of its layer in bytes.

        Raises:
            PathNotFound: it has lost its layer.
        """
        running = RunningHash()
        await running.advance(self._driver, layout.v1_image_layer(place), size)
        blob = Descriptor(OCTET_STREAM, Digest("sha256", running.value.hexdigest()), size)
        await self.note_all(checksums, blob)
        return blob
