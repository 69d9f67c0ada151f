"""The catalog of both generations: pages against a list of everything."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.model.digest import Digest
from backends.model.names import RepositoryName
from backends.model.v1images import V1Name, parse_v1_name
from backends.registry.store import Store
from backends.registry.v1 import catalog
from backends.storage import layout
from backends.storage.driver import StorageDriver
from backends.storage.factory import open_memory

component = st.sampled_from(["a", "b", "a-b", "a.b", "a_b", "ab", "0", "library", "z"])
names = st.lists(component, min_size=1, max_size=3).map("/".join)
afters = names | st.text(alphabet="ab-./_z", max_size=6)
IMAGE = b"f" * 64


async def make(driver: StorageDriver, name: str) -> None:
    digest = Digest.of(b"x")
    await driver.write(layout.revision_link(RepositoryName(name), digest), str(digest).encode())


async def make_v1(driver: StorageDriver, name: V1Name, entry: str = "tag_1") -> None:
    await driver.write(f"{layout.v1_repository(name.namespace, name.stored)}/{entry}", IMAGE)


@pytest.mark.parametrize("two", [False, True], ids=["one root", "two roots"])
@given(st.sets(names, max_size=8), st.sets(names, max_size=8), afters, st.integers(1, 5), st.sampled_from([1, 2, 256]))
@settings(max_examples=150, deadline=None)
async def test_pages_are_slices_of_the_whole(
    two: bool,  # noqa: FBT001 - a case
    v2: set[str],
    v1: set[str],
    after: str,
    limit: int,
    at_once: int,
) -> None:
    storage = open_memory()
    store = Store(storage, v1_storage=open_memory() if two else storage)
    for name in v2:
        await make(storage.driver, name)
    for name in v1:
        await make_v1(store.v1_storage.driver, parse_v1_name(name))
        await make_v1(store.v1_storage.driver, parse_v1_name(f"{name}/announced"), "_index_images")
    await make_v1(store.v1_storage.driver, V1Name("Team", "app_"))
    await make_v1(store.v1_storage.driver, V1Name("a", "x_"))
    whole = sorted({*v2, *(parse_v1_name(name).canonical for name in v1)}, key=lambda name: name.split("/"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalog, "NAMES_AT_ONCE", at_once)
        patch.setattr(catalog, "FOLDERS_AT_ONCE", at_once)
        expected = [name for name in whole if not after or name.split("/") > after.split("/")][:limit]
        assert list(await store.list_repositories(after=after, limit=limit)) == expected
        met: list[str] = []
        while page := await store.list_repositories(after=met[-1] if met else "", limit=limit):
            met += page
        assert met == whole
    assert await store.search("") == sorted([*whole, "Team/app_", "a/x_"])


async def test_what_only_looks_like_a_repository_is_none() -> None:
    storage = open_memory()
    for entry in ("a%2Fb", "a/b", "%61", "ü", "a%25252Fb"):
        await storage.driver.write(f"{layout.V1_REPOSITORIES}/team/{entry}/tag_1", IMAGE)
    await storage.driver.write(f"{layout.V1_REPOSITORIES}/t%65am/app/tag_1", IMAGE)
    assert list(await Store(storage).list_repositories(after="", limit=10)) == []
