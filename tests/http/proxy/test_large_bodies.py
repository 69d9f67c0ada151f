"""Bodies of any size stream both ways: whole to the byte, and never held."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Callable

import pytest

from proxy.routing import Backend
from tests.support.proxies import answered, running_proxy
from tests.support.upstreams import Peer, Registry

PIECE = bytes(range(256)) * 1024
PIECES = 160  # 40 MiB
DIGEST = hashlib.sha256(PIECE * PIECES).digest()
MAY_BE_UNDER_WAY = 32 * 1024 * 1024
"""What the kernel's buffers on two connections (Linux lets each grow to some 10 MiB) and the proxy's own may hold."""


def _chunk(piece: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(piece), piece)


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
async def test_a_large_body_arrives_whole(registry: Registry, *, chunked: bool) -> None:
    async def converse(peer: Peer) -> None:
        head = await peer.read_head()
        # As it was framed, so it stays: docker-registry 0.9 and others tell the two apart.
        assert head.value("Transfer-Encoding") == ("chunked" if chunked else None)
        assert head.value("Content-Length") == (None if chunked else str(len(PIECE) * PIECES))
        body = await peer.read_body(head)
        await peer.answer("201 Created", body=hashlib.sha256(body).digest())

    async with (
        registry(converse) as upstream,
        running_proxy({Backend.V2: upstream.address}) as proxy,
        asyncio.timeout(30),
        proxy.connection() as client,
    ):
        framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(PIECE) * PIECES}"
        await client.send(f"PUT /v2/a/blobs/uploads/x HTTP/1.1\r\nHost: h\r\n{framing}\r\n\r\n")
        for _ in range(PIECES):
            await client.send(_chunk(PIECE) if chunked else PIECE)
        if chunked:
            await client.send("0\r\n\r\n")
        assert (await answered(client, of="PUT")).body == DIGEST


@pytest.mark.parametrize("framing", ["length", "chunked", "close"])
async def test_a_large_answer_arrives_whole(registry: Registry, framing: str) -> None:
    head = {
        "length": f"Content-Length: {len(PIECE) * PIECES}",
        "chunked": "Transfer-Encoding: chunked",
        "close": "Connection: close",
    }[framing]

    async def converse(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(f"HTTP/1.1 200 OK\r\n{head}\r\n\r\n")
        for _ in range(PIECES):
            await peer.send(_chunk(PIECE) if framing == "chunked" else PIECE)
        if framing == "chunked":
            await peer.send("0\r\nX-Trailer: 1\r\n\r\n")

    async with (
        registry(converse) as upstream,
        running_proxy({Backend.V2: upstream.address}) as proxy,
        asyncio.timeout(30),
        proxy.connection() as client,
    ):
        await client.send("GET /v2/a/blobs/x HTTP/1.1\r\nHost: h\r\n\r\n")
        answer = await answered(client)
        assert hashlib.sha256(answer.body).digest() == DIGEST
        length = None if framing != "length" else str(len(PIECE) * PIECES)
        assert answer.head.value("Content-Length") == length


async def test_a_client_that_does_not_read_stops_the_registry_from_sending(registry: Registry) -> None:
    sent = 0

    async def converse(peer: Peer) -> None:
        nonlocal sent
        await peer.read_head()
        await peer.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n")
        while True:
            await peer.send(PIECE)
            sent += len(PIECE)

    async with (
        registry(converse) as upstream,
        running_proxy({Backend.V2: upstream.address}) as proxy,
        asyncio.timeout(30),
        proxy.connection() as client,
    ):
        await client.send("GET /v2/a/blobs/x HTTP/1.1\r\nHost: h\r\n\r\n")
        await client.read_head()
        await _until_still(lambda: sent)
        assert 0 < sent < MAY_BE_UNDER_WAY
        before = sent
        await client.reader.readexactly(2 * MAY_BE_UNDER_WAY)
        assert sent > before
        client.reset()


async def test_a_registry_that_does_not_read_stops_the_client_from_sending(registry: Registry) -> None:
    sent = 0
    go_on, went_on = asyncio.Event(), asyncio.Event()

    async def converse(peer: Peer) -> None:
        await peer.read_head()
        await go_on.wait()
        while await peer.reader.read(1 << 20):
            pass

    async with (
        registry(converse) as upstream,
        running_proxy({Backend.V2: upstream.address}) as proxy,
        asyncio.timeout(30),
        proxy.connection() as client,
    ):
        await client.send("PUT /v2/a/blobs/uploads/x HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000000\r\n\r\n")

        async def push() -> None:
            nonlocal sent
            with contextlib.suppress(ConnectionError):
                while True:
                    await client.send(PIECE)
                    sent += len(PIECE)
                    if sent > 3 * MAY_BE_UNDER_WAY:
                        went_on.set()

        pushing = asyncio.create_task(push())
        await _until_still(lambda: sent)
        assert 0 < sent < MAY_BE_UNDER_WAY
        go_on.set()
        await went_on.wait()
        pushing.cancel()
        await asyncio.wait([pushing])
        client.reset()


async def _until_still(amount: Callable[[], int]) -> None:
    last = -1
    while last != (now := amount()) or not now:
        last = now
        await asyncio.sleep(0.3)


async def test_an_answer_in_chunks_of_one_byte_arrives_whole_and_its_connection_serves_on(registry: Registry) -> None:
    body = bytes(range(256)) * 300
    sent = b"".join(_chunk(body[at : at + 1]) for at in range(len(body))) + b"0\r\n\r\n"

    async def converse(peer: Peer) -> None:
        while True:
            await peer.read_head()
            await peer.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", sent)

    async with (
        registry(converse) as upstream,
        running_proxy({Backend.V2: upstream.address}) as proxy,
        asyncio.timeout(30),
        proxy.connection() as client,
    ):
        for _ in range(3):
            await client.send("GET /v2/a/blobs/x HTTP/1.1\r\nHost: h\r\n\r\n")
            assert (await answered(client)).body == body
        assert upstream.connections == 1
