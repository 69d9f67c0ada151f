"""What pushes have left behind goes when nobody has touched it for long; what is in progress never does."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from typing_extensions import override

from backends.model.digest import Digest
from backends.model.errors import ErrorCode, RegistryError
from backends.model.image_places import ImageCopy
from backends.model.names import ImageId, RepositoryName, UploadId
from backends.registry.abandoned_uploads import AbandonedUploads
from backends.registry.purge_settings import PurgeSettings
from backends.registry.purging import Purger, Source, show_age
from backends.registry.store import Store
from backends.registry.v1.abandoned_images import AbandonedImages
from backends.storage import layout
from backends.storage.capabilities import Room
from backends.storage.driver import PathNotFound, StorageFull
from backends.storage.inmemory import InMemoryDriver
from backends.storage.room import RoomWatch
from backends.storage.storage import Storage
from tests.support.actors import ACTOR
from tests.support.drivers import ForwardingDriver, wrapped
from tests.support.stores import everything, put_image
from tests.support.tenants import Tenant
from tests.support.v1pushes import put_checksum, put_json, put_layer
from tests.support.v1server import make_pushed

Reopen = Callable[[], Storage]
NAME = RepositoryName("team/app")
HOUR, DAY = 3600.0, 86400.0
WEEK = PurgeSettings()
V1 = make_pushed("c" * 64, layer=b"a layer of an old client")


def purger(storage: Storage, settings: PurgeSettings = WEEK) -> Purger:
    return Purger(storage, lambda: [AbandonedUploads(storage), AbandonedImages(storage)], settings)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


async def age(storage: Storage, root: Path, path: str, seconds: float) -> None:
    """Makes all below a path look untouched for so long."""
    then = time.time() - seconds
    if isinstance(storage.driver, InMemoryDriver):
        for name, file in storage.driver._files.items():
            if name.startswith(path):
                file.modified = then
        return
    place = root / path[1:]
    for each in (*place.rglob("*"), place):
        os.utime(each, (then, then))


async def begin(store: Store, *pieces: bytes, name: RepositoryName = NAME) -> UploadId:
    upload = await store.uploads.start(name)
    async with store.uploads.open(name, upload) as session:
        await session.append(chunks(*pieces))
    return upload


async def chunks(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def left(storage: Storage) -> set[str]:
    """The names of uploads, and the ids of staged v1 images, that are there."""
    found = set()
    for path in await everything(storage.driver):
        for mark in ("/_uploads/", "/staging/"):
            if mark in path:
                found.add(path.partition(mark)[2].partition("/")[0])
    return found


async def test_what_was_not_touched_for_a_week_goes_and_nothing_else(
    reopen: Reopen, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    storage = reopen()
    store = Store(storage)
    await put_image(store, NAME, None)
    kept = await everything(storage.driver)
    old, deep, young = (
        await begin(store, b"x" * 5000),
        await begin(store, name=RepositoryName("a/b/c")),
        await begin(store),
    )
    await put_json(store.v1_images, V1)
    await put_layer(store.v1_images, V1)
    other = make_pushed("d" * 64, layer=b"")
    await put_json(store.v1_images, other)
    await age(storage, root, layout.upload(NAME, old), 8 * DAY)
    await age(storage, root, layout.upload(RepositoryName("a/b/c"), deep), 8 * DAY)
    await age(storage, root, layout.upload(NAME, young), 6 * DAY)
    await age(storage, root, layout.v1_staging(ImageId(V1.id)), 8 * DAY)
    await age(storage, root, layout.v1_staging(ImageId(other.id)), 6 * DAY)
    told: list[tuple[str, int]] = []
    with caplog.at_level("INFO", "portside.purging"):
        purging = purger(storage)
        purging._on_purged = lambda kind, size: told.append((kind, size))
        await purging.purge()
    assert await left(storage) == {young, other.id}
    assert set(kept) <= set(await everything(storage.driver))
    assert f"purged v2 upload {NAME} {old} (4.9 KiB, untouched for 8 days)" in caplog.text
    assert f"purged v1 image {V1.id} (" in caplog.text
    assert sorted(kind for kind, _ in told) == ["v1 image", "v2 upload", "v2 upload"]
    assert ("v2 upload", 5000) in told
    with pytest.raises(RegistryError) as caught:
        await store.uploads.size(NAME, old)
    assert caught.value.code is ErrorCode.BLOB_UPLOAD_UNKNOWN


async def test_what_was_begun_for_a_repository_alone_goes_by_its_own_age(
    reopen: Reopen, root: Path, caplog: pytest.LogCaptureFixture
) -> None:
    storage = reopen()
    store = Store(storage, own_images=True)
    old, young = Tenant(store, "old team/app/deep+"), Tenant(store, "team/app")
    for tenant in (old, young):
        await tenant.put_json(V1)
        await tenant.put_layer(V1)
    begun = ImageCopy(old.owner, ImageId(V1.id))
    await age(storage, root, layout.v1_staging(begun), 8 * DAY)
    with caplog.at_level("INFO", "portside.purging"):
        await purger(storage).purge()
    assert f"purged v1 image {V1.id} old team app/deep+ (" in caplog.text
    with pytest.raises(PathNotFound):
        await storage.driver.stat(layout.v1_staging(begun))
    await young.put_checksum(V1)
    assert (await young.get_json(V1))[0] == V1.json


async def test_an_upload_that_goes_on_is_young_again(reopen: Reopen, root: Path) -> None:
    storage = reopen()
    store = Store(storage)
    upload = await begin(store, b"first")
    await age(storage, root, layout.upload(NAME, upload), 8 * DAY)
    async with store.uploads.open(NAME, upload) as session:
        await session.append(chunks(b"second"))
    await purger(storage).purge()
    assert await left(storage) == {upload}


async def test_what_distribution_left_goes_too(reopen: Reopen, root: Path) -> None:
    """It keeps more beside the data, and holds no lock: its age is all that there is."""
    storage = reopen()
    upload = UploadId("0fb4fc50-0d5a-4b2e-a1f5-6fd6bcb3c1c0")
    folder = layout.upload(NAME, upload)
    for path, content in (("data", b"x"), ("startedat", b"2015-01-01T00:00:00Z"), ("hashstates/sha256/1", b"y")):
        await storage.driver.write(f"{folder}/{path}", content)
    await purger(storage).purge()
    assert await left(storage) == {upload}
    await age(storage, root, folder, 8 * DAY)
    await purger(storage).purge()
    assert await left(storage) == set()


async def test_what_is_no_upload_of_anybody_is_left_alone(reopen: Reopen, root: Path) -> None:
    storage = reopen()
    strange = [
        f"{layout.REPOSITORIES}/Not a name/_uploads/0fb4fc50-0d5a-4b2e-a1f5-6fd6bcb3c1c0/data",
        f"{layout.REPOSITORIES}/_uploads/0fb4fc50-0d5a-4b2e-a1f5-6fd6bcb3c1c0/data",
        f"{layout.uploads(NAME)}/backup/data",
        f"{layout.V1_STAGING}/notes/text",
    ]
    for path in strange:
        await storage.driver.write(path, b"x")
        await age(storage, root, path.rpartition("/")[0], 80 * DAY)
    await purger(storage).purge()
    assert set(strange) <= set(await everything(storage.driver))


@pytest.mark.parametrize("emergency", [False, True])
async def test_a_slow_push_is_never_taken(reopen: Reopen, root: Path, *, emergency: bool) -> None:
    """It has sent so little for so long that nothing was written yet: only its lock tells that it is there."""
    storage, elsewhere = reopen(), low_on_room(reopen())
    store = Store(storage)
    upload = await store.uploads.start(NAME)
    goes_on = asyncio.Event()

    async def slow(*pieces: bytes) -> AsyncIterator[bytes]:
        for piece in pieces:
            yield piece
            await goes_on.wait()

    async def push() -> None:
        async with store.uploads.open(NAME, upload) as session:
            await session.append(slow(b"a", b"b"))
            await session.commit(Digest.of(b"ab"), actor=ACTOR)

    await put_json(store.v1_images, V1)
    v1 = asyncio.ensure_future(store.v1_images.put_layer(ImageId(V1.id), slow(V1.layer[:1], V1.layer[1:])))
    v2 = asyncio.ensure_future(push())
    while len([path for path in await everything(storage.driver) if "/staging/" in path]) < 2:  # noqa: ASYNC110
        await asyncio.sleep(0.01)
    for path in (layout.upload(NAME, upload), layout.v1_staging(ImageId(V1.id))):
        await age(storage, root, path, 80 * DAY)
    purging = purger(elsewhere)
    await (purging.make_room() if emergency else purging.purge())
    assert await left(storage) == {upload, V1.id}
    goes_on.set()
    await asyncio.gather(v1, v2)
    await put_checksum(store.v1_images, V1)
    assert (await store.v1_images.get(ImageId(V1.id))).content == V1.json
    assert (await store.open(NAME).open_blob(Digest.of(b"ab"))).size == 2


async def test_who_comes_back_while_it_is_purged_is_not_harmed(reopen: Reopen, root: Path) -> None:
    """Its age is looked at once more under the lock."""
    storage = reopen()
    store = Store(storage)
    upload = await begin(store, b"first")
    await age(storage, root, layout.upload(NAME, upload), 8 * DAY)
    await put_json(store.v1_images, V1)
    await age(storage, root, layout.v1_staging(ImageId(V1.id)), 8 * DAY)
    before = time.time() - 7 * DAY
    sources: list[Source] = [AbandonedUploads(storage), AbandonedImages(storage)]
    found = [(source, each) for source in sources async for each in source.find()]
    assert len(found) == 2
    async with store.uploads.open(NAME, upload) as session:
        await session.append(chunks(b"second"))
    await put_layer(store.v1_images, V1)
    for source, each in found:
        assert each.touched < before
        assert not await source.remove(each, before=before)
    assert await left(storage) == {upload, V1.id}


async def test_what_was_finished_meanwhile_is_no_matter(reopen: Reopen, root: Path) -> None:
    storage = reopen()
    store = Store(storage)
    upload = await begin(store, b"content")
    await put_json(store.v1_images, V1)
    await put_layer(store.v1_images, V1)
    sources: list[Source] = [AbandonedUploads(storage), AbandonedImages(storage)]
    found = [(source, each) for source in sources async for each in source.find()]
    async with store.uploads.open(NAME, upload) as session:
        await session.commit(Digest.of(b"content"), actor=ACTOR)
    await put_checksum(store.v1_images, V1)
    for source, each in found:
        assert not await source.remove(each, before=time.time() + 10)


async def test_a_dry_run_only_tells(reopen: Reopen, root: Path, caplog: pytest.LogCaptureFixture) -> None:
    storage = low_on_room(reopen())
    upload = await begin(Store(reopen()), b"x")
    await age(storage, root, layout.upload(NAME, upload), 8 * DAY)
    purging = purger(storage, PurgeSettings(dry_run=True))
    with caplog.at_level("INFO", "portside.purging"):
        await purging.purge()
        await purging.make_room()
    assert await left(storage) == {upload}
    assert caplog.text.count(f"would purge v2 upload {NAME} {upload}") == 2


# who does it, and when


async def test_it_is_done_once_an_interval_whoever_asks(reopen: Reopen, root: Path) -> None:
    storage, elsewhere = reopen(), reopen()
    store = Store(storage)
    for _ in range(3):  # at first nobody has ever done it
        upload = await begin(store)
        await age(storage, root, layout.upload(NAME, upload), 8 * DAY)
        await asyncio.gather(*(purger(each).tick() for each in (storage, elsewhere) for _ in range(3)))
        assert await left(storage) == set()
        upload = await begin(store)
        await age(storage, root, layout.upload(NAME, upload), 8 * DAY)
        for each in (storage, elsewhere):
            await purger(each).tick()
        assert await left(storage) == {upload}
        await age(storage, root, layout.PURGED, 25 * HOUR)


async def test_a_clock_that_was_set_back_does_not_end_it(reopen: Reopen, root: Path) -> None:
    storage = reopen()
    await purger(storage).tick()
    await age(storage, root, layout.PURGED, -10 * DAY)
    upload = await begin(Store(storage))
    await age(storage, root, layout.upload(NAME, upload), 8 * DAY)
    await purger(storage).tick()
    assert await left(storage) == set()


async def test_who_finds_that_another_was_quicker_does_nothing(reopen: Reopen, root: Path) -> None:
    """Both saw that it was due; the second one comes to it when the first one is done."""
    storage = reopen()
    await purger(reopen()).tick()
    upload = await begin(Store(storage))
    await age(storage, root, layout.upload(NAME, upload), 8 * DAY)
    second = purger(storage)
    await second._exclusively(second._purge_if_due)
    assert await left(storage) == {upload}


async def test_while_one_is_at_it_no_other_is(reopen: Reopen, root: Path) -> None:
    storage = reopen()
    upload = await begin(Store(storage))
    await age(storage, root, layout.upload(NAME, upload), 8 * DAY)
    async with AsyncExitStack() as held:
        await held.enter_async_context(reopen().locks.hold(layout.PURGER_LOCK))
        await purger(storage).tick()
        assert await left(storage) == {upload}
    await purger(storage).tick()
    assert await left(storage) == set()


# when room is low


class Volume:
    """Has so many bytes, of which a store's uploads take some; without a size it is full whatever is taken away."""

    def __init__(self, storage: Storage, total: int) -> None:
        self._storage = storage
        self._total = total

    async def measure_room(self) -> Sequence[Room]:
        used = 0
        if not self._total:
            return [Room(0, 10**9, 10**9, 10**9)]
        for path in await everything(self._storage.driver):
            if "/_uploads/" in path or "/staging/" in path:
                used += (await self._storage.driver.stat(path)).size
        return [Room(max(0, self._total - used), self._total, 10**9, 10**9)]


