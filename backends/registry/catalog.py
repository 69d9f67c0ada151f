"""Which repositories there are: a walk in order that stops when the page is full.

It comes to an end on any volume: listings go in no circles (`backends/storage/listings.py`), and what is too deep for a
name is no repository.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import AsyncIterator, Sequence
from itertools import islice

from backends.model.names import MAX_REPOSITORY_NAME
from backends.storage import layout
from backends.storage.driver import InvalidPath, PathNotFound, StorageDriver


async def list_repositories(driver: StorageDriver, *, after: str, limit: int) -> Sequence[str]:
    """Returns names of repositories that have been pushed to, in the order of their components.

    Args:
        driver: the storage.
        after: names up to this one, itself included, are left out; "" for the beginning.
        limit: how many at most.
    """
    names: list[str] = []
    async for name in _walk(driver, (), tuple(after.split("/")) if after else ()):
        names.append(name)
        if len(names) == limit:
            break
    return names


async def _walk(driver: StorageDriver, above: tuple[str, ...], after: tuple[str, ...]) -> AsyncIterator[str]:
    try:
        entries = await driver.list("/".join((layout.REPOSITORIES, *above)))
    except (PathNotFound, InvalidPath):
        return
    if above and above > after and _has(entries, "_manifests"):
        yield "/".join(above)
    # Folders before the one that leads to `after` are passed over at once, however many they are.
    depth = len(above)
    first = bisect_left(entries, after[depth]) if above == after[:depth] and depth < len(after) else 0
    for entry in islice(entries, first, None):
        below = (*above, entry)
        if entry.startswith("_") or len("/".join(below)) > MAX_REPOSITORY_NAME:
            continue
        async for name in _walk(driver, below, after):
            yield name


def _has(entries: Sequence[str], name: str) -> bool:
    place = bisect_left(entries, name)
    return place < len(entries) and entries[place] == name
