"""The image of an index that a client gets who knows no indexes, among those that are here (FORMATS 3.7)."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from backends.model.conversion.image_config import parse_image_config
from backends.model.conversion.image_manifests import require_image
from backends.model.conversion.impossible import ImpossibleConversion, ImpossibleNow
from backends.model.conversion.platforms import (
    choose,
    platform_text,
    ranked,
)
from backends.model.manifests import Index, OciManifest, Schema2
from backends.registry.index_images import images_of
from backends.registry.manifests import parse_off_loop
from backends.registry.v1_view.chains import read_config

if TYPE_CHECKING:
    from backends.model.descriptors import Platform
    from backends.model.digest import Digest
    from backends.registry.repository import Repository

MAX_READ = 100
"""So many manifests are read to choose one; what an index names beyond them is passed over."""


async def choose_image(repository: Repository, digest: Digest, platform: Platform) -> Digest:
    """Returns the manifest of a single image that a manifest stands for; of an index, the one for a platform.

    Raises:
        ImpossibleConversion: it has none for this platform, or that is not here.
        RegistryError: MANIFEST_UNKNOWN: it is not in this repository.
    """
    manifest = await repository.parse_manifest(digest)
    if not isinstance(manifest, Index):
        return digest
    config = partial(read_config, repository)
    images = (await images_of(manifest, repository.parse_manifest, config, max_read=MAX_READ, reads_all=False)).images
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
