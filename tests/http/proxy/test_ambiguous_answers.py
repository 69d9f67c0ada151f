"""An answer that could be read in two ways is 502, and no byte of one answer becomes part of another."""

from __future__ import annotations

import asyncio
import json

import pytest

from proxy.routing import Backend
from proxy.settings import UpstreamSettings
from proxy.upstream_address import UpstreamAddress
from proxy.upstream_answers import ask
from proxy.upstream_pool import UpstreamPool
from tests.support.proxies import answered, running_proxy
from tests.support.upstreams import Peer, Registry

OTHERS = "HTTP/1.1 200 OK\r\nX-Of: somebody else\r\nContent-Length: 6\r\n\r\nsecret"


@pytest.mark.parametrize(
    "said",
    [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 200\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nA: b\r\n Content-Length: 2\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nA: b\nContent-Length: 2\r\n\r\n{}",
        "HTTP/1.1 200 OK\r\nContent-Length: 2\n\r\n{}",
        "HTTP/1.1 200 OK\nContent-Length: 2\n\n{}",
        "HTTP/1.1 200 OK\nContent-Length: 2\n\nHTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n",
        "HTTP/1.1 100 Continue\r\n\r\n" * 100,
        "HTTP/1.1 200 OK\r\n" + "A: b\r\n" * 30_000,
        "HTTP/1.1 200 OK\r\n" + "A: b\r\n" * 30_000 + "\r\n",
        "220 smtp.example ESMTP\r\n",
    ],
    ids=lambda said: said[9:60],
)
async def test_it_is_502(registry: Registry, said: str) -> None:
    async def converse(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(said)
        await peer.other_side_closed()

    async with registry(converse) as upstream, running_proxy({Backend.V2: upstream.address}) as proxy:
        answer = await proxy.ask("GET", "/v2/")
        assert answer.status == 502
        assert "its answer is not HTTP" in json.loads(answer.body)["errors"][0]["detail"]["reason"]


@pytest.mark.parametrize("said", ["5\nhello\r\n0\r\n\r\n", "2\r\n{}\r\n2\r\n{}}\r\n"])
async def test_malformed_chunks_in_one_piece_with_their_head_are_502(registry: Registry, said: str) -> None:
    async def converse(peer: Peer) -> None:
        await peer.read_head()
        await peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", said)
        await peer.other_side_closed()

    async with registry(converse) as upstream, running_proxy({Backend.V2: upstream.address}) as proxy:
        answer = await proxy.ask("GET", "/v2/a/blobs/x")
        assert answer.status == 502
        assert "its answer is not HTTP" in json.loads(answer.body)["errors"][0]["detail"]["reason"]


@pytest.mark.parametrize("said", ["5\nhello\r\n0\r\n\r\n", "0x5\r\nhello\r\n0\r\n\r\n", "5\r\nhello!\r\n0\r\n\r\n"])
async def test_a_body_of_malformed_chunks_breaks_the_clients_connection(registry: Registry, said: str) -> None:
    async def converse(peer: Peer) -> None:
        await peer.read_head()
        await peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        await asyncio.sleep(0.05)
        await peer.send(said)
        await peer.other_side_closed()

    async with (
        registry(converse) as upstream,
        running_proxy({Backend.V2: upstream.address}) as proxy,
        asyncio.timeout(5),
        proxy.connection() as client,
    ):
        await client.send("GET /v2/a/blobs/x HTTP/1.1\r\nHost: h\r\n\r\n")
        head = await client.read_head()
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await client.read_body(head)


@pytest.mark.parametrize(
    "first",
    [
        "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}" + OTHERS,
        "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n" + OTHERS,
        "HTTP/1.1 204 No Content\r\n\r\n" + OTHERS,
        "HTTP/1.1 304 Not Modified\r\nContent-Length: 9\r\n\r\n" + OTHERS,
    ],
    ids=["length", "chunked", "204", "304"],
)
@pytest.mark.parametrize("later", [False, True], ids=["at once", "later"])
async def test_what_follows_an_answer_is_nobody_s(registry: Registry, first: str, *, later: bool) -> None:
    cut = len(first) - len(OTHERS) if later else len(first)

    async def converse(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(first[:cut])
        await asyncio.sleep(0.05)
        await peer.send(first[cut:])
        await peer.other_side_closed()

    async with registry(converse) as upstream, running_proxy({Backend.V2: upstream.address}) as proxy:
        for asked in range(1, 4):
            answer = await proxy.ask("GET", "/v2/")
            assert answer.status == int(first.split(" ")[1])
            assert answer.head.value("X-Of") is None
            await asyncio.sleep(0.1)
            assert upstream.connections == asked


async def test_what_came_before_it_was_asked_is_no_answer(registry: Registry) -> None:
    peers: list[Peer] = []
    dropped = asyncio.Event()

    async def converse(peer: Peer) -> None:
        peers.append(peer)
        await peer.read_head()
        await peer.answer("200 OK", body=b"{}")
        await peer.other_side_closed()
        dropped.set()

    async with registry(converse) as upstream:
        pool = UpstreamPool(UpstreamAddress(UpstreamSettings(upstream.address), name="v2"), read_seconds=5.0)
        try:
            async with await ask(pool, b"GET / HTTP/1.1\r\nHost: h\r\n\r\n", method="GET") as answer:
                assert await answer.read_whole() == b"{}"
            peers[0].writer.write(OTHERS.encode())  # sent at once, and not read before the loop goes on
            assert pool.take_idle() is None
            async with asyncio.timeout(5):
                await dropped.wait()
        finally:
            await pool.close()


async def test_the_answer_to_head_has_no_body_and_what_looks_like_one_is_nobody_s(registry: Registry) -> None:
    async def converse(peer: Peer) -> None:
        await peer.read_head()
        await peer.send("HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nsecret")
        await peer.other_side_closed()

    async with registry(converse) as upstream, running_proxy({Backend.V2: upstream.address}) as proxy:
        for asked in range(1, 3):
            head = await proxy.ask("HEAD", "/v2/a/blobs/x")
            assert (head.status, head.head.value("Content-Length"), head.body) == (200, "6", b"")
            assert upstream.connections == asked


async def test_informational_answers_are_not_the_answer(registry: Registry) -> None:
    async def converse(peer: Peer) -> None:
        await peer.read_head()
        await peer.send("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\nHTTP/1.1 102 Processing\r\n")
        await asyncio.sleep(0.05)
        await peer.send("\r\n")
        await peer.answer("200 OK", body=b"{}")

    async with registry(converse) as upstream, running_proxy({Backend.V2: upstream.address}) as proxy:
        answer = await proxy.ask("GET", "/v2/")
        assert (answer.status, answer.head.value("Link"), answer.body) == (200, None, b"{}")


async def test_a_head_that_comes_byte_by_byte_is_read(registry: Registry) -> None:
    async def converse(peer: Peer) -> None:
        await peer.read_head()
        for byte in b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n":
            await peer.send(bytes([byte]))
            await asyncio.sleep(0)

    async with (
        registry(converse) as upstream,
        running_proxy({Backend.V2: upstream.address}) as proxy,
        asyncio.timeout(5),
        proxy.connection() as client,
    ):
        await client.send("GET /v2/ HTTP/1.1\r\nHost: h\r\n\r\n")
        answer = await answered(client)
        assert (answer.status, answer.body) == (200, b"abc")
