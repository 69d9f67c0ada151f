"""What is found out about a layer is found out once, whoever asks, and survives whatever becomes of who asked."""

from __future__ import annotations

import asyncio
import bz2
import gzip
import logging
import lzma
import random
import time
import tracemalloc
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import suppress
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import pytest
from backports import zstd
from typing_extensions import override

from backends.model.digest import Digest
from backends.model.errors import ErrorCode, RegistryError
from backends.model.layers import Compression, LayerFacts, StoredLayer
from backends.model.names import ImageId
from backends.registry.facts import FactsInMemory
from backends.registry.layers import flights
from backends.registry.layers.errors import UnreadableLayer
from backends.registry.layers.layers import Layers
from backends.registry.layers.settings import LayerSettings
from backends.registry.still_working import StillWorking
from backends.storage import layout
from backends.storage.capabilities import Room
from backends.storage.driver import PathNotFound, Reader, StorageDriver, StorageFull
from backends.storage.factory import open_folder
from backends.storage.room import RoomWatch
from backends.storage.storage import Storage
from tests.support.drivers import Died, Failing, ForwardingDriver, wrapped
from tests.support.layer_counts import Counted
from tests.support.layer_sources import Source
from tests.support.stores import everything

TEXT = b"the quick brown fox jumps over the lazy dog\n" * 50_000
RANDOM = random.Random(9).randbytes(3_000_000)
LAYER = gzip.compress(TEXT + RANDOM, 1, mtime=0)
DIGEST = Digest.of(LAYER)
FACTS = LayerFacts(Compression.GZIP, Digest.of(TEXT + RANDOM), len(TEXT + RANDOM), is_empty=False)
IMAGE = ImageId("ab" * 32)


Process = Callable[[], Layers]


@pytest.fixture
def counted() -> Counted:
    return Counted()


@pytest.fixture
async def process(reopen: Callable[[], Storage], counted: Counted) -> AsyncIterator[Process]:
    """Each call is a process of its own over the same place."""
    made: list[Layers] = []

    def start() -> Layers:
        storage = reopen()
        made.append(Layers(storage, storage, FactsInMemory(), observer=counted))
        return made[-1]

    yield start
    for layers in made:
        await layers.close()


@pytest.fixture
async def driver(reopen: Callable[[], Storage]) -> StorageDriver:
    return reopen().driver


