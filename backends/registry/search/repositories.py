"""Which repositories there are, as a search shows them, for whom nothing but the storage decides.

That is what v2's catalog lists, by the names that v2 has for them, and those of v1 whose names v2 cannot hold. One that
was only announced, and has nothing that could be pulled, is none.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import suppress

from backends.model.errors import RegistryError
from backends.model.names import RepositoryName, parse_repository_name
from backends.model.v1names import V1Name, parse_v1_name, v1_name
from backends.registry.catalog import list_repositories
from backends.registry.v1.catalog import list_v1_alone, list_v1_repositories
from backends.storage import layout
from backends.storage.capabilities import list_pages
from backends.storage.driver import StorageDriver

NAMES_AT_ONCE = 256
FOLDERS_AT_ONCE = 64


def names_of(text: str) -> tuple[RepositoryName | None, V1Name | None]:
    """Returns what v2 and v1 call a repository; None where it has no name for it."""
    with suppress(RegistryError):
        name = parse_repository_name(text)
        return name, v1_name(name)
    with suppress(RegistryError):
        return None, parse_v1_name(text)
    return None, None


async def all_repositories(driver: StorageDriver, v1_driver: StorageDriver) -> AsyncIterator[Sequence[str]]:
    """Yields the names of all repositories, some at a time, in no order; one of both generations may come twice.

    Args:
        driver: v2's root.
        v1_driver: v1's, which may be the same.
    """
    for listing, root in ((list_repositories, driver), (list_v1_repositories, v1_driver)):
        after = ""
        while names := await listing(root, after=after, limit=NAMES_AT_ONCE):
            yield [name for name in names if names_of(name)[0] is not None]  # not a folder of another program
            after = names[-1]
    some: list[str] = []
    async for name in list_v1_alone(v1_driver):
        if names_of(name.text) == (None, name):  # not what no client could ask for
            some.append(name.text)
        if len(some) == NAMES_AT_ONCE:
            yield some
            some = []
    yield some


async def which_exist(driver: StorageDriver, v1_driver: StorageDriver, names: Sequence[str]) -> Sequence[bool]:
    """Returns of each name whether there is a repository of it."""
    found: list[bool] = []
    for first in range(0, len(names), FOLDERS_AT_ONCE):
        some = [names_of(name) for name in names[first : first + FOLDERS_AT_ONCE]]
        folders = [(layout.repository(v2), layout.MANIFESTS) for v2, _ in some if v2 is not None]
        pages = iter(await list_pages(driver, folders, limit=1) if folders else ())
        here = [v2 is not None and layout.MANIFESTS in next(pages) for v2, _ in some]
        folders = [
            (layout.v1_repository(v1.namespace, v1.stored), layout.V1_TAG)
            for (_, v1), is_here in zip(some, here, strict=True)
            if v1 is not None and not is_here
        ]
        pages = iter(await list_pages(v1_driver, folders, limit=1) if folders else ())
        found += [
            is_here or (v1 is not None and any(entry.startswith(layout.V1_TAG) for entry in next(pages)))
            for (_, v1), is_here in zip(some, here, strict=True)
        ]
    return found
