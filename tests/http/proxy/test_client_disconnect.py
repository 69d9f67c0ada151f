"""A client that hangs up frees the registry, at whatever moment."""

from __future__ import annotations

import asyncio

import pytest

from proxy.routing import Backend
from tests.support.proxies import running_proxy
from tests.support.upstreams import Peer, Registry


async def test_a_client_that_hangs_up_while_it_waits_frees_the_registry(registry: Registry) -> None:
    asked, freed = asyncio.Event(), asyncio.Event()

    async def converse(peer: Peer) -> None:
        await peer.read_head()
        asked.set()
        await peer.other_side_closed()
        freed.set()

    async with registry(converse) as upstream, running_proxy({Backend.V2: upstream.address}) as proxy:
        async with asyncio.timeout(5):
            async with proxy.connection() as client:
                await client.send("GET /v2/ HTTP/1.1\r\nHost: h\r\n\r\n")
                await asked.wait()
                client.leave()
            await freed.wait()


@pytest.mark.parametrize("framing", ["Content-Length: 1000000000", "Transfer-Encoding: chunked"])
async def test_a_client_that_hangs_up_in_the_middle_of_an_answer_frees_the_registry(
    registry: Registry, framing: str
) -> None:
    freed = asyncio.Event()

    async def converse(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(f"HTTP/1.1 200 OK\r\n{framing}\r\n\r\n")
        try:
            async with asyncio.timeout(5):
                while True:
                    await peer.send("10000\r\n", b"x" * 65536, "\r\n")
        except ConnectionError:
            freed.set()

    async with registry(converse) as upstream, running_proxy({Backend.V2: upstream.address}) as proxy:
        async with asyncio.timeout(5):
            async with proxy.connection() as client:
                await client.send("GET /v2/a/blobs/x HTTP/1.1\r\nHost: h\r\n\r\n")
                await client.reader.readexactly(200_000)
                client.reset()
            await freed.wait()


@pytest.mark.parametrize("framing", ["Content-Length: 1000000", "Transfer-Encoding: chunked"])
async def test_a_client_that_hangs_up_in_the_middle_of_its_body_frees_the_registry(
    registry: Registry, framing: str
) -> None:
    """And the registry sees a body that broke off, never one that ended well."""
    reading, broken = asyncio.Event(), asyncio.Event()

    async def converse(peer: Peer) -> None:
        head = await peer.read_head()
        reading.set()
        try:
            await peer.read_body(head)
        except (asyncio.IncompleteReadError, ConnectionError):
            broken.set()

    async with registry(converse) as upstream, running_proxy({Backend.V2: upstream.address}) as proxy:
        async with asyncio.timeout(5):
            async with proxy.connection() as client:
                await client.send(f"PUT /v2/a/blobs/uploads/x HTTP/1.1\r\nHost: h\r\n{framing}\r\n\r\n")
                await client.send("5\r\nhello\r\n")
                await reading.wait()
            await broken.wait()