def low_on_room(storage: Storage, total: int = 0) -> Storage:
    """The storage on a volume of this size."""
    return Storage(storage.driver, storage.locks, RoomWatch(Volume(storage, total)))


async def test_the_oldest_goes_first_until_there_is_room_and_nothing_of_the_last_hour(
    reopen: Reopen, root: Path
) -> None:
    storage = low_on_room(reopen(), total=100_000)  # 5 000 must be left, 5 500 end it
    store = Store(reopen())
    ages = (2, 9, 5, 30, 0.5, 12)
    uploads = {hours: await begin(store, bytes(20_000)) for hours in ages}
    for hours, upload in uploads.items():
        await age(storage, root, layout.upload(NAME, upload), hours * HOUR)
    await storage.room.measure()
    assert storage.room.is_low
    await purger(storage).tick()
    assert not storage.room.is_low
    assert await left(storage) == {uploads[hours] for hours in (2, 9, 5, 0.5)}


async def test_v1_and_v2_are_one_line_when_room_is_low(reopen: Reopen, root: Path) -> None:
    storage = low_on_room(reopen(), total=0)
    store = Store(reopen())
    uploads = [await begin(store, bytes(10)) for _ in range(2)]
    await put_json(store.v1_images, V1)
    order = [layout.upload(NAME, uploads[0]), layout.v1_staging(ImageId(V1.id)), layout.upload(NAME, uploads[1])]
    for place, path in enumerate(order):
        await age(storage, root, path, (10 - place) * HOUR)
    gone: list[str] = []
    purging = purger(storage)
    purging._on_purged = lambda kind, _: gone.append(kind)
    await storage.room.measure()
    await purging.tick()
    assert gone == ["v2 upload", "v1 image", "v2 upload"]


