"""A pass over what is stored in v2's repositories: it gives their referrers entries, and their blobs hints.

What another registry has written, or an earlier Portside, has neither; entries of what another registry has deleted
are removed. The pass changes nothing else, so it may run beside servers, beside foreign ones too, and be broken off at
any point: the next one begins anew. It works a part of the time only, and the less, the more others have to do on its
event loop.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from functools import partial

from typing_extensions import override

from backends.model.digest import Digest
from backends.model.errors import RegistryError
from backends.model.manifests import Index, OciManifest, parse_stored_manifest
from backends.model.names import RepositoryName, parse_repository_name
from backends.registry.blobs import Blobs
from backends.registry.catalog import list_repositories
from backends.registry.exclusive_lock import exclusive_lock, shared_lock
from backends.registry.holders import MissingHints
from backends.registry.links import linked_digests, names_in, read_link
from backends.registry.manifests import Manifests, parse_off_loop
from backends.registry.no_room import exists
from backends.registry.referrers import Referrers
from backends.registry.yielding import yielding
from backends.storage import layout
from backends.storage.driver import InvalidPath, PathNotFound
from backends.storage.storage import Storage

MAX_BYTES = 4 * 1024 * 1024
"""What is larger is not a manifest: no registry takes larger ones."""

NAMES_AT_ONCE = 1000

WORKING_SECONDS = 0.02
"""After so long it rests."""

_log = logging.getLogger("portside.indexing")


@dataclass(slots=True)
class Progress:
    """How far a pass is.

    Attributes:
        manifests: looked at so far.
        referrers: those among them that refer to another.
        damaged: those that could not be read.
        hints: blobs that got one.
        forgotten: entries whose manifest is gone.
        name: the repository it is at.
    """

    manifests: int = 0
    referrers: int = 0
    damaged: int = 0
    hints: int = 0
    forgotten: int = 0
    name: str = ""

    @override
    def __str__(self) -> str:
        return (
            f"{self.manifests} manifests, {self.referrers} of them referrers, {self.damaged} damaged;"
            f" {self.hints} blobs got a hint, {self.forgotten} entries of deleted manifests were removed"
        )


class IndexPass:
    """One pass over a storage.

    Args:
        storage: where.
        rest: how long it rests for each second that it works.
        on_manifest: called for each manifest that was looked at: whether it is a referrer.
        on_progress: called after each manifest, and each repository.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        rest: float = 0.0,
        on_manifest: Callable[[bool], None] | None = None,
        on_progress: Callable[[Progress], None] | None = None,
    ) -> None:
        self._driver = storage.driver
        self._locks = storage.locks
        self._blobs = Blobs(storage.driver)
        self._referrers = Referrers(storage.driver, Manifests(self._blobs))
        self._hints = MissingHints(storage.driver)
        self._rest = rest
        self._on_manifest = on_manifest
        self._on_progress = on_progress
        self._progress = Progress()
        self._rested = time.monotonic()

    async def run(self) -> Progress:
        """Looks at everything; what it found.

        Raises:
            StorageError, RegistryError: it could not; what was written stays.
        """
        progress = self._progress
        async for name in self._names():
            progress.name = name
            async for digest in linked_digests(self._driver, layout.revisions(name)):
                is_referrer = await self._index_or_skip(name, digest)
                progress.manifests += 1
                progress.referrers += is_referrer
                if self._on_manifest is not None:
                    self._on_manifest(is_referrer)
                await self._pause()
            async for subject in linked_digests(self._driver, layout.all_referrers(name)):
                await self._forget_deleted(name, subject)
                await self._pause()
            async for digest in linked_digests(self._driver, layout.layers(name)):
                try:
                    progress.hints += await self._hints.offer(digest, name)
                except InvalidPath as error:
                    _log.warning("blob %s of %s gets no hint: %s", digest, name, error)
                await self._pause()
        return progress

    async def _forget_deleted(self, name: RepositoryName, subject: Digest) -> None:
        """Removes entries of manifests that another program has deleted: each would be read for nothing for ever."""
        async for entry in yielding(await names_in(self._driver, layout.referrers(name, subject))):
            digest = layout.referrer_of(entry)
            if digest is None or not await self._is_deleted(name, digest):
                continue
            async with exclusive_lock(self._locks, layout.blob_lock(digest)):  # a push writes the entry before the link
                if await self._is_deleted(name, digest):
                    await self._referrers.remove(name, digest, subject)
                    self._progress.forgotten += 1

    async def _is_deleted(self, name: RepositoryName, digest: Digest) -> bool:
        try:
            return not await self._is_there(layout.revision_link(name, digest))
        except InvalidPath:  # told when it was to be indexed
            return False

    async def _index_or_skip(self, name: RepositoryName, digest: Digest) -> bool:
        """The same for a volume with symbolic links that lead out of it: one of them must not keep the rest from it."""
        try:
            return await self._index(name, digest)
        except InvalidPath as error:
            self._progress.damaged += 1
            _log.warning("manifest %s of %s is not indexed: %s", digest, name, error)
            return False

    async def _pause(self) -> None:
        """Lets others be served, and rests when it is time: what the kernel has in memory is read without a pause."""
        if self._on_progress is not None:
            self._on_progress(self._progress)
        await asyncio.sleep(0)
        worked = time.monotonic() - self._rested
        if worked >= WORKING_SECONDS and self._rest:
            await asyncio.sleep(worked * self._rest)
            self._rested = time.monotonic()

    async def _names(self) -> AsyncIterator[RepositoryName]:
        after = ""
        while names := await list_repositories(self._driver, after=after, limit=NAMES_AT_ONCE):
            for text in names:
                try:
                    name = parse_repository_name(text)
                except RegistryError:
                    continue  # a folder of another program: no client can ask for it
                yield name
            after = names[-1]

    async def _index(self, name: RepositoryName, digest: Digest) -> bool:
        """Writes the entry of a manifest that is a referrer; whether it is one."""
        link = layout.revision_link(name, digest)
        if not await self._is_there(link) or not 0 < (await self._blobs.size(digest) or 0) <= MAX_BYTES:
            return False
        try:
            manifest = await parse_off_loop(await self._blobs.read(digest), partial(_parse_referrer, digest=digest))
        except PathNotFound:
            return False
        except ValueError as error:
            self._progress.damaged += 1
            _log.warning("manifest %s of %s is damaged on disk (%s); it is not indexed", digest, name, error)
            return False
        if manifest is None or manifest.subject is None:
            return False
        subject = manifest.subject.digest
        # A push that finds no room takes back the entry that it has made: not one that it has not seen.
        async with (
            shared_lock(self._locks, layout.repository_lock(name)),  # nor may it outlive its repository
            exclusive_lock(self._locks, layout.blob_lock(digest)),
        ):
            if await self._is_there(link) and not await exists(self._driver, layout.referrer(name, subject, digest)):
                await self._referrers.add(name, manifest, digest, subject)
        return True

    async def _is_there(self, link: str) -> bool:
        try:
            await read_link(self._driver, link)
        except PathNotFound:
            return False
        return True


def _parse_referrer(content: bytes, *, digest: Digest) -> OciManifest | Index | None:
    """Returns a manifest that may be a referrer; None for others, most of which need not even be parsed.

    Raises:
        ValueError: it is damaged.
    """
    if b'"subject"' not in content and b"\\u" not in content:  # a key may be written with escapes
        return None
    if Digest.of(content, digest.algorithm) != digest:
        raise ValueError("its bytes have another digest")
    manifest = parse_stored_manifest(content)
    return manifest if isinstance(manifest, OciManifest | Index) else None
