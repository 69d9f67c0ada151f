"""A registry that dies in the middle never makes half an answer look whole."""

from __future__ import annotations

import asyncio
import json

import pytest

from proxy.routing import Backend
from tests.support.proxies import running_proxy
from tests.support.upstreams import Peer, Registry


@pytest.mark.parametrize("reset", [False, True], ids=["closes", "resets"])
@pytest.mark.parametrize(
    ("framing", "begun"),
    [
        ("Content-Length: 300000", b"x" * 200_000),
        ("Transfer-Encoding: chunked", b"30d40\r\n" + b"x" * 200_000 + b"\r\n"),
    ],
    ids=["length", "chunked"],
)
async def test_half_an_answer_breaks_the_clients_connection(
    registry: Registry, framing: str, begun: bytes, *, reset: bool
) -> None:
    async def converse(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(f"HTTP/1.1 200 OK\r\n{framing}\r\n\r\n", begun)
        await asyncio.sleep(0.1)
        if reset:
            peer.reset()

    async with (
        registry(converse) as upstream,
        running_proxy({Backend.V2: upstream.address}) as proxy,
        asyncio.timeout(5),
        proxy.connection() as client,
    ):
        await client.send("GET /v2/a/blobs/x HTTP/1.1\r\nHost: h\r\n\r\n")
        head = await client.read_head()
        assert head.status == 200
        with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
            await client.read_body(head)


@pytest.mark.parametrize(
    ("said", "why"),
    [
        ("", "it broke off (Server disconnected)"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf", "it broke off ("),
        ("HTTP/1.1 200 OK\r\nContent-Le", "it broke off ("),
        ("SSH-2.0-OpenSSH_9.2\r\n\r\n", "its answer is not HTTP"),
        ("HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", "its answer is not HTTP"),
    ],
)
async def test_an_answer_that_never_was_one_becomes_502(registry: Registry, said: str, why: str) -> None:
    async def converse(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(said)

    async with registry(converse) as upstream, running_proxy({Backend.V2: upstream.address}) as proxy:
        answer = await proxy.ask("GET", "/v2/")
        assert answer.status == 502
        reason = json.loads(answer.body)["errors"][0]["detail"]["reason"]
        assert why in reason
        assert upstream.address in reason


async def test_a_change_is_never_sent_twice(registry: Registry) -> None:
    methods: list[str] = []

    async def converse(peer: Peer) -> None:
        head = await peer.read_head()
        await peer.read_body(head)
        methods.append(head.method)

    async with registry(converse) as upstream, running_proxy({Backend.V2: upstream.address}) as proxy:
        for method, body in (
            ("POST", b""),
            ("POST", b"x"),
            ("PUT", b"x"),
            ("PATCH", b"x"),
            ("PUT", b""),
            ("DELETE", b""),
        ):
            assert (await proxy.ask(method, "/v2/a/blobs/uploads/x", body=body)).status == 502
    assert methods == ["POST", "POST", "PUT", "PATCH", "PUT", "DELETE"]
