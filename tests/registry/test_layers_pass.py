"""The layers of an old volume are read once, in the background, by one process: what tags reach, the newest first."""

from __future__ import annotations

import asyncio
import gzip
import json
import logging
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest
from typing_extensions import override

from backends.model.digest import Digest
from backends.model.errors import RegistryError
from backends.model.manifests import parse_manifest
from backends.model.names import ImageId, RepositoryName, TagName
from backends.registry import layers_pass, schedule
from backends.registry.layers import flights
from backends.registry.layers.layers import Layers
from backends.registry.layers_pass import LayersPass
from backends.registry.layers_reader import LayersReader
from backends.registry.store import Store
from backends.storage import layout
from backends.storage.driver import PathNotFound, Reader, StorageDriver, StorageError
from backends.storage.factory import open_folder
from backends.storage.storage import Storage
from tests.support import schema1
from tests.support.actors import ACTOR
from tests.support.drivers import ForwardingDriver, wrapped
from tests.support.layer_counts import Counted
from tests.support.stores import put_blob, put_image

NAME = RepositoryName("old/app")


@pytest.fixture
def counted() -> Counted:
    return Counted()


@pytest.fixture
async def process(reopen: Callable[[], Storage], counted: Counted) -> AsyncIterator[Callable[[], Store]]:
    """Each call is a process of its own over the same place."""
    made: list[Store] = []

    def start() -> Store:
        made.append(Store(reopen(), layer_observer=counted))
        return made[-1]

    yield start
    for store in made:
        await store.close()


Process = Callable[[], Store]


def layer_of(text: str) -> bytes:
    return gzip.compress(text.encode() * 1000, mtime=0)


async def put_old_chain(driver: StorageDriver, *letters: str, repository: str = "old/app", tag: str = "") -> None:
    """Writes images as docker-registry 0.9.1 does, base first."""
    ids = [letter * 64 for letter in letters]
    for index, image_id in enumerate(ids):
        parent = {"parent": ids[index - 1]} if index else {}
        folder = f"/images/{image_id}"
        await driver.write(f"{folder}/layer", layer_of(letters[index]))
        await driver.write(f"{folder}/ancestry", json.dumps(ids[index::-1]).encode())
        await driver.write(f"{folder}/_checksum", b'["tarsum+sha256:' + b"0" * 64 + b'"]')
        await driver.write(f"{folder}/json", json.dumps({"id": image_id, **parent}).encode())
    if tag:
        await driver.write(f"/repositories/{repository}/tag_{tag}", ids[-1].encode())


async def put_schema1(store: Store, tag: str, *contents: bytes, name: RepositoryName = NAME) -> None:
    """Pushes an image as a client does that is not looked into; base first."""
    entries: list[schema1.Entry] = []
    for number, content in enumerate(contents):
        digest = await put_blob(store, name, content)
        entries.insert(0, schema1.Entry(str(digest), json.dumps({"id": f"{number:064x}"})))
    payload = schema1.payload(str(name), tag, entries, version_first=True)
    manifest = parse_manifest(schema1.sign(payload, schema1.new_key()), "")
    await store.open(name).put_manifest(manifest, Digest.of(payload), TagName(tag), actor=ACTOR)


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


async def known(store: Store, *letters: str) -> list[bool]:
    found = []
    for letter in letters:
        try:
            found.append(await store.layers.known_v1(ImageId(letter * 64)) is not None)
        except PathNotFound:
            found.append(False)
    return found


async def test_all_that_a_tag_reaches_is_read_and_nothing_else(process: Process, counted: Counted) -> None:
    store = process()
    driver = store.storage.driver
    await put_old_chain(driver, "a", "b", "c", tag="latest")
    await put_old_chain(driver, "d", "e", repository="Upper/case_", tag="v1")
    await put_old_chain(driver, "f")
    layers = [layer_of("one"), layer_of("two"), layer_of("one")]
    await put_schema1(store, "s1", *layers)
    await put_image(store, NAME, TagName("modern"))
    progress = await LayersPass(process()).run()
    assert (progress.found, progress.done, progress.read, progress.unreadable) == (3, 3, 7, 0)
    assert progress.read_bytes == sum(map(len, map(layer_of, ["a", "b", "c", "d", "e", "one", "two"])))
    assert counted.reads == ["background"] * 7
    later = process()
    assert await known(later, *"abcdef") == [True] * 5 + [False]
    assert all([await later.layers.known(Digest.of(layer)) is not None for layer in layers])
    assert (await LayersPass(process()).run()).read == 0
    assert len(counted.reads) == 7


async def test_the_newest_image_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = open_folder(tmp_path)
    for number, letter in enumerate("abcdef"):
        await put_old_chain(storage.driver, letter, tag=letter)
        image = tmp_path / f"images/{letter * 64}/json"
        os.utime(image, (1_400_000_000 + (number * 5 % 6) * 1000,) * 2)  # a, f, e, d, c, b
    store = Store(storage)
    order: list[str] = []
    measure = Layers.measure_v1_in_background

    async def noted(layers: Layers, image_id: ImageId) -> object:
        order.append(image_id[0])
        return await measure(layers, image_id)

    monkeypatch.setattr(Layers, "measure_v1_in_background", noted)
    monkeypatch.setattr(layers_pass, "NEWEST", 4)
    progress = await LayersPass(store).run()
    assert order[:4] == ["b", "c", "d", "e"]
    assert sorted(order[4:]) == ["a", "f"]
    assert progress.done == progress.found == 6
    await store.close()
    await storage.close()


