"""`Location` and `X-Docker-Endpoints` name the address that the client used, never the registry's own."""

from __future__ import annotations

import pytest

from proxy.routing import Backend
from tests.support.proxies import running_proxy
from tests.support.upstreams import Peer, Registry


def _own(address: str, backend: str) -> str:
    """How the registry would name itself: behind a unix socket it has only the name that it is asked by."""
    return address if address.startswith("http") else f"http://{backend}"


@pytest.mark.parametrize(
    ("said", "trusted", "passed"),
    [
        ("{own}/v2/a/blobs/uploads/u?_state=%2bx", False, "http://{host}/v2/a/blobs/uploads/u?_state=%2bx"),
        ("{own}/v2/x", True, "https://{host}/v2/x"),
        ("http://{host}/v2/x", True, "https://{host}/v2/x"),
        ("/v2/x?y", True, "/v2/x?y"),
        ("https://bucket.example/x?sig=%2F", False, "https://bucket.example/x?sig=%2F"),
    ],
)
async def test_a_location_leads_to_where_the_client_is(
    registry: Registry,
    said: str,
    trusted: bool,  # noqa: FBT001 - a table
    passed: str,
) -> None:
    locations: list[str] = []

    async def converse(peer: Peer) -> None:
        await peer.read_head()
        await peer.answer("307 Temporary Redirect", f"Location: {locations[0]}")

    async with (
        registry(converse) as upstream,
        running_proxy({Backend.V2: upstream.address}, trusted=trusted) as proxy,
    ):
        names = {"own": _own(upstream.address, "v2"), "host": proxy.authority}
        locations.append(said.format(**names))
        answer = await proxy.ask("GET", "/v2/a/blobs/x", "X-Forwarded-Proto: https")
        assert (answer.status, answer.head.value("Location")) == (307, passed.format(**names))


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
