"""The rules of HTTP hold alike at every door: a registry's own port, the proxy in one process with it, or before it.

Each door takes one request with a body; what the body is differs, what is done about it does not.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from backends.registry.store import Store
from backends.storage.factory import open_folder
from backends.v1.registry import Registry as V1Registry
from backends.v1.settings import V1Settings
from backends.v2.registry import Registry as V2Registry
from backends.v2.settings import V2Settings
from proxy.forwarding import Forwarder
from proxy.proxy import InProcess, Proxy
from proxy.routing import Backend
from proxy.settings import ProxySettings, UpstreamSettings
from tests.support.byteranges import Part, parse_byteranges
from tests.support.serving_here import Client, digest_of, serving_here
from tests.support.upstreams import Head, Peer
from tests.support.v1server import make_pushed

IMAGE = make_pushed("a")
BLOB = b"a blob of some bytes"
CONTINUE = "HTTP/1.1 100 Continue"
IDLE_SECONDS = 0.4

V1_REQUEST = (f"PUT /v1/images/{IMAGE.id}/json", IMAGE.json, 200)
V2_REQUEST = (f"POST /v2/a/blobs/uploads/?digest={digest_of(BLOB)}", BLOB, 201)


@dataclass(frozen=True, slots=True)
class Door:
    """An address, and a request with a body that succeeds there: its line up to the version, its body, its status."""

    client: Client
    line: str
    body: bytes
    status: int

    def detail(self, body: bytes) -> str:
        """The sentence of an error, in the shape of the door's protocol."""
        document = json.loads(body)
        if " /v1/" in self.line:
            assert set(document) == {"error"}
            return str(document["error"])
        (error,) = document["errors"]
        assert set(error) == {"code", "message", "detail"}
        return str(error["detail"]["reason"])

    @contextlib.asynccontextmanager
    async def asked(self, *headers: str, version: str = "1.1", line: str = "") -> AsyncIterator[Peer]:
        """A connection on which the head of the request has been sent."""
        fields = [f"Host: {self.client.authority}", "User-Agent: docker/20.10.24", *headers]
        async with asyncio.timeout(10), self.client.connection() as peer:
            await peer.send("\r\n".join([f"{line or self.line} HTTP/{version}", *fields, "", ""]))
            yield peer

    @property
    def length(self) -> str:
        return f"Content-Length: {len(self.body)}"


@pytest.fixture(params=["v1", "v2", "v1 by the proxy", "v2 by the proxy", "v1 elsewhere", "v2 elsewhere"])
async def door(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Door]:
    kind: str = request.param
    backend = Backend(kind[:2])
    storage = open_folder(tmp_path / "root")
    handle = (
        V1Registry(Store(storage), V1Settings(body_idle_seconds=IDLE_SECONDS)).handle
        if backend is Backend.V1
        else V2Registry(Store(storage), V2Settings(body_idle_seconds=IDLE_SECONDS)).handle
    )
    line, body, status = V1_REQUEST if backend is Backend.V1 else V2_REQUEST
    async with contextlib.AsyncExitStack() as stack:
        if kind.endswith("elsewhere"):
            elsewhere = await stack.enter_async_context(serving_here(handle))
            settings = UpstreamSettings(f"http://{elsewhere.authority}", body_idle_seconds=IDLE_SECONDS)
            proxy = Proxy(ProxySettings(), {backend: Forwarder(backend, settings)})
            stack.push_async_callback(proxy.close)
            handle = proxy.handle
        elif kind.endswith("proxy"):
            handle = Proxy(ProxySettings(), {backend: InProcess(handle)}).handle
        yield Door(await stack.enter_async_context(serving_here(handle)), line, body, status)
    await storage.close()


async def _last(peer: Peer, rest: bytes) -> tuple[Head, bytes]:
    """The answer, after which the connection must end, though the rest of the body comes."""
    head = await peer.read_head()
    body = await peer.read_body(head)
    assert head.value("Connection") == "close"
    await peer.send(rest, "GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n")
    assert await peer.reader.read() == b""
    return head, body


