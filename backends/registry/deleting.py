"""Deleting a whole repository: its manifests, tags, links and uploads, and what is kept of it in folders of ours.

Content stays, for other repositories have it too: freeing the disk is a garbage collector's work.

Invariants:
- a repository with others below its name (`a` and `a/b`) goes without them;
- what clients see goes first, by one rename: a process that is killed leaves it whole or gone. Deleting it again
  removes what that process has left;
- a manifest that is pushed meanwhile is there before, and goes too, or finds its layers gone and is refused: pushes
  share the lock that a deletion holds alone (`layout.repository_lock`).

v1's `library/x` and v2's `x` are one repository, and both go. A v2 `library/x` that has a folder of its own is another
one. What v2's grammar cannot hold is v1's alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

from backends.model.actor import Actor
from backends.model.digest import Digest
from backends.model.errors import ErrorCode, RegistryError
from backends.model.names import RepositoryName, canonical_name, parse_repository_name
from backends.model.v1names import V1Name, parse_v1_name
from backends.registry.changed_repositories import ChangedRepositories
from backends.registry.changes import Change, carry_out
from backends.registry.events import Events, of_all_removed
from backends.registry.exclusive_lock import exclusive_lock
from backends.registry.holders import forget_holder
from backends.registry.links import linked_digests, names_in
from backends.registry.no_room import exists
from backends.registry.tags.service import Tags
from backends.registry.yielding import yielding
from backends.storage import layout
from backends.storage.capabilities import list_pages, remove_empty
from backends.storage.driver import PathNotFound
from backends.storage.storage import Storage

PATIENCE_SECONDS = 30.0
"""Who waits for it lets no other push of the repository begin in its process, so it does not wait long."""

PARTS = 1000
"""More folders of its own than a repository can have."""


@dataclass(frozen=True, slots=True)
class Sides:
    """What a name stands for: a repository of v2, of v1, or both; None where it cannot be one of that kind."""

    v2: RepositoryName | None
    v1: V1Name | None


@dataclass(frozen=True, slots=True)
class Contents:
    """What a repository has, and a deletion takes: how much of each kind."""

    tags: int
    manifests: int
    blobs: int
    uploads: int
    v1_tags: int
    is_there: bool


class Deletions:
    """Deletes repositories of one store.

    Args:
        storage: v2's root.
        v1_storage: v1's, which may be the same.
        tags: of both.
        events: who is told.
        changes: where it is written down for a search.
    """

    def __init__(
        self, storage: Storage, v1_storage: Storage, tags: Tags, events: Events, changes: ChangedRepositories
    ) -> None:
        self._driver = storage.driver
        self._locks = storage.locks
        self._v1_driver = v1_storage.driver
        self._tags = tags
        self._events = events
        self._changes = changes

    async def sides(self, name: str) -> Sides:
        """Returns what a name stands for, as v2 or v1 writes it.

        Raises:
            RegistryError: NAME_INVALID: it cannot be the name of a repository of either.
        """
        v1 = parse_v1_name(name)
        try:
            v2 = parse_repository_name(name)
        except RegistryError:
            return Sides(None, v1)
        canonical = RepositoryName(canonical_name(v2))
        if canonical != v2 and await self._parts_of(v2):
            return Sides(v2, None)
        return Sides(canonical, v1)

    async def look(self, name: str) -> Contents:
        """Counts what a deletion would take.

        Raises:
            RegistryError: NAME_INVALID.
        """
        sides = await self.sides(name)
        tags = manifests = blobs = uploads = 0
        v1_tags: Sequence[str] = ()
        is_there = False
        if sides.v2 is not None:
            tags = len(await names_in(self._driver, layout.tags(sides.v2)))
            manifests = len([each async for each in linked_digests(self._driver, layout.revisions(sides.v2))])
            blobs = len([each async for each in linked_digests(self._driver, layout.layers(sides.v2))])
            uploads = len(await names_in(self._driver, layout.uploads(sides.v2)))
            is_there = await self._is_there(sides.v2)
        if sides.v1 is not None:
            with suppress(PathNotFound):
                v1_tags = list(await self._tags.all_of_v1(sides.v1))
                is_there = True
        return Contents(tags, manifests, blobs, uploads, len(v1_tags), is_there)

    async def delete(self, name: str, *, actor: Actor) -> None:
        """Deletes a repository, of both generations.

        Raises:
            RegistryError: NAME_UNKNOWN: nothing is left of it; NAME_INVALID.
        """
        sides = await self.sides(name)
        found = False
        async with exclusive_lock(self._locks, layout.repository_lock(name), patience=PATIENCE_SECONDS):
            if sides.v2 is not None:
                await self._tags.remove_what_does_not_hold(sides.v2)
                found = await self._delete_v2(sides.v2, v1=sides.v1, actor=actor)
            if sides.v1 is not None:
                with suppress(PathNotFound):
                    await self._tags.delete_all_of_v1(sides.v1, actor=actor)
                    found = True
        if not found:
            raise RegistryError(
                ErrorCode.NAME_UNKNOWN, f"there is no repository {name}; GET /v2/_catalog lists those of v2"
            )

    async def _delete_v2(self, name: RepositoryName, *, v1: V1Name | None, actor: Actor) -> bool:
        if not await self._is_there(name):
            # Who deleted it may have been killed before the folders were synced.
            await self._driver.ensure_durable(*layout.folders_of_repository(name))
            return False
        tags: Sequence[str] = ()
        manifests: list[Digest] = []
        is_last = False
        if self._events.wanted:
            tags = await names_in(self._driver, layout.tags(name))
            manifests = [digest async for digest in linked_digests(self._driver, layout.revisions(name))]
            # To whom it is told, a name is one repository: if v1 has it too, it goes with v1's.
            is_last = v1 is None or not await self._is_in_v1(v1)
        telling = of_all_removed(self._events, name, tags=tags, manifests=manifests, repository=is_last)
        work = self._changes.noted(name, self._remove(name))
        await carry_out(work, Change.DELETED, "everything", name, actor=actor, telling=telling)
        return True

    async def _remove(self, name: RepositoryName) -> None:
        blobs = [digest async for digest in linked_digests(self._driver, layout.layers(name))]
        # Manifests first: without them nothing refers to the rest.
        for part in sorted(await self._parts_of(name), key=lambda part: not part.endswith(f"/{layout.MANIFESTS}")):
            with suppress(PathNotFound):
                await self._driver.delete(part)
        async for digest in yielding(blobs):
            await forget_holder(self._driver, digest, name)
        for folder in layout.folders_of_repository(name):
            await self._remove_empty_up_from(folder, stop=len(folder) - len(name))

    async def _remove_empty_up_from(self, folder: str, *, stop: int) -> None:
        while len(folder) > stop and await remove_empty(self._driver, folder):
            folder = folder.rpartition("/")[0]

    async def _is_there(self, name: RepositoryName) -> bool:
        """Whether anything is left of a v2 repository, in folders of ours too."""
        return bool(await self._parts_of(name))

    async def _is_in_v1(self, name: V1Name) -> bool:
        return await exists(self._v1_driver, layout.v1_repository(name.namespace, name.stored))

    async def _parts_of(self, name: RepositoryName) -> Sequence[str]:
        """Returns a repository's own folders in v2's tree, then in ours: no repository's name begins with `_`."""
        folders = layout.folders_of_repository(name)
        pages = await list_pages(self._driver, [(folder, "_") for folder in folders], limit=PARTS)
        return [
            f"{folder}/{entry}"
            for folder, entries in zip(folders, pages, strict=True)
            for entry in entries
            if entry.startswith("_")
        ]
