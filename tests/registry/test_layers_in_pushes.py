"""What a layer is, is found out while old clients push it, and never keeps a push from succeeding."""

from __future__ import annotations

import bz2
import gzip
import json
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import replace
from pathlib import Path

import pytest
from backports import zstd

from backends.model.digest import Digest
from backends.model.layers import EMPTY_LAYER, EMPTY_STORED_LAYER, Compression, LayerFacts, StoredLayer
from backends.model.names import ImageId, RepositoryName, UploadId
from backends.registry.layers import metering
from backends.registry.store import Store
from backends.storage import layout
from backends.storage.factory import open_folder
from backends.storage.storage import Storage
from tests.support.actors import ACTOR
from tests.support.layer_counts import Counted
from tests.support.layer_sources import Source
from tests.support.v1pushes import push, put_checksum, put_json, put_layer
from tests.support.v1server import make_pushed

NAME = RepositoryName("team/app")
RAW = b"the quick brown fox\n" * 20_000
LAYER = gzip.compress(RAW, mtime=0)
FACTS = LayerFacts(Compression.GZIP, Digest.of(RAW), len(RAW), is_empty=False)
UNTERMINATED = gzip.compress(b"", mtime=0)
"""What Docker 1.0.1 pushes of a layer without files."""


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


# v1


@pytest.mark.parametrize(
    ("layer", "facts"),
    [
        (LAYER, FACTS),
        (EMPTY_LAYER, EMPTY_STORED_LAYER.facts),
        (UNTERMINATED, LayerFacts(Compression.GZIP, Digest.of(b""), 0, is_empty=True)),
        (RAW, LayerFacts(Compression.NONE, Digest.of(RAW), len(RAW), is_empty=False)),
        (b"tiny", LayerFacts(Compression.NONE, Digest.of(b"tiny"), 4, is_empty=False)),
        (LAYER * 2, LayerFacts(Compression.GZIP, Digest.of(RAW * 2), 2 * len(RAW), is_empty=False)),
        (LAYER + bytes(512), replace(FACTS, is_padded=True)),
    ],
    ids=["gzip", "empty", "Docker 1.0.1's empty", "tar", "tiny", "members", "padding"],
)
async def test_what_a_v1_layer_is_is_known_when_it_is_pushed(
    process: Process, counted: Counted, layer: bytes, facts: LayerFacts
) -> None:
    image = make_pushed("a", layer=layer)
    await push(process().v1_images, [image])
    assert counted.reads == ["push"]
    after = process()
    assert await after.layers.known_v1(ImageId(image.id)) == StoredLayer(Digest.of(layer), len(layer), facts)
    assert await after.layers.measure_v1(ImageId(image.id)) == StoredLayer(Digest.of(layer), len(layer), facts)
    assert counted.reads == ["push"]


