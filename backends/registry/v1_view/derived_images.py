"""Images of the v1 protocol that were made of manifests, and of which: the files.

An id is a hash over the image's JSON and the content of its layer (FORMATS 3.3). So an image fits every manifest that
it was made of, in whichever repository, and one that is there is never changed; but the same content may lie under
several digests (gzip, zstd), and a manifest may lie about its layers: of each content several layers are noted, and who
serves one finds out which holds it.

Invariants:
- an image is written before its children, so an image that is there has all its ancestors;
- that a manifest is noted as an image's source says nothing of whether its repository still has it.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, replace

from backends.model.digest import Digest, parse_digest
from backends.model.errors import RegistryError
from backends.model.names import ImageId, RepositoryName, is_image_id, parse_repository_name
from backends.model.v1images import load_json
from backends.registry.exclusive_lock import exclusive_lock
from backends.registry.links import names_in
from backends.registry.no_room import exists
from backends.storage import layout
from backends.storage.driver import PathNotFound, StorageDriver
from backends.storage.locks import Locks

LAYERS = 8
"""So many layers are noted of one content, at most."""

SOURCES = 64
"""So many manifests of one image are looked at."""

_log = logging.getLogger("portside.v1")


@dataclass(frozen=True, slots=True)
class DerivedImage:
    """An image of the v1 protocol that was made of a manifest.

    Attributes:
        image_id: its id.
        parent: the image below it.
        text: its JSON, to the byte as it goes out.
        diff_id: the digest of its layer's content, uncompressed; None where it has no layer.
        layers: blobs that manifests name for this content, the newest last; none where it has no layer.
    """

    image_id: ImageId
    parent: ImageId | None
    text: bytes
    diff_id: Digest | None = None
    layers: tuple[Digest, ...] = ()


@dataclass(frozen=True, slots=True)
class ImageSource:
    """A manifest in a repository, of which images were made."""

    name: RepositoryName
    digest: Digest


IsFalse = Callable[[DerivedImage], Awaitable[bool]]


class DerivedImages:
    """The files of all such images over one storage."""

    def __init__(self, driver: StorageDriver, locks: Locks) -> None:
        self._driver = driver
        self._locks = locks

    # images

    async def find(self, image_id: ImageId) -> DerivedImage | None:
        """Returns an image; None when it was not made, or what is stored of it is damaged."""
        path = layout.derived_v1_image(image_id)
        try:
            content = await self._driver.read(path)
        except PathNotFound:
            return None
        try:
            return decode_image(image_id, content)
        except (ValueError, RegistryError) as error:
            _log.warning("%s is damaged on disk (%s); it is made again when its repository is asked for", path, error)
            return None

    async def keep(self, images: Sequence[DerivedImage], *, is_false: IsFalse) -> bool:
        """Keeps images, durably; of one that is there, its layers too.

        Args:
            images: from the base up.
            is_false: whether a layer is known not to hold what an image's id says, or to be gone.

        Returns:
            False when an image has as many layers as are noted, and all of them may hold what its id says: then these
            are not, and it is to be tried again.
        """
        kept = True
        for image in images:
            found = await self.find(image.image_id)
            if found is not None and set(image.layers) <= set(found.layers):
                await self._driver.ensure_durable(layout.derived_v1_image(image.image_id))
                continue
            async with exclusive_lock(self._locks, layout.derived_v1_lock(image.image_id)):
                kept = await self._keep(image, is_false) and kept
        return kept

    async def _keep(self, image: DerivedImage, is_false: IsFalse) -> bool:
        found = await self.find(image.image_id)
        known = [] if found is None else [each for each in found.layers if each not in image.layers]
        if len(known) >= LAYERS:
            known = [each for each in known if not await is_false(replace(image, layers=(each,)))]
        if len(known) >= LAYERS:
            return False
        merged = replace(image, layers=(*known, *image.layers))
        await self._driver.write(layout.derived_v1_image(image.image_id), encode_image(merged))
        return True

    # the manifests that they were made of

    async def top(self, source: ImageSource) -> ImageId | None:
        """Returns the topmost image of a manifest, if it was kept."""
        key = source.name, source.digest
        try:
            text = (await self._driver.read(layout.derived_v1_top(*key))).decode("ascii", "replace")
            if not is_image_id(text):
                return None
            # It is kept without a sync: after a power cut, one file may be there and the other not.
            await self._driver.stat(layout.derived_v1_source(ImageId(text), *key))
        except PathNotFound:
            return None
        return ImageId(text)

    async def keep_top(self, source: ImageSource, image_id: ImageId) -> None:
        """Keeps which image is the topmost one of a manifest; it can be found out again, so it is not synced."""
        noted = layout.derived_v1_source(image_id, source.name, source.digest)
        await self._driver.write(noted, source.name.encode(), durable=False)
        await self.touch_top(source, image_id)

    async def touch_top(self, source: ImageSource, image_id: ImageId) -> None:
        """Keeps it once more, so that its folder's time tells other processes that its images are there now."""
        await self._driver.write(layout.derived_v1_top(source.name, source.digest), image_id.encode(), durable=False)

    async def keep_source(self, source: ImageSource, image_id: ImageId) -> None:
        """Makes durable that an image is the topmost one of a manifest: somebody pulls it, and may push it again."""
        await self._driver.write(layout.derived_v1_source(image_id, source.name, source.digest), source.name.encode())

    async def sources(
        self, image_id: ImageId, *, of: RepositoryName | None = None, limit: int | None = SOURCES
    ) -> Sequence[ImageSource]:
        """Returns the manifests whose topmost image this is, as far as they were kept; some may be gone since.

        Args:
            image_id: the image.
            of: the repository whose manifests are wanted; None for those of every repository.
            limit: how many at most; None for all.
        """
        folder = layout.derived_v1_sources(image_id)
        if not await exists(self._driver, folder):  # so it is with what was pushed by v1: that costs nothing
            return ()
        entries = await names_in(self._driver, folder)
        if of is not None:
            entries = [entry for entry in entries if layout.is_derived_v1_source_of(entry, of)]
        found: list[ImageSource] = []
        for entry in entries[:limit]:
            digest = layout.source_of_derived_v1(entry)
            try:
                if digest is not None:
                    name = (await self._driver.read(f"{folder}/{entry}")).decode("ascii", "replace")
                    found.append(ImageSource(parse_repository_name(name), digest))
            except (PathNotFound, RegistryError):  # forgotten meanwhile, or half a file after a power cut
                continue
        return found

    async def forget_source(self, source: ImageSource, image_id: ImageId) -> None:
        """Removes that an image is the topmost one of a manifest."""
        key = source.name, source.digest
        for path in (layout.derived_v1_top(*key), layout.derived_v1_source(image_id, *key)):
            try:
                await self._driver.delete(path, durable=False)
            except PathNotFound:
                continue


