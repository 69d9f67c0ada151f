"""While v2 is down, a client that speaks v2 cannot push to v1 instead: into the wrong registry, in silence."""

from __future__ import annotations

import json

import pytest
from aiohttp import web

from backends import request_context
from proxy.routing import Backend
from proxy.settings import ProxySettings, Rule
from tests.support.ports import free_port
from tests.support.proxies import running_proxy
from tests.support.upstreams import Peer, Registry

NEW, OLD = "docker/1.6.2 go/go1.4.2", "docker/1.5.0 go/go1.4.1"


async def _v1(request: web.BaseRequest) -> web.StreamResponse:
    return web.Response(text="v1")


@pytest.mark.parametrize("rule", list(Rule))
@pytest.mark.parametrize("target", ["/v1/repositories/a/b/", "/v1/images/x/json", "/v1/repositories/a/b/tags/c"])
async def test_it_gets_503_with_the_reason(target: str, rule: Rule) -> None:
    down = f"http://127.0.0.1:{free_port()}"
    settings = ProxySettings(rule=rule)
    async with running_proxy({Backend.V1: _v1, Backend.V2: down}, settings=settings) as proxy:
        answer = await proxy.ask("PUT", target, body=b"[]", agent=NEW)
        assert answer.status == 503
        assert json.loads(answer.body) == {
            "error": "the v2 registry does not answer, and docker 1.6.2 speaks v2; push again when it is back"
        }
        assert (answer.head.value("X-Portside-Route") or "").startswith("proxy; the v2 registry does not answer")
        request = proxy.requests[-1]
        assert (request[request_context.BACKEND], request[request_context.DECIDED]) == (
            "proxy",
            ("schema 1", "v2_is_down"),
        )


@pytest.mark.parametrize(
    ("agent", "method", "target"),
    [
        (OLD, "PUT", "/v1/repositories/a/b/"),
        ("Go 1.1 package http", "PUT", "/v1/images/x/layer"),
        (NEW, "GET", "/v1/repositories/a/b/images"),
        (NEW, "POST", "/v1/users/"),
        (NEW, "GET", "/v1/search?q=x"),
    ],
)
async def test_what_is_no_push_or_no_client_of_v2_goes_on(agent: str, method: str, target: str) -> None:
    down = f"http://127.0.0.1:{free_port()}"
    async with running_proxy({Backend.V1: _v1, Backend.V2: down}) as proxy:
        assert (await proxy.ask(method, target, agent=agent)).body == b"v1"


@pytest.mark.parametrize(
    ("status", "up"), [("200 OK", True), ("401 Unauthorized", True), ("404 Not Found", True), ("503 Busy", False)]
)
async def test_v2_is_asked_at_that_moment_and_anything_below_500_counts(
    registry: Registry,
    status: str,
    up: bool,  # noqa: FBT001 - a table
) -> None:
    asked: list[str] = []

    async def converse(peer: Peer) -> None:
        asked.append((await peer.read_head()).line)
        await peer.answer(status)

    async with registry(converse) as v2, running_proxy({Backend.V1: _v1, Backend.V2: v2.address}) as proxy:
        for _ in range(2):
            answer = await proxy.ask("PUT", "/v1/images/x/json", body=b"{}", agent=NEW)
            assert answer.status == (200 if up else 503)
    assert asked == ["GET /v2/ HTTP/1.1"] * 2


async def test_where_there_is_no_v2_everyone_pushes_to_v1() -> None:
    async with running_proxy({Backend.V1: _v1}) as proxy:
        assert (await proxy.ask("PUT", "/v1/images/x/json", body=b"{}", agent=NEW)).body == b"v1"
