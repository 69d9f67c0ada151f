"""What was found out about layers, on the volume: all of it can be found out again.

A fact lies under the digest of the bytes it is about. Which bytes a v1 image's layer is, docker-registry keeps nowhere
by itself: that is noted under the image's payload checksum, or where it has none, with size and time of its file.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence

from backends.model.descriptors import Descriptor
from backends.model.digest import Digest, parse_digest
from backends.model.errors import RegistryError
from backends.model.image_places import ImageCopy, ImagePlace
from backends.model.layers import LayerFacts, StoredLayer
from backends.model.media_types import OCTET_STREAM
from backends.registry.layers.layer_blobs import LayerBlobs
from backends.registry.no_room import undone_without_room
from backends.storage import layout
from backends.storage.driver import FileInfo, PathNotFound, StorageDriver, StorageError
from backends.storage.storage import Storage

KEEPING_SECONDS = 60.0

_log = logging.getLogger("portside.layers")


class LayerNotes:
    """The notes of one root.

    Args:
        driver: the storage.
        writes: whether anything may be written there.
    """

    def __init__(self, driver: StorageDriver, *, writes: bool) -> None:
        self._driver = driver
        self._writes = writes
        self._by_checksum = LayerBlobs(driver)

    async def facts(self, digest: Digest) -> LayerFacts | None:
        """Returns what is known about a layer."""
        try:
            return LayerFacts.decode(await self._driver.read(layout.layer_facts(digest)))
        except (PathNotFound, ValueError):  # a power cut may have left half a note
            return None

    async def note_facts(self, digest: Digest, facts: LayerFacts) -> None:
        """Keeps what was found out, if that is possible."""
        await self._note(layout.layer_facts(digest), facts.encode())

    async def v1_layer(self, place: ImagePlace, checksums: Sequence[str], file: FileInfo) -> Descriptor | None:
        """Returns which bytes a v1 image's layer is, if that is known.

        Args:
            place: where the image is.
            checksums: those of the image, as they are stored.
            file: what is at `layout.v1_image_layer` now.
        """
        known = await self._by_checksum.find(checksums)
        if known is not None:
            return known if known.size == file.size else None
        if isinstance(place, ImageCopy):  # which has a checksum
            return None
        try:
            noted = (await self._driver.read(layout.v1_layer_file(place))).decode("ascii")
            size, modified, digest = noted.split(" ")
            if int(size) == file.size and modified == repr(file.modified):
                return Descriptor(OCTET_STREAM, parse_digest(digest), file.size)
        except (PathNotFound, RegistryError, ValueError):
            pass  # as above
        return None

    async def note_v1_layer(self, place: ImagePlace, checksums: Sequence[str], file: FileInfo, digest: Digest) -> None:
        """Keeps which bytes a v1 image's layer is, if that is possible; takes what `v1_layer` takes."""
        if await self._by_checksum.note_all(checksums, Descriptor(OCTET_STREAM, digest, file.size)):
            return
        if isinstance(place, ImageCopy):
            return
        await self._note(layout.v1_layer_file(place), f"{file.size} {file.modified!r} {digest}".encode())

    async def _note(self, path: str, content: bytes) -> None:
        if not self._writes:
            return
        try:
            await self._driver.write(path, content, durable=False)
        except StorageError as error:  # it only spares reading the layer again
            _log.debug("nothing is kept of a layer that was read: %s", error)


class KeptGzips:
    """The gzips that were made of other layers. These are no notes: another gzip would have another digest.

    Args:
        storage: where they are.
    """

    def __init__(self, storage: Storage) -> None:
        self._driver = storage.driver
        self._locks = storage.locks

    async def find(self, digest: Digest) -> StoredLayer | None:
        """Returns the gzip of a layer, if it was made and is still here."""
        try:
            gzip, size, facts = (await self._driver.read(layout.derived_gzip(digest))).decode("ascii").split(" ", 2)
            made = StoredLayer(parse_digest(gzip), int(size), LayerFacts.decode(facts.encode()))
            info = await self._driver.stat(layout.derived_blob(made.digest))
        except PathNotFound:
            return None
        except (RegistryError, ValueError) as error:
            _log.warning("which gzip was made of layer %s cannot be read, so one is made anew: %s", digest, error)
            return None
        return made if info.size == made.size else None

    async def keep(self, digest: Digest, temporary: str, made: StoredLayer) -> None:
        """Keeps a gzip: its content first, then what it was made of. Both survive a power cut when this returns.

        Args:
            digest: of the layer that it was made of.
            temporary: the synced file that has it, which is gone then.
            made: what it is.
        """
        content, record = layout.derived_blob(made.digest), layout.derived_gzip(digest)
        # Another layer that holds the same has the same gzip: of two such, one at a time.
        async with (
            self._locks.hold(layout.gzip_lock(made.digest), patience=KEEPING_SECONDS),
            undone_without_room(self._driver, content, record),
        ):
            await self._driver.move(temporary, content)
            await self._driver.write(record, f"{made.digest} {made.size} ".encode() + made.facts.encode())
