"""Which repositories v1 has by names that v2 can hold, in the order of v2's catalog; a page costs what the page costs.

That order is by components, `a`, `a/b`, `a-b`, and so is the order of docker-registry's folders: a slash within a
repository's name is `%252F` there, and `%` comes before all that a name may have.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from heapq import merge

from backends.model.names import LIBRARY, RepositoryName
from backends.model.v1names import V1Name, escape_v1, quote_v1, unescape_v1
from backends.registry.visible import Visible
from backends.storage import layout
from backends.storage.capabilities import KnowsAbsence, after_name, capability, list_pages
from backends.storage.driver import StorageDriver

NAMES_AT_ONCE = 256
_SLASH = escape_v1(quote_v1("/"))
"""Within a repository's name, on disk."""

FOLDERS_AT_ONCE = 64


async def list_v1_repositories(
    driver: StorageDriver, *, after: str, limit: int, visible: Visible | None = None
) -> Sequence[RepositoryName]:
    """Returns names of repositories that have a tag of v1, as v2 writes them, in the order of their components.

    Args:
        driver: v1's root.
        after: names up to this one, itself included, are left out; "" for the beginning.
        limit: how many at most.
        visible: which there are for whoever asks; None for all.
    """
    knows = capability(driver, KnowsAbsence)
    if knows is not None and knows.are_absent((layout.V1_REPOSITORIES,)):
        return ()
    at_once = max(1, min(limit, FOLDERS_AT_ONCE))
    official = [name async for name in _first(_of_library(driver, after, at_once, visible), limit)]
    others = [name async for name in _first(_of_others(driver, after, at_once, visible), limit)]
    return list(merge(official, others, key=_components))[:limit]


async def list_v1_alone(driver: StorageDriver) -> AsyncIterator[V1Name]:
    """Yields the repositories that have a tag of v1 and a name that v2 cannot hold, as their folders are sorted.

    Args:
        driver: v1's root.
    """
    async for page in _pages(driver, layout.V1_REPOSITORIES, "", None):
        for namespace in page:
            async for name in _in_namespace(driver, namespace, "", FOLDERS_AT_ONCE, None, in_v2=False):
                yield name


async def _first(names: AsyncIterator[RepositoryName], limit: int) -> AsyncIterator[RepositoryName]:
    count = 0
    async for name in names:
        if count == limit:
            return
        yield name
        count += 1


async def _of_library(
    driver: StorageDriver, after: str, at_once: int, visible: Visible | None
) -> AsyncIterator[RepositoryName]:
    """Yields the repositories that v1 calls `library/x`, and v2 `x`."""
    start = after_name(after.partition("/")[0])
    async for name in _in_namespace(driver, LIBRARY, start, at_once, visible):
        if "/" not in name.repository and name.v2 is not None:
            yield name.v2


async def _of_others(
    driver: StorageDriver, after: str, at_once: int, visible: Visible | None
) -> AsyncIterator[RepositoryName]:
    """Yields the others, whose first component is v1's namespace."""
    first, _, rest = after.partition("/")
    namespace_start = first
    known = visible.below(()) if visible is not None else None
    async for page in _pages(driver, layout.V1_REPOSITORIES, namespace_start, known):
        for namespace in page:
            if visible is not None and visible.below((namespace,)) == frozenset():
                continue
            start = after_name(escape_v1(quote_v1(rest))) if namespace == first else ""
            async for name in _in_namespace(driver, namespace, start, at_once, visible):
                if name.v2 is not None and "/" in name.v2:
                    yield name.v2


async def _in_namespace(
    driver: StorageDriver, namespace: str, start: str, at_once: int, visible: Visible | None, *, in_v2: bool = True
) -> AsyncIterator[V1Name]:
    """Yields the repositories of a namespace that have tags, as their folders are sorted.

    Args:
        driver: v1's root.
        namespace: its folder.
        start: the first entry, as `list_pages` has it.
        at_once: how many are looked into together.
        visible: which there are for whoever asks; None for all.
        in_v2: those that v2 can have; else the others.
    """
    folder = f"{layout.V1_REPOSITORIES}/{namespace}"
    if unescape_v1(namespace) is None:
        return
    known = visible.below((namespace,)) if visible is not None else None
    async for page in _pages(driver, folder, start, known):
        # What is not asked for is not looked at, and neither is what only looks like a repository's folder.
        entries = [
            (entry, name)
            for entry in page
            if (name := layout.v1_name_of(namespace, entry)) is not None
            and (name.v2 is not None) is in_v2
            and (visible is None or visible.allows(name.canonical))
        ]
        for first in range(0, len(entries), at_once):
            some = entries[first : first + at_once]
            tags = await list_pages(driver, [(f"{folder}/{entry}", layout.V1_TAG) for entry, _ in some], limit=1)
            for (_, name), found in zip(some, tags, strict=True):
                if any(each.startswith(layout.V1_TAG) for each in found):
                    yield name


async def _pages(
    driver: StorageDriver, folder: str, start: str, known: frozenset[str] | None
) -> AsyncIterator[Sequence[str]]:
    """Yields the entries of a folder from one on, by pages.

    Args:
        driver: v1's root.
        folder: the folder.
        start: the first entry, as `list_pages` has it.
        known: the first components of the names that are wanted; None where all are.
    """
    for head in ("",) if known is None else sorted(map(escape_v1, known)):
        place = max(start, head)
        while place.startswith(head):
            (entries,) = await list_pages(driver, [(folder, place)], limit=NAMES_AT_ONCE)
            if wanted := [entry for entry in entries if entry == head or not head or entry.startswith(head + _SLASH)]:
                yield wanted
            if len(entries) < NAMES_AT_ONCE or len(wanted) < len(entries):
                break
            place = after_name(entries[-1])


def _components(name: RepositoryName) -> list[str]:
    return name.split("/")