async def test_when_nothing_more_can_go_it_is_not_looked_through_all_the_time(reopen: Reopen, root: Path) -> None:
    storage = low_on_room(reopen(), total=0)
    purging = purger(storage)
    await storage.room.measure()
    await purging.tick()
    upload = await begin(Store(reopen()))
    await age(storage, root, layout.upload(NAME, upload), 2 * HOUR)
    for each in (purging, purger(low_on_room(reopen()))):
        await each._storage.room.measure()
        await each.tick()
    assert await left(storage) == {upload}
    await age(storage, root, layout.ROOM_SOUGHT, 301)
    await purging.tick()
    assert await left(storage) == set()


class Full(ForwardingDriver):
    """A disk on which nothing can be written any more."""

    @override
    async def write(self, path: str, content: bytes, *, durable: bool = True) -> None:
        raise StorageFull("no room")


async def test_where_it_cannot_be_noted_it_is_not_done_all_the_time_either(reopen: Reopen, root: Path) -> None:
    storage, _ = wrapped(low_on_room(reopen(), total=0), Full)
    purging = purger(storage)
    await storage.room.measure()
    await purging.tick()
    upload = await begin(Store(reopen()))
    await age(reopen(), root, layout.upload(NAME, upload), 8 * DAY)
    await purging.tick()
    assert await left(storage) == {upload}
    purging._noted.clear()
    await purging.tick()
    assert await left(storage) == set()


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(5, "5 seconds"), (119, "119 seconds"), (120, "2 minutes"), (7100, "118 minutes"), (2 * HOUR, "2 hours"),
     (8 * DAY, "8 days")],
)  # fmt: skip
def test_ages_are_told_as_people_say_them(seconds: float, text: str) -> None:
    assert show_age(seconds) == text


async def test_temporary_files_of_killed_processes_go_with_it(tmp_path: Path, reopen: Reopen, root: Path) -> None:
    storage, told = reopen(), []
    if isinstance(storage.driver, InMemoryDriver):
        await purger(storage).purge()  # it has none
        return
    await storage.driver.write("/some", b"")
    tmp = root / layout.TEMPORARY[1:]
    (tmp / ".old.tmp").write_bytes(b"12345")
    (tmp / ".young.tmp").write_bytes(b"x")
    os.utime(tmp / ".old.tmp", (0, 0))
    dry = purger(storage, PurgeSettings(dry_run=True))
    await dry.purge()
    assert len(list(tmp.iterdir())) == 2
    purging = purger(storage)
    purging._on_purged = lambda kind, size: told.append((kind, size))
    await purging.purge()
    assert [path.name for path in tmp.iterdir()] == [".young.tmp"]
    assert told == [("temporary file", 5)]
