"""What a tag names, as far as it decides what a client gets (`backends/model/conversion/negotiation.py`)."""

from __future__ import annotations

from collections.abc import Sequence

from backends.model import media_types
from backends.model.conversion.negotiation import Stored, StoredImage, StoredIndex
from backends.model.conversion.platforms import image_entries, ranked
from backends.model.conversion.readers import Reader
from backends.model.descriptors import Descriptor
from backends.model.errors import RegistryError
from backends.model.manifests import Index, Manifest, OciManifest, Schema2
from backends.model.targets import Target, V1Target
from backends.registry.repository import Repository


async def describe(repository: Repository, target: Target, media_type: str, reader: Reader) -> tuple[Stored, bool]:
    """Describes what a tag names.

    Args:
        repository: the tag's.
        target: what it names.
        media_type: of that.
        reader: the client.

    Returns:
        what it is, and whether it will always be that: an index may name what is still to be pushed.

    Raises:
        RegistryError: MANIFEST_UNKNOWN: it is not here any more.
    """
    if isinstance(target, V1Target):
        return StoredImage(media_type), True
    if media_type not in media_types.INDEXES:
        has_zstd = not reader.reads_zstd and _has_zstd(await repository.parse_manifest(target.digest))
        return StoredImage(media_type, has_zstd), True
    index = await repository.parse_manifest(target.digest)
    assert isinstance(index, Index)  # its type says so
    images = image_entries(index.manifests)
    has_zstd, is_final = (False, True) if reader.reads_zstd else await _have_zstd(repository, images)
    best = ranked(images, reader.platform)
    types = frozenset(image.media_type for image in images)
    return StoredIndex(media_type, types, best[0].media_type if best else "", has_zstd), is_final


async def _have_zstd(repository: Repository, images: Sequence[Descriptor]) -> tuple[bool, bool]:
    """Returns whether one of an index's images has a layer in zstd, and whether that will always be so."""
    all_there = True
    for image in images:
        try:
            if _has_zstd(await repository.parse_manifest(image.digest)):
                return True, True
        except RegistryError:
            all_there = False  # it may still be pushed
    return False, all_there


def _has_zstd(manifest: Manifest) -> bool:
    """Whether a manifest says of a layer that it is in zstd."""
    if not isinstance(manifest, Schema2 | OciManifest):
        return False
    return any(layer.media_type.endswith(("+zstd", ".zstd")) for layer in manifest.layers)
