"""Several registries over one folder are as several processes: one image comes of many who push it."""

from __future__ import annotations

import asyncio
import contextlib
import resource
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from backends.storage.factory import open_folder
from tests.support.loopback import chunk_of
from tests.support.trees import read_files
from tests.support.v1server import Pushed, RunningRegistry, make_pushed, running_v1

MIB = 1 << 20


@pytest.fixture
async def processes(root: Path) -> AsyncIterator[list[RunningRegistry]]:
    async with contextlib.AsyncExitStack() as stack:
        registries: list[RunningRegistry] = []
        for _ in range(2):
            storage = open_folder(root)
            stack.push_async_callback(storage.close)
            registries.append(await stack.enter_async_context(running_v1(storage)))
        yield registries


def staged(root: Path) -> list[str]:
    """All of ours, but for what is known of layers that were pushed."""
    ours = [path for path in read_files(root) if path.startswith("docker/registry/portside")]
    return [path for path in ours if not path.startswith("docker/registry/portside/index/")]


async def test_two_clients_who_push_the_same_images_at_once_are_both_content(
    processes: list[RunningRegistry], root: Path
) -> None:
    chain = [make_pushed("a", layer=b"a" * MIB)]
    for letter in "bcdef":
        chain.append(make_pushed(letter, parent=chain[-1].id, layer=letter.encode() * 1000))

    async def push(registry: RunningRegistry) -> None:
        for image in chain:
            # As docker does: what is there is not pushed, and an image that came in between is fine.
            if (await registry.ask("GET", f"/v1/images/{image.id}/json")).status == 200:
                continue
            told = await registry.put_json(image)
            if told.status == 409:
                assert told.json["error"] == "Image already exists"
                continue
            assert told.status == 200
            assert (await registry.put_layer(image)).status == 200
            assert (await registry.put_checksum(image)).status == 200

    await asyncio.gather(*(push(registry) for registry in processes * 3))
    for registry in processes:
        for image in chain:
            assert (await registry.ask("GET", f"/v1/images/{image.id}/layer")).body == image.layer
    assert staged(root) == []


async def test_a_push_may_go_on_in_another_process_at_every_step(processes: list[RunningRegistry], root: Path) -> None:
    one, two = processes
    image = make_pushed("a")
    assert (await one.put_json(image)).status == 200
    assert (await two.put_layer(image)).status == 200
    assert (await one.put_checksum(image)).status == 200
    assert (await two.ask("GET", f"/v1/images/{image.id}/layer")).body == image.layer
    assert staged(root) == []


async def test_two_with_different_content_under_one_id_cannot_mix_it(
    processes: list[RunningRegistry], root: Path
) -> None:
    for number in range(5):
        image_id = f"{number:064x}"
        pair = [make_pushed(image_id, layer=name, author=name.decode()) for name in (b"mine", b"theirs")]
        for registry, image in zip(processes, pair, strict=True):
            await registry.put_json(image)
            await registry.put_layer(image)
        told = await asyncio.gather(
            *(registry.put_checksum(image) for registry, image in zip(processes, pair, strict=True))
        )
        assert sorted(answer.status for answer in told) == [200, 409]
        winner = pair[[answer.status for answer in told].index(200)]
        for registry in processes:
            stored = await registry.ask("GET", f"/v1/images/{image_id}/json")
            assert (stored.body, stored.value("X-Docker-Checksum-Payload")) == (winner.json, winner.payload)
            assert (await registry.ask("GET", f"/v1/images/{image_id}/layer")).body == winner.layer
    assert all("layer" not in path for path in staged(root))


@contextlib.contextmanager
def disk_that_ends_at(size: int) -> Iterator[None]:
    """No file of this process may grow beyond; what the system says then is what a full disk says."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


async def test_a_full_disk_gets_507_leaves_nothing_and_reads_go_on(registry: RunningRegistry, root: Path) -> None:
    small, large = make_pushed("a"), make_pushed("b", layer=bytes(3 * MIB))
    await registry.push_images([small])
    before = read_files(root)
    assert (await registry.put_json(large)).status == 200
    with disk_that_ends_at(2 * MIB):
        told = await registry.put_layer(large)
        assert told.status == 507
        assert "no room left" in told.json["error"]
        assert (await registry.ask("GET", f"/v1/images/{small.id}/layer")).body == small.layer
        assert (await registry.ask("GET", f"/v1/images/{large.id}/json")).status == 404
    assert read_files(root) == before  # its announcement is taken away too
    await registry.push_images([Pushed(large.id, large.json, large.layer)])
    assert (await registry.ask("GET", f"/v1/images/{large.id}/layer")).body == large.layer


# 100-continue


async def test_100_continue_is_sent_once_and_only_when_the_layer_is_wanted(registry: RunningRegistry) -> None:
    image = make_pushed("a", layer=b"layer")
    await registry.put_json(image)
    head = f"PUT /v1/images/{image.id}/layer HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
    async with registry.connection() as peer:
        await peer.send(head)
        assert (await peer.read_head()).line == "HTTP/1.1 100 Continue"
        await peer.send(image.layer)
        assert (await peer.read_head()).status == 200
    assert (await registry.put_checksum(image)).status == 200
    async with registry.connection() as peer:
        await peer.send(head)
        refused = await peer.read_head()
        assert (refused.status, refused.value("Connection")) == (409, "close")
        await peer.read_body(refused)
        await peer.send(image.layer)
        await peer.other_side_closed()


async def test_an_answer_instead_of_100_continue_closes_the_connection(registry: RunningRegistry) -> None:
    """Else what comes next on it would be read as the body that never came."""
    await registry.push("ns/r", "latest", [make_pushed("a")])
    async with registry.connection() as peer:
        await peer.send(
            "DELETE /v1/repositories/ns/r/ HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 5\r\n\r\n"
        )
        told = await peer.read_head()
        assert (told.status, told.value("Connection")) == (200, "close")
        await peer.read_body(told)
        await peer.send("GET /v1/_ping HTTP/1.1\r\nHost: x\r\n\r\n")
        await peer.other_side_closed()


async def test_a_connection_serves_one_request_after_another(registry: RunningRegistry) -> None:
    image = make_pushed("a", layer=b"layer")
    async with registry.connection() as peer:
        for method, target, body, status in (
            ("PUT", "json", image.json, 200),
            ("PUT", "layer", image.layer, 200),
            ("PUT", "layer", image.layer, 200),
            ("GET", "layer", b"", 400),
            ("GET", "json", b"", 400),
        ):
            head = f"{method} /v1/images/{image.id}/{target} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
            await peer.send(head, body)
            told = await peer.read_head()
            assert told.status == status
            await peer.read_body(told)


async def test_two_layers_on_their_way_at_once_do_not_disturb_each_other(processes: list[RunningRegistry]) -> None:
    one, two = processes
    image = make_pushed("a", layer=b"0123456789")
    head = f"PUT /v1/images/{image.id}/layer HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    await one.put_json(image)
    await two.put_json(image)
    async with one.connection() as first, two.connection() as second:
        for peer in (first, second):
            await peer.send(head, chunk_of(image.layer[:4]))
        await asyncio.sleep(0.1)
        await second.send(chunk_of(image.layer[4:]), chunk_of(b""))
        assert (await second.read_head()).status == 200
        assert (await two.put_checksum(image)).status == 200
        await first.send(chunk_of(image.layer[4:]), chunk_of(b""))
        assert (await first.read_head()).status == 200
        assert (await one.put_checksum(image)).status == 200
        assert (await one.put_checksum(image)).status == 409
