"""Where something derived was found last: who looks again reads two files, and lists no folder.

A hint proves nothing. Whether the entry is as it was then, and whether what it was made of is there, is asked of
storage each time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from backends.model.cache import Cache
from backends.model.digest import Digest
from backends.model.names import RepositoryName
from backends.model.targets import Target
from backends.registry.derived.sources import Living, Sources
from backends.storage.driver import PathNotFound, StorageDriver

T = TypeVar("T")

HINTS = 8192
"""Manifests, and as many blobs, of which a process remembers where they were found."""


@dataclass(frozen=True, slots=True)
class Entry(Generic[T]):
    """An entry for a source, in the folder of a manifest or a blob.

    Attributes:
        source: what it is for.
        path: of its file.
        content: of its file.
        says: what that means.
        living: what must be there for it to count.
    """

    source: Target
    path: str
    content: bytes
    says: T
    living: Sequence[Living]


@dataclass(frozen=True, slots=True)
class Damaged:
    """An entry that is there and cannot be read.

    Attributes:
        source: what it is for; that is there.
    """

    source: Target


class Hints(Generic[T]):
    """Hints of one kind.

    Args:
        driver: where the entries are.
        sources: whether what must be there is.
    """

    def __init__(self, driver: StorageDriver, sources: Sources) -> None:
        self._driver = driver
        self._sources = sources
        self._known: Cache[tuple[str, str], Entry[T]] = Cache(bound=HINTS)

    def has(self, name: RepositoryName, digest: Digest) -> bool:
        """Whether there is a recent hint: it is quicker to follow it than to look elsewhere first."""
        return (name, digest.hex) in self._known

    async def follow(self, name: RepositoryName, digest: Digest) -> Entry[T] | None:
        """Returns the entry that was found last, if it still counts."""
        try:
            entry = self._known[name, digest.hex]
        except KeyError:
            return None
        try:
            if await self._driver.read(entry.path) != entry.content:
                return None
        except PathNotFound:
            return None
        for living in entry.living:
            if not await self._sources.lives(living):
                return None
        return entry

    def put(self, name: RepositoryName, digest: Digest, entry: Entry[T]) -> None:
        """Remembers where something was found."""
        self._known.put((name, digest.hex), entry)
