"""What a repository has by conversions becomes its own, in distribution's tree, before something pushed names it.

Invariant: what is pushed never depends on a conversion: it stays, and distribution itself can serve it, when what the
conversion was made of is gone.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable

from backends.model.conversion.derived import DerivedManifest
from backends.model.digest import Digest
from backends.model.manifests import parse_stored_manifest
from backends.model.names import RepositoryName
from backends.registry.blobs import Blobs
from backends.registry.derived.blobs import DerivedBlobs
from backends.registry.derived.sources import Sources
from backends.registry.exclusive_lock import exclusive_lock
from backends.registry.links import write_link
from backends.registry.manifests import parse_off_loop
from backends.registry.no_room import exists
from backends.registry.references import referenced
from backends.registry.yielding import yielding
from backends.storage import layout
from backends.storage.storage import Storage

Find = Callable[[RepositoryName, Digest], Awaitable[DerivedManifest | None]]


class Adoption:
    """Makes manifests and blobs repositories' own.

    Args:
        storage: v2's root.
        native: v2's blobs.
        derived: those that repositories have by conversions.
        sources: which manifests repositories have.
        find: finds derived manifests.
    """

    def __init__(self, storage: Storage, *, native: Blobs, derived: DerivedBlobs, sources: Sources, find: Find) -> None:
        self._driver = storage.driver
        self._locks = storage.locks
        self._native = native
        self._derived = derived
        self._sources = sources
        self._find = find

    async def adopt(self, name: RepositoryName, digests: Iterable[Digest]) -> None:
        """Makes what a repository has only by conversions its own; see `Conversions.adopt`."""
        async for digest in yielding(digests):
            if await self._is_own(name, digest):
                continue
            manifest = await self._find(name, digest)
            if manifest is not None:
                await self._adopt_manifest(name, manifest)
            elif await self._derived.size(name, digest) is not None:
                async with exclusive_lock(self._locks, layout.blob_lock(digest)):
                    await self.store_natively(name, digest)
                    await write_link(self._driver, layout.layer_link(name, digest), digest)

    async def _is_own(self, name: RepositoryName, digest: Digest) -> bool:
        if await self._sources.has_manifest(name, digest):
            return True
        # distribution's collector leaves the link of a blob that it removes.
        has_link = await exists(self._driver, layout.layer_link(name, digest))
        return has_link and await self._native.size(digest) is not None

    async def _adopt_manifest(self, name: RepositoryName, manifest: DerivedManifest) -> None:
        parsed = await parse_off_loop(manifest.content, parse_stored_manifest)
        await self.adopt(name, referenced(parsed))
        content = await self._driver.read(layout.derived_blob(manifest.digest))
        async with exclusive_lock(self._locks, layout.blob_lock(manifest.digest)):
            await self._native.put(content, manifest.digest)
            await write_link(self._driver, layout.revision_link(name, manifest.digest), manifest.digest)

    async def store_natively(self, name: RepositoryName, digest: Digest) -> None:
        """Puts a blob of a repository into v2's blob store; see `Conversions.store_natively`."""
        if await self._native.size(digest) is not None:
            await self._driver.ensure_durable(layout.blob_data(digest))
            return
        await self._derived.copy_to(name, digest, layout.blob_data(digest))
