"""Which repositories there are: a walk in order that stops when the page is full.

It comes to an end on any volume: listings go in no circles (`backends/storage/listings.py`), and what is too deep for a
name is no repository.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence

from backends.model.names import MAX_REPOSITORY_NAME
from backends.registry.no_room import exists
from backends.storage import layout
from backends.storage.capabilities import after as after_name
from backends.storage.capabilities import list_page
from backends.storage.driver import InvalidPath, PathNotFound, StorageDriver

NAMES_AT_ONCE = 256
"""A page of the catalog costs no more than the folders on it and these, however many there are."""


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
    folder = "/".join((layout.REPOSITORIES, *above))
    depth = len(above)
    # Folders before the one that leads to `after` are passed over at once, however many they are.
    start = after[depth] if above == after[:depth] and depth < len(after) else ""
    is_first = True
    while entries := await _list(driver, folder, start):
        if is_first and above and above > after and await _has_manifests(driver, folder):
            yield "/".join(above)
        is_first = False
        for entry in entries:
            below = (*above, entry)
            if entry.startswith("_") or len("/".join(below)) > MAX_REPOSITORY_NAME:
                continue
            async for name in _walk(driver, below, after):
                yield name
        if len(entries) < NAMES_AT_ONCE:
            return
        start = after_name(entries[-1])


async def _has_manifests(driver: StorageDriver, folder: str) -> bool:
    try:
        return await exists(driver, f"{folder}/_manifests")
    except InvalidPath:  # a symbolic link that leads out of the volume: one such folder must not end the listing
        return False


async def _list(driver: StorageDriver, folder: str, start: str) -> Sequence[str]:
    try:
        return await list_page(driver, folder, start=start, limit=NAMES_AT_ONCE)
    except (PathNotFound, InvalidPath):
        return ()
