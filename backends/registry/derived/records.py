"""Derived manifests as they are kept, by repository: content, the blobs' members, the record; visible last.

Invariants:
- what is visible is whole and durable: a process that is killed leaves no record of a manifest whose content, or the
  membership of whose blobs, is not stored; making it again completes the rest;
- a record counts while its source is there; which records and sources there are is asked of storage each time.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import AsyncExitStack, suppress
from typing import TYPE_CHECKING, TypeVar

from backends.model.conversion.derived import Member, Record
from backends.model.digest import Digest
from backends.model.manifests import parse_stored_manifest
from backends.model.names import RepositoryName
from backends.model.targets import Target, V2Target
from backends.registry.derived.hints import Damaged, Entry, Hints
from backends.registry.derived.sources import Sources, living
from backends.registry.exclusive_lock import exclusive_lock
from backends.registry.links import names_in, read_link
from backends.registry.no_room import exists, undone_without_room
from backends.registry.references import referenced
from backends.storage import layout
from backends.storage.driver import PathNotFound, StorageDriver, StorageError
from backends.storage.locks import Locks

if TYPE_CHECKING:
    from backends.registry.derived.made import Made

T = TypeVar("T")

_log = logging.getLogger("portside.conversion")


class Records:
    """The derived manifests of all repositories.

    Args:
        driver: of v2's root, where they are kept.
        locks: among those who keep and forget them.
        sources: whether what they are made of is there.
    """

    def __init__(self, driver: StorageDriver, locks: Locks, sources: Sources) -> None:
        self._driver = driver
        self._locks = locks
        self._sources = sources
        self._manifests: Hints[Record] = Hints(driver, sources)
        self._members: Hints[Member] = Hints(driver, sources)

    # reading

    def expects_manifest(self, name: RepositoryName, digest: Digest) -> bool:
        """Whether a derived manifest was found lately: it is quicker to look for it here first."""
        return self._manifests.has(name, digest)

    def expects_blob(self, name: RepositoryName, digest: Digest) -> bool:
        """The same of a blob."""
        return self._members.has(name, digest)

    async def find(
        self, name: RepositoryName, digest: Digest, *, source: Target | None = None
    ) -> tuple[Target, Record] | None:
        """Returns the record of a derived manifest whose source is there, and the source.

        Args:
            name: the repository.
            digest: the manifest's.
            source: the only source that counts; None for any.
        """
        entry = await self._manifests.follow(name, digest)
        if entry is not None and source in {None, entry.source}:
            return entry.source, entry.says
        folder = layout.derived_manifest(name, digest)
        for each in await self._sources_in(folder) if source is None else (source,):
            found = await self._look(name, folder, each)
            if found is not None:
                self._manifests.put(name, digest, found)
                return found.source, found.says
        return None

    async def sources_of(self, name: RepositoryName, digest: Digest) -> Sequence[Target]:
        """Returns all sources that a manifest was made of in a repository, whether they are there or not."""
        return await self._sources_in(layout.derived_manifest(name, digest))

    async def planned(self, name: RepositoryName, source: Target, plan: str) -> Digest | None:
        """Returns the manifest that a plan gave for a source before; it may have been forgotten since."""
        try:
            return await read_link(self._driver, layout.derivation_plan(name, source, plan))
        except PathNotFound:
            return None

    async def living_sources(self, name: RepositoryName, digest: Digest) -> Sequence[Target]:
        """Returns those sources of a manifest that are there, the one that was recorded last first."""
        folder = layout.derived_manifest(name, digest)
        found: list[tuple[float, Target]] = []
        for source in await self.sources_of(name, digest):
            with suppress(PathNotFound):
                info = await self._driver.stat(f"{folder}/{layout.derivation_source(source)}")
                if await self._look(name, folder, source) is not None:
                    found.append((info.modified, source))
        return [source for _, source in sorted(found, key=lambda each: -each[0])]

    async def made_of(self, name: RepositoryName, source: Target) -> Sequence[Digest]:
        """Returns the manifests that were made of a source in a repository."""
        entries = await names_in(self._driver, layout.derivations(name, source))
        return [digest for digest in map(layout.referrer_of, entries) if digest is not None]

    async def member(self, name: RepositoryName, digest: Digest) -> Entry[Member] | Damaged | None:
        """Returns what is kept of a blob that a repository has by a derived manifest whose source is there."""
        known = await self._members.follow(name, digest)
        if known is not None:
            return known
        folder = layout.derived_members(name, digest)
        damaged: Damaged | None = None
        for source in await self._sources_in(folder):
            path, sign = f"{folder}/{layout.derivation_source(source)}", living(name, source)
            if not await self._sources.lives(sign):
                continue
            try:
                found = await self._read(path, Member.decode)
            except ValueError:
                damaged = Damaged(source)
                continue
            if found is not None:
                entry = Entry(source, path, *found, [sign])
                self._members.put(name, digest, entry)
                return entry
        return damaged

    async def _look(self, name: RepositoryName, folder: str, source: Target) -> Entry[Record] | None:
        path = f"{folder}/{layout.derivation_source(source)}"
        try:
            found = await self._read(path, Record.decode)
        except ValueError:
            return None
        if found is None:
            return None
        content, record = found
        signs = [living(name, source)]
        if record.original is not None and V2Target(record.original) != source:
            signs.append(living(name, V2Target(record.original)))
        for sign in signs:
            if not await self._sources.lives(sign):
                return None
        return Entry(source, path, content, record, signs)

    async def _read(self, path: str, decode: Callable[[bytes], T]) -> tuple[bytes, T] | None:
        """Returns a file, and what it says; None where it is not there.

        Raises:
            ValueError: it is damaged, which the log says.
        """
        try:
            content = await self._driver.read(path)
            return content, decode(content)
        except PathNotFound:
            return None
        except ValueError as error:
            _log.warning("%s is damaged: %s", path, error)
            raise

    async def _sources_in(self, folder: str) -> Sequence[Target]:
        if not await exists(self._driver, folder):  # so it is with almost all that is asked for: no thread lists it
            return ()
        entries = await names_in(self._driver, folder)
        return [source for source in map(layout.source_of_derivation, entries) if source is not None]

    # keeping

    async def keep(
        self, name: RepositoryName, source: Target, made: Sequence[Made], *, plan: str | None = None
    ) -> None:
        """Keeps derived manifests: what each needs first, then its record; durable when this returns.

        Args:
            name: the repository.
            source: what they were made of.
            made: the manifests, those that others name first.
            plan: the key of the plan by which the last one is always the answer; None where it is not.

        Raises:
            RegistryError: UNAVAILABLE: another request has been busy with one of them for a long time.
            StorageFull: nothing is left of them that was not there before.
            StorageError: a gzip that one of them names has been purged in this moment.
        """
        files = {path: content for each in made for path, content in _files_of(name, source, each)}
        if plan is not None:
            files[layout.derivation_plan(name, source, plan)] = str(made[-1].digest).encode()
        gzips = {blob.digest for each in made for blob in each.blobs if blob.made_of is not None}
        digests = gzips.union(digest for each in made for digest in (each.digest, *_new_contents(each)))
        async with AsyncExitStack() as stack:
            for digest in sorted(digests, key=str):
                await stack.enter_async_context(exclusive_lock(self._locks, layout.derived_lock(digest)))
            for digest in gzips:
                if not await exists(self._driver, layout.derived_blob(digest)):
                    raise StorageError(f"gzip {digest} was purged meanwhile; it is made again when asked for again")
            async with undone_without_room(self._driver, *files):
                for path, content in files.items():
                    await self._write(path, content)

    async def _write(self, path: str, content: bytes) -> None:
        """Writes a file unless it is there: the process that wrote it may have been killed before it synced it."""
        with suppress(PathNotFound):
            if await self._driver.read(path) == content:
                await self._driver.ensure_durable(path)
                return
        await self._driver.write(path, content)

    async def forget(self, name: RepositoryName, digest: Digest) -> None:
        """Forgets a derived manifest of a repository, whatever its sources; content that others may use stays.

        Raises:
            RegistryError: UNAVAILABLE, as in `keep`.
        """
        async with exclusive_lock(self._locks, layout.derived_lock(digest)):
            folder = layout.derived_manifest(name, digest)
            sources = await self.sources_of(name, digest)
            for path in (folder, *(layout.derivation(name, source, digest) for source in sources)):
                await self._remove(path)

    async def forget_source(self, name: RepositoryName, source: Target) -> None:
        """Removes what was kept of a source; content stays, for others may use it.

        It may still be there, while nothing is made of it. So all records go before the first blob, which several
        manifests may name. The list of what was made goes last: who is killed meanwhile leaves the rest to the next.

        Raises:
            RegistryError: UNAVAILABLE, as in `keep`.
        """
        made = await self.made_of(name, source)
        for digest in made:
            async with exclusive_lock(self._locks, layout.derived_lock(digest)):
                await self._remove(layout.derived_record(name, digest, source))
        for digest in made:
            for blob in await self._named_by(digest):
                await self._remove(layout.derived_member(name, blob, source))
        await self._remove(layout.derivation_plans(name, source))
        await self._remove(layout.derivations(name, source))

    async def _named_by(self, digest: Digest) -> Collection[Digest]:
        """Returns what a derived manifest names; nothing where its content is lost."""
        try:
            return referenced(parse_stored_manifest(await self._driver.read(layout.derived_blob(digest))))
        except (PathNotFound, ValueError):
            return ()

    async def _remove(self, path: str) -> None:
        with suppress(PathNotFound):
            await self._driver.delete(path)


def _files_of(name: RepositoryName, source: Target, made: Made) -> Iterator[tuple[str, bytes]]:
    """Yields the files of a derived manifest in the order in which they are written: its record is the last one."""
    for digest, content in _new_contents(made).items():
        yield layout.derived_blob(digest), content
    yield layout.derived_blob(made.digest), made.content
    yield layout.derived_user(made.digest, name), b""
    for blob in made.blobs:
        if blob.image_id is None:
            of = "" if blob.made_of is None else str(blob.made_of)
            yield layout.derived_user(blob.digest, name), of.encode()
        yield layout.derived_member(name, blob.digest, source), Member(blob.size, blob.image_id).encode()
    yield layout.derivation(name, source, made.digest), b""
    yield layout.derived_record(name, made.digest, source), made.record.encode()


def _new_contents(made: Made) -> dict[Digest, bytes]:
    return {blob.digest: blob.content for blob in made.blobs if blob.content is not None}