@pytest.mark.parametrize(
    "layer",
    [bz2.compress(RAW), zstd.compress(RAW), LAYER[:-5], LAYER + b"junk", gzip.compress(bytes(20_000_000), 9, mtime=0)],
    ids=["bzip2", "zstd", "cut", "junk", "bomb"],
)
async def test_a_push_succeeds_whatever_its_layer_is(
    process: Process, counted: Counted, layer: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also what cannot be read, or not beside a push: it waits for the day when somebody asks."""
    monkeypatch.setattr(metering, "FREE_BYTES", 1_000_000)
    image = make_pushed("a", layer=layer)
    store = process()
    await put_json(store.v1_images, image)

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(layer), 65536):
            yield layer[start : start + 65536]

    await store.v1_images.put_layer(ImageId(image.id), chunks())
    await put_checksum(store.v1_images, image)
    assert await store.layers.known(Digest.of(layer)) is None
    assert counted.reads == []
    known = await store.v1_images.known_layer_blob(ImageId(image.id))
    assert known is not None
    assert known.digest == Digest.of(layer)


async def test_a_layer_is_looked_into_beside_the_loop(tmp_path: Path, counted: Counted) -> None:
    """The loop's own thread is asked for its time, not the clock: the machine may have other things to do."""
    image = make_pushed("a", layer=gzip.compress(bytes(300_000_000), 1, mtime=0))
    storage = open_folder(tmp_path)
    store = Store(storage, layer_observer=counted)
    await put_json(store.v1_images, image)

    async def chunks() -> AsyncIterator[bytes]:
        for start in range(0, len(image.layer), 65536):
            yield image.layer[start : start + 65536]

    before = time.thread_time(), time.process_time()
    await store.v1_images.put_layer(ImageId(image.id), chunks())
    in_loop, everywhere = time.thread_time() - before[0], time.process_time() - before[1]
    await put_checksum(store.v1_images, image)
    assert counted.reads == ["push"]
    assert everywhere > 0.1
    assert in_loop < everywhere / 5
    await store.close()
    await storage.close()


async def test_the_process_that_completes_an_image_need_not_be_the_one_that_received_it(
    process: Process, counted: Counted
) -> None:
    image = make_pushed("a", layer=LAYER)
    await put_json(process().v1_images, image)
    await put_layer(process().v1_images, image)
    await put_checksum(process().v1_images, image)
    assert await process().layers.known_v1(ImageId(image.id)) == StoredLayer(Digest.of(LAYER), len(LAYER), FACTS)
    assert counted.reads == ["push"]


# v2, from clients that push schema 1


async def pieces(*parts: bytes) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def append(store: Store, upload: UploadId, content: bytes, *, measured: bool = True) -> None:
    async with store.uploads.open(NAME, upload, measured=measured) as session:
        await session.append(pieces(content))


async def commit(store: Store, upload: UploadId, digest: Digest, *, measured: bool = True) -> None:
    async with store.uploads.open(NAME, upload, measured=measured) as session:
        await session.commit(digest, actor=ACTOR)


DIGEST = Digest.of(LAYER)
HALF = len(LAYER) // 2


async def test_a_layer_that_comes_with_the_final_request_is_known(process: Process, counted: Counted) -> None:
    store = process()
    upload = await store.uploads.start(NAME)
    async with process().uploads.open(NAME, upload, measured=True) as session:
        await session.append(pieces(LAYER[:HALF], LAYER[HALF:]))
        await session.commit(DIGEST, actor=ACTOR)
    assert await process().layers.known(DIGEST) == FACTS
    assert counted.reads == ["push"]


async def test_a_layer_in_several_requests_to_one_process_is_known(process: Process) -> None:
    store = process()
    upload = await store.uploads.start(NAME)
    for start in range(0, len(LAYER), 500):
        await append(store, upload, LAYER[start : start + 500])
    await commit(store, upload, DIGEST)
    assert await process().layers.known(DIGEST) == FACTS


async def test_a_layer_that_one_process_received_and_another_one_finishes_is_known(
    process: Process, counted: Counted
) -> None:
    upload = await process().uploads.start(NAME)
    await append(process(), upload, LAYER)
    await commit(process(), upload, DIGEST)
    assert await process().layers.known(DIGEST) == FACTS
    assert counted.reads == ["push"]


async def test_a_layer_that_two_processes_have_received_is_left_for_later_and_stored_right(
    process: Process, counted: Counted
) -> None:
    one, other = process(), process()
    upload = await one.uploads.start(NAME)
    await append(one, upload, LAYER[:100])
    await append(other, upload, LAYER[100:200])
    await append(one, upload, LAYER[200:])
    await commit(one, upload, DIGEST)
    assert await process().layers.known(DIGEST) is None
    source = Source(one.storage.driver, layout.blob_data(DIGEST))
    assert await process().layers.facts(DIGEST, source) == FACTS
    assert counted.reads == ["demand"]


async def test_a_record_that_another_program_has_written_counts_for_nothing(process: Process, counted: Counted) -> None:
    upload = await process().uploads.start(NAME)
    store = process()
    await append(store, upload, LAYER)
    path = layout.upload_progress(NAME, upload)
    record = json.loads(await store.storage.driver.read(path))
    await store.storage.driver.write(path, json.dumps({**record, "layer": "gzip 1 full"}).encode())
    await commit(process(), upload, DIGEST)
    assert await process().layers.known(DIGEST) is None
    assert counted.reads == []


@pytest.mark.parametrize("content", [zstd.compress(RAW), LAYER[:-5], b"", b"{}"], ids=["zstd", "cut", "none", "json"])
async def test_an_upload_becomes_a_blob_whatever_it_is(process: Process, content: bytes) -> None:
    store = process()
    upload = await store.uploads.start(NAME)
    await append(store, upload, content)
    await commit(store, upload, Digest.of(content))
    assert await store.storage.driver.read(layout.blob_data(Digest.of(content))) == content


async def test_what_others_push_is_not_looked_into(process: Process, counted: Counted) -> None:
    store = process()
    upload = await store.uploads.start(NAME)
    await append(store, upload, LAYER, measured=False)
    await commit(store, upload, DIGEST, measured=False)
    assert await process().layers.known(DIGEST) is None
    assert counted.reads == []


async def test_an_upload_with_another_digest_than_its_own_teaches_nothing(process: Process, counted: Counted) -> None:
    store = process()
    upload = await store.uploads.start(NAME)
    await append(store, upload, LAYER)
    with pytest.raises(Exception, match="nothing was stored"):
        await commit(store, upload, Digest.of(b"another"))
    assert counted.reads == []
    assert await store.layers.known(DIGEST) is None
