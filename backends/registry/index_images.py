"""The images of an index and of those within it, as who cannot read an index chooses among them (FORMATS 3.7).

An index may name tens of thousands of others, all of them the same one: what is read, and what is found, is bounded.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field, replace

from backends.model.conversion.image_config import parse_image_config
from backends.model.conversion.impossible import ImpossibleConversion
from backends.model.conversion.platforms import MAX_NESTING, image_entries, nested_indexes, says_platform
from backends.model.descriptors import Descriptor, Platform
from backends.model.digest import Digest
from backends.model.errors import ErrorCode, RegistryError
from backends.model.manifests import Index, Manifest, OciManifest, Schema2
from backends.registry.manifests import parse_off_loop

MAX_IMAGES = 500
"""So many are looked at; the largest index in the field has some fifty."""

MAX_INDEXES = 100
"""So many indexes within an index are read."""

ReadManifest = Callable[[Digest], Awaitable[Manifest]]
"""Returns a manifest of the repository; raises RegistryError, MANIFEST_UNKNOWN, where it is not here."""

ReadConfig = Callable[[Descriptor], Awaitable[bytes]]
"""Returns an image's configuration; raises ImpossibleConversion or ValueError where it has none."""


@dataclass(frozen=True, slots=True)
class IndexImages:
    """What was found.

    Attributes:
        images: the entries; those that do not say their platform have that of their configuration.
        are_all_here: whether all of them, and all indexes within, are here; if not, another answer may come later.
        has_more: whether there are more than MAX_IMAGES.
        is_too_deep: whether there is an index beyond MAX_NESTING.
    """

    images: Sequence[Descriptor]
    are_all_here: bool
    has_more: bool
    is_too_deep: bool


async def images_of(
    index: Index, manifest: ReadManifest, config: ReadConfig, *, max_read: int, reads_all: bool
) -> IndexImages:
    """Finds the images of an index.

    Args:
        index: the outermost one.
        manifest: reads a manifest.
        config: reads a configuration.
        max_read: so many images are read at most; those beyond keep the platform that they say.
        reads_all: whether images are read too that say their platform, to know whether they are here.
    """
    walk = _Walk(manifest, config, max_read, reads_all)
    await walk.through(index)
    has_more = len(walk.images) > MAX_IMAGES
    return IndexImages(tuple(walk.images[:MAX_IMAGES]), walk.are_all_here, has_more, walk.is_too_deep)


@dataclass(frozen=True, slots=True)
class _Image:
    """What was read of an image."""

    is_here: bool
    platform: Platform | None = None


@dataclass(slots=True)
class _Walk:
    manifest: ReadManifest
    config: ReadConfig
    max_read: int
    reads_all: bool
    images: list[Descriptor] = field(default_factory=list)
    are_all_here: bool = True
    is_too_deep: bool = False
    _read: dict[tuple[Digest, bool], _Image] = field(default_factory=dict)
    _seen: set[Digest] = field(default_factory=set)

    async def through(self, index: Index, *, depth: int = 1) -> None:
        for entry in image_entries(index.manifests):
            if len(self.images) > MAX_IMAGES:
                return
            self.images.append(await self._with_platform(entry))
        for entry in nested_indexes(index.manifests):
            if len(self.images) > MAX_IMAGES:
                return
            if entry.digest in self._seen:
                continue
            if len(self._seen) >= MAX_INDEXES:
                self.are_all_here = False
                return
            self._seen.add(entry.digest)
            nested = await self._parse(entry.digest)
            if not isinstance(nested, Index):
                self.are_all_here = False
            elif depth >= MAX_NESTING:
                self.is_too_deep = True
            else:
                await self.through(nested, depth=depth + 1)

    async def _with_platform(self, entry: Descriptor) -> Descriptor:
        says = says_platform(entry)
        if says and not self.reads_all:
            return entry
        image = self._read.get((entry.digest, says))
        if image is None:
            if len(self._read) >= self.max_read:
                self.are_all_here = False
                return entry
            image = self._read[entry.digest, says] = await self._look_at(entry, reads_config=not says)
        self.are_all_here = self.are_all_here and image.is_here
        return entry if says else replace(entry, platform=image.platform)

    async def _look_at(self, entry: Descriptor, *, reads_config: bool) -> _Image:
        manifest = await self._parse(entry.digest)
        if manifest is None or isinstance(manifest, Index):
            return _Image(is_here=False)
        if not reads_config or not isinstance(manifest, Schema2 | OciManifest):
            return _Image(is_here=True)
        try:
            platform = (await parse_off_loop(await self.config(manifest.config), parse_image_config)).platform
        except (ImpossibleConversion, ValueError):
            return _Image(is_here=True)
        return _Image(is_here=True, platform=platform if platform.os and platform.architecture else None)

    async def _parse(self, digest: Digest) -> Manifest | None:
        """Returns what a manifest says; None where it is not here: sparse indexes name what is elsewhere."""
        try:
            return await self.manifest(digest)
        except RegistryError as error:
            if error.code is not ErrorCode.MANIFEST_UNKNOWN:
                raise
            return None
