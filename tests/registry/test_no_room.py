"""Manifests, tags and mounts on a full disk: whatever step finds no room, all is as it was before."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial

import pytest

from backends.model.digest import Digest
from backends.model.manifests import parse_manifest
from backends.model.names import ImageId, RepositoryName, TagName
from backends.model.v1images import V1Name
from backends.registry.store import Store
from backends.storage.driver import PathNotFound, StorageFull
from backends.storage.storage import Storage
from tests.support.actors import ACTOR
from tests.support.drivers import Failing, wrapped
from tests.support.serving_here import make_manifest
from tests.support.stores import CONFIG, LAYER, everything, put_image
from tests.support.v1pushes import push
from tests.support.v1server import make_pushed

Reopen = Callable[[], Storage]
NAME, OTHER = RepositoryName("team/app"), RepositoryName("team/other")
IMAGE = make_pushed("a" * 64, layer=b"a layer")
V1_NAME = V1Name("team", "app")


async def put_manifest(store: Store, tag: str | None) -> None:
    content = make_manifest(CONFIG, LAYER, annotations={"pushed": "now"})
    name = None if tag is None else TagName(tag)
    await store.open(NAME).put_manifest(parse_manifest(content, ""), Digest.of(content), name, actor=ACTOR)


async def mount(store: Store) -> None:
    assert await store.open(OTHER).mount(Digest.of(LAYER), NAME, actor=ACTOR)


async def put_v1_tag(store: Store, tag: str) -> None:
    await store.v1_repositories.put_tag(V1_NAME, tag, ImageId(IMAGE.id), actor=ACTOR, now=1)


CHANGES: Mapping[str, tuple[Callable[[Store], Awaitable[None]], int]] = {
    "a manifest by digest": (partial(put_manifest, tag=None), 2),
    "a manifest with a new tag": (partial(put_manifest, tag="new"), 4),
    "a manifest with a tag that moves": (partial(put_manifest, tag="old"), 4),
    "a mount": (mount, 1),
    "a v1 tag": (partial(put_v1_tag, tag="new"), 2),
    "the v1 tag latest": (partial(put_v1_tag, tag="latest"), 3),
}


async def contents(storage: Storage) -> dict[str, bytes]:
    found: dict[str, bytes] = {}
    for path in await everything(storage.driver):
        try:
            found[path] = await storage.driver.read(path)
        except PathNotFound:
            continue  # an empty folder
    return found


@pytest.mark.parametrize("what", CHANGES)
async def test_a_change_that_finds_no_room_changes_nothing(reopen: Reopen, what: str) -> None:
    """Each of its steps in turn is the one that finds the disk full."""
    change, steps = CHANGES[what]
    store = Store(reopen())
    await put_image(store, NAME, TagName("old"))
    await push(store.v1_images, [IMAGE])
    before = await contents(reopen())
    for step in range(steps):
        full, _ = wrapped(reopen(), partial(Failing, steps=step, dies=False))
        with pytest.raises(StorageFull):
            await change(Store(full))
        assert await contents(reopen()) == before, f"step {step}"
    full, driver = wrapped(reopen(), partial(Failing, steps=steps, dies=False))
    await change(Store(full))
    assert not driver.failed
    after = await contents(reopen())
    assert before.keys() <= after.keys()
    assert after != before


async def test_what_was_there_before_stays_when_it_is_pushed_again_without_room(reopen: Reopen) -> None:
    """The manifest that a tag names is not taken back because another tag of it found no room."""
    store = Store(reopen())
    await put_image(store, NAME, None)
    await put_manifest(store, "old")
    before = await contents(reopen())
    for step in range(6):
        full, driver = wrapped(reopen(), partial(Failing, steps=step, dies=False))
        try:
            await put_manifest(Store(full), "new")
        except StorageFull:
            assert await contents(reopen()) == before
        if not driver.failed:
            break
