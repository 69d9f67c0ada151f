"""A conversion being made and stored, or what it gave before.

Invariant: what is returned is stored, durably, while its repository's lock was held and its source was there.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from backends.model import media_types
from backends.model.cache import Cache
from backends.model.conversion.derived import DerivedManifest, Record
from backends.model.conversion.plans import Plan
from backends.model.digest import Digest
from backends.model.errors import ErrorCode, RegistryError
from backends.model.names import RepositoryName
from backends.model.targets import Target, V1Target
from backends.registry.derived.documents import Documents
from backends.registry.derived.records import Records
from backends.registry.derived.sources import Sources
from backends.registry.exclusive_lock import shared_lock
from backends.registry.known_impossible import KnownImpossible
from backends.registry.manifests import Manifests
from backends.registry.no_room import undone_without_room
from backends.registry.tags.service import Tags
from backends.storage import layout
from backends.storage.driver import PathNotFound
from backends.storage.storage import Storage

if TYPE_CHECKING:
    from backends.registry.derived.images import Progress
    from backends.registry.derived.originals import Originals

REMEMBERED = 8192
"""Conversions whose result a process knows without making it again."""


@dataclass(frozen=True, slots=True)
class Conversion:
    """What decides about the bytes of a conversion, the tag only where they name it."""

    name: RepositoryName
    target: Target
    plan: Plan
    tag: str
    is_new: bool = False


@dataclass(frozen=True, slots=True)
class _Known:
    """What a conversion gave.

    Attributes:
        digest: of the manifest.
        as_pushed: what is said of one that was only chosen from an index; None of one that was made.
    """

    digest: Digest
    as_pushed: Record | None = None


class Making:
    """Makes what is wanted, and knows what was made.

    Args:
        storage: v2's root.
        tags: of both generations.
        manifests: v2's.
        sources: what is there.
        records: of what was made.
        documents: what was made as it goes out.
        impossible: what was found out to be none.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        tags: Tags,
        manifests: Manifests,
        sources: Sources,
        records: Records,
        documents: Documents,
        impossible: KnownImpossible,
    ) -> None:
        self._locks = storage.locks
        self._driver = storage.driver
        self._tags = tags
        self._manifests = manifests
        self._sources = sources
        self._records = records
        self._documents = documents
        self._impossible = impossible
        self._known: Cache[Conversion, _Known] = Cache(bound=REMEMBERED)

    async def remembered(self, wanted: Conversion) -> DerivedManifest | None:
        """Returns what a conversion gave before, if it is still there."""
        try:
            known = self._known[wanted]
        except KeyError:
            digest = await self._records.planned(wanted.name, wanted.target, wanted.plan.key(wanted.tag))
            if digest is None:
                return None
            known = _Known(digest)
            self._known.put(wanted, known)
        if known.as_pushed is None:
            found = await self._records.find(wanted.name, known.digest, source=wanted.target)
            return None if found is None else await self.load(wanted.name, known.digest, *found)
        if not await self._sources.is_there(wanted.name, wanted.target):
            return None
        return await self._as_pushed(wanted, known.digest, known.as_pushed)

    async def make(
        self, wanted: Conversion, progress: Progress, *, originals: Originals, refusal: str | None
    ) -> DerivedManifest:
        """Makes and stores it, or chooses it.

        Args:
            wanted: what is to be made.
            progress: told how far it is.
            originals: what it is made of.
            refusal: why nothing may be made, only chosen; None where it may.

        Raises:
            ImpossibleConversion, RegistryError, StorageError: as `Conversions.convert` does.
        """
        from backends.registry.derived.engine import derive  # noqa: PLC0415 - only conversion needs it
        from backends.registry.derived.images import Wish  # noqa: PLC0415 - as above

        wish = Wish(wanted.name, wanted.plan, wanted.tag, progress, refusal)
        derivation = await derive(originals, wanted.target, wish, self._impossible)
        if derivation.chosen is not None:
            found = await self._as_pushed(wanted, *derivation.chosen)
            if found is None:
                raise _gone(wanted)
            if derivation.is_final:
                self._known.put(wanted, _Known(*derivation.chosen))
            return found
        async with shared_lock(self._locks, layout.repository_lock(wanted.name)):
            await self._require_repository(wanted)
            answer = derivation.made[-1]
            plan = wanted.plan.key(wanted.tag) if derivation.is_final and derivation.is_named else None
            async with undone_without_room(self._driver, layout.signed_schema1(wanted.name, answer.digest)):
                if answer.record.media_type in media_types.SCHEMA1_TYPES:
                    await self._documents.signed(wanted.name, answer.digest, answer.content)
                await self._records.keep(wanted.name, wanted.target, derivation.made, plan=plan)
        found = await self.load(wanted.name, answer.digest, wanted.target, answer.record)
        if found is None:
            raise _gone(wanted)
        if derivation.is_final:
            self._known.put(wanted, _Known(answer.digest))
        return found

    async def _require_repository(self, wanted: Conversion) -> None:
        """Requires, while its lock is held, that a repository was not deleted meanwhile with what was converted.

        Raises:
            RegistryError: MANIFEST_UNKNOWN: it was.
        """
        if not await self._sources.is_there(wanted.name, wanted.target):
            raise _gone(wanted)
        # An image of v1 outlives the repositories that have it.
        if isinstance(wanted.target, V1Target) and not wanted.is_new and not await self._tags.are_there(wanted.name):
            raise _gone(wanted)

    async def _as_pushed(self, wanted: Conversion, digest: Digest, record: Record) -> DerivedManifest | None:
        """Returns a manifest that was only chosen from an index."""
        if not await self._sources.has_manifest(wanted.name, digest):
            return None
        try:
            content, media_type = await self._manifests.read(digest)
        except PathNotFound:
            return None
        size = len(content)
        if media_type in media_types.SCHEMA1_TYPES:
            content = await self._documents.signed(wanted.name, digest, content)
        return DerivedManifest(media_type, digest, size, content, wanted.target, record.source_type, record.rule)

    async def load(
        self, name: RepositoryName, digest: Digest, source: Target, record: Record
    ) -> DerivedManifest | None:
        """Returns a manifest that is recorded; None where its content is lost or damaged: it is made again then."""
        content = await self._documents.read(name, digest, record.media_type)
        if content is None:
            return None
        return DerivedManifest(record.media_type, digest, record.size, content, source, record.source_type, record.rule)


def _gone(wanted: Conversion) -> RegistryError:
    return RegistryError(ErrorCode.MANIFEST_UNKNOWN, f"what {wanted.name} had under this tag was deleted meanwhile")
