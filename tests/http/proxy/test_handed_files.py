"""The proxy sends files that a registry hands over: the right bytes of the right folder, or none."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from backends.http.handed_files import FILE, TAKES
from portside.problems import Problem
from portside.shared_files import SharedFiles
from proxy.forwarding import Forwarder
from proxy.proxy import Proxy
from proxy.routing import Backend
from proxy.settings import ProxySettings, UpstreamSettings
from tests.support.proxies import answered, running_proxy
from tests.support.serving_here import Client, serving_here
from tests.support.upstreams import Head, Peer, Registry

CONTENT = bytes(range(256)) * 4000
WHERE = f"{FILE}: 0-{len(CONTENT) - 1}/{len(CONTENT)} /blobs/data"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    (root / "blobs").mkdir(parents=True)
    (root / "blobs" / "data").write_bytes(CONTENT)
    (tmp_path / "secret").write_bytes(CONTENT)
    (root / "blobs" / "out").symlink_to(tmp_path / "secret")
    (root / "blobs" / "in").symlink_to("data")
    return root


@asynccontextmanager
async def proxy_over(folder: Path, address: str) -> AsyncIterator[Client]:
    files = SharedFiles(str(folder), key="gateway.v2.files")
    forwarder = Forwarder(Backend.V2, UpstreamSettings(address), files=files)
    proxy = Proxy(ProxySettings(), {Backend.V2: forwarder})
    async with serving_here(proxy.handle) as client:
        yield client
    await proxy.close()


async def test_it_sends_the_bytes_that_are_named(registry: Registry, folder: Path) -> None:
    heads: list[Head] = []

    async def converse(peer: Peer) -> None:
        while True:
            heads.append(await peer.read_head())
            status, first, last = (
                ("206 Partial Content", 5, 70_004) if "/part" in heads[-1].target else ("200 OK", 0, 9)
            )
            name = "in" if "/link" in heads[-1].target else "data"
            await peer.answer(status, "Etag: x", f"{FILE}: {first}-{last}/{len(CONTENT)} /blobs/{name}")

    async with registry(converse) as upstream, proxy_over(folder, upstream.address) as client:
        for target, status, body in (
            ("/v2/a/part", 206, CONTENT[5:70_005]),
            ("/v2/a/some", 200, CONTENT[:10]),
            ("/v2/a/link", 200, CONTENT[:10]),
        ):
            answer = await client.ask("GET", target)
            assert (answer.status, answer.body) == (status, body)
            assert answer.head.value("Content-Length") == str(len(body))
            assert (answer.head.value("Etag"), answer.head.value(FILE)) == ("x", None)
        assert upstream.connections == 1
    assert [head.value(TAKES) for head in heads] == ["yes"] * 3


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ([f"{FILE}: 0-9/10 /blobs/data"], "bytes here and 10 there"),
        ([f"{FILE}: 0-9/{len(CONTENT)} /blobs/none"], "cannot open"),
        ([f"{FILE}: 0-9/{len(CONTENT)} /blobs"], "cannot open"),
        ([f"{FILE}: 0-9/{len(CONTENT)} /blobs/out"], "cannot open"),
        ([f"{FILE}: 0-9/{len(CONTENT)} /../secret"], "not valid"),
        ([f"{FILE}: 0-9/{len(CONTENT)} /blobs/%2e%2e/%2e%2e/secret"], "not valid"),
        ([f"{FILE}: 0-{len(CONTENT)}/{len(CONTENT)} /blobs/data"], "not valid"),
        ([WHERE, WHERE], "twice"),
        ([f"{FILE}: yes"], "not valid"),
    ],
)
async def test_what_does_not_fit_is_502(registry: Registry, folder: Path, lines: list[str], why: str) -> None:
    async def converse(peer: Peer) -> None:
        await peer.read_head()
        await peer.answer("200 OK", *lines)

    async with registry(converse) as upstream, proxy_over(folder, upstream.address) as client:
        answer = await client.ask("GET", "/v2/a")
        assert answer.status == 502
        assert answer.head.value(FILE) is None
        assert why in json.loads(answer.body)["errors"][0]["detail"]["reason"]


@pytest.mark.parametrize("body", [b"other bytes", b"x" * 100_000], ids=len)
async def test_a_file_beside_a_body_is_502(registry: Registry, folder: Path, body: bytes) -> None:
    async def converse(peer: Peer) -> None:
        await peer.read_head()
        await peer.answer("200 OK", WHERE, body=body)

    async with registry(converse) as upstream, proxy_over(folder, upstream.address) as client:
        assert (await client.ask("GET", "/v2/a")).status == 502


async def test_other_methods_are_never_handed_a_file(registry: Registry, folder: Path) -> None:
    async def converse(peer: Peer) -> None:
        head = await peer.read_head()
        assert head.value(TAKES) is None
        await peer.read_body(head)
        await peer.answer("200 OK", WHERE)

    async with registry(converse) as upstream, proxy_over(folder, upstream.address) as client:
        for method in ("HEAD", "POST", "PUT", "DELETE", "OPTIONS"):
            answer = await client.ask(method, "/v2/a", {TAKES: "yes"})
            assert (answer.status, answer.body, answer.head.value(FILE)) == (200, b"", None)


async def test_a_proxy_that_is_not_set_to_asks_for_none_and_obeys_none(registry: Registry) -> None:
    seen: list[Head] = []

    async def converse(peer: Peer) -> None:
        while True:
            seen.append(await peer.read_head())
            await peer.answer("200 OK", WHERE, body=b"bytes")

    async with registry(converse) as upstream, running_proxy({Backend.V2: upstream.address}, trusted=True) as proxy:
        answer = await proxy.ask("GET", "/v2/a", f"{TAKES}: yes", f"{FILE}: 0-1/2 /a")
        assert (answer.status, answer.body, answer.head.value(FILE)) == (200, b"bytes", None)
    assert [(head.value(TAKES), head.value(FILE)) for head in seen] == [(None, None)]


async def test_a_client_that_goes_away_or_is_slow_harms_nobody(registry: Registry, folder: Path) -> None:
    (folder / "blobs" / "large").write_bytes(b"x" * 50_000_000)

    async def converse(peer: Peer) -> None:
        while True:
            await peer.read_head()
            await peer.answer("200 OK", f"{FILE}: 0-49999999/50000000 /blobs/large")

    async with registry(converse) as upstream, proxy_over(folder, upstream.address) as client, asyncio.timeout(20):
        for _ in range(3):
            async with client.connection() as peer:
                await peer.send("GET /v2/a HTTP/1.1\r\nHost: h\r\n\r\n")
                await peer.reader.readexactly(200_000)
                peer.leave()
        async with client.connection() as peer:
            await peer.send("GET /v2/a HTTP/1.1\r\nHost: h\r\n\r\n")
            await asyncio.sleep(0.2)
            assert len((await answered(peer)).body) == 50_000_000


async def test_a_file_that_shrinks_while_it_is_sent_breaks_the_clients_connection(
    registry: Registry, folder: Path
) -> None:
    large = folder / "blobs" / "large"
    large.write_bytes(b"x" * 50_000_000)

    async def converse(peer: Peer) -> None:
        while True:
            await peer.read_head()
            await peer.answer("200 OK", f"{FILE}: 0-49999999/50000000 /blobs/large")

    async with registry(converse) as upstream, proxy_over(folder, upstream.address) as client, asyncio.timeout(20):
        async with client.connection() as peer:
            await peer.send("GET /v2/a HTTP/1.1\r\nHost: h\r\n\r\n")
            head = await peer.read_head()
            large.write_bytes(b"x")
            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await peer.read_body(head)
        assert (await client.ask("GET", "/v2/a")).status == 502


async def test_a_folder_that_is_not_there_keeps_the_proxy_from_starting(tmp_path: Path) -> None:
    with pytest.raises(Problem, match=r"gateway\.v2\.files.*none is not a folder"):
        SharedFiles(str(tmp_path / "none"), key="gateway.v2.files")
    assert not (tmp_path / "none").exists()
