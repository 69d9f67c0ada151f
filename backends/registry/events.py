"""Telling what happens in a store: the interface of whatever keeps events, and what goes into it.

Services tell pushes, mounts and deletions, beside the change itself (`changes.carry_out`): after it is durable, before
it is answered, under the lock under which it was made, so that events about one thing have the order of the changes.
Where nobody wants events, none is built, and what builds them is not even imported.
"""

# ruff: noqa: PLC0415 - a start does not pay for what it does not use

from __future__ import annotations

import time
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import TYPE_CHECKING, Protocol

from backends.storage.driver import PathNotFound, StorageError, StorageFull

if TYPE_CHECKING:
    from backends.model.actor import Actor
    from backends.model.descriptors import Descriptor
    from backends.model.digest import Digest
    from backends.model.events import Event, EventAction, Source, Target
    from backends.model.manifests import Manifest
    from backends.model.names import ImageId, RepositoryName
    from backends.model.v1names import V1Name


TOLD_AT_ONCE = 200
"""So many events are built before others get their turn: they take some milliseconds."""


class NoRoomToTell(StorageFull):
    """There is no room for the event of a change, which may be there all the same."""


class Events(Protocol):
    """Where events go.

    Attributes:
        wanted: whether somebody is to receive them; if not, nobody builds one, and the rest of this is not asked.
        source: what each event says of who tells it.
        includes_references: whether events of manifests list what these name (`notifications.events`).
    """

    @property
    def wanted(self) -> bool: ...

    @property
    def source(self) -> Source: ...

    @property
    def includes_references(self) -> bool: ...

    async def record(self, events: Sequence[Event], /) -> None:
        """Keeps pushes, mounts and deletions; they are durable when this returns, and have this order.

        Raises:
            StorageError: none of them is kept; `StorageFull` when there is no room.
        """
        ...

    def note(self, event: Event, /) -> None:
        """Keeps a pull, soon: it may be lost if the process is killed. Neither waits nor fails."""
        ...


class NoEvents:
    """Nobody wants events."""

    wanted = False
    includes_references = False

    @property
    def source(self) -> Source:
        from backends.model.events import Source

        return Source()

    async def record(self, events: Sequence[Event], /) -> None:
        """Forgets them."""

    def note(self, event: Event, /) -> None:
        """Forgets it."""


NO_EVENTS: Events = NoEvents()


@dataclass(frozen=True, slots=True)
class Telling:
    """What is told of a change once it has happened.

    Attributes:
        events: where.
        targets: what it happens to: one thing, or any number in their order; taken once.
    """

    events: Events
    targets: Iterable[Target]

    async def record(self, action: str, *, actor: Actor) -> None:
        """Tells it.

        Args:
            action: the name of an `EventAction`.
            actor: by whom.

        Raises:
            StorageError: it is not told, or of very many things not all: `NoRoomToTell` when there is no room; never
                `PathNotFound`, which the caller would take for its own.
        """
        from backends.model.events import EventAction

        source, targets = self.events.source, iter(self.targets)
        try:
            while batch := list(islice(targets, TOLD_AT_ONCE)):
                told = [new_event(EventAction[action], target, actor=actor, source=source) for target in batch]
                await self.events.record(told)
        except PathNotFound as error:
            raise StorageError(f"what {actor} did cannot be told: {error}") from None
        except StorageFull as error:
            raise NoRoomToTell(str(error)) from error


def note_pull(events: Events, target: Target, *, actor: Actor) -> None:
    """Tells a pull."""
    from backends.model.events import EventAction

    events.note(new_event(EventAction.PULL, target, actor=actor, source=events.source))


def new_event(action: EventAction, target: Target, *, actor: Actor, source: Source) -> Event:
    """Makes an event of what happens now."""
    from backends.model.events import Event

    return Event(str(uuid.uuid4()), rfc3339(time.time_ns()), action, target, actor, source)


def rfc3339(nanoseconds: int) -> str:
    """Returns a time since 1970 as Go writes it: in UTC, with as many digits of the second as it has."""
    seconds, fraction = divmod(nanoseconds, 1_000_000_000)
    text = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds))
    return f"{text}.{fraction:09d}".rstrip("0").rstrip(".") + "Z"


# what is told of a change: None where nobody wants events


def of_blob(
    events: Events, name: RepositoryName, digest: Digest, size: int, *, source: str = "", actor: Actor
) -> Telling | None:
    """Returns what is told of a blob that is pushed, or mounted from another repository, the source."""
    if not events.wanted:
        return None
    from backends.model.events import blob_target

    return Telling(events, (blob_target(name, digest, size, from_repository=source, origin=actor.origin),))


def of_manifest(
    events: Events, name: RepositoryName, digest: Digest, manifest: Manifest, *, tag: str = "", actor: Actor
) -> Telling | None:
    """Returns what is told of a pushed manifest, with its tag if it gets one."""
    if not events.wanted:
        return None
    from backends.model.events import manifest_target, references_of
    from backends.model.manifests import digested_bytes

    target = manifest_target(
        name,
        digest,
        len(digested_bytes(manifest)),
        media_type=manifest.media_type,
        tag=tag,
        references=references_of(manifest) if events.includes_references else (),
        origin=actor.origin,
    )
    return Telling(events, (target,))


def of_removed(events: Events, repository: str, *, digest: Digest | None = None, tag: str = "") -> Telling | None:
    """Returns what is told of a blob or a manifest that is deleted, of a tag, or of a repository."""
    if not events.wanted:
        return None
    from backends.model.events import Target

    return Telling(events, (Target(digest=digest, repository=repository, tag=tag),))


def of_all_removed(
    events: Events, name: str, *, tags: Sequence[str], manifests: Sequence[Digest], repository: bool
) -> Telling | None:
    """Returns what is told of all that is deleted with a repository, and of the repository last if that goes too."""
    if not events.wanted:
        return None
    from backends.model.events import Target

    targets = chain(
        (Target(repository=name, tag=tag) for tag in tags),
        (Target(repository=name, digest=digest) for digest in manifests),
        [Target(repository=name)] if repository else (),
    )
    return Telling(events, targets)


# what is told of v1


def of_v1_layer(events: Events, image_id: ImageId, digest: Digest, size: int, *, actor: Actor) -> Telling | None:
    """Returns what is told of a v1 image that is whole: its layer, as a blob. No repository has it yet."""
    if not events.wanted:
        return None
    from backends.model.events import v1_layer_target

    return Telling(events, (v1_layer_target(image_id, digest, size, origin=actor.origin),))


def of_v1_image(
    events: Events, name: V1Name, tag: str, image_id: ImageId, blob: Descriptor | None, *, actor: Actor
) -> Telling | None:
    """Returns what is told of a tag that is set to a v1 image, whose layer is this blob."""
    if not events.wanted:
        return None
    from backends.model.events import v1_image_target

    return Telling(events, (v1_image_target(name, tag=tag, image_id=image_id, blob=blob, origin=actor.origin),))


def of_v1_removed(events: Events, name: V1Name, tags: Sequence[str], *, repository: bool = False) -> Telling | None:
    """Returns what is told of tags that are deleted, and of the repository after them if that goes too."""
    if not events.wanted:
        return None
    from backends.model.events import v1_removed_target

    return Telling(events, (v1_removed_target(name, tag=tag) for tag in (*tags, *([""] if repository else ()))))
