"""Manifests, tags and mounts on a full disk: whatever step finds no room, all is as it was before."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest
from typing_extensions import override

from backends.model.digest import Digest
from backends.model.errors import ErrorCode, RegistryError
from backends.model.manifests import parse_manifest
from backends.model.media_types import OCI_INDEX, OCI_MANIFEST
from backends.model.names import ImageId, RepositoryName, TagName
from backends.model.v1names import V1Name
from backends.registry.abandoned_uploads import AbandonedUploads
from backends.registry.store import Store
from backends.storage import layout
from backends.storage.driver import PathNotFound, StorageFull
from backends.storage.file_locks import FileLocks
from backends.storage.filesystem import FilesystemDriver
from backends.storage.storage import Storage
from tests.support.actors import ACTOR
from tests.support.drivers import Failing, ForwardingDriver, wrapped
from tests.support.mounts import fill_up, mounted_ext4
from tests.support.serving_here import make_manifest
from tests.support.stores import CONFIG, LAYER, everything, put_blob, put_image
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


HINTS = {"a mount": 1}


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
    for hint in range(steps, steps + HINTS.get(what, 0)):  # nobody is told that there was no room for one
        full, driver = wrapped(reopen(), partial(Failing, steps=hint, dies=False))
        await change(Store(full))
        assert driver.failed
    full, driver = wrapped(reopen(), partial(Failing, steps=steps + HINTS.get(what, 0), dies=False))
    await change(Store(full))
    assert not driver.failed
    after = await contents(reopen())
    assert before.keys() <= after.keys()
    assert after != before


class HangsUp(Failing):
    """The client hangs up in the moment in which the disk is full."""

    client: asyncio.Task[None] | None = None

    @override
    def step(self, *, frees: bool = False) -> None:
        try:
            super().step(frees=frees)
        except StorageFull:
            assert self.client is not None
            self.client.cancel()
            raise


@pytest.mark.parametrize("what", CHANGES)
async def test_who_hangs_up_when_there_is_no_room_leaves_nothing_either(reopen: Reopen, what: str) -> None:
    change, steps = CHANGES[what]
    store = Store(reopen())
    await put_image(store, NAME, TagName("old"))
    await push(store.v1_images, [IMAGE])
    before = await contents(reopen())
    for step in range(steps):
        full, driver = wrapped(reopen(), partial(HangsUp, steps=step, dies=False))
        driver.client = asyncio.ensure_future(change(Store(full)))
        with pytest.raises(asyncio.CancelledError):
            await driver.client
        assert await contents(reopen()) == before, f"step {step}"


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


async def test_tags_that_are_set_stay_when_a_further_one_finds_no_room(reopen: Reopen) -> None:
    """The manifest that they name is not taken back."""
    await put_image(Store(reopen()), NAME, None)
    content = make_manifest(CONFIG, LAYER, annotations={"pushed": "now"})
    digest, document = Digest.of(content), parse_manifest(content, "")
    wanted = [TagName("a"), TagName("b"), TagName("c")]
    fresh = Store(reopen()).open(NAME)
    for step in range(9):
        full, driver = wrapped(reopen(), partial(Failing, steps=step, dies=False))
        repository = Store(full).open(NAME)
        with suppress(StorageFull):
            await repository.put_manifest(document, digest, wanted[0], more_tags=wanted[1:], actor=ACTOR)
        fresh = Store(reopen()).open(NAME)
        for tag in await fresh.tags():
            assert (await fresh.get_manifest(TagName(tag))).content == content
        if not driver.failed:
            break
    assert list(await fresh.tags()) == ["a", "b", "c"]


class FullAtTag(ForwardingDriver):
    """A driver on a disk that is full when a tag is written; others go on before that is known."""

    meanwhile: Callable[[], Awaitable[None]]

    @override
    async def write(self, path: str, content: bytes, *, durable: bool = True) -> None:
        if "/_manifests/tags/" in path:
            await self.meanwhile()
            raise StorageFull("no room")
        await super().write(path, content, durable=durable)


async def test_an_index_over_a_manifest_that_is_taken_back_is_not_acknowledged(reopen: Reopen) -> None:
    """A second client finds the manifest here by its digest, while the push of it has not found room for its tag."""
    other = Store(reopen())
    for content in (CONFIG, LAYER):
        await put_blob(other, NAME, content)
    content = make_manifest(CONFIG, LAYER, annotations={"pushed": "now"})
    digest = Digest.of(content)
    described = {"mediaType": OCI_MANIFEST, "digest": str(digest), "size": len(content)}
    index = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [described]}).encode()
    pushes: list[asyncio.Future[None]] = []

    async def push_index() -> None:
        assert await other.open(NAME).has_manifest(digest)
        document = parse_manifest(index, "")
        pushes.append(
            asyncio.ensure_future(other.open(NAME).put_manifest(document, Digest.of(index), None, actor=ACTOR))
        )
        await asyncio.wait(pushes, timeout=0.3)

    full, driver = wrapped(reopen(), FullAtTag)
    driver.meanwhile = push_index
    with pytest.raises(StorageFull):
        await put_manifest(Store(full), "new")
    with pytest.raises(RegistryError) as caught:
        await pushes[0]
    assert caught.value.code is ErrorCode.MANIFEST_BLOB_UNKNOWN
    await put_manifest(other, "new")
    await other.open(NAME).put_manifest(parse_manifest(index, ""), Digest.of(index), None, actor=ACTOR)


async def test_on_another_programs_volume_that_is_full_all_that_makes_room_works(tmp_path: Path) -> None:
    """It has none of our folders, and there is no room for them: neither for the file of locks."""
    with mounted_ext4(tmp_path / "disk") as root:
        store = Store(open_storage(root))
        digest = await put_image(store, NAME, TagName("old"))
        uploads = [await store.uploads.start(NAME) for _ in range(2)]
        await store.storage.driver.close()
        shutil.rmtree(root / "docker/registry/portside")
        for upload in uploads:
            os.utime(root / layout.upload(NAME, upload)[1:], (1, 1))
            os.utime(root / layout.upload_data(NAME, upload)[1:], (1, 1))
        fill_up(root)
        store = Store(open_storage(root))
        await store.uploads.cancel(NAME, uploads[0])
        abandoned = AbandonedUploads(store.storage)
        found = [each async for each in abandoned.find()]
        assert [each.what for each in found] == [(NAME, uploads[1])]
        assert await abandoned.remove(found[0], before=time.time() - 3600)
        await store.open(NAME).delete_tag(TagName("old"), actor=ACTOR)
        await store.open(NAME).delete_manifest(digest, actor=ACTOR)
        await store.storage.driver.close()


def open_storage(root: Path) -> Storage:
    return Storage(FilesystemDriver(root), FileLocks(root))
