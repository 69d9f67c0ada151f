"""Tags of both generations: the one place where a tag is read, moved and deleted.

A tag lies in the files of the generation that wrote it, `v2_links` or `v1_files`.

Invariants:
- one request at a time changes a tag, among all processes and whichever protocol it speaks: v2's `busybox` and v1's
  `library/busybox` are one repository;
- a tag appears, moves and goes by one rename, once everything it needs is there; its description is written apart;
- a tag names the digest that it was pushed with, of whatever algorithm.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any

from backends.model.actor import Actor
from backends.model.digest import Digest
from backends.model.names import ImageId, RepositoryName, TagName, canonical_name
from backends.model.v1images import V1Name, describe_agent, v2_name
from backends.registry.changes import Change, carry_out
from backends.registry.events import Events, Telling, of_removed, of_v1_removed
from backends.registry.exclusive_lock import exclusive_lock, shared_lock
from backends.registry.tags.v1_files import V1Files
from backends.registry.tags.v2_links import V2Links
from backends.registry.yielding import yielding
from backends.storage import layout
from backends.storage.completion import run_to_completion
from backends.storage.driver import PathNotFound
from backends.storage.locks import LockHeld, Locks
from backends.storage.storage import Storage


class Tags:
    """All tags of a store.

    Args:
        storage: where v2's tags are.
        v1_storage: where v1's are; each root has locks of its own.
        events: where deletions are told; who moves a tag says what is told of it.
    """

    def __init__(self, storage: Storage, v1_storage: Storage, events: Events) -> None:
        self._locks = storage.locks
        self._v1_locks = v1_storage.locks
        self._events = events
        self._links = V2Links(storage.driver)
        self._files = V1Files(v1_storage.driver)

    # v2

    def resolve(self, name: RepositoryName, tag: TagName) -> Awaitable[Digest]:
        """Returns the digest that a tag names.

        Raises:
            PathNotFound: there is no such tag.
        """
        return self._links.read(name, tag)

    async def page(self, name: RepositoryName, *, after: str, limit: int | None) -> Sequence[str] | None:
        """Returns tags of a repository, sorted bytewise; None when it has none.

        Args:
            name: the repository.
            after: tags up to this text, itself included, are left out; "" for the beginning.
            limit: how many at most; None for all.
        """
        if limit is not None:
            return await self._links.page(name, after=after, limit=limit)
        names = await self._links.names(name)
        return names if names is None or not after else names[bisect_right(names, after) :]

    async def move(
        self, name: RepositoryName, tag: TagName, digest: Digest, *, actor: Actor, telling: Telling | None
    ) -> None:
        """Makes a tag name a manifest that is stored and linked.

        Raises:
            RegistryError: UNAVAILABLE: another request holds the lock of this tag.
        """
        async with _tag_lock(self._locks, name, tag):
            work = self._links.write(name, tag, digest)
            await carry_out(work, Change.PUSHED, f"tag {tag} for {digest}", name, actor=actor, telling=telling)

    async def is_set(self, name: RepositoryName, tag: TagName, digest: Digest) -> bool:
        """Whether a tag names a digest."""
        try:
            return await self._links.read(name, tag) == digest
        except PathNotFound:
            return False

    async def delete(self, name: RepositoryName, tag: TagName, *, actor: Actor) -> None:
        """Removes a tag; the manifest stays.

        Raises:
            PathNotFound: there is no such tag.
        """
        async with _tag_lock(self._locks, name, tag):
            await self._delete(name, tag, actor=actor)

    async def _delete(self, name: RepositoryName, tag: TagName, *, actor: Actor) -> None:
        telling = of_removed(self._events, name, tag=tag)
        work = self._links.delete(name, tag)
        await carry_out(work, Change.DELETED, f"tag {tag}", name, actor=actor, telling=telling)

    async def delete_those_of(self, name: RepositoryName, digest: Digest, *, actor: Actor) -> None:
        """Removes all tags that name a manifest; one that is moved on meanwhile stays."""
        async for text in yielding(await self._links.names(name) or ()):
            tag = TagName(text)
            if await self.is_set(name, tag, digest):
                async with _tag_lock(self._locks, name, tag):
                    if await self.is_set(name, tag, digest):
                        await self._delete(name, tag, actor=actor)
        # The process that removed others may have been killed before it synced the folder.
        await self._links.ensure_durable(name)

    # v1

    def resolve_v1(self, name: V1Name, tag: str) -> Awaitable[str]:
        """Returns the image id that a v1 tag names.

        Raises:
            PathNotFound: there is no such tag.
        """
        return self._files.read(name, tag)

    async def all_of_v1(self, name: V1Name) -> Mapping[str, str]:
        """Returns a v1 repository's tags and the ids they name.

        Raises:
            PathNotFound: there is no such repository.
        """
        return await self._files.read_all(name)

    async def describe_v1(self, name: V1Name, tag: str | None) -> Any:
        """Returns what is recorded of who set a v1 tag (None: `latest`); None when nothing was."""
        return await self._files.describe(name, tag)

    async def move_v1(
        self, name: V1Name, tag: str, image_id: ImageId, *, actor: Actor, now: int, telling: Telling | None
    ) -> None:
        """Makes a v1 tag name an image that is whole, with all its ancestors.

        Args:
            name: the repository.
            tag: the tag.
            image_id: what it is to name.
            actor: who moves it; docker-registry records its User-Agent with the tag.
            now: seconds since 1970, for that record.
            telling: what is told of it.

        Raises:
            RegistryError: UNAVAILABLE: another request holds the lock of this tag.
        """
        async with (
            shared_lock(self._v1_locks, layout.repository_lock(name.text)),
            _tag_lock(self._v1_locks, name.text, tag),
        ):
            work = self._files.write(name, tag, image_id, describe_agent(actor.agent, now=now))
            what = f"tag {tag} for image {image_id}"
            await carry_out(work, Change.PUSHED, what, name.text, actor=actor, telling=telling)

    async def delete_v1(self, name: V1Name, tag: str, *, actor: Actor) -> None:
        """Removes a v1 tag, and with the last one the repository; images stay.

        Raises:
            PathNotFound: there is no such tag.
        """
        async with _tag_lock(self._v1_locks, name.text, tag):
            work = self._files.delete(name, tag)
            telling = of_v1_removed(self._events, name, [tag])
            await carry_out(work, Change.DELETED, f"tag {tag}", name.text, actor=actor, telling=telling)
        if not await self._files.are_there(name):
            await self._leave_v1(name)

    async def _leave_v1(self, name: V1Name) -> None:
        """Takes a repository without tags out of v1's index and search, unless somebody is pushing it just now."""
        with suppress(LockHeld, PathNotFound):
            async with self._v1_locks.hold(layout.repository_lock(name.text)):
                if not await self._files.are_there(name):
                    await run_to_completion(self._files.delete_all(name))

    async def delete_all_of_v1(self, name: V1Name, *, actor: Actor) -> None:
        """Removes a v1 repository with all its tags by one rename; it does not wait for the locks of its tags.

        Raises:
            PathNotFound: there is no such repository.
        """
        telling = None
        if self._events.wanted:
            # To whom it is told, a name is one repository: it goes only where v2 has none of that name.
            in_v2 = v2_name(name)
            is_last = in_v2 is None or not await self._links.are_there(in_v2)
            tags = sorted(await self._files.read_all(name))
            telling = of_v1_removed(self._events, name, tags, repository=is_last)
        await carry_out(
            self._files.delete_all(name), Change.DELETED, "all tags", name.text, actor=actor, telling=telling
        )


def _tag_lock(locks: Locks, name: str, tag: str) -> AbstractAsyncContextManager[None]:
    return exclusive_lock(locks, layout.tag_lock(canonical_name(name), tag))
