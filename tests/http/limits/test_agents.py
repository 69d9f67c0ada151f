"""Of a User-Agent the first KiB counts: for the route, for the registry behind the proxy, for what a person is told."""

from __future__ import annotations

import asyncio
import json

import pytest

from backends.model.clients import MAX_AGENT
from portside.explain_route import explain
from proxy.forwarding import Forwarder
from proxy.headers import request_headers
from proxy.proxy import Proxy
from proxy.routing import Backend
from proxy.settings import ProxySettings, UpstreamSettings
from tests.support.limits import Place
from tests.support.serving_here import serving_here
from tests.support.upstreams import Peer, spoken_by_hand
from tests.support.v1server import make_pushed

OLD = "docker/1.5.0 "
AT_THE_BOUND = OLD + "x" * (MAX_AGENT - len(OLD))
AGENTS = [AT_THE_BOUND, AT_THE_BOUND + "y", AT_THE_BOUND + " docker/20.10.0" * 1000]


@pytest.mark.parametrize("agent", AGENTS, ids=len)
@pytest.mark.parametrize("name", ["User-Agent", "user-agent"])
async def test_a_registry_behind_the_proxy_sees_what_the_route_was_decided_by(name: str, agent: str) -> None:
    """Whatever it does with a long one, in an expression of its own or in its log, is spared it."""
    seen: list[str | None] = []

    async def converse(peer: Peer) -> None:
        seen.append((await peer.read_head()).value("User-Agent"))
        await peer.answer("200 OK")

    async with spoken_by_hand(converse) as upstream:
        proxy = Proxy(ProxySettings(), {Backend.V1: Forwarder(Backend.V1, UpstreamSettings(upstream.address))})
        async with serving_here(proxy.handle) as client:
            assert (await client.ask("GET", "/v1/_ping", {name: agent})).status == 200
        await proxy.close()
    assert seen == [AT_THE_BOUND]


def test_other_headers_are_passed_whole() -> None:
    long = [("Accept", "a/b, " * 1000), ("X-User-Agent", "x" * 2000), ("Cookie", "c" * 2000)]
    passed = request_headers(long, peer="192.0.2.1", scheme="https", trusted=False)
    assert [each for each in passed if each in long] == long


@pytest.mark.parametrize("agent", AGENTS, ids=len)
async def test_a_route_is_decided_by_it(place: Place, agent: str) -> None:
    expected = 200 if place.way == "alone" else 404  # a registry of its own does not choose
    assert (await place.v2.ask("GET", "/v2/", {"User-Agent": agent})).status == expected
    moved = "x" * MAX_AGENT + agent
    assert (await place.v2.ask("GET", "/v2/", {"User-Agent": moved})).status == 200


def test_what_a_person_is_told_of_a_route_is_what_the_proxy_decides() -> None:
    told = [explain(agent, "GET", "/v2/", rule="portside") for agent in AGENTS]
    assert told[0] == told[1] == told[2]
    assert told[0]["goes to"] == "proxy"
    assert len(json.dumps(told[2])) < 2 * MAX_AGENT
    assert explain("x" * MAX_AGENT + OLD, "GET", "/v2/", rule="literal")["goes to"] == "v2"


@pytest.mark.parametrize("agent", [OLD + "go/" + "g" * (MAX_AGENT * 3), OLD + "a/b " * 15_000], ids=["word", "words"])
async def test_what_is_kept_with_a_tag_has_a_bound(place: Place, agent: str) -> None:
    image = make_pushed("a")
    for path, body, headers in (
        (f"/v1/images/{image.id}/json", image.json, {}),
        (f"/v1/images/{image.id}/layer", image.layer, {}),
        (f"/v1/images/{image.id}/checksum", b"", {"X-Docker-Checksum-Payload": image.payload}),
        ("/v1/repositories/team/app/tags/latest", json.dumps(image.id).encode(), {}),
    ):
        async with asyncio.timeout(10):
            answer = await place.v1.ask("PUT", path, {"User-Agent": agent, **headers}, body=body)
        assert answer.status == 200, path
    described = await place.v1.ask("GET", "/v1/repositories/team/app/tags/latest/json")
    assert described.json["docker_version"] == "1.5.0"
    assert len(described.body) < 2 * MAX_AGENT
