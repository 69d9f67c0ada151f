"""The files of an image where docker-registry keeps them, once it is no longer staged; or a repository keeps its own.

Invariant: `images/<id>/json` is written last. Until then the image is not there, whatever else lies in its folder. A
mark `_inprogress`, which docker-registry left on a volume of its own, says the same of an image that has a JSON.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import NamedTuple

from backends.model.image_places import ImageCopy, ImagePlace
from backends.model.names import ImageId
from backends.model.v1images import dump_json, parse_ancestry, parse_stored_checksums
from backends.registry.blobs import Blobs
from backends.registry.no_room import exists
from backends.registry.v1.staging import Candidate, Staging
from backends.storage import layout
from backends.storage.capabilities import LinksFiles, capability, write_several
from backends.storage.driver import PathNotFound, Reader, StorageDriver, StorageFull

_log = logging.getLogger("portside.v1")


class Look(NamedTuple):
    """What there is of an image.

    Attributes:
        has_json: it has a JSON.
        is_marked: docker-registry has begun it, and not finished.
    """

    has_json: bool
    is_marked: bool

    @property
    def is_complete(self) -> bool:
        return self.has_json and not self.is_marked


class LayerGone(Exception):  # noqa: N818 - a finding, not a fault
    """A candidate's layer has been taken meanwhile."""


@dataclass(frozen=True, slots=True)
class Lineage:
    """An image that is being made, and what it rests on.

    Attributes:
        ids: from the image to its base.
        shared: those of its ancestors that are there as images that all repositories share.
    """

    ids: Sequence[ImageId]
    shared: Sequence[ImageId]

    @property
    def rests_on_shared(self) -> bool:
        """Whether that is true of all its ancestors."""
        return len(self.shared) == len(self.ids) - 1


@dataclass(frozen=True, slots=True)
class StoredElsewhere:
    """An image of what another client has pushed.

    Attributes:
        place: where the image is to be.
        content: its JSON.
        payload: the payload checksum of that and its layer, in hex.
        lineage: the image and its ancestors.
        put_layer: called with the path where its layer is to be.
    """

    place: ImagePlace
    content: bytes
    payload: str
    lineage: Lineage
    put_layer: Callable[[str], Awaitable[None]]

    @property
    def own_parent(self) -> ImageCopy | None:
        """Where its parent must be that is the same repository's own; None where it has no such parent."""
        parent = self.lineage.ids[1] if len(self.lineage.ids) > 1 else None
        if not isinstance(self.place, ImageCopy) or parent is None or parent in self.lineage.shared:
            return None
        return ImageCopy(self.place.owner, parent)


