"""One store for both registries, over one root or over two."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest

from backends.model.names import ImageId, RepositoryName, TagName
from backends.model.v1names import parse_v1_name
from backends.registry.store import NAMES_AT_ONCE, Store
from backends.storage import layout
from backends.storage.driver import PathNotFound
from backends.storage.factory import open_memory
from backends.storage.storage import Storage
from tests.support.actors import ACTOR
from tests.support.stores import names_found, put_image
from tests.support.v1pushes import push, read_layer
from tests.support.v1server import make_pushed

Reopen = Callable[[], Storage]

V1_NAME = parse_v1_name("team/old")
IMAGE = make_pushed("a", layer=b"a layer")


async def push_v1(store: Store) -> None:
    await push(store.v1_images, [IMAGE])
    await store.v1_repositories.put_images(V1_NAME, b"[]", [], actor=ACTOR)
    await store.v1_repositories.put_tag(V1_NAME, "latest", ImageId(IMAGE.id), actor=ACTOR, now=1)


def roots(reopen: Reopen, *, two: bool) -> tuple[Store, Storage, Storage]:
    storage, other = reopen(), open_memory()
    return Store(storage, v1_storage=other if two else None), storage, other if two else storage


@pytest.mark.parametrize("two", [False, True], ids=["one root", "two roots"])
async def test_each_generation_s_tree_is_on_its_root_whole(reopen: Reopen, two: bool) -> None:  # noqa: FBT001 - a case
    store, storage, v1_storage = roots(reopen, two=two)
    assert (store.storage, store.v1_storage, store.shares_root) == (storage, v1_storage, not two)
    digest = await put_image(store, RepositoryName("team/new"), TagName("latest"))
    await push_v1(store)
    await storage.driver.stat(layout.revision_link(RepositoryName("team/new"), digest))
    await v1_storage.driver.stat(layout.v1_image_json(ImageId(IMAGE.id)))
    assert await read_layer(store.v1_images, IMAGE) == IMAGE.layer
    if two:
        for place in (layout.V1_IMAGES, layout.V1_REPOSITORIES):
            with pytest.raises(PathNotFound):
                await storage.driver.stat(place)
        with pytest.raises(PathNotFound):
            await v1_storage.driver.stat(layout.REPOSITORIES)


@pytest.mark.parametrize("two", [False, True], ids=["one root", "two roots"])
async def test_search_finds_the_names_of_both(reopen: Reopen, two: bool) -> None:  # noqa: FBT001 - a case
    store, _, _ = roots(reopen, two=two)
    assert await names_found(store, "") == []
    await put_image(store, RepositoryName("team/new"), TagName("latest"))
    await put_image(store, RepositoryName("other/app"), None)
    await push_v1(store)
    assert await names_found(store, "") == ["other/app", "team/new", "team/old"]
    assert await names_found(store, "TEAM") == ["team/new", "team/old"]
    assert await names_found(store, "nothing") == []
    await store.close()


async def test_search_finds_names_beyond_one_page_of_the_catalog() -> None:
    storage = open_memory()
    for number in range(NAMES_AT_ONCE + 2):
        await storage.driver.write(f"{layout.REPOSITORIES}/n{number:05}/_manifests/x", b"")
    store = Store(storage)
    assert len(await names_found(store, "n0")) == NAMES_AT_ONCE + 2
    await store.close()


async def test_what_is_deleted_is_logged_with_who_did_it(reopen: Reopen, caplog: pytest.LogCaptureFixture) -> None:
    store = Store(reopen())
    name = RepositoryName("team/new")
    digest = await put_image(store, name, TagName("latest"))
    await push_v1(store)
    await store.v1_repositories.put_tag(V1_NAME, "second", ImageId(IMAGE.id), actor=ACTOR, now=1)
    caplog.set_level(logging.INFO, "portside.registry")
    caplog.clear()
    await store.open(name).delete_tag(TagName("latest"), actor=ACTOR)
    await store.open(name).delete_manifest(digest, actor=ACTOR)
    await store.v1_repositories.delete_tag(V1_NAME, "latest", actor=ACTOR)
    await store.deletions.delete(V1_NAME.canonical, actor=ACTOR)
    assert [record.getMessage() for record in caplog.records] == [
        f"deleted {what} by 192.0.2.1 ({ACTOR.agent}, request a-request)"
        for what in (
            "tag latest of team/new",
            f"manifest {digest} of team/new",
            "tag latest of team/old",
            "all tags of team/old",
        )
    ]
