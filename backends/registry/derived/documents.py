"""Derived manifests as they go out: their content, of schema 1 with signatures.

The document that was signed first is kept, with whatever key: whoever asks, of whatever process, gets the same bytes.
"""

from __future__ import annotations

import asyncio
import logging

from backends.model import media_types
from backends.model.cache import Cache
from backends.model.digest import Digest
from backends.model.names import RepositoryName
from backends.registry.exclusive_lock import exclusive_lock
from backends.registry.signing import Signer, require_signed
from backends.storage import layout
from backends.storage.driver import PathNotFound, StorageDriver
from backends.storage.locks import Locks

CONTENT_BYTES = 8 * 1024 * 1024

_log = logging.getLogger("portside.conversion")


class Documents:
    """The documents of all derived manifests.

    Args:
        driver: of v2's root.
        locks: of v2's root.
        signer: signs schema 1.
        writes: whether anything may be stored.
    """

    def __init__(self, driver: StorageDriver, locks: Locks, signer: Signer, *, writes: bool) -> None:
        self._driver = driver
        self._locks = locks
        self._signer = signer
        self._writes = writes
        self._contents: Cache[str, bytes] = Cache(bound=CONTENT_BYTES, weigh=_bytes_of)

    async def read(self, name: RepositoryName, digest: Digest, media_type: str) -> bytes | None:
        """Returns a derived manifest's document; None where its content is lost or damaged: it is made again then."""
        is_signed = media_type in media_types.SCHEMA1_TYPES
        key = f"{name} {digest}" if is_signed else digest.hex
        try:
            return self._contents[key]
        except KeyError:
            pass
        try:
            content = await self._driver.read(layout.derived_blob(digest))
        except PathNotFound:
            _log.warning("the content of the derived manifest %s is lost; it is made again", digest)
            return None
        if Digest.of(content, digest.algorithm) != digest:
            _log.warning("the derived manifest %s is damaged on disk; it is made again", digest)
            return None
        if is_signed:
            content = await self.signed(name, digest, content)
        self._contents.put(key, content)
        return content

    async def signed(self, name: RepositoryName, digest: Digest, payload: bytes) -> bytes:
        """Returns a schema 1 document with signatures: the one that is kept, or one that is kept from now on."""
        kept = await self._kept(name, digest, payload)
        if kept is not None:
            return kept
        signed = await self._signer.sign(payload)
        if not self._writes:
            return signed
        async with exclusive_lock(self._locks, layout.derived_lock(digest)):
            kept = await self._kept(name, digest, payload)  # another process may have been quicker
            if kept is not None:
                return kept
            await self._driver.write(layout.signed_schema1(name, digest), signed)
            return signed

    async def _kept(self, name: RepositoryName, digest: Digest, payload: bytes) -> bytes | None:
        try:
            kept = await self._driver.read(layout.signed_schema1(name, digest))
        except PathNotFound:
            return None
        try:
            await asyncio.to_thread(require_signed, kept, payload)
        except ValueError as error:
            _log.warning("the signed %s of %s is damaged on disk (%s); it is signed anew", digest, name, error)
            return None
        return kept


def _bytes_of(key: str, content: bytes) -> int:  # noqa: ARG001 - as the cache calls it
    return len(content)
