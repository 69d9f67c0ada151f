"""What is stored under a tag or a digest."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import suppress

from backends.model import media_types
from backends.model.conversion.platforms import image_entries, nested_indexes, platform_text
from backends.model.digest import Digest
from backends.model.errors import ErrorCode, RegistryError
from backends.model.image_places import ImageCopy, ImagePlace, target_at
from backends.model.manifests import Index, Manifest, Schema1, digested_bytes, parse_stored_manifest
from backends.model.names import RepositoryName
from backends.model.tag_records import Seen
from backends.model.targets import Target, V1Target, V2Target
from backends.registry.manifests import parse_off_loop
from backends.registry.no_room import exists
from backends.registry.repository import Repository
from backends.registry.store import Store
from backends.storage import layout
from portside.inspecting.facts import Entry, Stored
from portside.inspecting.repositories import Found

MAX_NESTING = 4


class Storing:
    """Looks at what a repository has.

    Args:
        store: the volume.
        found: the repository.
    """

    def __init__(self, store: Store, found: Found) -> None:
        self._store = store
        self._found = found
        self._sizes: dict[Digest, int | None] = {}

    async def tags(self) -> Mapping[str, Target]:
        """Returns all tags, sorted."""
        if self._found.v2 is not None:
            return await self._store.tags.targets(self._found.v2)
        assert self._found.v1 is not None
        images = await self._store.tags.images_of_v1(self._found.v1)
        return {tag: target_at(images[tag]) for tag in sorted(images)}

    async def tag(self, tag: str, target: Target) -> Stored:
        """Returns what a tag names, and who set it.

        Raises:
            RegistryError: it is not here any more.
        """
        seen, writer = await self._setting(tag, target)
        return await self.target(target, seen=seen, writer=writer)

    async def target(self, target: Target, *, seen: Seen | None = None, writer: str = "") -> Stored:
        """Returns what is known of an image of v1 or a manifest.

        Raises:
            RegistryError: it is not here any more.
        """
        written = None if seen is None else seen.modified
        match target:
            case V1Target():
                total, layers = await self._v1_size(self._place(target))
                return Stored(target, media_types.V1_IMAGE, None, total, layers, written, writer)
            case V2Target(digest):
                manifest = await self._parse(digest)
                return await self.manifest(target, manifest, written=written, writer=writer)

    def _place(self, target: V1Target) -> ImagePlace:
        if self._found.v1 is None or not target.is_copy:
            return target.image_id
        return ImageCopy(self._found.v1, target.image_id)

    async def manifest(
        self, target: V2Target, manifest: Manifest, *, written: float | None = None, writer: str = ""
    ) -> Stored:
        """Returns what a manifest is."""
        content = digested_bytes(manifest)
        found = {target.digest: len(content)}
        await self._collect(manifest, found, depth=MAX_NESTING)
        layers = None if isinstance(manifest, Index) else len(manifest.layers)
        return Stored(target, manifest.media_type, len(content), sum(found.values()), layers, written, writer)

    async def is_pushed(self, digest: Digest) -> bool:
        """Whether a manifest is the repository's own; else a conversion made it."""
        return await exists(self._store.storage.driver, layout.revision_link(self._v2, digest))

    async def entries(self, digest: Digest) -> Sequence[Entry]:
        """Returns what is in an index; nothing for any other manifest."""
        index = await self._parse(digest)
        if not isinstance(index, Index):
            return ()
        images, nested = image_entries(index.manifests), nested_indexes(index.manifests)
        found: list[Entry] = []
        for entry in index.manifests:
            kind = "image" if entry in images else "index" if entry in nested else "other"
            if entry.annotations.get("vnd.docker.reference.type") == "attestation-manifest":
                kind = "attestation"
            total = None
            is_here = False
            with suppress(RegistryError):
                stored = await self.target(V2Target(entry.digest))
                total, is_here = stored.total, True
            platform = "" if entry.platform is None or kind == "attestation" else platform_text(entry.platform)
            found.append(Entry(platform, entry.media_type, str(entry.digest), entry.size, total, is_here, kind))
        return found

    # within

    async def _parse(self, digest: Digest) -> Manifest:
        """Returns a manifest, whether it was pushed or a conversion made it.

        Raises:
            RegistryError: MANIFEST_UNKNOWN.
        """
        try:
            return await self._repository.parse_manifest(digest)
        except RegistryError:
            made = await self._store.conversions.find(self._v2, digest)
            if made is None:
                raise
        return await parse_off_loop(made.content, parse_stored_manifest)

    @property
    def _repository(self) -> Repository:
        return self._store.open(self._v2)

    @property
    def _v2(self) -> RepositoryName:
        if self._found.v2 is None:
            raise RegistryError(ErrorCode.MANIFEST_UNKNOWN, f"{self._found.names.canonical} has images of v1 alone")
        return self._found.v2

    async def _setting(self, tag: str, target: Target) -> tuple[Seen | None, str]:
        """Returns the file in which a tag is set, and who set it, as far as that is recorded."""
        state = await self._store.tags.state(self._found.v2, self._found.v1, tag)
        record = state.record
        if record is not None and _as_in_files(record.target) == _as_in_files(target) and record.writer:
            return state.own(target), record.writer
        writer = ""
        if isinstance(target, V1Target) and self._found.v1 is not None:
            described = await self._store.tags.describe_v1(self._found.v1, tag)
            if isinstance(described, Mapping) and isinstance(described.get("docker_version"), str):
                writer = f"docker/{described['docker_version'][:40]}"
        return state.own(target), writer

    async def _v1_size(self, image: ImagePlace) -> tuple[int | None, int | None]:
        """Returns the bytes of an image's layers and how many it has; None where one of them is lost."""
        total = 0
        try:
            images = await self._store.v1_images.places(image)
            for each in images:
                size = (await self._store.v1_images.get(each)).layer_size
                if size is None:
                    return None, len(images)
                total += size
        except RegistryError:
            return None, None
        return total, len(images)

    async def _collect(self, manifest: Manifest, found: dict[Digest, int], *, depth: int) -> None:
        """Adds the sizes of what a manifest names and the repository has; each is looked at once."""
        if isinstance(manifest, Index):
            for entry in manifest.manifests if depth else ():
                if entry.digest in found:
                    continue
                with suppress(RegistryError):
                    child = await self._parse(entry.digest)
                    found[entry.digest] = len(digested_bytes(child))
                    await self._collect(child, found, depth=depth - 1)
            return
        if isinstance(manifest, Schema1):
            digests = list(manifest.layers)
        else:
            digests = [manifest.config.digest, *(layer.digest for layer in manifest.layers)]
        for digest in digests:
            if digest not in self._sizes:
                self._sizes[digest] = await self._repository.blob_size(digest)
            size = self._sizes[digest]
            if size is not None:
                found[digest] = size


def _as_in_files(target: Target | None) -> Target | None:
    """Returns what stands in the files of a tag: the id of an image, whichever of several with that id it means."""
    return V1Target(target.image_id) if isinstance(target, V1Target) else target
