"""What answers a request for a tag that cannot go out as it is stored: an image of an index, or a conversion.

What is stored, and what the client reads, decide (`backends/model/conversion/negotiation.py`). HEAD and GET get the
same, and whatever they name can be asked for by its digest (FORMATS section 0).
"""

from __future__ import annotations

from collections.abc import Sequence

from backends.model import media_types
from backends.model.conversion.impossible import ImpossibleConversion
from backends.model.conversion.negotiation import (
    AsStored,
    Converted,
    Reader,
    Refused,
    Stored,
    StoredImage,
    StoredIndex,
    negotiate,
)
from backends.model.conversion.platforms import image_entries, ranked
from backends.model.descriptors import Descriptor
from backends.model.errors import ErrorCode, RegistryError
from backends.model.manifests import Index, Manifest, OciManifest, Schema2
from backends.model.names import TagName
from backends.model.targets import V1Target, V2Target
from backends.registry.repository import ManifestInfo, Repository, Tagged
from backends.v2.parts import Parts


async def find_answer(
    parts: Parts, repository: Repository, tag: TagName, tagged: Tagged, reader: Reader
) -> ManifestInfo:
    """Returns what a client gets for a tag: with its content, unless it is as stored and only that was asked for.

    Raises:
        RegistryError: MANIFEST_UNKNOWN: there is nothing for this client; the message says why.
        StillWorking: it takes longer than a client waits.
    """
    match negotiate(reader, await _describe(parts, repository, tagged, reader)):
        case AsStored():
            return await _as_stored(repository, tagged)
        case Converted(plan, or_as_stored):
            try:
                return await repository.convert(tagged.target, plan, tag=tag, patience=parts.settings.patience_seconds)
            except ImpossibleConversion as impossible:
                if or_as_stored:
                    return await _as_stored(repository, tagged)
                raise refused(str(impossible)) from None
        case Refused(sentence):
            raise refused(sentence)


def refused(sentence: str) -> RegistryError:
    """Returns the error for a client that cannot read what is stored: Docker shows the message, and no detail."""
    return RegistryError(ErrorCode.MANIFEST_UNKNOWN, sentence, message=sentence)


async def _as_stored(repository: Repository, tagged: Tagged) -> ManifestInfo:
    if tagged.manifest is not None:
        return tagged.manifest
    assert isinstance(tagged.target, V2Target)  # nobody reads v1 as it is stored: negotiation never says so
    return await repository.get_manifest(tagged.target.digest)


async def _describe(parts: Parts, repository: Repository, tagged: Tagged, reader: Reader) -> Stored:
    """Returns what a tag names, as far as negotiation depends on it."""
    if isinstance(tagged.target, V1Target):
        return StoredImage(tagged.media_type)
    digest = tagged.target.digest
    if tagged.media_type not in media_types.INDEXES:
        has_zstd = not reader.reads_zstd and _has_zstd(await repository.parse_manifest(digest))
        return StoredImage(tagged.media_type, has_zstd)
    key = (digest, reader.platform, reader.reads_zstd)
    try:
        return parts.indexes[key]
    except KeyError:
        index = await repository.parse_manifest(digest)
    assert isinstance(index, Index)  # its type says so
    images = image_entries(index.manifests)
    has_zstd, is_final = (False, True) if reader.reads_zstd else await _have_zstd(repository, images)
    best = ranked(images, reader.platform)
    stored = StoredIndex(
        index.media_type,
        frozenset(image.media_type for image in images),
        best[0].media_type if best else "",
        has_zstd,
    )
    if is_final:
        parts.indexes.put(key, stored)
    return stored


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
