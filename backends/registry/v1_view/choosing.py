"""The image of an index that a client gets who knows no indexes, among those that are here (FORMATS 3.7)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from backends.model.conversion.image_config import parse_image_config
from backends.model.conversion.image_manifests import require_image
from backends.model.conversion.impossible import ImpossibleConversion, ImpossibleNow
from backends.model.conversion.platforms import (
    MAX_NESTING,
    choose,
    image_entries,
    nested_indexes,
    platform_text,
    ranked,
    says_platform,
)
from backends.model.errors import ErrorCode, RegistryError
from backends.model.manifests import Index, OciManifest, Schema2
from backends.registry.manifests import parse_off_loop
from backends.registry.v1_view.chains import read_config

if TYPE_CHECKING:
    from backends.model.descriptors import Descriptor, Platform
    from backends.model.digest import Digest
    from backends.registry.repository import Repository

MAX_READ = 100
"""So many manifests are read to choose one; what an index names beyond them is passed over."""

MAX_IMAGES = 500
"""So many of an index are looked at, and so many of each within it; no index that somebody made has a tenth of it."""


async def choose_image(repository: Repository, digest: Digest, platform: Platform) -> Digest:
    """Returns the manifest of a single image that a manifest stands for; of an index, the one for a platform.

    Raises:
        ImpossibleConversion: it has none for this platform, or that is not here.
        RegistryError: MANIFEST_UNKNOWN: it is not in this repository.
    """
    manifest = await repository.parse_manifest(digest)
    if not isinstance(manifest, Index):
        return digest
    images = await _Search(repository).images_in(manifest)
    candidates = ranked(images, platform)
    best: list[Digest] = []
    for entry in candidates:
        if not await repository.has_manifest(entry.digest):
            continue
        # An artifact, or an image in EROFS, may stand before the one that old clients can use, as for v2's.
        if len(candidates) == 1 or await _is_image(repository, entry.digest):
            return entry.digest
        best.append(entry.digest)
        if len(best) == MAX_READ:
            break
    if best:
        return best[0]  # who makes images of it says why it is none
    missing = choose(images, platform)
    raise ImpossibleNow(
        f"the {platform_text(platform)} image of this list, {missing.digest}, is not stored in this registry;"
        " push it too"
    )


async def _is_image(repository: Repository, digest: Digest) -> bool:
    manifest = await repository.parse_manifest(digest)
    if not isinstance(manifest, Schema2 | OciManifest):
        return not isinstance(manifest, Index)
    try:
        require_image(manifest)
        await parse_off_loop(await read_config(repository, manifest.config), parse_image_config)
    except (ValueError, ImpossibleConversion):
        return False
    return True


@dataclass(slots=True)
class _Search:
    """Goes through an index and those within it."""

    repository: Repository
    read: int = 0
    seen: set[Digest] = field(default_factory=set)

    async def images_in(self, index: Index, *, depth: int = 1) -> Sequence[Descriptor]:
        images = [
            entry if says_platform(entry) else await self._with_platform(entry)
            for entry in image_entries(index.manifests)[:MAX_IMAGES]
        ]
        for entry in nested_indexes(index.manifests) if depth < MAX_NESTING else ():
            nested = await self._parse(entry.digest)
            if isinstance(nested, Index):
                images += await self.images_in(nested, depth=depth + 1)
        return images

    async def _with_platform(self, entry: Descriptor) -> Descriptor:
        """Returns an entry with the platform that its image's configuration names; as it is where it is no image."""
        manifest = await self._parse(entry.digest)
        if not isinstance(manifest, Schema2 | OciManifest):
            return entry
        try:
            config = await parse_off_loop(await read_config(self.repository, manifest.config), parse_image_config)
        except (ValueError, ImpossibleConversion):
            return entry
        return replace(entry, platform=config.platform)

    async def _parse(self, digest: Digest) -> object:
        """Returns what a manifest says; None where it is not here, was seen before, or too many were."""
        if self.read >= MAX_READ or digest in self.seen:
            return None
        self.read += 1
        self.seen.add(digest)
        try:
            return await self.repository.parse_manifest(digest)
        except RegistryError as error:
            if error.code is not ErrorCode.MANIFEST_UNKNOWN:
                raise
            return None
