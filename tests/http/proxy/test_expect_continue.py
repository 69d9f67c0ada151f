"""`Expect: 100-continue` is answered once, and only when the registry wants the body."""

from __future__ import annotations

import asyncio
import json

import pytest

from proxy.routing import Backend
from proxy.settings import UpstreamSettings
from tests.support.proxies import answered, running_proxy
from tests.support.upstreams import Head, Peer, Registry

PUT = "PUT /v2/a/blobs/uploads/x HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\n"
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
FRAMINGS = [("Content-Length: 5", "hello"), ("Transfer-Encoding: chunked", "5\r\nhello\r\n0\r\n\r\n")]


@pytest.mark.parametrize(("framing", "body"), FRAMINGS)
async def test_100_continue_passes_when_the_registry_sends_it(registry: Registry, framing: str, body: str) -> None:
    asked, give = asyncio.Event(), asyncio.Event()

    async def converse(peer: Peer) -> None:
        head = await peer.read_head()
        assert head.value("Expect") == "100-continue"
        asked.set()
        await give.wait()
        await peer.send(CONTINUE)
        assert await peer.read_body(head) == b"hello"
        await peer.answer("201 Created")

    async with (
        registry(converse) as upstream,
        running_proxy({Backend.V2: upstream.address}) as proxy,
        asyncio.timeout(5),
        proxy.connection() as client,
    ):
        await client.send(PUT, framing, "\r\n\r\n")
        await asked.wait()
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(client.reader.read(1), 0.1)
        give.set()
        assert await client.reader.readexactly(len(CONTINUE)) == CONTINUE
        await client.send(body)
        answer = await answered(client, of="PUT")
        assert (answer.status, answer.head.value("Connection")) == (201, None)


@pytest.mark.parametrize("status", ["401 Unauthorized", "413 Too Large", "201 Created"])
async def test_an_answer_instead_of_100_continue_is_passed_on_and_the_connection_closed(
    registry: Registry, status: str
) -> None:
    async def converse(peer: Peer) -> None:
        await peer.read_head()
        await peer.answer(status, body=b"no")
        await peer.other_side_closed()

    async with (
        registry(converse) as upstream,
        running_proxy({Backend.V2: upstream.address}) as proxy,
        asyncio.timeout(5),
        proxy.connection() as client,
    ):
        await client.send(PUT, "Content-Length: 5\r\n\r\n")
        answer = await answered(client, of="PUT")
        assert (answer.status, answer.body) == (int(status[:3]), b"no")
        assert answer.head.value("Connection") == "close"


async def test_a_body_that_comes_without_waiting_is_not_lost(registry: Registry) -> None:
    async def converse(peer: Peer) -> None:
        head = await peer.read_head()
        await peer.send(CONTINUE)
        assert await peer.read_body(head) == b"hello"
        await peer.answer("201 Created")

    async with (
        registry(converse) as upstream,
        running_proxy({Backend.V2: upstream.address}) as proxy,
        asyncio.timeout(5),
        proxy.connection() as client,
    ):
        await client.send(PUT, "Content-Length: 5\r\n\r\nhello")
        head = await client.read_head()
        assert head.status == 201


@pytest.mark.parametrize("goes_first", [False, True], ids=["client waits", "client gives up waiting"])
async def test_a_registry_that_knows_no_expect_gets_the_body_all_the_same(
    registry: Registry, *, goes_first: bool
) -> None:
    heads: list[Head] = []

    async def converse(peer: Peer) -> None:
        heads.append(head := await peer.read_head())
        body = await peer.read_body(head)
        await peer.answer("201 Created", body=body)

    async with registry(converse) as upstream:
        settings = UpstreamSettings(upstream.address)
        async with (
            running_proxy({Backend.V2: settings}) as proxy,
            asyncio.timeout(15),
            proxy.connection() as client,
        ):
            await client.send(PUT, "Content-Length: 5\r\n\r\n")
            if goes_first:
                await client.send("hello")
            else:
                assert await client.reader.readexactly(len(CONTINUE)) == CONTINUE
                await client.send("hello")
            answer = await answered(client, of="PUT")
            assert (answer.status, answer.body) == (201, b"hello")
    assert [head.value("Expect") for head in heads] == ["100-continue", None]


async def test_an_expectation_that_nobody_can_meet_is_417(registry: Registry) -> None:
    async def converse(peer: Peer) -> None:
        await peer.read_head()

    async with registry(converse) as upstream, running_proxy({Backend.V2: upstream.address}) as proxy:
        answer = await proxy.ask("PUT", "/v2/a/blobs/uploads/x", "Expect: 200-ok", body=b"x")
        assert (answer.status, answer.head.value("Connection")) == (417, "close")
        assert "200-ok" in json.loads(answer.body)["errors"][0]["detail"]["reason"]
        assert upstream.connections == 0


async def test_http_1_0_is_never_told_to_continue(registry: Registry) -> None:
    async def converse(peer: Peer) -> None:
        head = await peer.read_head()
        assert head.value("Expect") is None
        await peer.read_body(head)
        await peer.answer("201 Created")

    async with (
        registry(converse) as upstream,
        running_proxy({Backend.V2: upstream.address}) as proxy,
        asyncio.timeout(5),
        proxy.connection() as client,
    ):
        await client.send(PUT.replace("HTTP/1.1", "HTTP/1.0"), "Content-Length: 5\r\n\r\nhello")
        assert (await client.read_head()).status == 201
