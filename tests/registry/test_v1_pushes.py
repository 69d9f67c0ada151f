"""A v1 image becomes visible whole and last, whoever pushes it, however many do, wherever a push ends."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import replace
from hashlib import sha256
from typing import Any

import pytest

from backends.model.digest import Digest
from backends.model.errors import ErrorCode, RegistryError
from backends.model.names import ImageId
from backends.registry.blobs import Blobs
from backends.registry.v1 import staging
from backends.registry.v1.images import Images
from backends.registry.v1.staging import ANNOUNCEMENTS, TEXTS
from backends.registry.v1.stored_images import State
from backends.storage import layout
from backends.storage.driver import PathNotFound, StorageFull
from backends.storage.storage import Storage
from tests.support.actors import ACTOR
from tests.support.drivers import Died, Failing, Unlinked
from tests.support.stores import everything
from tests.support.v1pushes import images_over, push, put_checksum, put_json, put_layer, read_layer
from tests.support.v1server import Pushed, make_pushed

BASE = make_pushed("a", layer=b"base layer")
TOP = make_pushed("b", parent=BASE.id, layer=b"top layer")


@pytest.fixture
def storage(reopen: Callable[[], Storage]) -> Storage:
    """The storage as one process has it."""
    return reopen()


@pytest.fixture
def elsewhere(reopen: Callable[[], Storage]) -> Storage:
    """The same storage as another process has it."""
    return reopen()


def blob_of(image: Pushed) -> str:
    return layout.blob_data(Digest("sha256", sha256(image.layer).hexdigest()))


async def staged(storage: Storage, image: Pushed) -> list[str]:
    try:
        return list(await storage.driver.list(layout.v1_staging(ImageId(image.id))))
    except PathNotFound:
        return []


def of_kind(kind: str, entries: Sequence[str]) -> set[str]:
    """The names of the layers that entries of a kind are about."""
    return {"-".join(entry.split("-")[-2:]) for entry in entries if entry.startswith(f"{kind}-")}


async def assert_whole(images: Images, image: Pushed) -> None:
    stored = await images.get(ImageId(image.id))
    assert (stored.content, stored.layer_size) == (image.json, len(image.layer))
    assert stored.checksums == [image.payload]
    assert await read_layer(images, image) == image.layer


async def test_what_was_pushed_comes_back_to_the_byte(storage: Storage) -> None:
    images = images_over(storage)
    await push(images, [BASE, TOP])
    await assert_whole(images, BASE)
    await assert_whole(images, TOP)
    assert list(await images.ancestry(ImageId(TOP.id))) == [TOP.id, BASE.id]
    assert await staged(storage, TOP) == []


async def test_a_layer_is_a_blob_of_the_store_that_both_protocols_share(storage: Storage) -> None:
    await push(images_over(storage), [BASE])
    assert await storage.driver.read(blob_of(BASE)) == BASE.layer


async def test_an_image_is_not_there_before_its_checksum(storage: Storage) -> None:
    images = images_over(storage)
    assert await images.state(ImageId(BASE.id)) is State.ABSENT
    await put_json(images, BASE)
    assert await images.state(ImageId(BASE.id)) is State.UPLOADING
    await put_layer(images, BASE)
    assert await images.state(ImageId(BASE.id)) is State.UPLOADING
    with pytest.raises(RegistryError, match="retry later"):
        await images.get(ImageId(BASE.id))
    with pytest.raises(PathNotFound):
        await storage.driver.stat(layout.V1_IMAGES)
    await put_checksum(images, BASE)
    assert await images.state(ImageId(BASE.id)) is State.COMPLETE


async def test_two_who_push_the_same_at_once_both_succeed(storage: Storage, elsewhere: Storage) -> None:
    one, two = images_over(storage), images_over(elsewhere)
    for step in (put_json, put_layer, put_checksum):
        await asyncio.gather(step(one, BASE), step(two, BASE))
    await assert_whole(two, BASE)
    assert await staged(storage, BASE) == []


async def test_one_who_is_slower_at_every_step_succeeds_too(storage: Storage, elsewhere: Storage) -> None:
    one, two = images_over(storage), images_over(elsewhere)
    await put_json(one, BASE)
    await put_json(two, BASE)
    await put_layer(one, BASE)
    await put_checksum(one, BASE)
    await put_layer(two, BASE)
    assert of_kind("layer", await staged(storage, BASE)) == set(), "nobody needs its bytes any more"
    await put_checksum(two, BASE)
    await assert_whole(one, BASE)
    assert await staged(storage, BASE) == []


async def test_a_layer_that_is_on_its_way_survives_the_success_of_another(storage: Storage, elsewhere: Storage) -> None:
    one, two = images_over(storage), images_over(elsewhere)
    await put_json(one, BASE)
    await put_json(two, BASE)
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def slow() -> AsyncIterator[bytes]:
        yield BASE.layer[:4]
        begun.set()
        await go_on.wait()
        yield BASE.layer[4:]

    late = asyncio.create_task(two.put_layer(ImageId(BASE.id), slow()))
    await begun.wait()
    await put_layer(one, BASE)
    await put_checksum(one, BASE)
    go_on.set()
    await late
    assert of_kind("layer", await staged(storage, BASE)) == set(), "nobody needs its bytes any more"
    await put_checksum(two, BASE)
    await assert_whole(two, BASE)
    assert await staged(storage, BASE) == []


async def test_a_checksum_can_be_set_once_for_each_push(storage: Storage) -> None:
    images = images_over(storage)
    await push(images, [BASE])
    for step, message in (
        (put_json, "Image already exists"),
        (put_layer, "Image already exists"),
        (put_checksum, "Cannot set this image checksum"),
    ):
        with pytest.raises(RegistryError, match=message) as raised:
            await step(images, BASE)
        assert raised.value.status == 409


async def test_an_announcement_that_was_left_behind_goes_with_its_age(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = images_over(storage)
    await put_json(images, BASE)  # of a client that does not come back
    await push(images, [BASE])
    await put_layer(images, BASE)  # it may still
    with monkeypatch.context() as later:
        later.setattr(staging, "FORGOTTEN_SECONDS", -1)
        with pytest.raises(RegistryError, match="Image already exists") as raised:
            await put_layer(images, BASE)
    assert raised.value.status == 409
    assert await read_layer(images, BASE) == BASE.layer


async def test_an_announcement_waits_for_its_layer_however_long_where_there_is_no_image(
    storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = images_over(storage)
    await put_json(images, BASE)
    monkeypatch.setattr(staging, "FORGOTTEN_SECONDS", -1)
    await put_layer(images, BASE)
    await put_checksum(images, BASE)
    await assert_whole(images, BASE)


async def test_two_with_different_json_have_a_candidate_each_and_the_first_owns_the_id(
    storage: Storage, elsewhere: Storage
) -> None:
    one, two = images_over(storage), images_over(elsewhere)
    mine, theirs = make_pushed("a", author="me"), make_pushed("a", author="them")
    await put_json(one, mine)
    await put_json(two, theirs)
    await put_layer(one, mine)
    await put_layer(two, theirs)
    await put_checksum(one, mine)
    with pytest.raises(RegistryError, match="Cannot set this image checksum"):
        await put_checksum(two, theirs)
    await assert_whole(one, mine)


async def test_two_with_different_content_who_finish_at_once_leave_one_of_them_unmixed(
    storage: Storage, elsewhere: Storage
) -> None:
    one, two = images_over(storage), images_over(elsewhere)
    mine, theirs = make_pushed("a", layer=b"mine", author="me"), make_pushed("a", layer=b"theirs", author="them")
    for step in (put_json, put_layer):
        await asyncio.gather(step(one, mine), step(two, theirs))
    results = await asyncio.gather(put_checksum(one, mine), put_checksum(two, theirs), return_exceptions=True)
    (failure,) = [result for result in results if result is not None]
    assert isinstance(failure, RegistryError)
    assert failure.code is ErrorCode.IMAGE_EXISTS
    await assert_whole(one, theirs if failure is results[0] else mine)


@pytest.mark.parametrize("dies", [True, False], ids=["killed", "full"])
async def test_wherever_a_push_ends_the_image_is_absent_or_whole_and_can_be_pushed_again(
    storage: Storage, *, dies: bool
) -> None:
    steps = 0
    while True:
        image = make_pushed(f"{steps:064x}", parent=BASE.id, layer=b"layer %d" % steps)
        await push_base(storage)
        failing = Failing(storage.driver, steps, dies=dies)
        try:
            await push(images_over(replace(storage, driver=failing)), [image])
        except (Died, StorageFull):
            assert failing.failed
        images = images_over(storage)
        if await images.state(ImageId(image.id)) is State.COMPLETE:
            await assert_whole(images, image)
        else:
            names = await staged(storage, image)
            if not dies:
                assert of_kind("layer", names) <= of_kind("payload", names), "what nobody can name is left"
            await push(images, [image])
            await assert_whole(images, image)
        if not failing.failed:
            break
        steps += 1
    assert steps > 8, "the changes of a push were counted"


async def push_base(storage: Storage) -> None:
    images = images_over(storage)
    if await images.state(ImageId(BASE.id)) is State.ABSENT:
        await push(images, [BASE])


async def test_a_checksum_can_be_sent_again_after_a_kill(storage: Storage) -> None:
    """Only the last request failed, so only it is repeated."""
    for steps in range(20):
        image = make_pushed(f"{steps:064x}", layer=b"layer %d" % steps)
        images = images_over(storage)
        await put_json(images, image)
        await put_layer(images, image)
        failing = Failing(storage.driver, steps, dies=True)
        try:
            await put_checksum(images_over(replace(storage, driver=failing)), image)
        except Died:
            if await images.state(ImageId(image.id)) is not State.COMPLETE:
                await put_checksum(images, image)
        await assert_whole(images, image)
        if not failing.failed:
            break
    else:
        pytest.fail("a commit has more changes than were tried")


@pytest.mark.parametrize("step", [put_json, put_layer, put_checksum])
@pytest.mark.parametrize("known", [False, True], ids=["new", "its blob is here already"])
async def test_whatever_step_finds_no_room_nothing_of_the_push_is_left(
    storage: Storage, step: Callable[[Images, Pushed], Coroutine[Any, Any, None]], *, known: bool
) -> None:
    """Each change of each request in turn is the one that finds the disk full."""
    layer = b"the layer"
    if known:
        await Blobs(storage.driver).put(layer, Digest.of(layer))
    before = await everything(storage.driver)
    image = make_pushed("c" * 64, layer=layer)
    failed = 0
    for steps in range(20):
        failing = Failing(storage.driver, steps, dies=False)
        for each in (put_json, put_layer, put_checksum):
            images = images_over(replace(storage, driver=failing) if each is step else storage)
            try:
                await each(images, image)
            except StorageFull:
                break
        if not failing.failed:
            break
        failed += 1
        assert await everything(storage.driver) == before
    assert failed >= {"put_json": 1, "put_layer": 3, "put_checksum": 4}[step.__name__]
    await assert_whole(images_over(storage), image)


async def test_a_push_that_finds_no_room_takes_nobody_s_announcement_but_one_of_its_own(storage: Storage) -> None:
    """Requests name no session: of two who announced the same, each has one; of two who differ, neither is taken."""
    mine, theirs = make_pushed("a", layer=b"mine", author="me"), make_pushed("a", layer=b"theirs", author="them")
    images = images_over(storage)
    full = images_over(replace(storage, driver=Failing(storage.driver, 0, dies=False)))
    for _ in range(2):
        await put_json(images, mine)
    with pytest.raises(StorageFull):
        await put_layer(full, mine)
    assert len(of_kind("json", await staged(storage, mine))) == 1
    await put_json(images, theirs)
    full = images_over(replace(storage, driver=Failing(storage.driver, 0, dies=False)))
    with pytest.raises(StorageFull):
        await put_layer(full, mine)
    assert len(of_kind("json", await staged(storage, mine))) == 2
    await put_layer(images, theirs)
    await put_checksum(images, theirs)
    await assert_whole(images, theirs)


async def test_a_layer_that_breaks_off_leaves_nothing(storage: Storage) -> None:
    images = images_over(storage)
    await put_json(images, BASE)
    before = await staged(storage, BASE)

    async def broken() -> AsyncIterator[bytes]:
        yield b"half of"
        raise ConnectionResetError

    with pytest.raises(ConnectionResetError):
        await images.put_layer(ImageId(BASE.id), broken())
    assert await staged(storage, BASE) == before


async def test_a_client_that_hangs_up_leaves_nothing(storage: Storage) -> None:
    images = images_over(storage)
    await put_json(images, BASE)
    before = await staged(storage, BASE)
    begun = asyncio.Event()

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"more"
            begun.set()
            await asyncio.sleep(0)

    upload = asyncio.create_task(images.put_layer(ImageId(BASE.id), endless()))
    await begun.wait()
    upload.cancel()
    with pytest.raises(asyncio.CancelledError):
        await upload
    assert await staged(storage, BASE) == before


async def test_a_client_that_hangs_up_at_the_checksum_leaves_nothing_half_done(storage: Storage) -> None:
    images = images_over(storage)
    for moment in range(8):
        image = make_pushed(f"{moment:064x}", layer=b"layer %d" % moment)
        await put_json(images, image)
        await put_layer(images, image)
        last = asyncio.create_task(put_checksum(images, image))
        await asyncio.wait([last], timeout=moment / 1000)
        last.cancel()
        await asyncio.wait([last])
        if await images.state(ImageId(image.id)) is not State.COMPLETE:
            await put_checksum(images, image)
        await assert_whole(images, image)
        assert await staged(storage, image) == []


async def test_a_wrong_checksum_changes_nothing(storage: Storage) -> None:
    images = images_over(storage)
    await put_json(images, BASE)
    await put_layer(images, BASE)
    before = await staged(storage, BASE)
    with pytest.raises(RegistryError, match="Checksum mismatch") as raised:
        await images.put_checksum(ImageId(BASE.id), "0" * 64, actor=ACTOR)
    assert raised.value.status == 400
    assert await staged(storage, BASE) == before
    await put_checksum(images, BASE)
    await assert_whole(images, BASE)


async def test_a_json_that_is_put_again_may_be_another_one(storage: Storage) -> None:
    images = images_over(storage)
    other = make_pushed("a", author="somebody")
    await put_json(images, BASE)
    await put_layer(images, BASE)
    await push(images, [other])
    await assert_whole(images, other)


async def test_a_layer_that_is_put_again_may_be_another_one(storage: Storage) -> None:
    images = images_over(storage)
    other = Pushed(BASE.id, BASE.json, b"another layer")
    await put_json(images, BASE)
    await put_layer(images, BASE)
    await put_layer(images, other)
    await put_checksum(images, other)
    await assert_whole(images, other)
    assert await staged(storage, BASE) == []


async def test_a_flood_of_announcements_is_kept_small(storage: Storage) -> None:
    images = images_over(storage)
    for number in range(ANNOUNCEMENTS + 10):
        await put_json(images, make_pushed("a", number=number))
    assert len(await staged(storage, BASE)) == ANNOUNCEMENTS
    last = make_pushed("a", number=ANNOUNCEMENTS + 9)
    await put_layer(images, last)
    notes = [entry for entry in await staged(storage, BASE) if entry.startswith("payload")]
    assert len(notes) == TEXTS
    await put_checksum(images, last)
    await assert_whole(images, last)


@pytest.mark.parametrize("letter", ["b", "a"], ids=["parent unknown", "parent is itself"])
async def test_a_parent_must_be_there(storage: Storage, letter: str) -> None:
    with pytest.raises(RegistryError, match="Image depends on"):
        await put_json(images_over(storage), make_pushed("a", parent=letter * 64))
    assert await staged(storage, BASE) == []


async def test_a_parent_may_still_be_on_its_way(storage: Storage) -> None:
    images = images_over(storage)
    await put_json(images, BASE)
    await push(images, [TOP])
    assert list(await images.ancestry(ImageId(TOP.id))) == [TOP.id, BASE.id]
    await put_layer(images, BASE)
    await put_checksum(images, BASE)
    await assert_whole(images, BASE)


async def test_a_circle_of_parents_is_refused(storage: Storage) -> None:
    images = images_over(storage)
    await put_json(images, make_pushed("a"))
    await put_json(images, make_pushed("b", parent="a" * 64))
    circle = make_pushed("a", parent="b" * 64)
    await put_json(images, circle)
    await put_layer(images, circle)
    with pytest.raises(RegistryError, match="circular"):
        await put_checksum(images, circle)
    assert await images.state(ImageId(circle.id)) is State.UPLOADING


async def test_a_storage_without_links_gets_a_copy_and_a_line_says_so(
    storage: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    images = images_over(replace(storage, driver=Unlinked(storage.driver)))
    with caplog.at_level(logging.WARNING):
        await push(images, [BASE])
    await assert_whole(images, BASE)
    assert await storage.driver.read(blob_of(BASE)) == BASE.layer
    assert len(caplog.messages) == 1
    assert f"layer of image {BASE.id} is copied" in caplog.messages[0]
    assert await staged(storage, BASE) == []


async def begin_with_docker_registry(storage: Storage, image: Pushed, *, layer: bytes | None) -> None:
    """What 0.9.1 leaves of an upload that broke off."""
    image_id = ImageId(image.id)
    await storage.driver.write(layout.v1_image_json(image_id), image.json)
    await storage.driver.write(layout.v1_image_ancestry(image_id), json.dumps([image.id]).encode())
    await storage.driver.write(layout.v1_image_mark(image_id), b"true")
    if layer is not None:
        await storage.driver.write(layout.v1_image_layer(image_id), layer)


@pytest.mark.parametrize("layer", [None, b"", b"base la"], ids=["no layer", "empty layer", "part of a layer"])
async def test_a_ruin_of_docker_registry_is_mended_by_a_repeated_push(storage: Storage, layer: bytes | None) -> None:
    await begin_with_docker_registry(storage, make_pushed("a", old=True), layer=layer)
    images = images_over(storage)
    assert await images.state(ImageId(BASE.id)) is State.UPLOADING
    await push(images, [BASE])
    await assert_whole(images, BASE)
    assert "_inprogress" not in await storage.driver.list(layout.v1_image(ImageId(BASE.id)))


async def test_a_push_that_began_with_docker_registry_can_go_on_at_the_layer(storage: Storage) -> None:
    await begin_with_docker_registry(storage, BASE, layer=b"part")
    images = images_over(storage)
    await put_layer(images, BASE)
    await put_checksum(images, BASE)
    await assert_whole(images, BASE)


async def test_a_push_over_a_ruin_that_is_killed_anywhere_never_shows_a_mixture(storage: Storage) -> None:
    for steps in range(40):
        old, new = (make_pushed(f"{steps:064x}", layer=b"new layer", of=of) for of in ("old", "new"))
        await begin_with_docker_registry(storage, old, layer=b"old")
        failing = Failing(storage.driver, steps, dies=True)
        try:
            await push(images_over(replace(storage, driver=failing)), [new])
        except Died:
            images = images_over(storage)
            if await images.state(ImageId(new.id)) is not State.COMPLETE:
                assert not await linked_beside_a_mark(storage, new)
                await push(images, [new])
        await assert_whole(images_over(storage), new)
        if not failing.failed:
            break
    else:
        pytest.fail("a push has more changes than were tried")


async def linked_beside_a_mark(storage: Storage, image: Pushed) -> bool:
    """Whether docker-registry could truncate a blob: it truncates a layer beside a mark."""
    entries = await storage.driver.list(layout.v1_image(ImageId(image.id))) if await there(storage, image) else ()
    return (
        "_inprogress" in entries and await storage.driver.read(layout.v1_image_layer(ImageId(image.id))) == image.layer
    )


async def there(storage: Storage, image: Pushed) -> bool:
    try:
        await storage.driver.stat(layout.v1_image(ImageId(image.id)))
    except PathNotFound:
        return False
    return True


async def test_an_image_that_has_lost_its_layer_can_be_given_it_back(storage: Storage) -> None:
    images = images_over(storage)
    await push(images, [BASE])
    await storage.driver.delete(layout.v1_image_layer(ImageId(BASE.id)))
    assert (await images.get(ImageId(BASE.id))).layer_size is None
    with pytest.raises(RegistryError, match="Image not found"):
        await images.open_layer(ImageId(BASE.id))
    await put_layer(images, BASE)
    await put_checksum(images, BASE)
    await assert_whole(images, BASE)


@pytest.mark.parametrize("stored", [None, b"", b"[]", b'["x"]', b"{}", b"\xff"])
async def test_an_ancestry_that_is_damaged_is_told_as_absent(storage: Storage, stored: bytes | None) -> None:
    images = images_over(storage)
    await push(images, [BASE])
    if stored is None:
        await storage.driver.delete(layout.v1_image_ancestry(ImageId(BASE.id)))
    else:
        await storage.driver.write(layout.v1_image_ancestry(ImageId(BASE.id)), stored)
    with pytest.raises(RegistryError, match="Image not found"):
        await images.ancestry(ImageId(BASE.id))
