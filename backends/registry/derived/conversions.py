"""Conversions: what a tag names, in the form that a client reads; and what was made so far, by its digest.

Invariants:
- what is returned is stored, durably, so its digest can be asked for after a restart, on every worker;
- it is there as long as its source is: membership is asked of storage each time;
- the same source, plan and tag give the same digest in every process.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from backends.model import media_types
from backends.model.cache import Cache
from backends.model.conversion.derived import DerivedManifest, Record
from backends.model.conversion.plans import Form, Plan
from backends.model.conversion.policy import ConversionPolicy, Permission, refusal
from backends.model.digest import Digest
from backends.model.errors import ErrorCode, RegistryError
from backends.model.names import ImageId, RepositoryName
from backends.model.targets import Target, V1Target
from backends.registry.blobs import Blob, Blobs
from backends.registry.derived.adoption import Adoption
from backends.registry.derived.blobs import DerivedBlobs
from backends.registry.derived.documents import Documents
from backends.registry.derived.records import Records
from backends.registry.derived.sources import Sources
from backends.registry.exclusive_lock import shared_lock
from backends.registry.known_impossible import KnownImpossible
from backends.registry.manifests import Manifests
from backends.registry.no_room import undone_without_room
from backends.registry.signing import Signer
from backends.registry.still_working import StillWorking
from backends.registry.tags.service import Tags
from backends.storage import layout
from backends.storage.driver import PathNotFound
from backends.storage.storage import Storage

if TYPE_CHECKING:
    from backends.registry.derived.images import Progress
    from backends.registry.derived.originals import Originals
    from backends.registry.layers.layers import Layers

AT_ONCE = 1000
"""So many conversions are taken on by a process; for more, clients come again."""

REMEMBERED = 8192
"""Conversions whose result a process knows without making it again."""

_READ_ONLY = (
    "this registry is read-only, so what it converts cannot be kept; pull it with a client that reads what was pushed,"
    " or let the registry's operator convert it before"
)

_log = logging.getLogger("portside.conversion")


@dataclass(frozen=True, slots=True)
class _Key:
    """What decides about the bytes of a conversion, the tag only where they name it."""

    name: RepositoryName
    target: Target
    plan: Plan
    tag: str
    is_new: bool = False


@dataclass(frozen=True, slots=True)
class Preview:
    """What a conversion would give.

    Attributes:
        digest: of the manifest.
        record: what is said of it.
        is_pushed: whether it was only chosen from an index.
        is_made: whether it is there: it was pushed, or made before.
    """

    digest: Digest
    record: Record
    is_pushed: bool
    is_made: bool


@dataclass(frozen=True, slots=True)
class _Known:
    """What a conversion gave.

    Attributes:
        digest: of the manifest.
        as_pushed: what is said of one that was only chosen from an index; None of one that was made.
    """

    digest: Digest
    as_pushed: Record | None = None


@dataclass(frozen=True, slots=True)
class _Running:
    """A conversion that is being made."""

    task: asyncio.Task[DerivedManifest]
    progress: Progress


class Conversions:
    """The conversions of a store.

    Args:
        storage: v2's root.
        v1_storage: v1's, which may be the same.
        tags: of both.
        blobs: v2's.
        manifests: v2's.
        signer: signs schema 1.
        layers: returns what is known of layers, and makes gzips of them.
        policy: which repositories' images are converted.
        writes: whether anything may be stored; if not, nothing new is made.
    """

    def __init__(
        self,
        storage: Storage,
        v1_storage: Storage,
        *,
        tags: Tags,
        blobs: Blobs,
        manifests: Manifests,
        signer: Signer,
        layers: Callable[[], Layers],
        policy: ConversionPolicy,
        writes: bool = True,
    ) -> None:
        self._storage = storage
        self._v1_storage = v1_storage
        self._driver = storage.driver
        self._tags = tags
        self._native = blobs
        self._manifests = manifests
        self._layers = layers
        self._policy = policy
        self._writes = writes
        self._sources = Sources(storage.driver, v1_storage.driver)
        self._records = Records(storage.driver, storage.locks, self._sources)
        self._blobs = DerivedBlobs(
            storage.driver, v1_storage.driver, records=self._records, layers=layers, writes=writes
        )
        self._known: Cache[_Key, _Known] = Cache(bound=REMEMBERED)
        self._impossible = KnownImpossible()
        self._documents = Documents(storage.driver, storage.locks, signer, writes=writes)
        self._adoption = Adoption(storage, native=blobs, derived=self._blobs, sources=self._sources, find=self.find)
        self._running: dict[_Key, _Running] = {}
        self._is_closed = False

    async def convert(
        self,
        name: RepositoryName,
        target: Target,
        plan: Plan,
        *,
        tag: str,
        patience: float | None,
        is_new: bool = False,
    ) -> DerivedManifest:
        """Returns what a tag names in another form; makes and stores it where that was not done before.

        Where the plan only chooses a platform, it is the manifest of that platform as it was pushed.

        Args:
            name: the repository.
            target: what the tag names.
            plan: what to make of it.
            tag: the tag, which schema 1 has in its text.
            patience: seconds to wait; None for as long as it takes.
            is_new: whether the repository may have nothing yet; else it must have tags, or it was deleted meanwhile.

        Raises:
            ImpossibleConversion: the form cannot hold it, or it is no image; the sentence says why.
            StillWorking: it takes longer; the work goes on.
            RegistryError: MANIFEST_UNKNOWN: the target is not in this repository any more.
            StorageError: it cannot be stored, so it must not be sent.
        """
        key = _Key(name, target, plan, tag if plan.form is Form.SCHEMA1 else "", is_new)
        known = await self._remembered(key) if self._policy.permission(name) is not Permission.FORBID else None
        if known is not None:
            return known
        running = self._running.get(key)
        if running is None:
            if self._is_closed:
                raise StillWorking("the conversion has not begun")
            if len(self._running) >= AT_ONCE:
                raise StillWorking(f"{AT_ONCE} other conversions are being made")
            running = self._begin(key)
        # The work goes on when its client leaves: another one asks for the same soon.
        await asyncio.wait([running.task], timeout=patience)
        if not running.task.done() or running.task.cancelled():
            raise StillWorking(running.progress.text)
        return running.task.result()

    def _begin(self, key: _Key) -> _Running:
        from backends.registry.derived.images import Progress  # noqa: PLC0415 - only conversion needs it

        progress = Progress()
        running = _Running(asyncio.create_task(self._make(key, progress)), progress)
        self._running[key] = running
        running.task.add_done_callback(lambda task: self._end(key, task))
        return running

    def _end(self, key: _Key, task: asyncio.Task[DerivedManifest]) -> None:
        del self._running[key]
        if not task.cancelled():
            task.exception()  # whoever waits for it gets it; perhaps nobody does any more

    async def close(self) -> None:
        """Stops what is being made, and begins no more; what is stored of it is used when it is next asked for.

        Who waits for it is told that it is not done.
        """
        self._is_closed = True
        tasks = [running.task for running in self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def preview(self, name: RepositoryName, target: Target, plan: Plan, *, tag: str, layers: Layers) -> Preview:
        """Returns what `convert` would give, whatever the settings allow; stores nothing.

        Args:
            name: the repository.
            target: what the tag names.
            plan: what to make of it.
            tag: the tag, which schema 1 has in its text.
            layers: what is known of layers; what it raises is raised.

        Raises:
            ImpossibleConversion, RegistryError: as in `convert`.
        """
        from backends.registry.derived.engine import derive  # noqa: PLC0415 - only conversion needs it
        from backends.registry.derived.images import Progress, Wish  # noqa: PLC0415 - as above

        named = tag if plan.form is Form.SCHEMA1 else ""
        before = await self._records.planned(name, target, plan.key(named))
        if before is not None:
            found = await self._records.find(name, before, source=target)
            if found is not None:
                return Preview(before, found[1], is_pushed=False, is_made=True)
        derivation = await derive(
            self._originals(layers), target, Wish(name, plan, named, Progress()), self._impossible
        )
        if derivation.chosen is not None:
            return Preview(*derivation.chosen, is_pushed=True, is_made=True)
        made = derivation.made[-1]
        is_made = await self._records.find(name, made.digest, source=target) is not None
        return Preview(made.digest, made.record, is_pushed=False, is_made=is_made)

    async def made_of(self, name: RepositoryName, source: Target) -> Sequence[tuple[Digest, Record]]:
        """Returns what was made of a source in a repository, and is there."""
        digests = await self._records.made_of(name, source)
        found = [(digest, await self._records.find(name, digest, source=source)) for digest in digests]
        return [(digest, record[1]) for digest, record in found if record is not None]

    # by digest

    def expects_manifest(self, name: RepositoryName, digest: Digest) -> bool:
        """Whether a derived manifest was found lately, so that it is quicker to look for it here first."""
        return self._records.expects_manifest(name, digest)

    def expects_blob(self, name: RepositoryName, digest: Digest) -> bool:
        """The same of a blob."""
        return self._records.expects_blob(name, digest)

    async def find(self, name: RepositoryName, digest: Digest) -> DerivedManifest | None:
        """Returns a derived manifest of a repository by its digest; None where there is none, or its source is gone."""
        if self._policy.permission(name) is Permission.FORBID:
            return None
        found = await self._records.find(name, digest)
        return None if found is None else await self._load(name, digest, *found)

    async def sources(self, name: RepositoryName, digest: Digest) -> Sequence[Target]:
        """Returns what a derived manifest was made of in a repository and is there, the latest first.

        None where conversions are forbidden: who cannot get a manifest cannot name it either.
        """
        if self._policy.permission(name) is Permission.FORBID:
            return ()
        return await self._records.living_sources(name, digest)

    async def v1_original(self, name: RepositoryName, digest: Digest) -> ImageId | None:
        """Returns the image of v1 that a manifest of a repository was made of, and that is there; None for none."""
        for source in await self._records.living_sources(name, digest):
            if isinstance(source, V1Target):
                return source.image_id
        return None

    async def open_blob(self, name: RepositoryName, digest: Digest) -> Blob | None:
        """Opens a blob that a repository has by a derived manifest; None where it has not, or the source is gone."""
        return await self._blobs.open(name, digest)

    async def blob_size(self, name: RepositoryName, digest: Digest) -> int | None:
        """Returns the size in bytes of such a blob; None as in `open_blob`."""
        return await self._blobs.size(name, digest)

    async def forget(self, name: RepositoryName, digest: Digest) -> None:
        """Forgets a derived manifest of a repository; it is made anew when it is asked for again."""
        await self._records.forget(name, digest)

    async def forget_source(self, name: RepositoryName, source: Target) -> None:
        """Forgets what was made of a source that is gone."""
        await self._records.forget_source(name, source)

    # what becomes the repository's own

    async def adopt(self, name: RepositoryName, digests: Iterable[Digest]) -> None:
        """Makes blobs and manifests that a repository has only by conversions its own, before something names them.

        Those that it has anyway, and those that it does not have at all, are left as they are.

        Raises:
            RegistryError: UNAVAILABLE: another request has been busy with one of them for a long time.
            StorageFull: those before it stay, as blobs do that were pushed.
        """
        await self._adoption.adopt(name, digests)

    async def store_natively(self, name: RepositoryName, digest: Digest) -> None:
        """Puts a blob that a repository has by conversions into v2's blob store; its caller holds the blob's lock.

        Raises:
            PathNotFound: the repository does not have it any more.
        """
        await self._adoption.store_natively(name, digest)

    # within

    def _refusal(self, name: RepositoryName) -> str | None:
        """Returns why nothing may be made in a repository; None where it may."""
        permission = self._policy.permission(name)
        if permission is not Permission.ALLOW:
            return refusal(permission, name)
        return None if self._writes else _READ_ONLY

    def _originals(self, layers: Layers) -> Originals:
        from backends.registry.derived.originals import Originals  # noqa: PLC0415 - only conversion needs it

        return Originals(
            self._driver,
            self._v1_storage.driver,
            blobs=self._native,
            manifests=self._manifests,
            derived=self._blobs,
            sources=self._sources,
            layers=layers,
        )

    async def _remembered(self, key: _Key) -> DerivedManifest | None:
        """Returns what a conversion gave before, if it is still there."""
        try:
            known = self._known[key]
        except KeyError:
            digest = await self._records.planned(key.name, key.target, key.plan.key(key.tag))
            if digest is None:
                return None
            known = _Known(digest)
            self._known.put(key, known)
        if known.as_pushed is None:
            found = await self._records.find(key.name, known.digest, source=key.target)
            return None if found is None else await self._load(key.name, known.digest, *found)
        if not await self._sources.is_there(key.name, key.target):
            return None
        return await self._as_pushed(key, known.digest, known.as_pushed)

    async def _make(self, key: _Key, progress: Progress) -> DerivedManifest:
        from backends.registry.derived.engine import derive  # noqa: PLC0415 - only conversion needs it
        from backends.registry.derived.images import Wish  # noqa: PLC0415 - as above

        wish = Wish(key.name, key.plan, key.tag, progress, self._refusal(key.name))
        derivation = await derive(self._originals(self._layers()), key.target, wish, self._impossible)
        if derivation.chosen is not None:
            found = await self._as_pushed(key, *derivation.chosen)
            if found is None:
                raise _gone(key)
            if derivation.is_final:
                self._known.put(key, _Known(*derivation.chosen))
            return found
        async with shared_lock(self._storage.locks, layout.repository_lock(key.name)):
            await self._require_repository(key)
            answer = derivation.made[-1]
            plan = key.plan.key(key.tag) if derivation.is_final and derivation.is_named else None
            async with undone_without_room(self._driver, layout.signed_schema1(key.name, answer.digest)):
                if answer.record.media_type in media_types.SCHEMA1_TYPES:
                    await self._documents.signed(key.name, answer.digest, answer.content)
                await self._records.keep(key.name, key.target, derivation.made, plan=plan)
        found = await self._load(key.name, answer.digest, key.target, answer.record)
        if found is None:
            raise _gone(key)
        if derivation.is_final:
            self._known.put(key, _Known(answer.digest))
        return found

    async def _require_repository(self, key: _Key) -> None:
        """Requires, while its lock is held, that a repository was not deleted meanwhile with what was converted.

        Raises:
            RegistryError: MANIFEST_UNKNOWN: it was.
        """
        if not await self._sources.is_there(key.name, key.target):
            raise _gone(key)
        # An image of v1 outlives the repositories that have it.
        if isinstance(key.target, V1Target) and not key.is_new and not await self._tags.are_there(key.name):
            raise _gone(key)

    async def _as_pushed(self, key: _Key, digest: Digest, record: Record) -> DerivedManifest | None:
        """Returns a manifest that was only chosen from an index."""
        if not await self._sources.has_manifest(key.name, digest):
            return None
        try:
            content, media_type = await self._manifests.read(digest)
        except PathNotFound:
            return None
        size = len(content)
        if media_type in media_types.SCHEMA1_TYPES:
            content = await self._documents.signed(key.name, digest, content)
        return DerivedManifest(media_type, digest, size, content, key.target, record.source_type, record.rule)

    async def _load(
        self, name: RepositoryName, digest: Digest, source: Target, record: Record
    ) -> DerivedManifest | None:
        """Returns a manifest that is recorded; None where its content is lost or damaged: it is made again then."""
        content = await self._documents.read(name, digest, record.media_type)
        if content is None:
            return None
        return DerivedManifest(record.media_type, digest, record.size, content, source, record.source_type, record.rule)


def _gone(key: _Key) -> RegistryError:
    return RegistryError(ErrorCode.MANIFEST_UNKNOWN, f"what {key.name} had under this tag was deleted meanwhile")