async def test_a_client_that_waits_is_told_once_to_send_its_body(door: Door) -> None:
    async with door.asked("Expect: 100-continue", door.length) as peer:
        assert (await peer.read_head()).line == CONTINUE
        await peer.send(door.body[:3])
        await asyncio.sleep(0.05)
        await peer.send(door.body[3:])
        head = await peer.read_head()
        await peer.read_body(head)
        assert (head.status, head.value("Connection")) == (door.status, None)
        await peer.send(f"GET /v2/ HTTP/1.1\r\nHost: {door.client.authority}\r\n\r\n")
        assert (await peer.read_head()).status in {200, 404}  # the connection serves on


async def test_a_client_of_http_1_0_is_never_told_to_continue(door: Door) -> None:
    async with door.asked("Expect: 100-continue", door.length, version="1.0") as peer:
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(peer.reader.read(1), 0.1)
        await peer.send(door.body)
        assert (await peer.read_head()).status == door.status


async def test_a_body_that_comes_without_waiting_is_taken(door: Door) -> None:
    async with door.asked("Expect: 100-continue", door.length) as peer:
        await peer.send(door.body)
        head = await peer.read_head()
        if head.line == CONTINUE:
            head = await peer.read_head()
        assert head.status == door.status


@pytest.mark.parametrize("expectation", ["200-ok", "100-continue, x", "\xe9"])
async def test_another_expectation_is_417(door: Door, expectation: str) -> None:
    async with door.asked(f"Expect: {expectation}", door.length) as peer:
        head, body = await _last(peer, door.body)
        assert head.status == 417
        assert "is not supported" in door.detail(body)
        assert door.detail(body).isprintable()


async def test_a_client_that_was_never_told_to_continue_gets_no_second_answer(door: Door) -> None:
    """What comes on its connection may be the body that it held back, and would be parsed as a request."""
    line = door.line.partition("?")[0].replace("/a/", "/BAD/").replace(IMAGE.id, "bad")
    async with door.asked("Expect: 100-continue", door.length, line=line) as peer:
        await asyncio.sleep(0.05)
        head, body = await _last(peer, door.body)
        assert head.status in {400, 404}
        assert door.detail(body)


async def test_an_answer_before_the_whole_body_has_come_ends_the_connection(door: Door) -> None:
    line = door.line.partition("?")[0].replace("/a/", "/BAD/").replace(IMAGE.id, "bad")
    async with door.asked(door.length, line=line) as peer:
        await peer.send(door.body[:3])
        head = await peer.read_head()
        assert (head.status in {400, 404}, head.value("Connection")) == (True, "close")


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("begun", [0, 3])
async def test_a_body_that_stops_coming_is_408(door: Door, framing: str, begun: int) -> None:
    header = door.length if framing == "length" else "Transfer-Encoding: chunked"
    first = door.body[:begun]
    async with door.asked(header) as peer:
        await peer.send(first if framing == "length" or not first else b"%x\r\n%b\r\n" % (len(first), first))
        head = await peer.read_head()
        assert (head.status, head.value("Connection")) == (408, "close")
        assert door.detail(await peer.read_body(head)) == (
            "the request's body stopped coming: nothing for 0.4 seconds; send it again"
        )


async def test_a_slow_body_is_not_a_silent_one(door: Door) -> None:
    async with door.asked(door.length) as peer:
        for start in range(0, len(door.body), 4):
            await asyncio.sleep(IDLE_SECONDS / 4)
            await peer.send(door.body[start : start + 4])
        assert (await peer.read_head()).status == door.status


@pytest.mark.parametrize("door", ["v2", "v2 by the proxy", "v2 elsewhere"], indirect=True)
async def test_several_ranges_come_alike_through_every_door(door: Door) -> None:
    async with door.asked(door.length) as peer:
        await peer.send(door.body)
        assert (await peer.read_head()).status == door.status
    async with door.asked("Range: bytes=2-3,0-0,99-", line=f"GET /v2/a/blobs/{digest_of(BLOB)}") as peer:
        head = await peer.read_head()
        body = await peer.read_body(head)
    assert head.status == 206
    size = len(BLOB)
    assert parse_byteranges(head.value("Content-Type") or "", body) == [
        Part(2, 3, size, BLOB[2:4]),
        Part(0, 0, size, BLOB[:1]),
    ]