class ImageFiles:
    """The files of all images on one root."""

    def __init__(self, driver: StorageDriver, blobs: Blobs, staging: Staging) -> None:
        self._driver = driver
        self._blobs = blobs
        self._staging = staging

    # reading

    async def look(self, place: ImagePlace, *, is_new: bool = False) -> Look:
        """Looks at what there is of an image.

        Args:
            place: of the image.
            is_new: whether there is probably nothing: then one look will do.
        """
        if is_new and not await exists(self._driver, layout.v1_image(place)):
            return Look(has_json=False, is_marked=False)
        return Look(has_json=await self.has_json(place), is_marked=await self.is_marked(place))

    async def is_complete(self, place: ImagePlace) -> bool:
        """Whether an image is visible; it may have lost its layer."""
        return await self.has_json(place) and not await self.is_marked(place)

    async def has_json(self, place: ImagePlace) -> bool:
        """Whether an image has a JSON; unless it is marked, it is complete then."""
        return await exists(self._driver, layout.v1_image_json(place))

    async def is_marked(self, place: ImagePlace) -> bool:
        """Whether docker-registry has begun an image and not finished it: one that all repositories share."""
        return not isinstance(place, ImageCopy) and await exists(self._driver, layout.v1_image_mark(place))

    async def is_whole(self, place: ImagePlace) -> bool:
        """Whether an image is complete and has its layer."""
        return await self.is_complete(place) and await exists(self._driver, layout.v1_image_layer(place))

    async def read_json(self, place: ImagePlace) -> bytes:
        """Returns an image's JSON.

        Raises:
            PathNotFound: there is none.
        """
        return await self._driver.read(layout.v1_image_json(place))

    async def read_checksums(self, place: ImagePlace) -> Sequence[str]:
        """Returns the checksums that are recorded of an image's layer."""
        try:
            return parse_stored_checksums(await self._driver.read(layout.v1_image_checksum(place)))
        except PathNotFound:
            return ()

    async def read_ancestry(self, place: ImagePlace) -> Sequence[ImageId]:
        """Returns the ids from an image to its base.

        Raises:
            PathNotFound: they are not recorded.
            ValueError: what is recorded is damaged.
        """
        return parse_ancestry(await self._driver.read(layout.v1_image_ancestry(place)))

    async def layer_size(self, place: ImagePlace) -> int | None:
        """Returns the size of an image's layer in bytes; None when it has lost it."""
        try:
            return (await self._driver.stat(layout.v1_image_layer(place))).size
        except PathNotFound:
            return None

    async def open_layer(self, place: ImagePlace) -> Reader:
        """Opens an image's layer.

        Raises:
            PathNotFound: it has lost it.
        """
        return await self._driver.open(layout.v1_image_layer(place))

    # making

    async def ensure_durable(self, place: ImagePlace) -> None:
        """Makes sure that an existing image survives a power cut: its maker may have been killed since."""
        await self._driver.ensure_durable(layout.v1_image_json(place))

    async def make(
        self, place: ImagePlace, candidate: Candidate, *, payload: str, lineage: Lineage, found: Look
    ) -> None:
        """Makes an image of a candidate: what is small first, then the blob and its second name, the JSON last.

        Args:
            place: where the image is to be.
            candidate: its JSON, and the layer, which is staged.
            payload: their payload checksum, in hex.
            lineage: the image and its ancestors.
            found: what there is of it, and nobody else changes.

        Raises:
            LayerGone: the candidate's layer is not staged any more.
            StorageFull: nothing is left of what was begun here.
        """
        is_new = await self._clear_unfinished(place, found)
        if not is_new:  # it has lost its layer: what was listed of that may not be true of this one
            await self._forget(layout.v1_image_files(place))
            await self._forget(layout.v1_image_diff(place))
        is_new_blob = await self._blobs.size(candidate.digest) is None
        try:
            await self._write_small(place, lineage, payload)
            await self._commit_layer(candidate)
            await self._name_layer(place, candidate)
            await self._driver.write(layout.v1_image_json(place), candidate.content)
        except (StorageFull, LayerGone):
            if is_new:
                await self._forget(layout.v1_image(place))
            if is_new_blob:
                await self._blobs.take_back(candidate.digest)
            raise

    async def make_of_stored(self, image: StoredElsewhere) -> None:
        """Makes an image of what is stored elsewhere, in the same order; what is there already is not replaced.

        Raises:
            PathNotFound: its layer is not stored any more.
            StorageFull: nothing is left of what was begun here.
        """
        place = image.place
        is_new = await self._clear_unfinished(place, await self.look(place))
        try:
            if is_new:
                await self._write_small(place, image.lineage, image.payload)
            await image.put_layer(layout.v1_image_layer(place))
            if is_new:
                await self._driver.write(layout.v1_image_json(place), image.content)
        except (StorageFull, PathNotFound):
            if is_new:
                await self._forget(layout.v1_image(place))
            raise

    async def _write_small(self, place: ImagePlace, lineage: Lineage, payload: str) -> None:
        """Writes all but the layer and the JSON."""
        files = [
            (layout.v1_image_ancestry(place), dump_json(list(lineage.ids))),
            (layout.v1_image_checksum(place), dump_json([f"sha256:{payload}"])),
        ]
        if isinstance(place, ImageCopy):
            files.insert(0, (layout.v1_shared_ancestors(place), dump_json(list(lineage.shared))))
        await write_several(self._driver, files)

    async def _commit_layer(self, candidate: Candidate) -> None:
        layer = self._staging.layer(candidate.staged, candidate.name)
        try:
            await self._blobs.commit_file(layer, candidate.digest, candidate.size)
        except PathNotFound:
            raise LayerGone(layer) from None

    async def _clear_unfinished(self, place: ImagePlace, found: Look) -> bool:
        """Removes JSON and mark of an upload that docker-registry began, in this order: it is never complete.

        Both are gone before the layer gets its second name: docker-registry would truncate a layer beside a mark, and
        with it the blob.

        Returns:
            whether there is no JSON then.
        """
        if not found.is_marked:
            return not found.has_json
        await self._forget(layout.v1_image_json(place))
        await self._forget(layout.v1_image_mark(place))
        return True

    async def _name_layer(self, place: ImagePlace, candidate: Candidate) -> None:
        """Gives a blob its second name as this image's layer: one file by hard link, else a copy."""
        source, target = layout.blob_data(candidate.digest), layout.v1_image_layer(place)
        linker = capability(self._driver, LinksFiles)
        if linker is not None and await linker.link(source, target):
            return
        _log.warning("layer of image %s is copied: this storage gives a file no second name", place)
        copy = self._staging.layer(candidate.staged)
        reader = await self._driver.open(source)
        try:
            writer = await self._driver.writer(copy)
            try:
                async for chunk in reader.chunks(0, reader.size):
                    await writer.write(chunk)
                await writer.sync()
            finally:
                await writer.close()
            await self._driver.move(copy, target)
        except BaseException:
            await self._forget(copy)
            raise
        finally:
            reader.close()

    async def _forget(self, path: str) -> None:
        with suppress(PathNotFound):
            await self._driver.delete(path)
