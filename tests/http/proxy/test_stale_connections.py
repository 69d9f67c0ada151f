"""Connections to a registry are kept and used again, and one that it closed meanwhile is no failure."""

from __future__ import annotations

import asyncio

from proxy.routing import Backend
from tests.support.proxies import running_proxy
from tests.support.upstreams import Peer, Registry


async def test_reading_uses_a_connection_again(registry: Registry) -> None:
    async def converse(peer: Peer) -> None:
        while True:
            await peer.read_head()
            await peer.answer("200 OK", body=b"{}")

    async with registry(converse) as upstream, running_proxy({Backend.V2: upstream.address}) as proxy:
        for _ in range(5):
            assert (await proxy.ask("GET", "/v2/")).status == 200
        assert upstream.connections == 1


async def test_a_connection_that_was_closed_while_it_was_idle_is_replaced(registry: Registry) -> None:
    async def converse(peer: Peer) -> None:
        await peer.read_head()
        await peer.answer("200 OK", body=b"{}")

    async with registry(converse) as upstream, running_proxy({Backend.V2: upstream.address}) as proxy:
        for _ in range(3):
            assert (await proxy.ask("GET", "/v2/")).status == 200
            await asyncio.sleep(0.02)
        assert upstream.connections == 3


async def test_a_connection_that_is_closed_at_the_moment_of_asking_is_tried_anew_once(registry: Registry) -> None:
    async def converse(peer: Peer) -> None:
        await peer.read_head()
        await peer.answer("200 OK", body=b"{}")
        await peer.read_head()  # and closes without an answer

    async with registry(converse) as upstream, running_proxy({Backend.V2: upstream.address}) as proxy:
        assert [(await proxy.ask("GET", "/v2/")).status for _ in range(4)] == [200] * 4
        assert upstream.connections == 4


async def test_what_changes_something_never_goes_over_a_used_connection(registry: Registry) -> None:
    async def converse(peer: Peer) -> None:
        while True:
            head = await peer.read_head()
            await peer.read_body(head)
            await peer.answer("202 Accepted")

    async with registry(converse) as upstream, running_proxy({Backend.V2: upstream.address}) as proxy:
        await proxy.ask("GET", "/v2/")
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            assert (await proxy.ask(method, "/v2/a/blobs/uploads/", "Content-Length: 0")).status == 202
        assert upstream.connections == 5


async def test_clients_connections_are_kept_too(registry: Registry) -> None:
    async def converse(peer: Peer) -> None:
        while True:
            head = await peer.read_head()
            await peer.read_body(head)
            await peer.answer("201 Created")

    async with (
        registry(converse) as upstream,
        running_proxy({Backend.V2: upstream.address}) as proxy,
        asyncio.timeout(5),
        proxy.connection() as client,
    ):
        for _ in range(3):
            await client.send("PUT /v2/a/manifests/b HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody")
            head = await client.read_head()
            assert (head.status, head.value("Connection")) == (201, None)
