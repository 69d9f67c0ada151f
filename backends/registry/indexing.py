"""Giving what is stored already its entries in the index of referrers: once for each volume, in the background.

A volume of another registry, and one of an earlier Portside, has manifests with a `subject` and no entries. One process
at a time, the holder of the indexer's lock, looks through the links of all repositories. A file says when all of them
were seen: what is pushed meanwhile or later brings its own entry. Who deletes the index has it made again at the next
start.
"""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from functools import partial

from backends.model.digest import Digest
from backends.model.errors import RegistryError
from backends.model.manifests import Index, OciManifest, parse_stored_manifest
from backends.model.names import RepositoryName, parse_repository_name
from backends.registry.blobs import Blobs
from backends.registry.catalog import list_repositories
from backends.registry.exclusive_lock import exclusive_lock
from backends.registry.links import read_link
from backends.registry.manifests import Manifests, parse_off_loop
from backends.registry.no_room import exists
from backends.registry.referrers import Referrers
from backends.storage import layout
from backends.storage.driver import PathNotFound, StorageError
from backends.storage.locks import LockHeld
from backends.storage.storage import Storage

FIRST_SECONDS = 3.0
"""Requests come before it when a process starts."""

AGAIN_SECONDS = 300.0
"""What failed is tried again after so long; and so often is it asked whether another process has finished."""

SOON_SECONDS = 30.0
"""The same where the machine was out of descriptors, memory or locks: who cannot serve for that reason says so."""

TOLD_SECONDS = 30.0
"""How often the log hears how far it is."""

MAX_BYTES = 4 * 1024 * 1024
"""What is larger is not a manifest: no registry takes larger ones."""

NAMES_AT_ONCE = 1000

_log = logging.getLogger("portside.indexing")


@dataclass(slots=True)
class Progress:
    """How far a pass is: manifests looked at, referrers among them, and those that could not be read."""

    manifests: int = 0
    referrers: int = 0
    damaged: int = 0
    told: float = field(default_factory=time.monotonic)


class Indexer:
    """Makes the index of referrers of one storage complete.

    Args:
        storage: where.
        on_manifest: called for each manifest that was looked at: whether it is a referrer.
    """

    def __init__(self, storage: Storage, *, on_manifest: Callable[[bool], None] | None = None) -> None:
        self._driver = storage.driver
        self._locks = storage.locks
        self._blobs = Blobs(storage.driver)
        self._referrers = Referrers(storage.driver, Manifests(self._blobs))
        self._on_manifest = on_manifest

    async def watch(self) -> None:
        """Returns once the index is complete, whichever process has made it so."""
        pause = FIRST_SECONDS
        while True:
            await asyncio.sleep(random.uniform(0.5, 1.0) * pause)  # noqa: S311 - so that workers do not ask all at once
            pause = AGAIN_SECONDS
            try:
                if await self.tick():
                    return
            except (StorageError, RegistryError) as error:
                if isinstance(error, StorageError) and error.transient:
                    pause = SOON_SECONDS
                    _log.debug("the index of referrers is made a little later: %s", error)
                    continue
                _log.warning("the index of referrers is not complete yet, and is made later: %s", error)
            except Exception:  # noqa: BLE001 - the last net: what fails once must not end it for good
                _log.exception("making the index of referrers failed")

    async def tick(self) -> bool:
        """Makes the index complete, unless another process is at it; whether it is complete.

        Raises:
            StorageError, RegistryError: it could not be; what was written stays.
        """
        if await exists(self._driver, layout.REFERRERS_BUILT):
            return True
        try:
            async with self._locks.hold(layout.INDEXER_LOCK):
                if not await exists(self._driver, layout.REFERRERS_BUILT):
                    await self._build()
                return True
        except LockHeld:
            return False

    async def _build(self) -> None:
        progress = Progress()
        async for name in self._names():
            async for digest in self._revisions(name):
                is_referrer = await self._index(name, digest, progress)
                progress.manifests += 1
                progress.referrers += is_referrer
                if self._on_manifest is not None:
                    self._on_manifest(is_referrer)
                self._tell(name, progress)
                await asyncio.sleep(0)  # what the kernel has in memory is read without a pause
        await self._driver.write(layout.REFERRERS_BUILT, b"")
        if progress.manifests:
            _log.info(
                "the index of referrers is complete: %d manifests, %d of them referrers, %d damaged",
                progress.manifests,
                progress.referrers,
                progress.damaged,
            )

    def _tell(self, name: RepositoryName, progress: Progress) -> None:
        if time.monotonic() - progress.told >= TOLD_SECONDS:
            progress.told = time.monotonic()
            _log.info(
                "making the index of referrers: %d manifests, %d of them referrers; now at %s",
                progress.manifests,
                progress.referrers,
                name,
            )

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

    async def _revisions(self, name: RepositoryName) -> AsyncIterator[Digest]:
        for algorithm in await self._list(layout.revisions(name)):
            for entry in await self._list(f"{layout.revisions(name)}/{algorithm}"):
                digest = layout.referrer_of(f"{algorithm}-{entry}")
                if digest is not None:
                    yield digest

    async def _list(self, folder: str) -> list[str]:
        try:
            return list(await self._driver.list(folder))
        except PathNotFound:
            return []

    async def _index(self, name: RepositoryName, digest: Digest, progress: Progress) -> bool:
        """Writes the entry of a manifest that is a referrer; whether it is one."""
        link = layout.revision_link(name, digest)
        if not await self._is_there(link) or not 0 < (await self._blobs.size(digest) or 0) <= MAX_BYTES:
            return False
        try:
            manifest = await parse_off_loop(await self._blobs.read(digest), partial(_parse_referrer, digest=digest))
        except PathNotFound:
            return False
        except ValueError as error:
            progress.damaged += 1
            _log.warning("manifest %s of %s is damaged on disk (%s); it is not indexed", digest, name, error)
            return False
        if manifest is None or manifest.subject is None:
            return False
        subject = manifest.subject.digest
        # A push that finds no room takes back the entry that it has made: not one that it has not seen.
        async with exclusive_lock(self._locks, layout.blob_lock(digest)):
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
