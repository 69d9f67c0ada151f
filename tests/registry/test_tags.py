"""Tags move by one rename, one writer at a time, and never without what they name."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress

import pytest

from backends.model.digest import Digest
from backends.model.errors import ErrorCode, RegistryError
from backends.model.manifests import parse_manifest
from backends.model.names import ImageId, RepositoryName, TagName
from backends.model.targets import V1Target
from backends.model.v1names import parse_v1_name
from backends.registry.repository import Repository
from backends.registry.store import Store
from backends.storage import layout
from backends.storage.driver import PathNotFound
from backends.storage.storage import Storage
from tests.support.actors import ACTOR
from tests.support.serving_here import make_manifest
from tests.support.stores import CONFIG, LAYER, put_image
from tests.support.v1pushes import push
from tests.support.v1server import make_pushed

Reopen = Callable[[], Storage]

NAME, TAG = RepositoryName("busybox"), TagName("latest")
IMAGE = make_pushed("a")
V1_NAME = parse_v1_name("busybox")


async def held_up(work: Awaitable[object]) -> bool:
    """Whether work does not get on, as far as a fifth of a second tells; it is cancelled then."""
    try:
        await asyncio.wait_for(work, 0.2)
    except TimeoutError:
        return True
    return False


def move(store: Store, tag: TagName, digest: Digest) -> Awaitable[None]:
    return store.tags.move(NAME, tag, digest, actor=ACTOR, telling=None)


def move_v1(store: Store, tag: str) -> Awaitable[None]:
    return store.tags.move_v1(V1_NAME, tag, ImageId(IMAGE.id), actor=ACTOR, telling=None, now=1)


async def test_whoever_changes_a_tag_is_alone_at_it_whatever_protocol_it_speaks(reopen: Reopen) -> None:
    store = Store(reopen())
    digest = await put_image(store, NAME, TAG)
    await push(store.v1_images, [IMAGE])
    await move_v1(store, TAG)
    async with reopen().locks.hold(layout.tag_lock("busybox", TAG)):
        assert await held_up(move(store, TAG, digest))
        assert await held_up(move_v1(store, TAG))
        assert await held_up(store.tags.move(RepositoryName("library/busybox"), TAG, digest, actor=ACTOR, telling=None))
        assert await held_up(store.tags.delete(NAME, TAG, actor=ACTOR))
        assert await held_up(store.tags.delete_v1(V1_NAME, TAG, actor=ACTOR))
        assert await held_up(store.open(NAME).delete_manifest(digest, actor=ACTOR))
        assert not await held_up(move(store, TagName("other"), digest))
        assert not await held_up(move_v1(store, "other"))
        # Nobody who reads waits for anybody.
        assert await store.tags.targets(NAME) == {
            "latest": V1Target(ImageId(IMAGE.id)),
            "other": V1Target(ImageId(IMAGE.id)),
        }
    assert not await held_up(move(store, TAG, digest))


@pytest.mark.parametrize("algorithm", ["sha256", "sha512"])
async def test_a_tag_names_the_digest_that_it_was_pushed_with(reopen: Reopen, algorithm: str) -> None:
    store = Store(reopen())
    await put_image(store, NAME, None)
    content = make_manifest(CONFIG, LAYER)
    digest = Digest.of(content, algorithm)
    await store.open(NAME).put_manifest(parse_manifest(content, ""), digest, TAG, actor=ACTOR)
    found = await Store(reopen()).open(NAME).get_manifest(TAG)
    assert (found.digest, found.content) == (digest, content)


async def test_a_tag_that_moves_on_survives_the_deletion_of_what_it_named(reopen: Reopen) -> None:
    storage = reopen()
    store, other = Store(storage), Store(reopen())
    first = await put_image(store, NAME, TAG)
    content = make_manifest(CONFIG, LAYER, annotations={"n": "2"})
    second = Digest.of(content)
    async with storage.locks.hold(layout.tag_lock("busybox", TAG)):
        deletion = asyncio.create_task(other.open(NAME).delete_manifest(first, actor=ACTOR))
        await asyncio.sleep(0.1)  # it has read the tag and waits for its lock
        await store.open(NAME).put_manifest(parse_manifest(content, ""), second, None, actor=ACTOR)
        await storage.driver.write(layout.tag_current_link(NAME, TAG), str(second).encode())
    await deletion
    assert (await store.open(NAME).get_manifest(TAG)).digest == second
    with pytest.raises(RegistryError):
        await store.open(NAME).get_manifest(first)


async def tags_of(repository: Repository) -> Sequence[str]:
    """Its tags; none where the deletion came last: without a manifest there is no repository."""
    try:
        return await repository.tags()
    except RegistryError as error:
        if error.code is not ErrorCode.NAME_UNKNOWN:
            raise
        return ()


async def test_a_push_that_races_a_deletion_of_the_same_manifest_leaves_no_tag_without_it(reopen: Reopen) -> None:
    processes = [Store(reopen()) for _ in range(3)]
    digest = await put_image(processes[0], NAME, TAG)
    manifest = parse_manifest(make_manifest(CONFIG, LAYER), "")

    async def delete(store: Store) -> None:
        with suppress(RegistryError):
            await store.open(NAME).delete_manifest(digest, actor=ACTOR)

    for turn in range(30):
        tag = TagName(f"t{turn}")
        await asyncio.gather(
            processes[0].open(NAME).put_manifest(manifest, digest, tag, actor=ACTOR),
            delete(processes[1]),
            processes[2].open(NAME).put_manifest(manifest, digest, TAG, actor=ACTOR),
        )
        repository = processes[turn % 3].open(NAME)
        for each in await tags_of(repository):
            assert (await repository.get_manifest(TagName(each))).digest == digest


async def test_a_tag_is_moved_to_the_end_and_noted_when_its_client_hangs_up(
    reopen: Reopen, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "portside.registry")
    storage = reopen()
    store = Store(storage)
    digest = await put_image(store, NAME, None)
    for turn in range(20):
        tag = TagName(f"t{turn}")
        caplog.clear()
        task = asyncio.create_task(store.tags.move(NAME, tag, digest, actor=ACTOR, telling=None))
        await asyncio.sleep(turn * 0.0002)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        links = [layout.tag_current_link(NAME, tag), layout.tag_index_link(NAME, tag, digest)]
        there = [await _exists(storage, link) for link in links]
        assert len(set(there)) == 1
        assert bool(caplog.records) == there[0]


async def _exists(storage: Storage, path: str) -> bool:
    try:
        await storage.driver.stat(path)
    except PathNotFound:
        return False
    return True


async def test_a_link_that_another_program_writes_in_place_is_read_again(reopen: Reopen) -> None:
    storage = reopen()
    store = Store(storage)
    digest = await put_image(store, NAME, TAG)
    link = layout.tag_current_link(NAME, TAG)
    await storage.driver.write(link, b"")

    async def write_it() -> None:
        await asyncio.sleep(0.002)
        await storage.driver.write(link, str(digest).encode())

    writing = asyncio.create_task(write_it())
    assert (await store.open(NAME).get_manifest(TAG)).digest == digest
    await writing
    await storage.driver.write(link, b"")
    with pytest.raises(RegistryError) as caught:
        await store.open(NAME).get_manifest(TAG)
    assert caught.value.code is ErrorCode.MANIFEST_UNKNOWN


async def test_v1_tags_of_one_name_set_at_once_are_described_by_the_one_who_set_them(reopen: Reopen) -> None:
    """The tag and its note belong together: two writers do not mix theirs."""
    processes = [Store(reopen()) for _ in range(2)]
    images = [make_pushed("a"), make_pushed("b")]
    await push(processes[0].v1_images, images)
    for turn in range(20):
        await asyncio.gather(
            *(
                process.tags.move_v1(
                    V1_NAME, "latest", ImageId(image.id), actor=ACTOR, telling=None, now=turn * 10 + number
                )
                for number, (process, image) in enumerate(zip(processes, images, strict=True))
            )
        )
        winner = [image.id for image in images].index(await processes[0].v1_repositories.tag(V1_NAME, "latest"))
        for noted in ("latest", None):
            described = await processes[1].v1_repositories.description(V1_NAME, noted)
            assert described["last_update"] == turn * 10 + winner
