"""The catalog of both generations: pages against a list of everything."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.auth.identity import Identity
from backends.auth.rules_text import parse_rules
from backends.model.actions import Action
from backends.model.digest import Digest
from backends.model.names import RepositoryName
from backends.model.v1names import V1Name, parse_v1_name
from backends.registry import catalog as v2_catalog
from backends.registry.store import Store
from backends.registry.v1 import catalog
from backends.storage import layout
from backends.storage.capabilities import list_pages
from backends.storage.driver import StorageDriver
from backends.storage.factory import open_folder, open_memory
from tests.support.drivers import ForwardingDriver, wrapped
from tests.support.stores import names_found

component = st.sampled_from(["a", "b", "a-b", "a.b", "a_b", "ab", "0", "library", "z"])
names = st.lists(component, min_size=1, max_size=3).map("/".join)
awkward = st.sampled_from(["a_", "_a", "A", "a b", "a+b", "a%2Fb", "a%252F", "~", "..", "%", "a..b", "-"])
v1_names = st.lists(component | awkward, min_size=1, max_size=3).map("/".join)
afters = names | st.text(alphabet="ab-./_z", max_size=6)
IMAGE = b"f" * 64


async def make(driver: StorageDriver, name: str) -> None:
    digest = Digest.of(b"x")
    await driver.write(layout.revision_link(RepositoryName(name), digest), str(digest).encode())


async def make_v1(driver: StorageDriver, name: V1Name, entry: str = "tag_1") -> None:
    await driver.write(f"{layout.v1_repository(name.namespace, name.stored)}/{entry}", IMAGE)


@pytest.mark.parametrize("two", [False, True], ids=["one root", "two roots"])
@given(
    st.sets(names, max_size=8), st.sets(v1_names, max_size=8), afters, st.integers(1, 5), st.sampled_from([1, 2, 256])
)
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
    parsed = [parse_v1_name(name) for name in v1]
    in_v2 = {name.canonical for name in parsed if name.v2 is not None}
    of_v1_alone = {name.text for name in parsed if name.v2 is None}
    whole = sorted({*v2, *in_v2}, key=lambda name: name.split("/"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(catalog, "NAMES_AT_ONCE", at_once)
        patch.setattr(catalog, "FOLDERS_AT_ONCE", at_once)
        expected = [name for name in whole if not after or name.split("/") > after.split("/")][:limit]
        assert list(await store.list_repositories(after=after, limit=limit)) == expected
        met: list[str] = []
        while page := await store.list_repositories(after=met[-1] if met else "", limit=limit):
            met += page
        assert met == whole
    assert await names_found(store, "") == sorted({*whole, *of_v1_alone, "Team/app_", "a/x_"})


patterns = st.sampled_from(
    [
        "a",
        "a/b",
        "*",
        "a/*",
        "*/a",
        "**",
        "a/**",
        "**/b",
        "a*/b",
        "*-b/**",
        "library/*/b",
        "library/**/b",
        "**-b",
        "z/a/0",
    ]
)
rules_files = st.lists(
    st.tuples(st.sampled_from(["allow", "deny"]), st.none() | st.lists(patterns, min_size=1, max_size=3)), max_size=4
)


@pytest.mark.parametrize("two", [False, True], ids=["one root", "two roots"])
@given(
    st.sets(names, max_size=8),
    st.sets(v1_names, max_size=8),
    rules_files,
    afters,
    st.integers(1, 5),
    st.sampled_from([1, 2, 256]),
)
@settings(max_examples=100, deadline=None)
async def test_pages_are_slices_of_what_may_be_pulled(
    two: bool,  # noqa: FBT001 - a case
    v2: set[str],
    v1: set[str],
    rules: list[tuple[str, list[str] | None]],
    after: str,
    limit: int,
    at_once: int,
) -> None:
    """However few of all it is, and wherever the rules lead; what is judged by another name included."""
    lines = ["- {allow: pull, to: u, on: nothing/here}"]
    lines += [f"- {json.dumps({verb: 'pull', 'to': 'u'} | ({'on': on} if on else {}))}" for verb, on in rules]
    scope = parse_rules("\n".join(lines)).scope(Identity("u", "htpasswd"), Action.PULL)
    storage = open_memory()
    store = Store(storage, v1_storage=open_memory() if two else storage)
    for name in v2:
        await make(storage.driver, name)
    for name in [*v1, "Team/b", "a/x_"]:
        await make_v1(store.v1_storage.driver, parse_v1_name(name))
    parsed = [parse_v1_name(name) for name in v1]
    in_v2 = {name.canonical for name in parsed if name.v2 is not None}
    whole = sorted({*v2, *in_v2}, key=lambda name: name.split("/"))
    shown = [name for name in whole if scope.allows(name)]
    with pytest.MonkeyPatch.context() as patch:
        for module in (catalog, v2_catalog):
            patch.setattr(module, "NAMES_AT_ONCE", at_once)
            patch.setattr(module, "FOLDERS_AT_ONCE", at_once)
        expected = [name for name in shown if not after or name.split("/") > after.split("/")][:limit]
        assert list(await store.list_repositories(after=after, limit=limit, visible=scope)) == expected
        met: list[str] = []
        while page := await store.list_repositories(after=met[-1] if met else "", limit=limit, visible=scope):
            met += page
        assert met == shown
    alone = {name for name in (*parsed, parse_v1_name("Team/b"), parse_v1_name("a/x_")) if name.v2 is None}
    of_v1 = [name.text for name in alone if scope.allows(name.canonical)]
    assert await names_found(store, "", visible=scope) == sorted([*shown, *of_v1])


async def test_a_walk_looks_only_where_rules_lead(tmp_path: Path) -> None:
    """Ten names among very many cost what ten cost, of both generations."""
    storage, pages = wrapped(open_folder(tmp_path), CountingPages)
    store = Store(storage)
    for number in range(600):
        await make(storage.driver, f"team{number}/app")
        await make_v1(storage.driver, V1Name(f"old{number}", "app"))
        await make_v1(storage.driver, V1Name("library", f"official{number}"))
    wanted = ["team77/app", "team599/app", "old3/app", "official44", "team5/absent"]
    costs = {}
    for on in (wanted, ["team1*/app", "old599/**"], ["*-nothing"], ["**/nothing"]):
        rules = parse_rules(f"- {json.dumps({'allow': 'pull', 'to': 'u', 'on': on})}")
        pages.folders = 0
        scope = rules.scope(Identity("u", "htpasswd"), Action.PULL)
        listed = await store.list_repositories(after="", limit=1000, visible=scope)
        costs[on[0]] = pages.folders
        assert set(listed) == {name for name in [*wanted[:-1], *_TEAM1, "old599/app"] if scope.allows(name)}
    assert costs["team77/app"] < 40
    assert costs["team1*/app"] < 3 * len(_TEAM1) + 20
    assert costs["*-nothing"] < 40 < costs["**/nothing"]
    await storage.close()


_TEAM1 = [f"team{number}/app" for number in range(600) if str(number).startswith("1")]


class CountingPages(ForwardingDriver):
    """Counts the folders that are looked into."""

    folders = 0

    async def list_pages(self, pages: Sequence[tuple[str, str]], *, limit: int) -> Sequence[Sequence[str]]:
        self.folders += len(pages)
        return await list_pages(self.driver, pages, limit=limit)

    async def list_page(self, path: str, *, start: str, limit: int) -> Sequence[str]:
        raise NotImplementedError  # only so that it is a `ListsPages`


async def test_what_only_looks_like_a_repository_is_none() -> None:
    storage = open_memory()
    for entry in ("a%2Fb", "a/b", "%61", "ü", "a%25252Fb"):
        await storage.driver.write(f"{layout.V1_REPOSITORIES}/team/{entry}/tag_1", IMAGE)
    await storage.driver.write(f"{layout.V1_REPOSITORIES}/t%65am/app/tag_1", IMAGE)
    assert list(await Store(storage).list_repositories(after="", limit=10)) == []
