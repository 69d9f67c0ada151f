"""Which manifests of a repository refer to another one: an index that can be made again from the manifests.

Each referrer has a file of its own with its descriptor, so pushes of many referrers of one subject never change the
same file, and a page of the listing reads no manifest.

Invariants:
- an entry is written before the link by which its manifest becomes visible, and removed after it: no referrer that the
  repository has is ever missing;
- so an entry alone means nothing: who lists asks storage for each one's manifest.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from backends.model.digest import Digest
from backends.model.errors import RegistryError
from backends.model.manifests import Index, OciManifest
from backends.model.names import RepositoryName
from backends.model.referrers import artifact_type_of, describe_referrer, subject_of
from backends.registry.manifests import Manifests, parse_off_loop
from backends.registry.yielding import yielding
from backends.storage import layout
from backends.storage.capabilities import after_name, list_page
from backends.storage.driver import InvalidPath, PathNotFound, StorageDriver

PAGE_BYTES = 4 * 1024 * 1024
"""A page ends before it has more bytes of descriptors than this, however few they are: annotations may be large."""

_log = logging.getLogger("portside.registry")


@dataclass(frozen=True, slots=True)
class ReferrersPage:
    """A page of a listing.

    Attributes:
        descriptors: JSON of each referrer.
        last: the entry that was looked at last, where the next page begins; "" when there is none.
    """

    descriptors: Sequence[bytes]
    last: str


class Referrers:
    """The index of all referrers on one root."""

    def __init__(self, driver: StorageDriver, manifests: Manifests) -> None:
        self._driver = driver
        self._manifests = manifests

    async def add(self, name: RepositoryName, manifest: OciManifest | Index, digest: Digest, subject: Digest) -> None:
        """Writes the entry of a referrer, durably."""
        await self._driver.write(layout.referrer(name, subject, digest), describe_referrer(manifest, digest))

    async def subject_of(self, digest: Digest) -> Digest | None:
        """Returns what a stored manifest refers to; None where it is gone, damaged, or refers to nothing."""
        try:
            subject = subject_of(await self._manifests.parse(digest))
        except (PathNotFound, RegistryError):
            return None
        return None if subject is None else subject.digest

    async def remove(self, name: RepositoryName, digest: Digest, subject: Digest) -> None:
        """Removes the entry of a referrer whose manifest is gone, durably."""
        with suppress(PathNotFound):  # pushed by another program
            await self._driver.delete(layout.referrer(name, subject, digest))

    async def page(
        self,
        name: RepositoryName,
        subject: Digest,
        *,
        has: Callable[[Digest], Awaitable[bool]],
        artifact_type: str | None,
        after: str,
        limit: int,
    ) -> ReferrersPage:
        """Lists referrers by their digests.

        Args:
            name: of the repository.
            subject: what they refer to; it need not exist.
            has: whether the repository has a manifest.
            artifact_type: show only this kind; None: all.
            after: leave out digests up to this text, itself included; "" for the beginning.
            limit: how many entries are looked at, at most; a filter shows fewer.
        """
        try:
            entries = await list_page(
                self._driver,
                layout.referrers(name, subject),
                start=after_name(after.replace(":", "-")),
                limit=limit + 1,
            )
        except (PathNotFound, InvalidPath):
            return ReferrersPage((), "")
        found: list[bytes] = []
        size, last = 0, ""
        async for entry in yielding(entries[:limit]):
            digest = layout.referrer_of(entry)
            described = None if digest is None else await self._read(name, subject, digest, artifact_type)
            if digest is not None and described is not None and await has(digest):
                if found and size + len(described) > PAGE_BYTES:
                    return ReferrersPage(found, last)
                found.append(described)
                size += len(described)
            last = entry.replace("-", ":", 1)
        return ReferrersPage(found, last if limit < len(entries) else "")

    async def _read(
        self, name: RepositoryName, subject: Digest, digest: Digest, artifact_type: str | None
    ) -> bytes | None:
        """Returns an entry's descriptor; None when it is gone, or of another kind than is asked for."""
        try:
            described = await self._driver.read(layout.referrer(name, subject, digest))
        except PathNotFound:
            return None  # deleted meanwhile
        try:
            found = await parse_off_loop(described, partial(artifact_type_of, digest=digest))
        except ValueError as error:
            _log.warning("the entry of referrer %s of %s is damaged (%s); its manifest is read", digest, name, error)
            try:
                manifest = await self._manifests.parse(digest)
            except (PathNotFound, RegistryError):
                return None
            if not isinstance(manifest, OciManifest | Index):
                return None
            described = describe_referrer(manifest, digest)
            found = artifact_type_of(described, digest)
        return described if artifact_type is None or artifact_type == found else None
