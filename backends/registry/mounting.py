"""Blobs that one repository takes over from another."""

from __future__ import annotations

from typing import Protocol

from backends.model.actor import Actor
from backends.model.digest import Digest
from backends.model.names import RepositoryName
from backends.registry.changes import Change, carry_out
from backends.registry.events import of_blob
from backends.registry.exclusive_lock import exclusive_lock
from backends.registry.holders import note_holder
from backends.registry.links import write_link
from backends.registry.shared import Shared
from backends.storage import layout
from backends.storage.driver import PathNotFound


class Source(Protocol):
    """The repository that may have a blob."""

    name: RepositoryName

    async def blob_size(self, digest: Digest) -> int | None: ...


async def mount(shared: Shared, digest: Digest, source: Source, *, into: RepositoryName, actor: Actor) -> bool:
    """Gives a repository a blob that another one has; see `Repository.mount`."""
    async with exclusive_lock(shared.locks, layout.blob_lock(digest)):
        size = await source.blob_size(digest)
        if size is None:
            return False
        try:
            await shared.conversions.store_natively(source.name, digest)
        except PathNotFound:  # gone in this moment, with what was converted
            return False
        work = write_link(shared.driver, layout.layer_link(into, digest), digest)
        telling = of_blob(shared.events, into, digest, size, source=source.name, actor=actor)
        await carry_out(work, Change.MOUNTED, f"blob {digest}", into, actor=actor, telling=telling)
    await note_holder(shared.driver, digest, into)
    return True
