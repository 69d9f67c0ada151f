"""One push of a manifest: what it names must be here; then its content, its entry as a referrer, its link, its tags.

One that a conversion made is not stored: pushed back, it makes its tags name what it was made of.

Invariants:
- it becomes visible last, and what finds no room before its first tag is taken back;
- it is told once it is durable: with a tag under the lock of the tag, and without one if it gets none.
"""

from __future__ import annotations

from collections.abc import Awaitable, Iterator, Sequence
from contextlib import suppress

from backends.model.actor import Actor
from backends.model.digest import Digest
from backends.model.manifests import Index, Manifest, OciManifest, Schema1, digested_bytes
from backends.model.names import RepositoryName, TagName
from backends.model.referrers import subject_of
from backends.registry.changes import Change, carry_out
from backends.registry.events import Telling, of_manifest
from backends.registry.exclusive_lock import exclusive_lock
from backends.registry.links import is_linked, write_link
from backends.registry.manifests import PARSED_AT_ONCE
from backends.registry.no_room import undone_without_room
from backends.registry.references import Holdings, referenced, require_references
from backends.registry.shared import Shared
from backends.registry.yielding import yielding
from backends.storage import layout
from backends.storage.completion import run_to_completion
from backends.storage.driver import PathNotFound


async def restore(
    shared: Shared, name: RepositoryName, manifest: Manifest, digest: Digest, tags: Sequence[TagName], *, actor: Actor
) -> bool:
    """Makes tags name what a derived manifest was made of, which a client has pulled and pushes back.

    Returns:
        False where it is not a derived one, or its source has gone meanwhile: then it is pushed like any other.
    """
    if await is_linked(shared.driver, layout.revision_link(name, digest)):
        return False
    sources = await shared.conversions.sources(name, digest)
    if not sources:
        return False
    try:
        for tag in tags:
            source = sources[0]
            with suppress(PathNotFound):
                named = await shared.tags.target(name, tag)
                source = named if named in sources else source
            telling = of_manifest(shared.events, name, digest, manifest, tag=tag, actor=actor)
            await shared.tags.restore(name, tag, source, actor=actor, telling=telling)
    except PathNotFound:
        return False
    return True


class ManifestPush:
    """A push to one repository, whose lock against deletion is held.

    Args:
        repository: where it goes.
        shared: the services of its store.
        manifest: parsed; its content's digest is `digest` (a schema 1 manifest's payload's).
        digest: what names it.
        actor: who pushes it.
    """

    def __init__(
        self, repository: Holdings, shared: Shared, manifest: Manifest, digest: Digest, *, actor: Actor
    ) -> None:
        self._repository = repository
        self._name = repository.name
        self._shared = shared
        self._driver = shared.driver
        self._manifest = manifest
        self._digest = digest
        self._actor = actor
        self._is_stored = False

    async def run(self, tag: TagName | None, more_tags: Sequence[TagName]) -> None:
        """Carries it out; see `Repository.put_manifest`."""
        if isinstance(self._manifest, Index):
            await self._await_pushes_of(self._manifest)
        await require_references(self._repository, self._manifest, self._shared.validation)
        # What the repository has only by a conversion would go with the conversion's source.
        await self._shared.conversions.adopt(self._name, referenced(self._manifest))
        # A client does not send again what it finds here; a killed process may have left it unsynced.
        await self._driver.ensure_durable(*self._paths_of_references())
        async with exclusive_lock(self._shared.locks, layout.blob_lock(self._digest)):
            if tag is None:
                async with undone_without_room(self._driver, *self._made()):
                    await self._store(self._shared.changes.noted(self._name, self._write()), self._telling())
            else:
                await self._store_with_tag(tag)
            # Not taken back for want of room: the tags before name the manifest already.
            for further in more_tags:
                await self._set_tag(further)
        if len(self._manifest.content) > PARSED_AT_ONCE:
            await self._shared.manifests.learn(self._digest, self._manifest)

    async def _await_pushes_of(self, index: Index) -> None:
        """Waits for those who are pushing what an index names: a push that finds no room for its tag is taken back.

        What is there once nobody has its lock stays: no push takes back what it has found.
        """
        async for entry in yielding(referenced(index)):
            if await self._repository.has_manifest(entry):
                async with exclusive_lock(self._shared.locks, layout.blob_lock(entry)):
                    pass

    def _paths_of_references(self) -> Iterator[str]:
        lists_manifests = isinstance(self._manifest, Index)
        for digest in referenced(self._manifest):
            yield layout.blob_data(digest)
            yield layout.layer_link(self._name, digest)
            if lists_manifests:
                yield layout.revision_link(self._name, digest)

    def _made(self) -> Sequence[str]:
        """Returns what is made before the first tag; it is removed from the last to the first."""
        link = layout.revision_link(self._name, self._digest)
        subject = subject_of(self._manifest)
        return [
            *([layout.referrer(self._name, subject.digest, self._digest)] if subject is not None else ()),
            layout.blob_data(self._digest).rpartition("/")[0],
            layout.signed_schema1(self._name, self._digest),
            link.rpartition("/")[0],
            link,
        ]

    async def _store_with_tag(self, tag: TagName) -> None:
        """Stores a manifest and sets its first tag, which are told as one."""

        async def is_set() -> bool:
            return await self._shared.tags.is_set(self._name, tag, self._digest)

        try:
            async with undone_without_room(self._driver, *self._made(), unless=is_set):
                await self._store(self._write(), None)
                await self._set_tag(tag)
        except BaseException:
            await run_to_completion(self._tell_what_stays(tag))
            raise

    async def _tell_what_stays(self, tag: TagName) -> None:
        """Tells a manifest that stays without its tag, which somebody else is busy with, or the client has left."""
        telling = self._telling()
        if telling is None or not self._is_stored or not await self._repository.has_manifest(self._digest):
            return
        if not await self._shared.tags.is_set(self._name, tag, self._digest):
            await telling.record(Change.PUSHED.action, actor=self._actor)

    async def _store(self, work: Awaitable[None], telling: Telling | None) -> None:
        what = f"manifest {self._digest}"
        await carry_out(work, Change.PUSHED, what, self._name, actor=self._actor, telling=telling)

    async def _set_tag(self, tag: TagName) -> None:
        await self._shared.tags.move(self._name, tag, self._digest, actor=self._actor, telling=self._telling(tag))

    def _telling(self, tag: str = "") -> Telling | None:
        return of_manifest(self._shared.events, self._name, self._digest, self._manifest, tag=tag, actor=self._actor)

    async def _write(self) -> None:
        if isinstance(self._manifest, Schema1):
            await self._driver.write(layout.signed_schema1(self._name, self._digest), self._manifest.content)
        await self._shared.blobs.put(digested_bytes(self._manifest), self._digest)
        if isinstance(self._manifest, OciManifest | Index) and self._manifest.subject is not None:
            subject = self._manifest.subject.digest
            await self._shared.referrers.add(self._name, self._manifest, self._digest, subject)
        await write_link(self._driver, layout.revision_link(self._name, self._digest), self._digest)
        self._is_stored = True
