"""What a service tells: once it is durable, before its caller goes on, in the order of the changes, or not at all."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from pathlib import Path

import pytest
from typing_extensions import override

from backends.model.digest import Digest
from backends.model.errors import RegistryError
from backends.model.events import Event
from backends.model.manifests import parse_manifest
from backends.model.names import ImageId, RepositoryName, TagName
from backends.model.v1names import parse_v1_name
from backends.registry.events import TOLD_AT_ONCE
from backends.registry.store import Store
from backends.storage import layout
from backends.storage.driver import PathNotFound, StorageError, StorageFull
from backends.storage.factory import open_folder, open_memory
from backends.storage.storage import Storage
from tests.support.actors import ACTOR
from tests.support.kept_events import KeptEvents, SlowEvents, UnwantedEvents
from tests.support.serving_here import make_manifest
from tests.support.stores import CONFIG, LAYER, put_blob, put_image
from tests.support.v1pushes import push
from tests.support.v1server import make_pushed

Reopen = Callable[[], Storage]

NAME, OTHER, TAG = RepositoryName("app"), RepositoryName("team/other"), TagName("1")
V1_NAME = parse_v1_name("app")
BASE = make_pushed("a", layer=b"base")
TOP = make_pushed("b", parent=BASE.id, layer=b"a top")
TOP_LAYER = Digest.of(TOP.layer)
MANIFEST = make_manifest(CONFIG, LAYER)
DIGEST, BLOB = Digest.of(MANIFEST), Digest.of(LAYER)


@pytest.fixture
def events() -> KeptEvents:
    return KeptEvents()


@pytest.fixture
def store(reopen: Reopen, events: KeptEvents) -> Store:
    return Store(reopen(), events=events)


def put(store: Store, tag: TagName | None, **more: Sequence[TagName]) -> Awaitable[None]:
    return store.open(NAME).put_manifest(parse_manifest(MANIFEST, ""), DIGEST, tag, actor=ACTOR, **more)


async def put_blobs(store: Store, name: RepositoryName = NAME) -> None:
    for content in (CONFIG, LAYER):
        await put_blob(store, name, content)


def put_v1_tag(store: Store, tag: str = "1") -> Awaitable[None]:
    return store.v1_repositories.put_tag(V1_NAME, tag, ImageId(TOP.id), actor=ACTOR, now=1)


async def cancel(task: asyncio.Task[object]) -> None:
    task.cancel()
    with suppress(asyncio.CancelledError):
        await task


# what is told


async def test_a_push_of_an_image_tells_each_blob_and_the_manifest_with_its_tag(
    store: Store, events: KeptEvents
) -> None:
    await put_image(store, NAME, TAG)
    assert events.told == [f"push app {Digest.of(CONFIG)}", f"push app {BLOB}", f"push app:1 {DIGEST}"]


async def test_a_push_with_several_tags_tells_each(store: Store, events: KeptEvents) -> None:
    await put_blobs(store)
    events.take()
    await put(store, TagName("a"), more_tags=[TagName("b"), TagName("c")])
    assert events.told == [f"push app:{tag} {DIGEST}" for tag in "abc"]


async def test_a_push_without_a_tag_tells_the_manifest(store: Store, events: KeptEvents) -> None:
    await put_blobs(store)
    events.take()
    await put(store, None)
    assert events.told == [f"push app {DIGEST}"]


async def test_a_mount_tells_from_where_whether_that_was_named_or_found(store: Store, events: KeptEvents) -> None:
    await put_blob(store, NAME, LAYER)
    events.take()
    assert await store.open(OTHER).mount(BLOB, NAME, actor=ACTOR)
    assert await store.open(RepositoryName("third")).mount_from_any(BLOB, actor=ACTOR)
    first, second = events.take()
    assert (first.target.repository, first.target.from_repository, first.target.size) == (OTHER, NAME, len(LAYER))
    assert (second.target.repository, second.target.from_repository) == ("third", OTHER)
    assert not await store.open(NAME).mount(Digest.of(b"nowhere"), OTHER, actor=ACTOR)
    assert events.told == []


async def test_a_deletion_tells_what_is_gone_and_a_manifests_tags_before_it(store: Store, events: KeptEvents) -> None:
    await put_image(store, NAME, TAG)
    await put(store, TagName("2"))
    await put(store, TagName("3"))
    events.take()
    await store.open(NAME).delete_tag(TagName("3"), actor=ACTOR)
    await store.open(NAME).delete_manifest(DIGEST, actor=ACTOR)
    await store.open(NAME).delete_blob(BLOB, actor=ACTOR)
    assert events.told == [
        "delete app:3",
        "delete app:1",
        "delete app:2",
        f"delete app {DIGEST}",
        f"delete app {BLOB}",
    ]


async def test_what_does_not_happen_is_not_told(store: Store, events: KeptEvents) -> None:
    repository = store.open(NAME)
    attempts: list[Awaitable[object]] = [
        repository.delete_tag(TAG, actor=ACTOR),
        repository.delete_manifest(DIGEST, actor=ACTOR),
        repository.delete_blob(BLOB, actor=ACTOR),
        put(store, TAG),
        put_v1_tag(store),
        store.v1_repositories.delete_tag(V1_NAME, "1", actor=ACTOR),
        store.deletions.delete(V1_NAME.canonical, actor=ACTOR),
    ]
    for attempt in attempts:
        with pytest.raises(RegistryError):
            await attempt
    assert events.told == []


# v1


async def test_a_v1_push_tells_each_layer_as_a_blob_and_the_tag_with_the_top_one(
    store: Store, events: KeptEvents
) -> None:
    await push(store.v1_images, [BASE, TOP])
    base, top = events.take()
    assert (base.target.digest, base.target.size, base.target.image_id) == (Digest.of(b"base"), 4, BASE.id)
    assert (top.target.digest, top.target.repository, top.target.v1) == (TOP_LAYER, "", True)
    await put_v1_tag(store)
    (tag,) = events.take()
    assert (tag.target.digest, tag.target.size, tag.target.image_id) == (TOP_LAYER, 5, TOP.id)
    assert (tag.target.repository, tag.target.tag, tag.target.v1) == ("app", "1", True)


async def test_the_layer_of_an_image_that_was_here_before_is_hashed_once(
    reopen: Reopen, caplog: pytest.LogCaptureFixture
) -> None:
    await push(Store(reopen()).v1_images, [BASE, TOP])
    await reopen().driver.delete(layout.INDEX)  # as docker-registry leaves a volume, which notes nothing
    storage, events = reopen(), KeptEvents()
    store = Store(storage, events=events)
    assert await store.v1_images.known_layer_blob(ImageId(TOP.id)) is None
    await put_v1_tag(store)
    (tag,) = events.take()
    assert (tag.target.digest, tag.target.size) == (TOP_LAYER, 5)
    known = await store.v1_images.known_layer_blob(ImageId(TOP.id))
    assert known is not None
    assert (known.digest, known.size) == (TOP_LAYER, 5)
    note = layout.v1_layer_blob(TOP.payload.removeprefix("sha256:"))
    for damaged in (b"", b"sha256:00 3", f"{TOP_LAYER} many".encode(), b"\xff", f"{TOP_LAYER}".encode(),
                    f"{TOP_LAYER} 1".encode(), f"{TOP_LAYER} 5".encode()[:-1]):  # fmt: skip
        await storage.driver.write(note, damaged)
        await put_v1_tag(store)
        (tag,) = events.take()
        assert (tag.target.digest, tag.target.size) == (TOP_LAYER, 5)


async def test_a_v1_deletion_tells_each_tag_and_the_repository_once_all_of_it_is_gone(
    store: Store, events: KeptEvents
) -> None:
    await push(store.v1_images, [BASE, TOP])
    for tag in "132":
        await put_v1_tag(store, tag)
    events.take()
    await store.v1_repositories.delete_tag(V1_NAME, "3", actor=ACTOR)
    await store.deletions.delete(V1_NAME.canonical, actor=ACTOR)
    assert events.told == ["delete app:3", "delete app:1", "delete app:2", "delete app"]
    assert all(event.target.v1 for event in events.take())
    await put_v1_tag(store)
    await put_image(store, NAME, TAG)
    events.take()
    await store.deletions.delete(V1_NAME.canonical, actor=ACTOR)
    assert events.told == ["delete app:1", f"delete app {DIGEST}", "delete app"]


async def test_a_tag_that_both_have_written_is_told_once_when_it_goes(store: Store, events: KeptEvents) -> None:
    await push(store.v1_images, [BASE, TOP])
    for tag in "123":
        await put_v1_tag(store, tag)
    for tag in "1234":
        await put(store, TagName(tag)) if tag != "1" else await put_image(store, NAME, TAG)
    await put_v1_tag(store, "2")
    events.take()
    await store.open(NAME).delete_tag(TagName("1"), actor=ACTOR)
    await store.v1_repositories.delete_tag(V1_NAME, "3", actor=ACTOR)
    assert events.told == ["delete app:1", "delete app:3"]
    await store.deletions.delete("app", actor=ACTOR)
    assert events.told[2:] == ["delete app:4", f"delete app {DIGEST}", "delete app:2", "delete app"]


async def test_a_v1_repository_whose_name_v2_cannot_hold_is_told_by_its_own(store: Store, events: KeptEvents) -> None:
    odd = parse_v1_name("Team/..")
    await store.storage.driver.write(layout.v1_tag(odd.namespace, odd.stored, "1"), TOP.id.encode())
    await store.deletions.delete(odd.canonical, actor=ACTOR)
    assert events.told == ["delete Team/..:1", "delete Team/.."]


async def test_where_v1_has_a_root_of_its_own_its_layers_are_noted_and_hashed_there(tmp_path: Path) -> None:
    roots = open_folder(tmp_path / "v2"), open_folder(tmp_path / "v1")
    await push(Store(roots[0], v1_storage=roots[1]).v1_images, [BASE, TOP])
    events = KeptEvents()
    store = Store(roots[0], v1_storage=roots[1], events=events)
    await put_v1_tag(store)
    assert events.told == [f"push app:1 {TOP_LAYER}"]
    note = layout.v1_layer_blob(TOP.payload.removeprefix("sha256:"))
    assert await roots[1].driver.read(note) == f"{TOP_LAYER} {len(TOP.layer)}".encode()
    with pytest.raises(PathNotFound):
        await roots[0].driver.stat(note)
    for root in roots:
        await root.close()


async def test_very_many_things_are_told_in_their_order_and_not_all_at_once() -> None:
    class Sized(KeptEvents):
        def __init__(self) -> None:
            super().__init__()
            self.sizes: list[int] = []

        @override
        async def record(self, events: Sequence[Event], /) -> None:
            self.sizes.append(len(events))
            await super().record(events)

    events = Sized()
    store = Store(open_memory(), events=events)
    tags = [f"t{number:04}" for number in range(2 * TOLD_AT_ONCE + 1)]
    for tag in tags:
        await store.storage.driver.write(layout.v1_tag(V1_NAME.namespace, V1_NAME.stored, tag), TOP.id.encode())
    await store.deletions.delete(V1_NAME.canonical, actor=ACTOR)
    assert events.told == [*[f"delete app:{tag}" for tag in tags], "delete app"]
    assert events.sizes == [TOLD_AT_ONCE, TOLD_AT_ONCE, 2]


# a caller that leaves


async def test_what_has_become_durable_is_told_though_its_caller_leaves(reopen: Reopen) -> None:
    events = SlowEvents()
    store = Store(reopen(), events=events)
    task = asyncio.create_task(put_blob(store, NAME, LAYER))
    await events.begun.wait()
    task.cancel()
    await asyncio.sleep(0.01)
    assert not task.done()  # the lock is held until it is told
    events.may_end.set()
    with suppress(asyncio.CancelledError):
        await task
    assert events.told == [f"push app {BLOB}"]


async def test_a_manifest_that_stays_without_its_tag_is_told_without_it(
    reopen: Reopen, store: Store, events: KeptEvents
) -> None:
    await put_blobs(store)
    events.take()
    async with reopen().locks.hold(layout.tag_lock(NAME, TAG)):
        task = asyncio.ensure_future(put(store, TAG))
        await asyncio.sleep(0.2)
        assert await store.open(NAME).has_manifest(DIGEST)
        await cancel(task)
    assert events.told == [f"push app {DIGEST}"]


async def test_wherever_a_caller_leaves_what_it_did_is_told_and_nothing_else(reopen: Reopen) -> None:
    told, unhappened = 0, 0
    for turn in range(60):
        events = KeptEvents()
        store = Store(reopen(), events=events)
        name = RepositoryName(f"app{turn}")
        await put_blobs(store, name)
        events.take()
        task = asyncio.create_task(
            store.open(name).put_manifest(parse_manifest(MANIFEST, ""), DIGEST, TAG, actor=ACTOR)
        )
        if turn % 2:
            await asyncio.sleep(turn * 0.0002)
        else:  # in memory all is done in a few turns of the loop
            for _ in range(turn // 2):
                await asyncio.sleep(0)
        await cancel(task)
        has_tag = await store.tags.is_set(name, TAG, DIGEST)
        has_manifest = await store.open(name).has_manifest(DIGEST)
        expected = f"push {name}:1 {DIGEST}" if has_tag else f"push {name} {DIGEST}"
        assert events.told == ([expected] if has_manifest else []), turn
        told, unhappened = told + has_manifest, unhappened + (not has_manifest)
    assert told
    assert unhappened


# no room for an event


async def test_a_change_that_cannot_be_told_has_happened_and_is_told_when_it_is_repeated(
    store: Store, events: KeptEvents
) -> None:
    await put_blobs(store)
    await push(store.v1_images, [BASE, TOP])
    events.take()
    repository = store.open(NAME)
    attempts: list[Callable[[], Awaitable[object]]] = [
        lambda: put_blob(store, NAME, b"another"),
        lambda: put(store, TAG),
        lambda: store.open(OTHER).mount(BLOB, NAME, actor=ACTOR),
        lambda: put_v1_tag(store),
    ]
    for attempt in attempts:
        events.is_full = True
        with pytest.raises(StorageFull):
            await attempt()
        assert events.told == []
        events.is_full = False
        await attempt()
        assert len(events.take()) == 1
    events.is_full = True
    for tag in ("2", "3"):
        with pytest.raises(StorageFull):
            await put(store, TagName(tag))
    assert list(await repository.tags()) == ["1", "2", "3"]
    assert await store.open(OTHER).has_blob(BLOB)
    assert await repository.has_blob(Digest.of(b"another"))
    assert (await store.v1_repositories.tags(V1_NAME)) == {"1": TOP.id}


async def test_a_deletion_that_cannot_be_told_has_happened(store: Store, events: KeptEvents) -> None:
    await put_image(store, NAME, TAG)
    await put(store, TagName("2"))
    repository = store.open(NAME)
    events.take()
    events.is_full = True
    with pytest.raises(StorageFull):
        await repository.delete_tag(TAG, actor=ACTOR)
    with pytest.raises(RegistryError):
        await repository.delete_tag(TAG, actor=ACTOR)
    with pytest.raises(StorageFull):
        await repository.delete_manifest(DIGEST, actor=ACTOR)
    assert list(await repository.tags()) == []
    assert await repository.has_manifest(DIGEST)  # its last tag could not be told, so it was not come to
    events.is_full = False
    await repository.delete_manifest(DIGEST, actor=ACTOR)
    assert events.told == [f"delete app {DIGEST}"]


async def test_a_manifest_by_digest_that_cannot_be_told_is_taken_back(store: Store, events: KeptEvents) -> None:
    await put_blobs(store)
    events.is_full = True
    with pytest.raises(StorageFull):
        await put(store, None)
    assert not await store.open(NAME).has_manifest(DIGEST)


async def test_files_of_events_that_are_gone_are_not_taken_for_what_is_deleted(reopen: Reopen) -> None:
    class Gone(KeptEvents):
        @override
        async def record(self, events: Sequence[Event], /) -> None:
            raise PathNotFound("/the/log")

    quiet = Store(reopen())
    await put_image(quiet, NAME, TAG)
    store = Store(reopen(), events=Gone())
    with pytest.raises(StorageError, match="cannot be told: /the/log"):
        await store.open(NAME).delete_blob(BLOB, actor=ACTOR)


# order


async def test_events_about_a_tag_have_the_order_in_which_it_changed(reopen: Reopen) -> None:
    """Two processes move and delete one tag; the last that is told of it is what it is."""

    class Lagging(KeptEvents):
        """Several processes' way to one log, which is now and then a little longer."""

        def __init__(self, log: list[Event], lag: float) -> None:
            super().__init__()
            self.events = log
            self.lag = lag

        @override
        async def record(self, events: Sequence[Event], /) -> None:
            await asyncio.sleep(self.lag)
            self.events += events

    log: list[Event] = []
    stores = [Store(reopen(), events=Lagging(log, lag)) for lag in (0.003, 0.0)]
    manifests = [make_manifest(CONFIG, LAYER, annotations={"n": str(number)}) for number in range(2)]
    await put_blobs(stores[0])
    for turn in range(15):
        pushes = [
            store.open(NAME).put_manifest(parse_manifest(manifest, ""), Digest.of(manifest), TAG, actor=ACTOR)
            for store, manifest in zip(stores, manifests, strict=True)
        ]
        await asyncio.gather(*(pushes if turn % 2 else reversed(pushes)))
        last = log[-1].target
        assert last.digest == await stores[0].tags.resolve(NAME, TAG), turn
        both = await asyncio.gather(
            stores[turn % 2].open(NAME).delete_tag(TAG, actor=ACTOR),
            stores[1 - turn % 2].tags.move(NAME, TAG, Digest.of(manifests[0]), actor=ACTOR, telling=None),
            return_exceptions=True,
        )
        assert [each for each in both if each is not None] == []


async def test_where_nobody_wants_events_none_is_made(reopen: Reopen, caplog: pytest.LogCaptureFixture) -> None:
    store = Store(reopen(), events=UnwantedEvents())
    with caplog.at_level(logging.DEBUG, "portside.registry"):
        await put_image(store, NAME, TAG)
        await push(store.v1_images, [BASE, TOP])
        await put_v1_tag(store)
        await store.open(OTHER).mount(BLOB, NAME, actor=ACTOR)
        await store.open(NAME).delete_manifest(DIGEST, actor=ACTOR)
        await store.deletions.delete(V1_NAME.canonical, actor=ACTOR)
    assert len(caplog.messages) >= 8
