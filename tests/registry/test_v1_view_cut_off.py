"""The v1 view, cut off at each step by a kill or a full disk, and in several processes at once."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial

import pytest

from backends.model.errors import RegistryError
from backends.model.names import ImageId, RepositoryName, TagName, is_image_id
from backends.model.targets import V1Target
from backends.model.v1images import parse_image_json
from backends.model.v1names import V1Name, parse_v1_name
from backends.registry.no_room import exists
from backends.registry.store import Store
from backends.registry.v1_view.viewer import Viewer
from backends.storage import layout
from backends.storage.driver import PathNotFound, StorageFull
from backends.storage.storage import Storage
from tests.support.actors import ACTOR
from tests.support.drivers import Died, Failing, wrapped
from tests.support.formats import digest_of, example, inflated
from tests.support.layers import Compression, pack
from tests.support.pushed_examples import ZSTD, Layer, config_of, expected_v1, gzip_layer, push_example, push_image
from tests.support.schema1_pushes import push_schema1
from tests.support.stores import everything
from tests.support.v1pushes import put_checksum, put_layer
from tests.support.v1server import make_pushed

Reopen = Callable[[], Storage]
NAME, OTHER = RepositoryName("team/app"), RepositoryName("other/app")
V1_NAME, V1_OTHER = parse_v1_name(NAME), parse_v1_name(OTHER)
VIEWER = Viewer(patience=None)
EMPTY = example("empty-layer/empty.tar.gz")
BASE = make_pushed("a", layer=EMPTY)
TOP = make_pushed("b", parent=BASE.id, layer=EMPTY)
MANY = 300

Chain = Sequence[tuple[str, bytes, bytes]]


async def push_kind(store: Store, kind: str) -> None:
    """Pushes an image that v1 sees as two or three images."""
    if kind == "schema 1":
        await push_schema1(store, NAME, "1.0", [BASE, TOP])
    elif kind == "schema 1 with others' ids":
        await push_schema1(store, OTHER, "1.0", [make_pushed("a", layer=EMPTY, comment="theirs")])
        await pull(store, V1_OTHER)
        await push_schema1(store, NAME, "1.0", [BASE, TOP])
    else:
        layers = [
            gzip_layer(b"a layer".ljust(512, b"\0")),
            Layer(pack(b"zstd", Compression.ZSTD), digest_of(b"zstd"), ZSTD),
        ]
        steps = [{"created_by": "one"}, {"created_by": "none", "empty_layer": True}, {"created_by": "two"}]
        await push_image(store, NAME, "1.0", layers, config=config_of(layers, history=steps))


KINDS = ["OCI", "schema 1", "schema 1 with others' ids"]


async def pull(store: Store, name: V1Name = V1_NAME) -> Chain:
    """Pulls as Docker 1.0 to 1.5 do, base first."""
    tags = await store.v1_view.repositories.tags(name, VIEWER)
    ids = await store.v1_view.images.ancestry(ImageId(tags["1.0"]), VIEWER)
    chain: list[tuple[str, bytes, bytes]] = []
    for image_id in reversed(ids):
        image = await store.v1_view.images.get(image_id, VIEWER)
        reader = await store.v1_view.images.open_layer(image_id, VIEWER)
        try:
            layer = b"".join([bytes(chunk) async for chunk in reader.chunks(0, reader.size)])
        finally:
            reader.close()
        assert image.layer_size == len(layer)
        document = json.loads(image.content)
        assert document["id"] == image_id
        assert document.get("parent") == (chain[-1][0] if chain else None)
        chain.append((image_id, image.content, inflated(layer)[1]))
    return chain


async def put_tag(store: Store, top: str) -> None:
    """Pushes the image to another repository: nothing but its tag is sent."""
    await store.v1_view.repositories.put_tag(V1_OTHER, "2.0", ImageId(top), viewer=VIEWER, actor=ACTOR, now=1)


async def push_child(store: Store, top: str) -> None:
    """Pushes a child of the image to another repository."""
    child = make_pushed("c", parent=top, layer=EMPTY)
    await store.v1_view.images.put_json(parse_image_json(child.json, ImageId(child.id)), actor=ACTOR)
    await put_layer(store.v1_images, child)
    await put_checksum(store.v1_images, child)
    await put_tag(store, child.id)


CHANGES: dict[str, Callable[[Store, str], Awaitable[None]]] = {"a tag": put_tag, "a child": push_child}


async def require_whole(storage: Storage) -> None:
    """Every ordinary image has all its files and ancestors, and every tag a whole image."""
    driver = storage.driver
    names = await driver.list(layout.V1_IMAGES) if await exists(driver, layout.V1_IMAGES) else ()
    for name in names:
        assert is_image_id(name)
        if not await exists(driver, layout.v1_image_json(ImageId(name))):
            continue
        ancestry = json.loads(await driver.read(layout.v1_image_ancestry(ImageId(name))))
        assert ancestry[0] == name
        for ancestor in ancestry:
            folder = layout.v1_image(ImageId(ancestor))
            assert [*await driver.list(folder)] == ["_checksum", "ancestry", "json", "layer"]
    with suppress(PathNotFound):
        tag = (await driver.read(layout.v1_tag(V1_OTHER.namespace, V1_OTHER.stored, "2.0"))).decode()
        assert await exists(driver, layout.v1_image_json(ImageId(tag)))


@pytest.mark.parametrize("kind", KINDS)
async def test_a_pull_that_is_killed_at_any_step_is_whole_the_next_time(reopen: Reopen, kind: str) -> None:
    first = Store(reopen())
    await push_kind(first, kind)
    expected = await pull(first)
    ran_through = False
    for step in range(MANY):
        for folder in (f"{layout.DERIVED}/v1/images", f"{layout.DERIVED}/v1/sources", layout.derived(NAME)):
            with suppress(PathNotFound):
                await first.storage.driver.delete(folder)
        if kind == "schema 1":
            await first.storage.driver.delete(f"{layout.DERIVED}/v1/claims")
        dying, driver = wrapped(reopen(), partial(Failing, steps=step, dies=True))
        with suppress(Died):
            assert await pull(Store(dying)) == expected
            ran_through = True
        fresh = Store(reopen())
        assert await pull(fresh) == expected
        await fresh.close()
        if ran_through and not driver.failed:
            break
    assert ran_through
    await first.close()


@pytest.mark.parametrize("kind", ["OCI", "schema 1"])
@pytest.mark.parametrize("what", CHANGES)
async def test_a_push_that_is_killed_at_any_step_leaves_whole_images(reopen: Reopen, kind: str, what: str) -> None:
    first = Store(reopen())
    await push_kind(first, kind)
    expected = await pull(first)
    top = expected[-1][0]
    for step in range(MANY):
        for folder in (layout.V1_IMAGES, layout.V1_REPOSITORIES, layout.V1_STAGING):
            with suppress(PathNotFound):
                await first.storage.driver.delete(folder)
        dying, driver = wrapped(reopen(), partial(Failing, steps=step, dies=True))
        with suppress(Died):
            await CHANGES[what](Store(dying), top)
        await require_whole(first.storage)
        fresh = Store(reopen())
        assert await pull(fresh) == expected
        with suppress(RegistryError):  # an image that is there already is not pushed again
            await CHANGES[what](fresh, top)
        await put_tag(fresh, "c" * 64 if what == "a child" else top)
        await require_whole(first.storage)
        named = await fresh.tags.target(OTHER, TagName("2.0"))
        assert named == V1Target(ImageId("c" * 64 if what == "a child" else top))
        await fresh.close()
        if not driver.failed:
            break
    else:
        raise AssertionError("it has more steps than that")
    await first.close()


@pytest.mark.parametrize("kind", ["OCI", "schema 1"])
async def test_a_push_that_finds_no_room_leaves_whole_images(reopen: Reopen, kind: str) -> None:
    first = Store(reopen())
    await push_kind(first, kind)
    expected = await pull(first)
    top = expected[-1][0]
    for step in range(MANY):
        full, driver = wrapped(reopen(), partial(Failing, steps=step, dies=False))
        store = Store(full)
        if driver.failed:
            break
        with suppress(StorageFull):
            await put_tag(store, top)
        await store.close()
        await require_whole(first.storage)
        files = [path for path in await everything(first.storage.driver, layout.V1_IMAGES) if path != layout.V1_IMAGES]
        assert len(files) % 4 == 0  # of no image is only a part there
        if not driver.failed:
            break
        with suppress(PathNotFound):
            await first.storage.driver.delete(layout.V1_IMAGES)
    await first.close()


async def test_a_full_disk_hides_only_what_cannot_be_kept(reopen: Reopen) -> None:
    first = Store(reopen())
    await push_example(first, NAME, "1.0", "schema2-image")
    await pull(first)
    await push_example(first, NAME, "2.0", "oci-image")
    full, _ = wrapped(reopen(), partial(Failing, steps=0, dies=False))
    store = Store(full)
    top = expected_v1("schema2-image")[-1].image_id
    assert await store.v1_view.repositories.tags(V1_NAME, VIEWER) == {"1.0": top}
    assert await pull(store) == await pull(first)
    for each in (store, first):
        await each.close()


async def test_processes_that_make_the_same_images_at_once_make_them_once(reopen: Reopen) -> None:
    first = Store(reopen())
    for kind in ("schema2-image", "oci-zstd-image"):
        await push_example(first, NAME, "1.0", kind)
    processes = [Store(reopen()) for _ in range(4)]
    chains = await asyncio.gather(*(pull(process) for process in processes for _ in range(3)))
    assert {json.dumps([image_id for image_id, _, _ in chain]) for chain in chains} == {
        json.dumps([image.image_id for image in expected_v1("oci-zstd-image")])
    }
    await asyncio.gather(*(put_tag(process, chains[0][-1][0]) for process in processes))
    await require_whole(first.storage)
    for process in (first, *processes):
        await process.close()


async def test_of_manifests_that_claim_an_id_at_once_one_gets_it(reopen: Reopen) -> None:
    first = Store(reopen())
    names = [RepositoryName(f"team/app{number}") for number in range(4)]
    for name in names:
        await push_schema1(first, name, "1.0", [make_pushed("a", layer=EMPTY, comment=name)])
    processes = [Store(reopen()) for _ in names]
    chains = await asyncio.gather(
        *(pull(process, parse_v1_name(name)) for process, name in zip(processes, names, strict=True))
    )
    assert [image_id for ((image_id, _, _),) in chains].count("a" * 64) == 1
    for name, chain in zip(names, chains, strict=True):
        assert json.loads(chain[0][1])["comment"] == name
        assert await pull(first, parse_v1_name(name)) == chain
    for process in (first, *processes):
        await process.close()
