"""What is taken from a repository: a blob, a manifest with the tags that name it, a tag.

Invariant: what refers to it stays, and so does what other repositories have.
"""

from __future__ import annotations

from contextlib import suppress

from backends.model.actor import Actor
from backends.model.digest import Digest
from backends.model.errors import ErrorCode, RegistryError
from backends.model.names import RepositoryName, TagName
from backends.model.targets import V1Target, V2Target
from backends.registry.changes import Change, carry_out
from backends.registry.derived.blobs import EMPTY_LAYER_HEX
from backends.registry.events import of_removed
from backends.registry.exclusive_lock import exclusive_lock
from backends.registry.holders import forget_holder
from backends.registry.links import is_linked, read_link
from backends.registry.shared import Shared
from backends.registry.unknown import blob_unknown, manifest_unknown
from backends.storage import layout
from backends.storage.capabilities import remove_empty
from backends.storage.completion import run_to_completion
from backends.storage.driver import PathNotFound

PATIENCE_SECONDS = 30.0
"""Who waits for a repository alone lets no other push of it begin in its process, so it does not wait long."""


class Removal:
    """Takes things from one repository.

    Args:
        name: the repository.
        shared: the services of its store.
        actor: who deletes.
    """

    def __init__(self, name: RepositoryName, shared: Shared, *, actor: Actor) -> None:
        self._name = name
        self._shared = shared
        self._driver = shared.driver
        self._actor = actor

    async def blob(self, digest: Digest) -> None:
        """Takes a blob from this repository; other repositories keep it.

        Raises:
            RegistryError: BLOB_UNKNOWN; UNSUPPORTED: it is here only by a conversion.
        """
        async with exclusive_lock(self._shared.locks, layout.blob_lock(digest)):
            work = self._driver.delete(_folder(layout.layer_link(self._name, digest)))
            telling = of_removed(self._shared.events, self._name, digest=digest)
            try:
                await carry_out(work, Change.DELETED, f"blob {digest}", self._name, actor=self._actor, telling=telling)
            except PathNotFound:
                if await self._shared.conversions.blob_size(self._name, digest) is None:
                    raise blob_unknown(self._name, digest) from None
                raise self._not_its_own(digest) from None
        await forget_holder(self._driver, digest, self._name)

    def _not_its_own(self, digest: Digest) -> RegistryError:
        """What is here by a conversion would be here again: 202 would be as untrue as 404 (docs/conversions.md)."""
        why = "because of an image that was converted, and it goes with that; delete the image"
        if digest.hex == EMPTY_LAYER_HEX:
            why = "as every repository has: the layer without files, which schema 1 names"
        sentence = f"{self._name} has blob {digest} {why}"
        return RegistryError(ErrorCode.UNSUPPORTED, sentence, headers={"Allow": "GET, HEAD"})

    async def manifest(self, digest: Digest) -> None:
        """Takes a manifest from this repository, and the tags that name it first; what refers to it stays.

        Where it was derived too, what it was made of is deleted first: it would be there by that.

        Raises:
            RegistryError: MANIFEST_UNKNOWN.
        """
        link = layout.revision_link(self._name, digest)
        if await self._delete_derived(digest) and not await is_linked(self._driver, link):
            return
        async with exclusive_lock(self._shared.locks, layout.blob_lock(digest)):
            try:
                await read_link(self._driver, link)
                await self._shared.tags.delete_those_of(self._name, V2Target(digest), actor=self._actor)
                work, what = self._delete_manifest(digest), f"manifest {digest}"
                telling = of_removed(self._shared.events, self._name, digest=digest)
                await carry_out(work, Change.DELETED, what, self._name, actor=self._actor, telling=telling)
            except PathNotFound:
                # Gone before, or in this moment with the whole repository: who deletes that waits for no lock of a
                # manifest. And who deleted it may have been killed before the rest, or before the folder was synced.
                await self._forget_manifest(digest, await self._shared.referrers.subject_of(digest))
                await self._leave_if_empty()
                await self._driver.ensure_durable(link)
                raise manifest_unknown(self._name, digest) from None
        await self._leave_if_empty()

    async def _delete_derived(self, digest: Digest) -> bool:
        """Deletes what a derived manifest was made of: its tags, and manifests; a v1 image stays, without them.

        Returns:
            False where it is not a derived one.
        """
        sources = await self._shared.conversions.sources(self._name, digest)
        for source in sources:
            match source:
                case V1Target():
                    await self._shared.tags.delete_those_of(self._name, source, actor=self._actor)
                    await self._forget_what_was_made_of(source)
                case V2Target(original):
                    try:
                        await self.manifest(original)
                    except RegistryError as error:
                        if error.code is not ErrorCode.MANIFEST_UNKNOWN:  # else somebody else has deleted it just now
                            raise
        if sources:
            await self._shared.conversions.forget(self._name, digest)
        return bool(sources)

    async def _forget_what_was_made_of(self, image: V1Target) -> None:
        """Forgets all conversions of an image of v1, which stays: so their blobs would, of a manifest nobody can see.

        Alone: who keeps another conversion of it in this moment relies on the blobs that it shares with these.
        """
        lock = layout.repository_lock(self._name)
        async with exclusive_lock(self._shared.locks, lock, patience=PATIENCE_SECONDS):
            await self._shared.conversions.forget_source(self._name, image)

    async def _delete_manifest(self, digest: Digest) -> None:
        subject = await self._shared.referrers.subject_of(digest)
        await self._driver.delete(_folder(layout.revision_link(self._name, digest)))
        await self._forget_manifest(digest, subject)

    async def _forget_manifest(self, digest: Digest, subject: Digest | None) -> None:
        """Removes what is kept of a manifest that is not linked any more."""
        for path in (layout.signed_schema1(self._name, digest), layout.derived_v1_top(self._name, digest)):
            with suppress(PathNotFound):
                await self._driver.delete(path)
        if subject is not None:
            await self._shared.referrers.remove(self._name, digest, subject)
        await self._shared.conversions.forget_source(self._name, V2Target(digest))

    async def _leave_if_empty(self) -> None:
        """Takes a repository without manifests and tags out of the catalog and search."""
        leaving = remove_empty(self._driver, layout.manifests(self._name))
        await run_to_completion(self._shared.changes.noted(self._name, leaving))

    async def tag(self, tag: TagName) -> None:
        """Removes a tag; the manifest stays, by its digest.

        Raises:
            RegistryError: MANIFEST_UNKNOWN.
        """
        try:
            await self._shared.tags.delete(self._name, tag, actor=self._actor)
        except PathNotFound:
            raise manifest_unknown(self._name, tag) from None
        await self._leave_if_empty()


def _folder(link: str) -> str:
    return link.rpartition("/")[0]
