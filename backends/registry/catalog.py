"""Which repositories there are: a walk in order that stops when the page is full.

For a caller who may not see all of it, it looks only where its rules lead: a page of names that these spell out costs
what those names cost, however many others there are. Folders that a wildcard stands for are listed, those in which
nothing fits are not looked into, and what is passed over counts for no page. Only a pattern that begins with `**` leads
everywhere: `docs/what-callers-see.md` says what that costs.

It comes to an end on any volume: listings go in no circles (`backends/storage/listings.py`), and what is too deep for a
name is no repository.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import AsyncIterator, Sequence

from backends.model.names import MAX_REPOSITORY_NAME
from backends.registry.no_room import exists
from backends.registry.visible import Visible, leads_on
from backends.storage import layout
from backends.storage.capabilities import after_name, list_pages
from backends.storage.driver import StorageDriver

NAMES_AT_ONCE = 256
"""A page of the catalog costs no more than the folders on it and these, however many there are."""

FOLDERS_AT_ONCE = 64
"""So many are looked into by one thread in a row, at most, which costs less than the way to it and back for each."""


async def list_repositories(
    driver: StorageDriver, *, after: str, limit: int, visible: Visible | None = None
) -> Sequence[str]:
    """Returns names of repositories that have been pushed to, in the order of their components.

    Args:
        driver: the storage.
        after: names up to this one, itself included, are left out; "" for the beginning.
        limit: how many at most.
        visible: which there are for whoever asks; None for all.
    """
    names: list[str] = []
    if limit > 0:
        parts = tuple(after.split("/")) if after else ()
        top: Sequence[str] = ()
        if visible is None or visible.below(()) is None:
            (top,) = await list_pages(driver, [_page((), parts)], limit=NAMES_AT_ONCE)
        walk = _walk(driver, (), top, visible=visible, after=parts, at_once=min(limit, FOLDERS_AT_ONCE))
        async for name in walk:
            names.append(name)
            if len(names) == limit:
                break
    return names


async def _walk(
    driver: StorageDriver,
    above: tuple[str, ...],
    entries: Sequence[str],
    *,
    visible: Visible | None,
    after: tuple[str, ...],
    at_once: int,
) -> AsyncIterator[str]:
    """Yields the repository of a folder, if it is one, and those below it.

    Args:
        driver: the storage.
        above: the folder's path below that of all repositories.
        entries: the folder's first page of names, as `_page` asks for it.
        visible: which repositories there are for whoever asks.
        after: names up to this one are left out.
        at_once: how many folders are looked into together: no more than are wanted.
    """
    path, start = _page(above, after)
    name = "/".join(above)
    if (
        above > after
        and (visible is None or visible.allows(name))
        and await _is_repository(driver, path, start, entries)
    ):
        yield name
    known = visible.below(above) if visible is not None else None
    if known is not None:
        entries = sorted(each for each in known if each >= start)
    while entries:
        folders = [entry for entry in entries if not entry.startswith("_")]
        if visible is not None:
            folders = [entry for entry in folders if leads_on(visible, (*above, entry))]
        for first in range(0, len(folders), at_once):
            below = [(*above, entry) for entry in folders[first : first + at_once]]
            below = [each for each in below if len("/".join(each)) <= MAX_REPOSITORY_NAME]
            pages = await list_pages(driver, [_page(each, after) for each in below], limit=NAMES_AT_ONCE)
            for each, found in zip(below, pages, strict=True):
                async for one in _walk(driver, each, found, visible=visible, after=after, at_once=at_once):
                    yield one
        if known is not None or len(entries) < NAMES_AT_ONCE:
            return
        (entries,) = await list_pages(driver, [(path, after_name(entries[-1]))], limit=NAMES_AT_ONCE)


def _page(above: tuple[str, ...], after: tuple[str, ...]) -> tuple[str, str]:
    """Returns a folder, and where the names in it start that are asked for.

    Folders before the one that leads to `after` are passed over at once, however many they are.
    """
    depth = len(above)
    start = after[depth] if above == after[:depth] and depth < len(after) else ""
    return "/".join((layout.REPOSITORIES, *above)), start


async def _is_repository(driver: StorageDriver, path: str, start: str, entries: Sequence[str]) -> bool:
    place = bisect_left(entries, layout.MANIFESTS)
    if place < len(entries) and entries[place] == layout.MANIFESTS:
        return True
    is_beyond = start > layout.MANIFESTS or (place == len(entries) == NAMES_AT_ONCE)
    return is_beyond and await exists(driver, f"{path}/{layout.MANIFESTS}")
