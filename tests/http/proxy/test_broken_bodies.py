"""A client whose body is broken or stops gets an error that says so, and the registry is not blamed."""

from __future__ import annotations

import asyncio
import json

import pytest

from proxy.routing import Backend
from proxy.settings import UpstreamSettings
from tests.support.proxies import answered, running_proxy
from tests.support.upstreams import Peer, Registry


async def _reads(peer: Peer) -> None:
    await peer.read_body(await peer.read_head())
    raise AssertionError("the body seemed whole")


@pytest.mark.parametrize("nonsense", ["nonsense\r\n", "-1\r\n", "5\r\nhelloXX5\r\n"])
async def test_malformed_chunks_never_seem_whole_and_are_no_fault_of_the_registry(
    registry: Registry, caplog: pytest.LogCaptureFixture, nonsense: str
) -> None:
    async with registry(_reads) as upstream:
        # The server's parser does not tell the reader of a body that it gave up: the body stops coming.
        settings = UpstreamSettings(upstream.address, body_idle_seconds=0.3)
        async with (
            running_proxy({Backend.V2: settings}) as proxy,
            asyncio.timeout(20),
            proxy.connection() as client,
        ):
            await client.send("PUT /v2/a/blobs/uploads/x HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
            await client.send("5\r\nhello\r\n")
            await asyncio.sleep(0.1)
            await client.send(nonsense)
            answer = await answered(client, of="PUT")
            assert answer.status in {400, 408}
            assert answer.head.value("Connection") == "close"
    assert not [record for record in caplog.records if record.name == "portside.proxy"]


@pytest.mark.parametrize("begun", ["", "hello"])
async def test_a_body_that_stops_coming_is_408(registry: Registry, begun: str) -> None:
    async with registry(_reads) as upstream:
        settings = UpstreamSettings(upstream.address, body_idle_seconds=0.3)
        async with (
            running_proxy({Backend.V2: settings}) as proxy,
            asyncio.timeout(20),
            proxy.connection() as client,
        ):
            await client.send("PUT /v2/a/blobs/uploads/x HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\n", begun)
            answer = await answered(client, of="PUT")
            assert (answer.status, answer.head.value("Connection")) == (408, "close")
            assert "stopped coming" in json.loads(answer.body)["errors"][0]["detail"]["reason"]


@pytest.mark.parametrize(
    "framing", ["Content-Length: 5\r\nTransfer-Encoding: chunked", "Content-Length: 5\r\nContent-Length: 6",
                "Transfer-Encoding: chunked, identity", "Content-Length: +5", " folded: x"]
)  # fmt: skip
async def test_a_request_that_could_be_read_in_two_ways_never_reaches_a_registry(
    registry: Registry, framing: str
) -> None:
    async with (
        registry(_reads) as upstream,
        running_proxy({Backend.V2: upstream.address}) as proxy,
        asyncio.timeout(20),
        proxy.connection() as client,
    ):
        await client.send(
            f"PUT /v2/a/blobs/uploads/x HTTP/1.1\r\nHost: h\r\n{framing}\r\n\r\n0\r\n\r\nGET /v2/ HTTP/1.1"
        )
        assert (await client.read_head()).status == 400
        assert upstream.connections == 0
