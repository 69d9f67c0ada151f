"""Pages of the catalog against a list of everything."""

from __future__ import annotations

import asyncio
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.model.digest import Digest
from backends.model.names import RepositoryName
from backends.registry import catalog
from backends.registry.catalog import list_repositories
from backends.registry.store import Store
from backends.storage import layout
from backends.storage.driver import StorageDriver
from backends.storage.factory import open_folder
from backends.storage.inmemory import InMemoryDriver
from backends.storage.storage import Storage
from tests.support.stores import names_found

Reopen = Callable[[], Storage]

component = st.sampled_from(["a", "b", "a-b", "a.b", "a_b", "ab", "0", "z"])
name = st.lists(component, min_size=1, max_size=3).map("/".join)
anything = name | st.text(alphabet="ab-./_z", max_size=6)


async def make(driver: StorageDriver, names: set[str]) -> None:
    digest = Digest.of(b"x")
    for each in names:
        await driver.write(layout.revision_link(RepositoryName(each), digest), str(digest).encode())


@given(st.sets(name, max_size=12), anything, st.integers(1, 5), st.sampled_from([1, 2, 3, 256]))
@settings(max_examples=200, deadline=None)
async def test_pages_are_slices_of_the_whole(names: set[str], after: str, limit: int, at_once: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalog, "NAMES_AT_ONCE", at_once)
        patch.setattr(catalog, "FOLDERS_AT_ONCE", at_once)
        await require_slice(names, after, limit)


async def require_slice(names: set[str], after: str, limit: int) -> None:
    driver = InMemoryDriver()
    await make(driver, names)
    await driver.write(layout.layer_link(RepositoryName("only/blobs"), Digest.of(b"x")), b"")
    whole = sorted(names, key=lambda each: each.split("/"))
    expected = [each for each in whole if not after or each.split("/") > after.split("/")][:limit]
    assert list(await list_repositories(driver, after=after, limit=limit)) == expected


async def test_a_walk_by_pages_meets_every_repository_once(reopen: Reopen) -> None:
    driver = reopen().driver
    names = {"a", "a/b", "a/b/c", "a-b", "a-b/c", "b/x", "zz/y/x", "z"}
    await make(driver, names)
    found: list[str] = []
    while page := await list_repositories(reopen().driver, after=found[-1] if found else "", limit=2):
        found += page
    assert found == sorted(names, key=lambda each: each.split("/"))


async def test_an_empty_place_has_an_empty_catalog(reopen: Reopen) -> None:
    assert list(await list_repositories(reopen().driver, after="", limit=5)) == []


async def test_links_that_lead_in_circles_make_no_repositories(tmp_path: Path) -> None:
    storage = open_folder(tmp_path)
    store = Store(storage)
    await make(storage.driver, {"team/app", "team/other", "z"})
    await storage.driver.write(layout.v1_tag("team", "old", "1"), b"f" * 64)
    repositories = tmp_path / layout.REPOSITORIES[1:]
    for link, target in {
        repositories / "self": ".",
        repositories / "team/up": "..",
        repositories / "team/app/across": "../other",
        repositories / "team/other/back": "../app",
        repositories / "team/top": "../../../../..",
        repositories / "alias": "team/app",
        tmp_path / "repositories/team/up": "..",
        tmp_path / "repositories/loop": "loop",
    }.items():
        link.symlink_to(target)
    async with asyncio.timeout(5):
        listed = list(await store.list_repositories(after="", limit=1000))
        assert listed == ["alias", "team/app", "team/app/across", "team/old", "team/other", "team/other/back", "z"]
        assert await names_found(store, "") == listed
    await storage.close()


async def test_folders_that_are_too_deep_for_a_name_are_not_walked(tmp_path: Path) -> None:
    storage = open_folder(tmp_path)
    await make(storage.driver, {"a", "/".join("b" * 128)})
    deep = tmp_path / layout.REPOSITORIES[1:]
    for _ in range(5):  # deeper trees would be too deep for whoever removes the folder of this test
        deep = deep / "/".join("d" * 60)
        deep.mkdir(parents=True)
    try:
        async with asyncio.timeout(5):
            listed = await Store(storage).list_repositories(after="", limit=1000)
        assert list(listed) == ["a", "/".join("b" * 128)]
    finally:
        command = ["rm", "-r", str(tmp_path / layout.REPOSITORIES[1:])]  # pytest cannot remove it: it recurses
        subprocess.run(command, check=True)  # noqa: ASYNC221 - quick
        await storage.close()