async def test_what_cannot_be_read_keeps_nothing_else_from_it(
    process: Process, caplog: pytest.LogCaptureFixture
) -> None:
    store = process()
    driver = store.storage.driver
    await put_old_chain(driver, "a", "b", "c", tag="latest")
    await driver.write(f"/images/{'b' * 64}/layer", layer_of("b")[:-5])
    await driver.delete(f"/images/{'a' * 64}/layer")
    await put_old_chain(driver, "d", tag="gone")
    await driver.delete(f"/images/{'d' * 64}/ancestry")
    await driver.write("/repositories/old/app/tag_nothing", b"f" * 64)
    await driver.write("/repositories/old/app/tag_damaged", b"not an id")
    await put_schema1(store, "s1", layer_of("one"), layer_of("two")[:-5])
    with caplog.at_level(logging.WARNING, "portside.layers"):
        progress = await LayersPass(store).run()
    assert (progress.found, progress.done, progress.read, progress.unreadable) == (3, 3, 2, 2)
    told = "cannot be read, so it will not be converted: it ends in the middle of its gzip data"
    assert sorted(caplog.messages) == [
        f"layer {Digest.of(layer_of('two')[:-5])} of old/app:s1 {told}",
        f"the layer of image {'b' * 64} of old/app:latest {told}",
    ]


class Unreadable(ForwardingDriver):
    """Cannot open the layer of one image."""

    @override
    async def open(self, path: str) -> Reader:
        if path == layout.v1_image_layer(ImageId("b" * 64)):
            raise StorageError(f"{path} cannot be read")
        return await super().open(path)


async def test_a_file_that_the_disk_does_not_give_keeps_only_its_own_image_from_it(
    reopen: Callable[[], Storage],
) -> None:
    storage, driver = wrapped(reopen(), Unreadable)
    for letter in "acb":  # b is the newest, so it is the first
        await put_old_chain(driver.driver, letter, tag=letter)
    store = Store(storage)
    with pytest.raises(StorageError, match="b/layer cannot be read"):  # so it is tried again
        await LayersReader(store).tick()
    assert await known(store, *"abc") == [True, False, True]
    await store.close()
    after = Store(wrapped(reopen(), ForwardingDriver)[0])
    assert await LayersReader(after).tick()
    assert await known(after, *"abc") == [True] * 3
    await after.close()


async def test_a_pass_that_finds_too_many_clients_waiting_is_made_again(
    process: Process, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = process()
    await put_old_chain(store.storage.driver, "a", tag="latest")
    monkeypatch.setattr(flights, "REFUSED_SECONDS", 0.01)
    with monkeypatch.context() as crowded:
        crowded.setattr(flights, "WAITING", 0)
        with pytest.raises(RegistryError, match="waits for its turn"):
            await LayersReader(store).tick()
    assert await LayersReader(store).tick()
    assert await known(store, "a") == [True]


async def test_one_process_makes_the_pass_and_makes_it_once(
    process: Process, counted: Counted, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = process()
    await put_old_chain(store.storage.driver, "a", "b", tag="latest")
    monkeypatch.setattr(schedule, "TOLD_SECONDS", 0.0)
    async with store.storage.locks.hold(layout.LAYER_READER_LOCK):
        assert not await LayersReader(process()).tick()
    with caplog.at_level(logging.INFO, "portside.layers"):
        assert await LayersReader(process()).tick()
    assert caplog.messages[0].startswith("reading the layers of old images: 1 of 1 images looked at; 2 layers")
    assert caplog.messages[0].endswith("; now at old/app:latest")
    assert caplog.messages[-1].startswith("the layers of old images are known: 1 of 1 images looked at; 2 layers (")
    assert counted.looked_at == (1, 1)
    caplog.clear()
    assert await LayersReader(process()).tick()
    assert caplog.messages == []
    await store.storage.driver.delete(layout.INDEX)
    assert await LayersReader(process()).tick()
    assert counted.reads == ["background"] * 4


def is_reading() -> bool:
    """Whether a v1 layer is being read."""
    return any(task.get_name().startswith("the layer of image") for task in asyncio.all_tasks())


async def test_who_waits_for_a_layer_of_the_pass_does_not_wait_for_its_rest(
    process: Process, counted: Counted, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("backends.registry.layers.layers.REST", 1e9)
    store = process()
    large = gzip.compress(os.urandom(6_000_000), 0)
    await put_old_chain(store.storage.driver, "a", tag="latest")
    await store.storage.driver.write(f"/images/{'a' * 64}/layer", large)
    passing = asyncio.create_task(LayersPass(store).run())
    await until(is_reading)
    await asyncio.sleep(0.5)
    assert not passing.done()  # it rests, after its first piece
    async with asyncio.timeout(20):
        assert (await store.layers.measure_v1(ImageId("a" * 64))).size == len(large)
        assert (await passing).read == 1
    assert counted.reads == ["background"]


async def test_a_process_that_ends_ends_its_pass(process: Process, counted: Counted) -> None:
    store = process()
    await put_old_chain(store.storage.driver, "a", tag="latest")
    await store.storage.driver.write(f"/images/{'a' * 64}/layer", gzip.compress(bytes(900_000_000), 1))
    passing = asyncio.create_task(LayersReader(store).tick())
    await until(is_reading)
    async with asyncio.timeout(5):
        passing.cancel()
        await asyncio.wait([passing])
        await store.close()
    assert counted.reads == []
