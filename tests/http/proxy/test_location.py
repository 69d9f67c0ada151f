"""`Location`, `Link` and `X-Docker-Endpoints` lead to the address that the client used, never to the registry's own."""

from __future__ import annotations

from typing import Any

import pytest

from proxy.routing import Backend
from proxy.settings import UpstreamSettings
from tests.support.proxies import running_proxy
from tests.support.upstreams import Head, Peer, Registry


def _own(address: str, backend: str) -> str:
    """How the registry would name itself: behind a unix socket it has only the name that it is asked by."""
    return address if address.startswith("http") else f"http://{backend}"


@pytest.mark.parametrize(
    ("said", "passed"),
    [
        ("{own}/v2/a/blobs/uploads/u?_state=%2bx", "https://{host}/v2/a/blobs/uploads/u?_state=%2bx"),
        ("http://{host}/v2/x", "https://{host}/v2/x"),
        ("https://{host}/v2/x", "https://{host}/v2/x"),
        ("/v2/x?y", "/v2/x?y"),
        ("uploads/1?_state=%2b", "https://{host}/v2/a/blobs/uploads/1?_state=%2b"),
        ("?x", "https://{host}/v2/a/blobs/x?x"),
        ("//{own_host}/v2/x", "https://{host}/v2/x"),
        ("https://bucket.example/x?sig=%2F", "https://bucket.example/x?sig=%2F"),
        ("//bucket.example/x", "http://bucket.example/x"),
    ],
)
async def test_a_location_leads_to_where_the_client_is(registry: Registry, said: str, passed: str) -> None:
    locations: list[str] = []

    async def converse(peer: Peer) -> None:
        await peer.read_head()
        await peer.answer("307 Temporary Redirect", f"Location: {locations[0]}")

    async with registry(converse) as upstream, running_proxy({Backend.V2: upstream.address}) as proxy:
        own = _own(upstream.address, "v2")
        names = {"own": own, "own_host": own.removeprefix("http://"), "host": proxy.authority}
        locations.append(said.format(**names))
        answer = await proxy.ask("GET", "/v2/a/blobs/x?n=1", "X-Forwarded-Proto: https")
        assert (answer.status, answer.head.value("Location")) == (307, passed.format(**names))


@pytest.mark.parametrize(
    ("sent", "settings", "passed"),
    [
        ([], {}, "http://{host}/v2/x"),
        (["X-Forwarded-Host: r.example:5000", "X-Forwarded-Proto: https, http"], {}, "https://r.example:5000/v2/x"),
        (["Forwarded: proto=https;host=f.example", "X-Forwarded-Host: r.example"], {}, "https://f.example/v2/x"),
        (["X-Forwarded-Host: r.example/x", "X-Forwarded-Proto: javascript"], {}, "http://{host}/v2/x"),
        (["X-Forwarded-Host: r.example"], {"host": "https://set.example"}, "https://set.example/v2/x"),
        (["X-Forwarded-Host: r.example"], {"relative_urls": True}, "/v2/x"),
    ],
)
async def test_what_a_proxy_in_front_says_of_the_address_is_believed_for_location_alone(
    registry: Registry, sent: list[str], settings: dict[str, Any], passed: str
) -> None:
    heads: list[Head] = []

    async def converse(peer: Peer) -> None:
        heads.append(head := await peer.read_head())
        await peer.answer(
            "202 Accepted", f"Location: http://{head.value('Host')}/v2/x", "Link: <?last=b>; rel=next",
            "Link: <//cdn.example/x>", f"Www-Authenticate: Bearer realm=\"http://{head.value('Host')}/token\"",
        )  # fmt: skip

    async with (
        registry(converse) as upstream,
        running_proxy({Backend.V2: UpstreamSettings(upstream.address, **settings)}) as proxy,
    ):
        answer = await proxy.ask("POST", "/v2/a/blobs/uploads/", *sent, "Content-Length: 0")
        assert answer.head.value("Location") == passed.format(host=proxy.authority)
        assert answer.head.values("Link") == ["</v2/a/blobs/uploads/?last=b>; rel=next", "<http://cdn.example/x>"]
        assert answer.head.value("Www-Authenticate") == f'Bearer realm="http://{proxy.authority}/token"'
        assert heads[0].value("Host") == proxy.authority
        assert heads[0].value("X-Forwarded-Proto") == "http"
        for name in ("X-Forwarded-Host", "X-Forwarded-Port", "Forwarded"):
            assert heads[0].value(name) is None


async def test_an_old_client_is_told_to_come_back_to_the_proxy(registry: Registry) -> None:
    own: list[str] = []

    async def converse(peer: Peer) -> None:
        head = await peer.read_head()
        endpoints = head.value("Host") if head.target.endswith("echo") else own[0]
        await peer.answer("200 OK", f"X-Docker-Endpoints: {endpoints}", "X-Docker-Token: Token x")

    async with registry(converse) as upstream, running_proxy({Backend.V1: upstream.address}) as proxy:
        own.append(_own(upstream.address, "v1").removeprefix("http://"))
        for target in ("/v1/repositories/echo", "/v1/repositories/own"):
            answer = await proxy.ask("PUT", target, agent="docker/1.5.0")
            assert answer.head.value("X-Docker-Endpoints") == proxy.authority
