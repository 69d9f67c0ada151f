"""Tags of both generations: the one place where a tag is read, moved and deleted.

A tag is one, whoever writes it and whoever reads: it names what was pushed last, an image of v1 or a manifest of v2. It
lies in the files of the generation that wrote it, `v2_links` or `v1_files`; where both have files of it, a record says
which of them holds (`tag_files`, `backends/model/tag_records.py`). So all that docker-registry and distribution wrote,
and still write beside us, counts, and each of them finds its own files as it left them.

Invariants:
- one request at a time changes a tag, among all processes and whichever protocol it speaks: v2's `busybox` and v1's
  `library/busybox` are one repository;
- a tag appears, moves and goes by one rename, once everything it needs is there; its description is written apart;
- a tag names the digest that it was pushed with, of whatever algorithm;
- a v2 link never holds what a conversion made, and neither does a v1 file.
"""

from __future__ import annotations

import time
from bisect import bisect_right
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, suppress
from functools import partial
from typing import Any

from backends.model.actor import Actor
from backends.model.cache import Cache
from backends.model.digest import Digest
from backends.model.image_places import ImageCopy, ImagePlace, id_at, place_of
from backends.model.names import ImageId, RepositoryName, TagName, canonical_name, is_tag
from backends.model.targets import Target, V1Target, V2Target
from backends.model.v1images import describe_agent
from backends.model.v1names import V1Name, v1_name
from backends.registry.changed_repositories import ChangedRepositories
from backends.registry.changes import Change, carry_out
from backends.registry.events import Events, Telling, of_removed, of_v1_removed
from backends.registry.exclusive_lock import exclusive_lock, shared_lock
from backends.registry.image_copies import Copies
from backends.registry.tags.listing import TagListing
from backends.registry.tags.tag_files import Tag, TagFiles, TagState
from backends.registry.yielding import yielding
from backends.storage import layout
from backends.storage.capabilities import remove_empty
from backends.storage.completion import run_to_completion
from backends.storage.driver import InvalidPath, PathNotFound
from backends.storage.locks import LockHeld
from backends.storage.storage import Storage


