"""A manifest as the chain of v1 images that clients of that protocol see (FORMATS 3 and 4.5).

What it is made of is read through the manifest's own repository, so a manifest that names another repository's blob,
whose digest its pusher happens to know, is no way to get at it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backends.model.conversion.image_config import MAX_CONFIG_BYTES
from backends.model.conversion.image_manifests import require_image
from backends.model.conversion.impossible import ImpossibleConversion, ImpossibleNow
from backends.model.conversion.schema1 import own_images, schema1_entries
from backends.model.conversion.v1_chain import v1_chain
from backends.model.errors import ErrorCode, RegistryError
from backends.model.layers import EMPTY_LAYER_DIGEST
from backends.registry.manifests import parse_off_loop
from backends.registry.v1_view.derived_images import DerivedImage

if TYPE_CHECKING:
    from backends.model.descriptors import Descriptor
    from backends.model.manifests import OciManifest, Schema1, Schema2
    from backends.model.names import ImageId
    from backends.registry.repository import Repository

MAX_CLAIMED = 127
"""The longest chain of which a Docker that reads schema 1 can make a container, whichever its storage."""


@dataclass(frozen=True, slots=True)
class Chain:
    """A manifest's v1 images, from the base up.

    Attributes:
        images: at least one.
        claimed: their ids are those that a schema 1 manifest gives them, which prove nothing; else they are hashes.
    """

    images: tuple[DerivedImage, ...]
    claimed: bool = False

    @property
    def top(self) -> ImageId:
        return self.images[-1].image_id


async def claimed_chain(repository: Repository, manifest: Schema1) -> Chain | None:
    """Returns the chain of a schema 1 manifest by the ids that it gives; None where they are no chain.

    Raises:
        ImpossibleConversion: the repository does not have its layers.
    """
    try:
        images = await asyncio.to_thread(_claimed, manifest)
    except ValueError:
        return None
    await _require_layers(repository, images)
    return Chain(images, claimed=True)


async def chain_of(repository: Repository, manifest: Schema2 | OciManifest) -> Chain:
    """Returns the chain of an image's manifest, all of whose layers the repository has.

    Raises:
        ImpossibleConversion: it is not an image, or not one that the v1 protocol has room for.
    """
    try:
        config = await read_config(repository, manifest.config)
        images = await parse_off_loop(config, lambda content: _derived(content, manifest.layers))
    except ValueError as error:
        raise ImpossibleConversion(
            f"{_by_its_types(manifest) or error}; pull it with the tool that pushed it"
        ) from None
    await _require_layers(repository, images)
    return Chain(images)


def _by_its_types(manifest: Schema2 | OciManifest) -> str:
    """Returns why it is no image, as far as its types say so: that names the artifact, where its content only fails."""
    try:
        require_image(manifest)
    except ValueError as error:
        return str(error)
    return ""


async def read_config(repository: Repository, config: Descriptor) -> bytes:
    """Returns an image's configuration.

    Raises:
        ImpossibleConversion: it is not here.
        ValueError: it is too large to be one.
        RegistryError: it cannot be read.
    """
    try:
        blob = await repository.open_blob(config.digest)
    except RegistryError as error:
        if error.code is not ErrorCode.BLOB_UNKNOWN:
            raise
        raise ImpossibleNow(
            f"the image's configuration {config.digest} is not stored in this registry; push the image again"
        ) from None
    try:
        if blob.size > MAX_CONFIG_BYTES:
            raise ValueError(f"this is not a container image: its configuration has {blob.size} bytes")
        return b"".join([bytes(chunk) async for chunk in blob.reader.chunks(0, blob.size)])
    finally:
        blob.reader.close()


def _derived(config: bytes, layers: Sequence[Descriptor]) -> tuple[DerivedImage, ...]:
    return tuple(
        DerivedImage(entry.image_id, entry.parent, entry.text.encode())
        if entry.layer is None
        else DerivedImage(entry.image_id, entry.parent, entry.text.encode(), entry.diff_id, (entry.layer.digest,))
        for entry in v1_chain(config, layers)
    )


def _claimed(manifest: Schema1) -> tuple[DerivedImage, ...]:
    if len(manifest.history) > MAX_CLAIMED + 1:  # the topmost may be there twice
        raise _too_long(len(manifest.history))
    entries = schema1_entries(manifest)
    if len(entries) > MAX_CLAIMED:
        raise _too_long(len(entries))
    return tuple(
        DerivedImage(
            image.image_id,
            image.parent,
            image.content,
            None,
            () if entry.blob_sum == EMPTY_LAYER_DIGEST else (entry.blob_sum,),
        )
        for image, entry in zip(own_images(entries), entries, strict=True)
    )


def _too_long(count: int) -> ImpossibleConversion:
    return ImpossibleConversion(
        f"this image is a chain of {count} images, and Docker before 1.10 can use {MAX_CLAIMED};"
        " build it again with fewer steps"
    )


async def _require_layers(repository: Repository, images: Sequence[DerivedImage]) -> None:
    for image in images:
        for layer in image.layers:
            if not await repository.has_blob(layer):
                raise ImpossibleNow(
                    f"layer {layer} is not stored in this registry (it is foreign, or was deleted), and Docker before"
                    " 1.10 gets layers from nowhere else; push the image with all its layers"
                )
