"""Conversions: what a tag names, in the form that a client reads; and what was made so far, by its digest.

Invariants:
- what is returned is stored, durably, so its digest can be asked for after a restart, on every worker;
- it is there as long as its source is: membership is asked of storage each time;
- the same source, plan and tag give the same digest in every process.
"""

from __future__ import annotations

from collections.abc import Iterable

from backends.model.conversion.derived import DerivedManifest
from backends.model.conversion.plans import Plan
from backends.model.digest import Digest
from backends.model.names import RepositoryName
from backends.model.targets import Target
from backends.registry.blobs import Blob


class Conversions:
    """The conversions of a store."""

    async def convert(
        self, name: RepositoryName, target: Target, plan: Plan, *, tag: str, patience: float | None
    ) -> DerivedManifest:
        """Returns what a tag names in another form; makes and stores it where that was not done before.

        Where the plan only chooses a platform, it is the manifest of that platform as it was pushed.

        Args:
            name: the repository.
            target: what the tag names.
            plan: what to make of it.
            tag: the tag, which schema 1 has in its text.
            patience: seconds to wait; None for as long as it takes.

        Raises:
            ImpossibleConversion: the form cannot hold it, or it is no image; the sentence says why.
            StillWorking: it takes longer; the work goes on.
            RegistryError: MANIFEST_UNKNOWN: the target is not in this repository any more.
            StorageError: it cannot be stored, so it must not be sent.
        """
        raise NotImplementedError

    async def find(self, name: RepositoryName, digest: Digest) -> DerivedManifest | None:
        """Returns a derived manifest of a repository by its digest; None where there is none, or its source is gone."""
        raise NotImplementedError

    async def open_blob(self, name: RepositoryName, digest: Digest) -> Blob | None:
        """Opens a blob that a repository has by a derived manifest; None where it has not, or the source is gone."""
        raise NotImplementedError

    async def blob_size(self, name: RepositoryName, digest: Digest) -> int | None:
        """Returns the size in bytes of such a blob; None as in `open_blob`."""
        raise NotImplementedError

    async def adopt(self, name: RepositoryName, digests: Iterable[Digest]) -> None:
        """Makes blobs and manifests that a repository has only by conversions its own, before something names them.

        Those that it has anyway, and those that it does not have at all, are left as they are.
        """
        raise NotImplementedError