class Tags:
    """All tags of a store.

    Args:
        storage: where v2's tags are, the records, and the locks of both.
        v1_storage: where v1's are.
        events: where deletions are told; who moves a tag says what is told of it.
        copies: which images are a repository's own.
        changes: where it is written down for a search that a repository has changed.
    """

    def __init__(
        self,
        storage: Storage,
        v1_storage: Storage,
        events: Events,
        *,
        copies: Copies,
        changes: ChangedRepositories,
    ) -> None:
        self._driver = storage.driver
        self._v1_driver = v1_storage.driver
        self._locks = storage.locks
        self._events = events
        self._copies = copies
        self._changes = changes
        self._files = TagFiles(storage.driver, v1_storage.driver, self._copies)
        self._listing = TagListing(storage.driver, v1_storage.driver, self._files)

    # of both

    def target(self, name: RepositoryName, tag: str) -> Awaitable[Target]:
        """Returns what a tag names, whoever set it; also one that only v1 can have.

        Raises:
            PathNotFound: there is no such tag.
        """
        if not is_tag(tag):
            return self._files.target(_tag(name, tag))
        return self._files.target_of(name, _v1_names[name], TagName(tag))

    def state(self, name: RepositoryName | None, v1: V1Name | None, tag: str) -> Awaitable[TagState]:
        """Returns all that is stored of a tag, by what each generation calls its repository."""
        return self._files.state(Tag(name if name is not None and is_tag(tag) else None, v1, tag))

    def targets(self, name: RepositoryName) -> Awaitable[Mapping[str, Target]]:
        """Returns all tags of a repository with what they name, sorted bytewise; also those that only v1 can have."""
        return self._listing.targets(name, _v1_names[name])

    async def page(self, name: RepositoryName, *, after: str, limit: int | None) -> Sequence[str]:
        """Returns tags of a repository that v2 can have, sorted bytewise.

        Args:
            name: the repository.
            after: tags up to this text, itself included, are left out; "" for the beginning.
            limit: how many at most; None for all.
        """
        if limit is not None:
            return await self._listing.page(name, _v1_names[name], after=after, limit=limit)
        names = await self._listing.names(name, _v1_names[name])
        return names[bisect_right(names, after) :] if after else names

    async def are_in_v2(self, name: RepositoryName) -> bool:
        """Whether a repository has tags of v2, or has had any."""
        return await self._files.links.are_there(name)

    async def are_there(self, name: RepositoryName) -> bool:
        """Whether a repository has tags of v1, or has had any of v2."""
        v1 = _v1_names[name]
        return await self._files.links.are_there(name) or (v1 is not None and await self._files.files.are_there(v1))

    async def restore(
        self, name: RepositoryName, tag: TagName, target: Target, *, actor: Actor, telling: Telling | None = None
    ) -> None:
        """Makes a tag name something of the repository that was there before, of either generation.

        The lock of the repository must not be held: this takes it.

        Args:
            name: the repository.
            tag: the tag.
            target: what it is to name: what it was made of that a client has pushed back.
            actor: who does it.
            telling: what is told of it.

        Raises:
            PathNotFound: the repository does not have it any more.
            RegistryError: UNAVAILABLE: another request holds a lock.
        """
        match target:
            case V2Target(digest):
                link = layout.revision_link(name, digest)
                async with (
                    shared_lock(self._locks, layout.repository_lock(name)),
                    exclusive_lock(self._locks, layout.blob_lock(digest)),
                ):
                    await self._driver.stat(link)
                    await self._driver.ensure_durable(link)
                    await self.move(name, tag, digest, actor=actor, telling=telling)
            case V1Target(image_id):
                v1, image = _v1_names[name], layout.v1_image_json(place_of(name, target))
                if v1 is None:
                    raise PathNotFound(image)
                await self._v1_driver.stat(image)
                await self._v1_driver.ensure_durable(image)
                now, require = int(time.time()), partial(self._require, v1, target)
                await self.move_v1(v1, tag, image_id, actor=actor, now=now, telling=telling, require=require)

    async def _require(self, v1: V1Name, target: V1Target) -> None:
        """Requires that an id still means the image, of two that may have it, that a tag is to name."""
        if await self._copies.resolved(v1, V1Target(target.image_id)) != target:
            raise PathNotFound(target.image_id)

    async def delete_those_of(self, name: RepositoryName, target: Target, *, actor: Actor) -> None:
        """Removes all tags that name something; one that is moved on meanwhile stays."""
        async for text in yielding(await self._candidates(name, target)):
            tag = _tag(name, text)
            async with self._lock(tag):
                state = await self._files.state(tag)
                with suppress(
                    PathNotFound
                ):  # who deletes the whole repository in this moment waits for no lock of a tag
                    if state.target is not None and await self._files.resolved(tag.v1, state.target) == target:
                        await self._delete(tag, actor=actor)
                    elif isinstance(target, V2Target) and state.v2 is not None and state.v2.target == target:
                        # The tag has gone on to an image of v1; no link to what goes is left.
                        await run_to_completion(self._files.links.delete(name, TagName(text)))
        # The process that removed others may have been killed before it synced the folder.
        await self._files.links.ensure_durable(name)

    async def _candidates(self, name: RepositoryName, target: Target) -> Sequence[str]:
        """Returns tags with a file that names something; whether it holds is seen under the lock of each."""
        found: list[str] = []
        v1 = _v1_names[name]
        if isinstance(target, V2Target):
            async for text in yielding(await self._files.links.names(name) or ()):
                with suppress(PathNotFound):
                    if await self._files.links.read(name, TagName(text)) == target.digest:
                        found.append(text)
        elif v1 is not None:
            with suppress(PathNotFound):
                async for text in yielding(await self._files.files.names(v1)):
                    with suppress(PathNotFound):
                        if (await self._files.files.read(v1, text)).image_id == target.image_id:
                            found.append(text)
        return found

    async def remove_what_does_not_hold(self, name: RepositoryName) -> None:
        """Removes files of tags that do not hold: so none that is older comes to hold while the others are removed.

        The lock of the repository must be held alone.
        """
        v1 = _v1_names[name]
        if v1 is None:
            return
        both: frozenset[str] = frozenset()
        with suppress(PathNotFound, InvalidPath):  # of what leads out of the volume nothing holds, and it goes as it is
            both = frozenset(await self._files.files.names(v1)).intersection(await self._files.links.names(name) or ())
        async for text in yielding(both.union(await self._files.records.names(name))):
            await run_to_completion(self._files.delete_older(_tag(name, text)))

    # v2

    async def resolve(self, name: RepositoryName, tag: TagName) -> Digest:
        """Returns the digest of the manifest that a tag names.

        Raises:
            PathNotFound: there is no such tag, or it names an image of v1.
        """
        target = await self._files.target_of(name, _v1_names[name], tag)
        if isinstance(target, V2Target):
            return target.digest
        raise PathNotFound(layout.tag(name, tag))

    async def is_set(self, name: RepositoryName, tag: TagName, digest: Digest) -> bool:
        """Whether a tag names a manifest."""
        try:
            return await self._files.target(_tag(name, tag)) == V2Target(digest)
        except PathNotFound:
            return False

    async def move(
        self, name: RepositoryName, tag: TagName, digest: Digest, *, actor: Actor, telling: Telling | None
    ) -> None:
        """Makes a tag name a manifest that is stored and linked.

        Raises:
            RegistryError: UNAVAILABLE: another request holds the lock of this tag.
        """
        at = _tag(name, tag)
        write = partial(self._files.links.write, name, tag, digest)
        async with self._lock(at):
            work = self._files.write(at, V2Target(digest), write, writer=actor.agent, now=time.time_ns())
            work = self._changes.noted(name, work)
            await carry_out(work, Change.PUSHED, f"tag {tag} for {digest}", name, actor=actor, telling=telling)

    async def delete(self, name: RepositoryName, tag: TagName, *, actor: Actor) -> None:
        """Removes a tag; what it named stays.

        Raises:
            PathNotFound: there is no such tag.
        """
        at = _tag(name, tag)
        async with self._lock(at):
            await self._delete(at, actor=actor)
        await self._leave(at)

    # v1

    async def resolve_v1(self, name: V1Name, tag: str) -> ImageId:
        """Returns the image that a tag names.

        Raises:
            PathNotFound: there is no such tag, or it names a manifest of v2.
        """
        target = await self._files.target(_v1_tag(name, tag))
        if isinstance(target, V1Target):
            return target.image_id
        raise PathNotFound(tag)

    async def all_of_v1(self, name: V1Name) -> Mapping[str, str]:
        """Returns a v1 repository's tags that name images of v1, and their ids.

        Raises:
            PathNotFound: v1 has no such repository.
        """
        return {tag: id_at(place) for tag, place in (await self.images_of_v1(name)).items()}

    async def images_of_v1(self, name: V1Name) -> Mapping[str, ImagePlace]:
        """Returns a v1 repository's tags that name images of v1, and where these are; raises as `all_of_v1`."""
        await self._files.files.names(name)
        images: dict[str, ImagePlace] = {}
        for tag, target in (await self._listing.targets(name.v2, name)).items():
            if isinstance(target, V1Target):
                images[tag] = ImageCopy(name, target.image_id) if target.is_copy else target.image_id
        return images

    async def files_of_v1(self, name: V1Name) -> Mapping[str, ImageId]:
        """Returns what v1's own files name, as docker-registry alone reads them, whether that holds or not."""
        found: dict[str, ImageId] = {}
        with suppress(PathNotFound):
            async for text in yielding(await self._files.files.names(name)):
                with suppress(PathNotFound):
                    found[text] = (await self._files.files.read(name, text)).image_id
        return found

    async def describe_v1(self, name: V1Name, tag: str | None) -> Any:
        """Returns what is recorded of who set a v1 tag (None: `latest`); None when nothing was."""
        return await self._files.files.describe(name, tag)

    async def move_v1(
        self,
        name: V1Name,
        tag: str,
        image_id: ImageId,
        *,
        actor: Actor,
        now: int,
        telling: Telling | None,
        require: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Makes a tag name an image that is whole, with all its ancestors.

        Args:
            name: the repository.
            tag: the tag.
            image_id: what it is to name.
            actor: who moves it; docker-registry records its User-Agent with the tag.
            now: seconds since 1970, for that record.
            telling: what is told of it.
            require: called while the locks are held; the tag stays what it was where it raises.

        Raises:
            RegistryError: UNAVAILABLE: another request holds the lock of this tag.
        """
        at = _v1_tag(name, tag)
        write = partial(self._files.files.write, name, tag, image_id, describe_agent(actor.agent, now=now))
        async with shared_lock(self._locks, layout.repository_lock(name.text)), self._lock(at):
            if require is not None:
                await require()
            work = self._files.write(at, V1Target(image_id), write, writer=actor.agent, now=time.time_ns())
            work = self._changes.noted(name.v2 or name.text, work)
            what = f"tag {tag} for image {image_id}"
            await carry_out(work, Change.PUSHED, what, name.text, actor=actor, telling=telling)

    async def delete_v1(self, name: V1Name, tag: str, *, actor: Actor) -> None:
        """Removes a tag, and with the last one v1's repository; what it named stays.

        Raises:
            PathNotFound: there is no such tag.
        """
        at = _v1_tag(name, tag)
        async with self._lock(at):
            await self._delete(at, actor=actor, by_v1=True)
        await self._leave(at)

    async def delete_all_of_v1(self, name: V1Name, *, actor: Actor) -> None:
        """Removes a v1 repository with all its tags by one rename; it does not wait for the locks of its tags.

        Raises:
            PathNotFound: there is no such repository.
        """
        telling = None
        if self._events.wanted:
            # To whom it is told, a name is one repository: it goes only where v2 has none of that name.
            is_last = name.v2 is None or not await self._files.links.are_there(name.v2)
            tags = [tag for tag in await self._files.files.names(name) if await self._files.files.see(name, tag)]
            telling = of_v1_removed(self._events, name, tags, repository=is_last)
        work = self._changes.noted(name.v2 or name.text, self._delete_all_of_v1(name))
        await carry_out(work, Change.DELETED, "all tags", name.text, actor=actor, telling=telling)

    async def _delete_all_of_v1(self, name: V1Name) -> None:
        """Removes a repository, its tags first. What a killed process has left of its own images goes the next time."""
        try:
            await self._files.files.delete_all(name)
        except PathNotFound:
            await self._copies.remove(name)
            raise
        await self._copies.remove(name)

    # within

    def _lock(self, tag: Tag) -> AbstractAsyncContextManager[None]:
        name = tag.v2 or (tag.v1.text if tag.v1 is not None else "")
        return exclusive_lock(self._locks, layout.tag_lock(canonical_name(name), tag.text))

    async def _delete(self, tag: Tag, *, actor: Actor, by_v1: bool = False) -> None:
        """Removes a tag whose lock is held, and tells it as the protocol does by which it was asked."""
        if tag.v1 is not None and (by_v1 or tag.v2 is None):
            name, telling = tag.v1.text, of_v1_removed(self._events, tag.v1, [tag.text])
        else:
            name = tag.v2 or ""
            telling = of_removed(self._events, name, tag=tag.text)
        work = self._files.delete(tag)
        await carry_out(work, Change.DELETED, f"tag {tag.text}", name, actor=actor, telling=telling)

    async def _leave(self, tag: Tag) -> None:
        """Takes a repository without tags out of listings and search, in each generation."""
        v1_name = "" if tag.v1 is None else tag.v1.v2 or tag.v1.text
        await run_to_completion(self._changes.noted(tag.v2 or v1_name, self._leave_if_empty(tag)))

    async def _leave_if_empty(self, tag: Tag) -> None:
        if tag.v2 is not None:
            await remove_empty(self._driver, layout.manifests(tag.v2))
        v1 = tag.v1
        if v1 is None or await self._files.files.are_there(v1):
            return
        # Unless somebody is pushing it just now.
        with suppress(LockHeld, PathNotFound):
            async with self._locks.hold(layout.repository_lock(v1.text)):
                if not await self._files.files.are_there(v1):
                    await run_to_completion(self._delete_all_of_v1(v1))


_v1_names = Cache(v1_name, bound=4096)


def _tag(name: RepositoryName, text: str) -> Tag:
    return Tag(name if is_tag(text) else None, _v1_names[name], text)


def _v1_tag(name: V1Name, text: str) -> Tag:
    """A tag by v1's name; v1 has no files of what v2 has in its place, or what no name of a file can hold."""
    v2 = name.v2
    if v2 is None:
        return Tag(None, name, text)
    return Tag(v2 if is_tag(text) else None, None if name.falls_back else _v1_names[v2], text)