def encode_image(image: DerivedImage) -> bytes:
    """Returns an image as it is kept."""
    document = {
        "parent": image.parent,
        "diff_id": None if image.diff_id is None else str(image.diff_id),
        "layers": [str(layer) for layer in image.layers],
        "text": image.text.decode("utf-8"),
    }
    return json.dumps(document, ensure_ascii=False).encode("utf-8")


def decode_image(image_id: ImageId, content: bytes) -> DerivedImage:
    """Returns what was encoded.

    Raises:
        ValueError, RegistryError: it was not.
    """
    document = load_json(content)
    if not isinstance(document, dict):
        raise ValueError("it is not a JSON object")
    parent, text, diff_id, layers = (document.get(key) for key in ("parent", "text", "diff_id", "layers"))
    if not isinstance(text, str) or not isinstance(layers, list):
        raise ValueError("it has no text `text`, or no list `layers`")
    if parent is not None and not (isinstance(parent, str) and is_image_id(parent)):
        raise ValueError(f"{str(parent)[:80]!r} is not the id of an image")
    return DerivedImage(
        image_id,
        None if parent is None else ImageId(parent),
        text.encode("utf-8"),
        None if diff_id is None else parse_digest(str(diff_id)),
        tuple(parse_digest(str(layer)) for layer in layers),
    )
