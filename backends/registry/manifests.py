"""Stored manifests by digest: their bytes, the type they have, what they say.

A digest's content never changes, so all of it may be remembered, within bounds of memory. Whether a repository has a
manifest is `repository`'s question, which it asks of storage each time.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

from backends.model.cache import Cache
from backends.model.digest import Digest
from backends.model.errors import ErrorCode, RegistryError
from backends.model.facts import ManifestFacts
from backends.model.manifests import Manifest, digested_bytes, parse_stored_manifest, sniff_media_type
from backends.registry.blobs import Blobs
from backends.registry.facts import Facts, FactsInMemory

T = TypeVar("T")

PARSED_AT_ONCE = 16 * 1024
"""Larger documents are parsed in a thread: this many bytes take a fraction of a millisecond."""

KEPT_WHOLE = 64 * 1024
"""Content of larger manifests is reloaded each time; only what they are is kept, as a fact."""

CONTENT_BYTES = 8 * 1024 * 1024
PARSED_BYTES = 16 * 1024 * 1024
PARSED_FACTOR = 5
"""A parsed manifest takes up to so many times the memory of its content, the content included."""


async def parse_off_loop(content: bytes, parse: Callable[[bytes], T]) -> T:
    """Parses a document, in a thread where that would block the event loop."""
    if len(content) <= PARSED_AT_ONCE:
        return parse(content)
    return await asyncio.to_thread(parse, content)


class Manifests:
    """The manifests of a blob store.

    Args:
        blobs: where they are.
        facts: where it is kept what large ones are; by default in memory.
    """

    def __init__(self, blobs: Blobs, facts: Facts | None = None) -> None:
        self._blobs = blobs
        self._facts = facts or FactsInMemory()
        self._contents: Cache[str, tuple[bytes, str]] = Cache(bound=CONTENT_BYTES, weigh=_content_bytes)
        self._parsed: Cache[str, Manifest] = Cache(bound=PARSED_BYTES, weigh=_parsed_bytes)

    async def read(self, digest: Digest) -> tuple[bytes, str]:
        """Returns a manifest's content and media type; of schema 1 the content is without signatures.

        Raises:
            PathNotFound: it is not here.
            RegistryError: MANIFEST_UNKNOWN: it is damaged.
        """
        try:
            return self._contents[digest.hex]
        except KeyError:
            content = await self._blobs.read(digest)
        try:
            if len(content) <= PARSED_AT_ONCE:
                media_type = _recognise(digest, content)
            else:
                media_type = await self._recognise_large(digest, content)
        except ValueError as error:
            raise _damaged(digest, error) from None
        if len(content) <= KEPT_WHOLE:
            self._contents.put(digest.hex, (content, media_type))
        return content, media_type

    async def learn(self, digest: Digest, manifest: Manifest) -> None:
        """Takes note of what a large manifest is that was just pushed: nobody need parse it to find out."""
        await self._facts.put(digest, ManifestFacts(manifest.media_type, len(digested_bytes(manifest))))

    async def describe(self, digest: Digest) -> tuple[str, int]:
        """Returns a manifest's media type and size, without reading a large one whose facts are known.

        Raises:
            PathNotFound: it is not here.
            RegistryError: MANIFEST_UNKNOWN: it is damaged.
        """
        try:
            content, media_type = self._contents[digest.hex]
        except KeyError:
            size = await self._blobs.size(digest)
            if size is not None and size > PARSED_AT_ONCE:
                known = self._facts.recall(digest, ManifestFacts) or await self._facts.find(digest, ManifestFacts)
                if known is not None and known.size == size:
                    return known.media_type, size
            content, media_type = await self.read(digest)
        return media_type, len(content)

    async def _recognise_large(self, digest: Digest, content: bytes) -> str:
        """Returns the type of a manifest that takes long to parse; a fact saves that.

        Raises:
            ValueError: it is damaged.
        """
        known = self._facts.recall(digest, ManifestFacts)
        if known is not None and known.size == len(content):  # else it has been cut since
            return known.media_type
        known = await self._facts.find(digest, ManifestFacts)
        if known is not None and known.size == len(content):
            await asyncio.to_thread(_require_digest, digest, content)  # nobody has done that here yet
            return known.media_type
        media_type = await asyncio.to_thread(_recognise, digest, content)
        await self._facts.put(digest, ManifestFacts(media_type, len(content)))
        return media_type

    async def parse(self, digest: Digest) -> Manifest:
        """Returns a manifest as what it says, without verifying what was verified when it was pushed.

        Raises:
            PathNotFound: it is not here.
            RegistryError: MANIFEST_UNKNOWN: it is damaged.
        """
        try:
            return self._parsed[digest.hex]
        except KeyError:
            content, _ = await self.read(digest)
        try:
            manifest = await parse_off_loop(content, parse_stored_manifest)
        except ValueError as error:
            raise _damaged(digest, error) from None
        self._parsed.put(digest.hex, manifest)
        return manifest


def _recognise(digest: Digest, content: bytes) -> str:
    """Returns the type of a manifest that is what its digest names: what is remembered must be true."""
    _require_digest(digest, content)
    return sniff_media_type(content)


def _require_digest(digest: Digest, content: bytes) -> None:
    if Digest.of(content, digest.algorithm) != digest:
        raise ValueError("its bytes have another digest")


def _content_bytes(key: str, kept: tuple[bytes, str]) -> int:  # noqa: ARG001 - as the cache calls it
    return len(kept[0])


def _parsed_bytes(key: str, manifest: Manifest) -> int:  # noqa: ARG001 - as the cache calls it
    return PARSED_FACTOR * len(manifest.content)


def _damaged(digest: Digest, error: ValueError) -> RegistryError:
    return RegistryError(
        ErrorCode.MANIFEST_UNKNOWN, f"manifest {digest} is damaged on disk ({error}); push the image again"
    )
