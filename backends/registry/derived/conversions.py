"""Conversions: what a tag names, in the form that a client reads; and what was made so far, by its digest.

No answer with one of them is kept (`backends/dependencies.py`): what it depends on is more than its files.

Invariants:
- what is returned is stored, durably, so its digest can be asked for after a restart, on every worker;
- it is there as long as its source is: membership is asked of storage each time;
- the same source, plan and tag give the same digest in every process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING

from backends.dependencies import NOTED, refuse_keeping
from backends.model.conversion.derived import DerivedManifest, Record
from backends.model.conversion.plans import Form, Plan
from backends.model.conversion.policy import ConversionPolicy, Permission, refusal
from backends.model.digest import Digest
from backends.model.names import ImageId, RepositoryName
from backends.model.targets import Target, V1Target
from backends.registry.blobs import Blob, Blobs
from backends.registry.derived.adoption import Adoption
from backends.registry.derived.blobs import DerivedBlobs
from backends.registry.derived.documents import Documents
from backends.registry.derived.making import Conversion, Making
from backends.registry.derived.records import Records
from backends.registry.derived.running import Running
from backends.registry.derived.sources import Sources
from backends.registry.known_impossible import KnownImpossible
from backends.registry.manifests import Manifests
from backends.registry.signing import Signer
from backends.registry.tags.service import Tags
from backends.storage.storage import Storage

if TYPE_CHECKING:
    from backends.registry.derived.images import Progress
    from backends.registry.derived.originals import Originals
    from backends.registry.derived.previews import Preview
    from backends.registry.layers.layers import Layers

_READ_ONLY = (
    "this registry is read-only, so what it converts cannot be kept; pull it with a client that reads what was pushed,"
    " or let the registry's operator convert it before"
)


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
        self._v1_storage = v1_storage
        self._driver = storage.driver
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
        self._impossible = KnownImpossible()
        self._making = Making(
            storage,
            tags=tags,
            manifests=manifests,
            sources=self._sources,
            records=self._records,
            documents=Documents(storage.driver, storage.locks, signer, writes=writes),
            impossible=self._impossible,
        )
        self._running = Running()
        self._adoption = Adoption(storage, native=blobs, derived=self._blobs, sources=self._sources, find=self.find)

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
        refuse_keeping()
        wanted = Conversion(name, target, plan, tag if plan.form is Form.SCHEMA1 else "", is_new)
        if self._policy.permission(name) is not Permission.FORBID:
            known = await self._making.remembered(wanted)
            if known is not None:
                return known
        return await self._running.wait(wanted, lambda progress: self._make(wanted, progress), patience=patience)

    async def close(self) -> None:
        """Stops what is being made, and begins no more; what is stored of it is used when it is next asked for.

        Who waits for it is told that it is not done.
        """
        await self._running.close()

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
        from backends.registry.derived.previews import preview  # noqa: PLC0415 - only `portside inspect` needs it

        return await preview(self._records, self._originals(layers), self._impossible, name, target, plan, tag=tag)

    async def made_of(self, name: RepositoryName, source: Target) -> Sequence[tuple[Digest, Record]]:
        """Returns what was made of a source in a repository, and is there."""
        digests = await self._records.made_of(name, source)
        found = [(digest, await self._records.find(name, digest, source=source)) for digest in digests]
        return [(digest, record[1]) for digest, record in found if record is not None]

    # by digest

    def expects_manifest(self, name: RepositoryName, digest: Digest) -> bool:
        """Whether a derived manifest was found lately, so that it is quicker to look for it here first."""
        is_expected = self._records.expects_manifest(name, digest)
        if not is_expected and (noted := NOTED.get()) is not None:
            noted.add(lambda: not self._records.expects_manifest(name, digest))
        return is_expected

    def expects_blob(self, name: RepositoryName, digest: Digest) -> bool:
        """The same of a blob."""
        return self._records.expects_blob(name, digest)

    async def find(self, name: RepositoryName, digest: Digest) -> DerivedManifest | None:
        """Returns a derived manifest of a repository by its digest; None where there is none, or its source is gone."""
        refuse_keeping()
        if self._policy.permission(name) is Permission.FORBID:
            return None
        found = await self._records.find(name, digest)
        return None if found is None else await self._making.load(name, digest, *found)

    async def sources(self, name: RepositoryName, digest: Digest) -> Sequence[Target]:
        """Returns what a derived manifest was made of in a repository and is there, the latest first.

        None where conversions are forbidden: who cannot get a manifest cannot name it either.
        """
        refuse_keeping()
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
        refuse_keeping()
        return await self._blobs.open(name, digest)

    async def blob_size(self, name: RepositoryName, digest: Digest) -> int | None:
        """Returns the size in bytes of such a blob; None as in `open_blob`."""
        refuse_keeping()
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

    async def _make(self, wanted: Conversion, progress: Progress) -> DerivedManifest:
        originals = self._originals(self._layers())
        return await self._making.make(wanted, progress, originals=originals, refusal=self._refusal(wanted.name))
