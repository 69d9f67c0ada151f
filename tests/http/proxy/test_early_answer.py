"""An answer that comes before the body has been read is passed on at once."""

from __future__ import annotations

import asyncio

import pytest

from proxy.routing import Backend
from tests.support.proxies import answered, running_proxy
from tests.support.upstreams import Peer, Registry


@pytest.mark.parametrize("size", [2, 300_000], ids=["small", "large"])
@pytest.mark.parametrize("framing", ["Content-Length: 1000000000", "Transfer-Encoding: chunked"])
async def test_a_refusal_in_the_middle_of_a_body_reaches_the_client(
    registry: Registry, framing: str, size: int
) -> None:
    freed = asyncio.Event()

    async def converse(peer: Peer) -> None:
        await peer.read_head()
        await peer.reader.readexactly(1000)
        await peer.answer("413 Too Large", body=b"n" * size)
        await peer.other_side_closed()
        freed.set()

    async with (
        registry(converse) as upstream,
        running_proxy({Backend.V2: upstream.address}) as proxy,
        asyncio.timeout(5),
        proxy.connection() as client,
    ):
        await client.send(f"PUT /v2/a/blobs/uploads/x HTTP/1.1\r\nHost: h\r\n{framing}\r\n\r\n")
        await client.send("2000\r\n", b"x" * 8192, "\r\n")
        answer = await answered(client, of="PUT")
        assert (answer.status, len(answer.body)) == (413, size)
        assert answer.head.value("Connection") == "close"
        await freed.wait()


async def test_a_refusal_reaches_a_client_whose_registry_does_not_read_at_all(registry: Registry) -> None:
    async def converse(peer: Peer) -> None:
        await peer.read_head()
        await asyncio.sleep(0.2)
        await peer.answer("507 Insufficient Storage", body=b"full")
        await asyncio.sleep(1)

    async with (
        registry(converse) as upstream,
        running_proxy({Backend.V2: upstream.address}) as proxy,
        asyncio.timeout(5),
        proxy.connection() as client,
    ):
        await client.send("PUT /v2/a/blobs/uploads/x HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000000\r\n\r\n")
        pushing = asyncio.create_task(client.send(b"x" * 50_000_000))
        answer = await answered(client, of="PUT")
        assert (answer.status, answer.body) == (507, b"full")
        pushing.cancel()
        client.reset()
