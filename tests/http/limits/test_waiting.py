"""Clients that take their time: a head, a small body and the number of layers that are received at once are bounded."""

from __future__ import annotations

import asyncio
import contextlib
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from backends.http import receiving
from backends.registry.store import Store
from backends.storage.factory import open_folder
from backends.v1.registry import Registry as V1Registry
from backends.v1.settings import V1Settings
from backends.v2.registry import Registry as V2Registry
from backends.v2.settings import V2Settings
from tests.support import loopback
from tests.support.limits import NAME, Place
from tests.support.serving_here import Client, digest_of, serving_here
from tests.support.trees import read_tree
from tests.support.upstreams import Peer
from tests.support.v1server import make_pushed


async def trickle(peer: Peer, piece: bytes, *, pause: float, most: float) -> float:
    """Sends pieces until the other side has closed; returns the seconds that took."""
    loop = asyncio.get_running_loop()
    begun = loop.time()
    with contextlib.suppress(ConnectionError):
        while loop.time() < begun + most and not peer.reader.at_eof():
            await peer.send(piece)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(peer.reader.read(1), pause)
    return loop.time() - begun


@pytest.mark.parametrize("requests_before", [0, 1])
async def test_a_head_that_comes_byte_by_byte_has_a_time(
    monkeypatch: pytest.MonkeyPatch, requests_before: int, tmp_path: Path
) -> None:
    monkeypatch.setattr(loopback, "KEEPALIVE_SECONDS", 0.5)
    storage = open_folder(tmp_path / "root")
    async with serving_here(V2Registry(Store(storage), V2Settings()).handle) as client, client.connection() as peer:
        for _ in range(requests_before):
            await peer.send("GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n")
            await peer.read_body(await peer.read_head())
        await peer.send("GET /v2/ HTTP/1.1\r\nX: ")
        assert await trickle(peer, b"x", pause=0.05, most=20) < 15
    await storage.close()


@pytest.mark.parametrize("place", ["alone", "in the proxy", "behind the proxy"], indirect=True)
async def test_a_small_body_that_comes_steadily_has_a_time_too(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(receiving, "BODY_TOTAL_SECONDS", 0.3)
    before = place.tree()
    for client, path in ((place.v2, f"/v2/{NAME}/manifests/x"), (place.v1, "/v1/repositories/a/b/")):
        async with asyncio.timeout(10), client.connection() as peer:
            await peer.send(f"PUT {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 4000\r\n\r\n")
            answer = asyncio.create_task(peer.read_head())
            while not answer.done():
                await peer.send(b" ")
                await asyncio.sleep(0.02)
            head = await answer
            assert (head.status, head.value("Connection")) == (408, "close")
    assert place.tree() == before


MOST = 2
IMAGE = make_pushed("a")


@pytest.fixture
async def clients(root: Path) -> AsyncIterator[tuple[Client, Client]]:
    storage = open_folder(root)
    store = Store(storage)
    v1, v2 = V1Registry(store, V1Settings(uploads_at_once=MOST)), V2Registry(store, V2Settings(uploads_at_once=MOST))
    async with serving_here(v1.handle) as first, serving_here(v2.handle) as second:
        yield first, second
    await storage.close()


async def until_all_are_received(root: Path, before: dict[str, bytes | None]) -> None:
    """Waits until bodies have left something on the disk, and no more comes."""
    was, since = before, time.monotonic()
    while was == before or time.monotonic() - since < 0.5:
        await asyncio.sleep(0.05)
        if (found := read_tree(root)) != was:
            was, since = found, time.monotonic()


@pytest.mark.parametrize("kind", ["patch", "put", "post", "v1"])
async def test_one_more_than_are_received_at_once_is_told_to_come_back(
    clients: tuple[Client, Client], root: Path, kind: str
) -> None:
    v1, v2 = clients
    assert (await v1.ask("PUT", f"/v1/images/{IMAGE.id}/json", body=IMAGE.json)).status == 200
    client = v1 if kind == "v1" else v2
    digest = digest_of(b"x" * 10)

    async def target() -> str:
        match kind:
            case "patch":
                return f"PATCH {await v2.begin(NAME)}"
            case "put":
                return f"PUT {await v2.begin(NAME)}?digest={digest}"
            case "post":
                return f"POST /v2/{NAME}/blobs/uploads/?digest={digest}"
            case _:
                return f"PUT /v1/images/{IMAGE.id}/layer"

    async with asyncio.timeout(20), contextlib.AsyncExitStack() as stack:
        peers = [await stack.enter_async_context(client.connection()) for _ in range(MOST)]
        empty = read_tree(root)
        for peer in peers:
            await peer.send(f"{await target()} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nxxxxx")
        await until_all_are_received(root, empty)
        one_more = await target()
        before = read_tree(root)
        async with client.connection() as peer:
            await peer.send(f"{one_more} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 10\r\n\r\n")
            head = await peer.read_head()
            assert (head.status, head.value("Connection"), head.value("Retry-After")) == (429, "close", "5")
        assert read_tree(root) == before
        assert (await client.ask("GET", "/v2/" if client is v2 else "/v1/_ping")).status == 200
        for peer in peers:
            await peer.send(b"xxxxx")
            assert (await peer.read_head()).status in {200, 201, 202}
        async with client.connection() as peer:
            await peer.send(f"{one_more} HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nxxxxxxxxxx")
            assert (await peer.read_head()).status in {200, 201, 202}