async def until(condition: Callable[[], object]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - it is what an event would be set by that is under test
            await asyncio.sleep(0.005)


async def store(driver: StorageDriver, content: bytes) -> tuple[Digest, Source]:
    digest = Digest.of(content)
    await driver.write(layout.blob_data(digest), content)
    return digest, Source(driver, layout.blob_data(digest))


class Volume:
    """One that is full, but for a little."""

    async def measure_room(self) -> Sequence[Room]:
        return [Room(free_bytes=1000, total_bytes=10**12, free_files=10**6, total_files=10**7)]


# facts


async def test_a_layer_is_read_once_and_then_known_in_every_process(process: Process, driver: StorageDriver) -> None:
    digest, source = await store(driver, LAYER)
    one = process()
    assert await one.known(digest) is None
    assert await one.facts(digest, source) == FACTS
    assert await one.facts(digest, source) == FACTS
    other = process()
    assert await other.known(digest) == FACTS
    assert await other.facts(digest, source) == FACTS
    assert source.opened == 1
    await driver.delete(layout.INDEX)
    assert await process().facts(digest, source) == FACTS
    assert source.opened == 2


async def test_a_note_that_a_power_cut_has_cut_short_does_not_count(process: Process, driver: StorageDriver) -> None:
    digest, source = await store(driver, LAYER)
    for rest in (b"", FACTS.encode()[:-1], b"\0" * 90, b"\xff"):
        await driver.write(layout.layer_facts(digest), rest)
        assert await process().known(digest) is None
    assert await process().facts(digest, source) == FACTS


async def test_twenty_clients_of_two_processes_have_one_of_them_work(
    process: Process, driver: StorageDriver, counted: Counted
) -> None:
    digest, source = await store(driver, LAYER)
    processes = [process(), process()]
    asked = [processes[number % 2].facts(digest, source) for number in range(20)]
    assert set(await asyncio.gather(*asked)) == {FACTS}
    assert source.opened == 1
    assert counted.reads == ["demand"]


async def test_a_digest_of_sha512_is_a_digest(process: Process, driver: StorageDriver) -> None:
    digest = Digest.of(LAYER, "sha512")
    await driver.write(layout.blob_data(digest), LAYER)
    assert await process().facts(digest, Source(driver, layout.blob_data(digest))) == FACTS
    assert await process().known(digest) == FACTS


async def test_who_waits_too_long_is_told_how_far_it_is_and_the_work_goes_on(
    process: Process, driver: StorageDriver, counted: Counted
) -> None:
    digest, _ = await store(driver, LAYER)
    source = Source(driver, layout.blob_data(digest), held=True)
    layers = process()
    with pytest.raises(StillWorking, match=rf"^layer {digest} (waits for its turn|is being read, 0 bytes of 3.0 MB)"):
        await layers.facts(digest, source, patience=0.05)
    await source.began.wait()
    with pytest.raises(StillWorking, match=r"is being read, 0 bytes of 3\.. MB so far$"):
        await layers.facts(digest, source, patience=0.01)
    source.free.set()
    await until(lambda: counted.reads)
    assert await layers.known(digest) == FACTS
    assert source.opened == 1


async def test_who_waits_for_another_process_is_told_so(process: Process, driver: StorageDriver) -> None:
    digest, _ = await store(driver, LAYER)
    source = Source(driver, layout.blob_data(digest), held=True)
    first = asyncio.create_task(process().facts(digest, source))
    await source.began.wait()
    other = process()
    for ask in (other.facts, other.facts):
        with pytest.raises(StillWorking, match=f"^layer {digest} is being read by another process$"):
            await ask(digest, source, patience=0.5)
    source.free.set()
    assert await first == await other.facts(digest, source) == FACTS
    assert source.opened == 1


async def test_v1_may_have_a_root_of_its_own(tmp_path: Path) -> None:
    """What its layers are is noted there; a gzip that is made of one lies with all that conversions make."""
    storage, v1_storage = open_folder(tmp_path / "v2"), open_folder(tmp_path / "v1")
    layers = Layers(storage, v1_storage, FactsInMemory())
    packed = bz2.compress(CONTENT)
    await put_v1(v1_storage.driver, packed)
    stored = await layers.measure_v1(IMAGE)
    assert stored.facts.compression is Compression.BZIP2
    path = layout.v1_image_layer(IMAGE)
    made = await layers.gzip_of(stored.digest, Source(v1_storage.driver, path), diff_id=stored.facts.diff_id)
    assert gzip.decompress(await storage.driver.read(layout.derived_blob(made.digest))) == CONTENT
    await layers.close()
    after = Layers(storage, v1_storage, FactsInMemory())
    assert await after.known_v1(IMAGE) == stored
    assert await after.known(stored.digest) == stored.facts
    alone = Layers(v1_storage, v1_storage, FactsInMemory())  # the process of v1 alone knows only its root
    assert await alone.known_v1(IMAGE) == stored
    for each in (storage, v1_storage):
        await each.close()


async def test_a_client_that_goes_away_takes_nothing_with_it(process: Process, driver: StorageDriver) -> None:
    digest, _ = await store(driver, LAYER)
    source = Source(driver, layout.blob_data(digest), held=True)
    layers = process()
    clients = [asyncio.create_task(layers.facts(digest, source)) for _ in range(3)]
    await source.began.wait()
    for client in clients[:2]:
        client.cancel()
    source.free.set()
    assert await clients[2] == FACTS
    assert all(client.cancelled() for client in clients[:2])
    assert source.opened == 1


async def test_only_so_many_layers_are_read_at_once(reopen: Callable[[], Storage]) -> None:
    storage = reopen()
    layers = Layers(storage, storage, FactsInMemory(), LayerSettings(at_once=2))
    contents = [gzip.compress(bytes([number]) * 1000) for number in range(6)]
    sources = []
    for content in contents:
        digest, _ = await store(storage.driver, content)
        sources.append((digest, Source(storage.driver, layout.blob_data(digest), held=True)))
    asked = [asyncio.create_task(layers.facts(digest, source)) for digest, source in sources]
    await until(lambda: sum(source.opened for _, source in sources) == 2)
    await asyncio.sleep(0.3)
    assert sum(source.opened for _, source in sources) == 2
    for _, source in sources:
        source.free.set()
    assert len(await asyncio.gather(*asked)) == 6
    await layers.close()


async def test_what_is_not_taken_on_is_not_asked_for_again_at_once(
    process: Process, driver: StorageDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flights, "WAITING", 1)
    monkeypatch.setattr(flights, "REFUSED_SECONDS", 0.1)
    digest, _ = await store(driver, LAYER)
    source = Source(driver, layout.blob_data(digest), held=True)
    layers = process()
    first = asyncio.create_task(layers.facts(digest, source))
    await source.began.wait()
    other, other_source = await store(driver, TEXT)
    began = time.monotonic()
    with pytest.raises(StillWorking, match="waits for its turn"):
        await layers.facts(other, other_source)
    assert time.monotonic() - began > 0.09
    source.free.set()
    await first
    assert (await layers.facts(other, other_source)).raw_size == len(TEXT)


async def test_the_end_of_a_process_ends_the_work_at_once_and_the_next_process_does_it(
    process: Process, driver: StorageDriver, counted: Counted
) -> None:
    large = gzip.compress(bytes(900_000_000), 1)
    digest, source = await store(driver, large)
    layers = process()
    waiting = asyncio.create_task(layers.facts(digest, source))
    await until(lambda: source.opened)
    await asyncio.sleep(0.05)
    began = time.process_time()
    await layers.close()
    with pytest.raises(StillWorking):
        await waiting
    assert time.process_time() - began < 0.5
    assert not counted.reads
    with pytest.raises(StillWorking):  # not begun any more
        await layers.facts(digest, source)
    assert (await process().facts(digest, source)).is_empty


async def test_who_waits_can_be_told_to_leave_and_the_work_goes_on(process: Process, driver: StorageDriver) -> None:
    digest, _ = await store(driver, LAYER)
    source = Source(driver, layout.blob_data(digest), held=True)
    layers = process()
    patient = asyncio.create_task(layers.facts_in_background(digest, source))
    waiting = [asyncio.create_task(layers.facts(digest, source, patience=60)) for _ in range(2)]
    await source.began.wait()
    layers.leave()
    async with asyncio.timeout(20):
        for each in waiting:
            with pytest.raises(StillWorking, match="is being read"):
                await each
        with pytest.raises(StillWorking):  # who comes now waits no longer either
            await layers.facts(digest, source, patience=0.1)
    source.free.set()
    assert await patient == FACTS


async def test_a_layer_is_read_beside_the_loop(process: Process, driver: StorageDriver) -> None:
    """Its thread's time is asked for, not the clock: the machine may have other things to do."""
    digest, source = await store(driver, gzip.compress(bytes(400_000_000), 1))
    layers = process()
    before = time.thread_time(), time.process_time()
    await layers.facts(digest, source)
    in_loop, everywhere = time.thread_time() - before[0], time.process_time() - before[1]
    assert everywhere > 0.15
    assert in_loop < everywhere / 5


# what cannot be read


async def test_a_layer_with_other_bytes_than_its_digest_says_is_damaged(
    process: Process, driver: StorageDriver, counted: Counted
) -> None:
    digest = Digest.of(b"something else")
    await driver.write(layout.blob_data(digest), LAYER)
    source = Source(driver, layout.blob_data(digest))
    layers = process()
    for _ in range(3):
        with pytest.raises(
            UnreadableLayer, match=f"^it is damaged on disk: its {len(LAYER)} bytes have digest {DIGEST}$"
        ):
            await layers.facts(digest, source)
    assert source.opened == 1  # what has failed is not read again at once
    assert counted.failures == 1
    assert await process().known(digest) is None


async def test_what_has_failed_is_tried_again_later(
    process: Process, driver: StorageDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(flights, "FAILED_SECONDS", 0.0)
    digest, source = await store(driver, LAYER)
    await driver.write(layout.blob_data(digest), LAYER[:-9])
    layers = process()
    with pytest.raises(UnreadableLayer, match="it ends in the middle of its gzip data"):
        await layers.facts(digest, source)
    await driver.write(layout.blob_data(digest), LAYER)
    assert await layers.facts(digest, source) == FACTS


async def test_a_layer_that_is_not_here_is_not_found(process: Process, driver: StorageDriver) -> None:
    layers = process()
    source = Source(driver, layout.blob_data(DIGEST))
    for ask in (layers.facts, layers.gzip_of):
        with pytest.raises(PathNotFound):
            await ask(DIGEST, source)
    with pytest.raises(PathNotFound):
        await layers.measure_v1(IMAGE)
    with pytest.raises(PathNotFound):
        await layers.known_v1(IMAGE)


async def test_a_failure_that_nobody_waits_for_is_logged(
    process: Process, driver: StorageDriver, caplog: pytest.LogCaptureFixture
) -> None:
    digest, _ = await store(driver, LAYER[:-9])
    source = Source(driver, layout.blob_data(digest), held=True)
    with pytest.raises(StillWorking):
        await process().facts(digest, source, patience=0.01)
    with caplog.at_level(logging.WARNING, "portside.layers"):
        source.free.set()
        await until(lambda: caplog.messages)
    assert caplog.messages == [f"layer {digest} was read for nothing: it ends in the middle of its gzip data"]


# v1


async def put_v1(driver: StorageDriver, layer: bytes, *, checksum: str | None = None) -> None:
    await driver.write(layout.v1_image_layer(IMAGE), layer)
    if checksum is not None:
        await driver.write(layout.v1_image_checksum(IMAGE), f'["{checksum}"]'.encode())


PAYLOAD = f"sha256:{sha256(b'a payload').hexdigest()}"
OTHER_PAYLOAD, OTHER_LAYER = f"sha256:{sha256(b'another').hexdigest()}", bytes(reversed(LAYER))
STORED = StoredLayer(DIGEST, len(LAYER), FACTS)


@pytest.mark.parametrize("checksum", [PAYLOAD, None, "tarsum+sha256:" + "a" * 64])
async def test_the_layer_of_a_v1_image_is_read_once_whatever_checksums_it_has(
    process: Process, driver: StorageDriver, counted: Counted, checksum: str | None
) -> None:
    await put_v1(driver, LAYER, checksum=checksum)
    one = process()
    assert await one.known_v1(IMAGE) is None
    assert set(await asyncio.gather(*(one.measure_v1(IMAGE) for _ in range(20)))) == {STORED}
    other = process()
    assert await other.known_v1(IMAGE) == STORED
    assert await other.known(DIGEST) == FACTS
    assert await other.measure_v1(IMAGE) == STORED
    assert counted.reads == ["demand"]


@pytest.mark.parametrize("checksum", [PAYLOAD, None])
async def test_a_layer_that_another_program_has_replaced_is_read_again(
    process: Process, driver: StorageDriver, checksum: str | None
) -> None:
    await put_v1(driver, LAYER, checksum=checksum)
    assert await process().measure_v1(IMAGE) == STORED
    await put_v1(driver, TEXT, checksum=checksum)
    assert (await process().measure_v1(IMAGE)).digest == Digest.of(TEXT)
    assert await process().known_v1(IMAGE) == await process().measure_v1(IMAGE)


class PushedAgain(ForwardingDriver):
    """Has the image pushed again when its layer is opened."""

    @override
    async def open(self, path: str) -> Reader:
        if path == layout.v1_image_layer(IMAGE):
            await put_v1(self.driver, OTHER_LAYER, checksum=OTHER_PAYLOAD)
        return await super().open(path)


async def test_a_layer_that_is_replaced_while_it_is_read_is_not_noted_as_the_one_before(
    reopen: Callable[[], Storage],
) -> None:
    storage, driver = wrapped(reopen(), PushedAgain)
    await put_v1(storage.driver, LAYER, checksum=PAYLOAD)
    layers = Layers(storage, storage, FactsInMemory())
    assert (await layers.measure_v1(IMAGE)).digest == Digest.of(OTHER_LAYER)
    await put_v1(driver.driver, LAYER, checksum=PAYLOAD)
    assert await layers.known_v1(IMAGE) is None
    await layers.close()


async def test_two_processes_read_one_v1_layer_once(process: Process, driver: StorageDriver, counted: Counted) -> None:
    await put_v1(driver, LAYER)
    one, other = process(), process()
    assert set(await asyncio.gather(one.measure_v1(IMAGE), other.measure_v1(IMAGE))) == {STORED}
    assert counted.reads == ["demand"]


# gzip


def skippable(content: bytes) -> bytes:
    return b"\x50\x2a\x4d\x18" + len(content).to_bytes(4, "little") + content


CONTENT = TEXT + RANDOM[:100_000] + bytes(10_240)
TWICE = gzip.compress(skippable(b"pzstd") + zstd.compress(CONTENT), mtime=0)

OTHERS = {
    "zstd": zstd.compress(CONTENT),
    "zstd, several frames and some to skip": skippable(b"x")
    + zstd.compress(TEXT)
    + zstd.compress(CONTENT[len(TEXT) :])
    + skippable(b""),
    "bzip2": bz2.compress(CONTENT),
    "xz": lzma.compress(CONTENT),
    "not compressed": CONTENT,
    "gzip of zstd": TWICE,
    "gzip, and zeros after it": gzip.compress(CONTENT, mtime=0) + bytes(512),
    "gzip of zstd, and zeros after it": TWICE + bytes(512),
}


@pytest.mark.parametrize("name", OTHERS)
async def test_a_gzip_is_made_once_and_holds_the_same(
    process: Process, driver: StorageDriver, counted: Counted, name: str
) -> None:
    digest, source = await store(driver, OTHERS[name])
    one, other = process(), process()
    wanted = Digest.of(CONTENT)
    asked = [each.gzip_of(digest, source, diff_id=wanted) for each in (one, other) for _ in range(5)]
    made = await asyncio.gather(*asked)
    assert len(set(made)) == 1
    stored = await driver.read(layout.derived_blob(made[0].digest))
    assert (Digest.of(stored), len(stored)) == (made[0].digest, made[0].size)
    assert gzip.decompress(stored) == CONTENT
    assert stored[:10] == bytes.fromhex("1f8b08 00 00000000 00 ff")
    assert made[0].facts == LayerFacts(Compression.GZIP, wanted, len(CONTENT), is_empty=False)
    assert counted.gzips == 1
    later = process()
    assert await later.known(made[0].digest) == made[0].facts
    assert await later.gzip_of(digest, Source(driver, "/gone")) == made[0]
    if name.startswith("gzip, "):
        padded = LayerFacts(Compression.GZIP, wanted, len(CONTENT), is_empty=False, is_padded=True)
        assert await later.known(digest) == padded
    if name == "zstd":
        assert await later.known(digest) == LayerFacts(Compression.ZSTD, wanted, len(CONTENT), is_empty=False)
    assert not await everything_temporary(driver)


async def everything_temporary(driver: StorageDriver) -> list[str]:
    try:
        return list(await driver.list(layout.TEMPORARY))
    except PathNotFound:
        return []


async def test_what_is_a_gzip_already_stays_as_it_is(process: Process, driver: StorageDriver, counted: Counted) -> None:
    digest, source = await store(driver, LAYER)
    for diff_id in (None, FACTS.diff_id):
        assert await process().gzip_of(digest, source, diff_id=diff_id) == STORED
    digest, source = await store(driver, TWICE)
    assert (await process().gzip_of(digest, source)).digest == digest  # nobody says that it must hold something else
    assert counted.gzips == 0


@pytest.mark.parametrize(
    "content", [zstd.compress(TEXT), LAYER, TWICE, TEXT], ids=["zstd", "gzip", "gzip of zstd", "tar"]
)
async def test_a_layer_that_holds_something_else_than_its_image_says_is_refused(
    process: Process, driver: StorageDriver, content: bytes
) -> None:
    digest, source = await store(driver, content)
    wanted = Digest.of(b"something else")
    with pytest.raises(UnreadableLayer, match=rf"^it holds sha256:[0-9a-f]{{64}}, and .* says {wanted}$"):
        await process().gzip_of(digest, source, diff_id=wanted)
    assert not [path for path in await everything(driver) if path.startswith(layout.DERIVED)]
    assert not await everything_temporary(driver)


async def test_a_gzip_that_was_made_is_held_against_what_its_image_says(
    process: Process, driver: StorageDriver
) -> None:
    digest, source = await store(driver, zstd.compress(TEXT))
    await process().gzip_of(digest, source)
    with pytest.raises(UnreadableLayer, match="its image's configuration says"):
        await process().gzip_of(digest, source, diff_id=Digest.of(b"something else"))


async def test_a_gzip_that_has_gone_is_made_again(process: Process, driver: StorageDriver) -> None:
    digest, source = await store(driver, zstd.compress(TEXT))
    made = await process().gzip_of(digest, source)
    await driver.delete(layout.derived_blob(made.digest))
    assert await process().gzip_of(digest, source) == made
    await driver.write(layout.derived_gzip(digest), b"half a rec")
    assert await process().gzip_of(digest, source) == made
    assert gzip.decompress(await driver.read(layout.derived_blob(made.digest))) == TEXT


@pytest.mark.parametrize(
    "content",
    [b"", gzip.compress(b""), zstd.compress(b""), bz2.compress(b""), lzma.compress(b"")],
    ids=["tar", "gzip", "zstd", "bzip2", "xz"],
)
async def test_a_gzip_of_nothing_is_no_file_of_nothing(process: Process, driver: StorageDriver, content: bytes) -> None:
    digest, source = await store(driver, content)
    made = await process().gzip_of(digest, source)
    assert made.size > 0
    assert made.facts == LayerFacts(Compression.GZIP, Digest.of(b""), 0, is_empty=True)


async def test_a_disk_that_fills_up_keeps_nothing_half_made(reopen: Callable[[], Storage]) -> None:
    storage = reopen()
    digest, source = await store(storage.driver, zstd.compress(RANDOM))
    for steps in range(100):
        failing = Failing(storage.driver, steps, dies=False)
        layers = Layers(replace(storage, driver=failing), storage, FactsInMemory())
        try:
            await layers.gzip_of(digest, source)
        except StorageFull:
            assert not [path for path in await everything(storage.driver) if path.startswith(layout.DERIVED)]
            assert not await everything_temporary(storage.driver)
        else:
            break
        finally:
            await layers.close()
    else:
        pytest.fail("it never succeeds")
    assert steps > 3


async def test_a_process_that_dies_at_any_step_leaves_what_the_next_one_goes_on_with(
    reopen: Callable[[], Storage],
) -> None:
    storage = reopen()
    digest, source = await store(storage.driver, zstd.compress(RANDOM))
    for steps in range(100):
        failing = Failing(storage.driver, steps, dies=True)
        layers = Layers(replace(storage, driver=failing), storage, FactsInMemory())
        with suppress(Died):
            await layers.gzip_of(digest, source)
        await layers.close()
        after = Layers(reopen(), storage, FactsInMemory())
        made = await after.gzip_of(digest, source)
        assert gzip.decompress(await storage.driver.read(layout.derived_blob(made.digest))) == RANDOM
        await after.close()
        if not failing.failed:
            break
        await storage.driver.delete(layout.DERIVED)
    else:
        pytest.fail("it never succeeds")
    assert steps > 3


async def test_no_gzip_is_made_while_there_is_little_room(reopen: Callable[[], Storage]) -> None:
    storage = reopen()
    digest, source = await store(storage.driver, zstd.compress(TEXT))
    room = RoomWatch(Volume())
    await room.measure()
    low = replace(storage, room=room)
    layers = Layers(low, low, FactsInMemory())
    with pytest.raises(RegistryError) as caught:
        await layers.gzip_of(digest, source)
    assert caught.value.code is ErrorCode.INSUFFICIENT_STORAGE
    assert "for now; pull it again when its operator" in caught.value.detail
    assert (await layers.facts(digest, source)).diff_id == Digest.of(TEXT)
    await layers.close()


async def test_where_nothing_may_be_written_nothing_is(reopen: Callable[[], Storage]) -> None:
    storage = reopen()
    digest, source = await store(storage.driver, zstd.compress(TEXT))
    await put_v1(storage.driver, LAYER)
    before = await everything(storage.driver)
    layers = Layers(storage, storage, FactsInMemory(), writes=False)
    assert (await layers.facts(digest, source)).diff_id == Digest.of(TEXT)
    assert await layers.measure_v1(IMAGE) == STORED
    with pytest.raises(UnreadableLayer, match="nothing is written here"):
        await layers.gzip_of(digest, source)
    assert await everything(storage.driver) == before
    await layers.close()


async def test_a_gzip_of_what_inflates_to_much_takes_little_memory(tmp_path: Path) -> None:
    """zstd refers to what is far behind; gzip cannot, so a few bytes become many."""
    storage = open_folder(tmp_path)
    layers = Layers(storage, storage, FactsInMemory())
    once = random.Random(1).randbytes(1_000_000)
    compressor = zstd.ZstdCompressor(options={zstd.CompressionParameter.enable_long_distance_matching: 1})
    content = b"".join(compressor.compress(once) for _ in range(60)) + compressor.flush()
    assert len(content) < 1_200_000
    digest, source = await store(storage.driver, content)
    tracemalloc.start()
    try:
        made = await layers.gzip_of(digest, source)
        assert tracemalloc.get_traced_memory()[1] < 12_000_000
    finally:
        tracemalloc.stop()
    assert made.size > 55_000_000
    await layers.close()
    await storage.close()


async def test_the_end_of_a_process_leaves_no_half_made_gzip(process: Process, driver: StorageDriver) -> None:
    digest, source = await store(driver, zstd.compress(bytes(900_000_000)))
    layers = process()
    waiting = asyncio.create_task(layers.gzip_of(digest, source))
    await until(lambda: source.opened == 2)
    await asyncio.sleep(0.1)
    began = time.process_time()
    await layers.close()
    with pytest.raises(StillWorking):
        await waiting
    assert time.process_time() - began < 0.5
    assert not await everything_temporary(driver)
