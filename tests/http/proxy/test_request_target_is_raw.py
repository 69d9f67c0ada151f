"""A target goes on as it came; in one process and in several registries read the same."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from proxy.routing import Backend
from proxy.settings import ProxySettings, Rule
from tests.support.proxies import running_proxy
from tests.support.upstreams import Peer, Registry, spoken_by_hand

TARGETS = [
    "/v2/",
    "/v2/a%2fb/blobs/sha256%3Aab",
    "/v2/a%2Fb/blobs/sha256:ab",
    "/v2/../v1/_ping",
    "/v2/./a/../b//c/",
    "/v2//",
    "/v2/%00/%zz/%",
    "/v2/%e2%82%ac/+%20",
    "/v2/a/blobs/uploads/x?_state=a%2Bb%3D&digest=sha256%3aab&x&=&&y=%zz",
    "/v2/a/tags/list?n=1?last=a;b|c[]{}^`\"<>\\'",
    "/v2/a?x=//h/../#".rstrip("#"),
    "/v2/;p=1/:@!$&'()*,=~",
    "/v2/" + "a" * 60_000,
]


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target[:50])
async def test_a_registry_elsewhere_sees_the_target_as_it_came(registry: Registry, target: str) -> None:
    seen: list[str] = []

    async def converse(peer: Peer) -> None:
        seen.append((await peer.read_head()).line)
        await peer.answer("200 OK")

    async with registry(converse) as upstream, running_proxy({Backend.V2: upstream.address}) as proxy:
        assert (await proxy.ask("GET", target)).status == 200
    assert seen == [f"GET {target} HTTP/1.1"]


@pytest.mark.parametrize("target", TARGETS, ids=lambda target: target[:50])
async def test_a_registry_in_this_process_sees_the_target_as_it_came(target: str) -> None:
    seen: list[str] = []

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        seen.append(request.raw_path)
        return web.Response()

    async with running_proxy({Backend.V2: handle}) as proxy:
        assert (await proxy.ask("GET", target)).status == 200
    assert seen == [target]


@pytest.mark.parametrize("target", ["http://h:1/v2/a%2fb/?x=%zz", "HTTP://h/v2//x/../y", "http://u:p@h/v2/"])
async def test_the_absolute_form_reaches_both_kinds_of_registry_as_the_origin_form(
    registry: Registry, target: str
) -> None:
    seen: list[str] = []

    async def converse(peer: Peer) -> None:
        seen.append((await peer.read_head()).target)
        await peer.answer("200 OK")

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        assert (await request.read()) == b"body"
        seen.append(request.raw_path)
        return web.Response()

    async with (
        registry(converse) as upstream,
        running_proxy({Backend.V2: upstream.address}) as elsewhere,
        running_proxy({Backend.V2: handle}) as here,
    ):
        assert (await elsewhere.ask("GET", target)).status == 200
        answer = await here.ask("PUT", target, body=b"body")
        assert answer.status == 200
    assert seen == ["/" + target.split("/", 3)[3]] * 2


@pytest.mark.parametrize("target", ["/v2/#", "/v2/a#b", "/v1/_ping#"])
async def test_a_fragment_is_refused(registry: Registry, target: str) -> None:
    async def converse(peer: Peer) -> None:
        await peer.read_head()

    async with (
        registry(converse) as upstream,
        running_proxy({Backend.V2: upstream.address, Backend.V1: upstream.address}) as proxy,
    ):
        assert (await proxy.ask("GET", target)).status == 400
        assert upstream.connections == 0


@pytest.mark.parametrize("rule", Rule)
@pytest.mark.parametrize(
    ("method", "target"),
    [("OPTIONS", "*"), ("CONNECT", "{other}"), ("CONNECT", "@{other}"), ("CONNECT", "x@{other}")],
)
async def test_no_target_leads_to_another_host_than_the_registrys(
    registry: Registry, rule: Rule, method: str, target: str
) -> None:
    async def converse(peer: Peer) -> None:
        await peer.read_head()
        await peer.answer("200 OK")

    async with (
        registry(converse) as upstream,
        spoken_by_hand(converse) as other,
        running_proxy(dict.fromkeys(Backend, upstream.address), settings=ProxySettings(rule=rule)) as proxy,
    ):
        answer = await proxy.ask(method, target.format(other=other.address.removeprefix("http://")))
        assert answer.status == 404
        assert (upstream.connections, other.connections) == (0, 0)


@pytest.mark.parametrize("path", [b"/v2/\xff\xfe", "/v2/é".encode(), b"/v2/a\x80?x=\xe9"])
async def test_bytes_that_no_target_may_hold_harm_nobody(registry: Registry, path: bytes) -> None:
    async def converse(peer: Peer) -> None:
        head = await peer.read_head()
        assert head.line.isascii()
        await peer.answer("200 OK", body=head.target.encode())

    async with (
        registry(converse) as upstream,
        running_proxy({Backend.V2: upstream.address}) as proxy,
        asyncio.timeout(5),
        proxy.connection() as client,
    ):
        await client.send(b"GET ", path, b" HTTP/1.1\r\nHost: h\r\n\r\n")
        assert (await client.read_head()).status in {200, 400}


@pytest.mark.parametrize("value", [b"caf\xe9", "café".encode(), b"a\tb"])
async def test_bytes_beyond_ascii_in_a_header_harm_nobody(registry: Registry, value: bytes) -> None:
    async def converse(peer: Peer) -> None:
        await peer.read_head()
        await peer.send(b"HTTP/1.1 200 OK\r\nX-Odd: ", value, b"\r\nContent-Length: 0\r\n\r\n")

    async with (
        registry(converse) as upstream,
        running_proxy({Backend.V2: upstream.address}) as proxy,
        asyncio.timeout(5),
        proxy.connection() as client,
    ):
        await client.send(b"GET /v2/ HTTP/1.1\r\nHost: h\r\nUser-Agent: ", value, b"\r\nX-Odd: ", value, b"\r\n\r\n")
        assert (await client.read_head()).status == 200
