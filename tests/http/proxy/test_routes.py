"""Each request goes to its registry, and its answer says which one and why."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web

from backends import request_context
from proxy.proxy import Handler
from proxy.routing import Backend
from proxy.settings import ProxySettings, Rule
from tests.support.loopback import Answer
from tests.support.proxies import RunningProxy, running_proxy

OLD, NEW = "docker/1.5.0 go/go1.4.1", "docker/1.6.2 go/go1.4.2"
GO = "Go 1.1 package http"


def _named(name: str) -> Handler:
    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        credentials = request.headers.get("Authorization", "none")
        return web.Response(
            text=f"{name} {credentials}", headers=dict(request[request_context.RESPONSE_HEADERS].replacing)
        )

    return handle


BOTH = {Backend.V1: _named("v1"), Backend.V2: _named("v2")}


async def _said(proxy: RunningProxy, method: str, target: str, agent: str | None) -> tuple[int, str, str | None]:
    answer = await proxy.ask(method, target, "Authorization: Basic Og==", agent=agent)
    return answer.status, answer.body.decode(), answer.head.value("X-Portside-Route")


@pytest.mark.parametrize(
    ("method", "target", "agent", "status", "body", "route"),
    [
        ("GET", "/v2/", NEW, 200, "v2 Basic Og==", "v2; docker 1.6.2 speaks v2"),
        ("GET", "/v2/", None, 200, "v2 Basic Og==", "v2; an unnamed client speaks v2"),
        ("GET", "/v2/", OLD, 404, "404 page not found\n",
         "proxy; docker 1.5.0 is older than docker 1.6: a bare 404 makes it fall back to v1"),
        ("GET", "/v2/", GO, 404, "404 page not found\n",
         "proxy; Go 1.1 package http is older than docker 1.6: a bare 404 makes it fall back to v1"),
        ("POST", "/v1/users/", GO, 200, "v1 Basic Og==", "v1; every /v1/ path goes to v1"),
        ("GET", "/v1/search?q=x", "docker/28.0.0", 200, "v1 Basic Og==", "v1; every /v1/ path goes to v1"),
        ("GET", "/_ping", NEW, 200, "v1 Basic Og==", "v1; every /v1/ path goes to v1"),
        ("GET", "/favicon.ico", NEW, 404, "there is no icon\n", "proxy; the proxy answers this path itself"),
    ],
)  # fmt: skip
async def test_the_way_and_its_reason_are_told(
    method: str, target: str, agent: str | None, status: int, body: str, route: str
) -> None:
    async with running_proxy(BOTH) as proxy:
        assert await _said(proxy, method, target, agent) == (status, body, route)
        request = proxy.requests[-1]
        assert f"{request[request_context.BACKEND]}; {request[request_context.ROUTE]}" == route


async def test_an_old_clients_refusal_does_not_keep_it_on_v2() -> None:
    async with running_proxy(BOTH) as proxy:
        answer = await proxy.ask("GET", "/v2/", agent=OLD)
        assert answer.head.value("Docker-Distribution-Api-Version") is None


@pytest.mark.parametrize("header", ["", "X-Other"])
async def test_the_header_can_be_renamed_and_turned_off(header: str) -> None:
    async with running_proxy(BOTH, settings=ProxySettings(route_header=header)) as proxy:
        for target in ("/v2/", "/v1/_ping", "/"):
            answer = await proxy.ask("GET", target)
            assert answer.head.value("X-Portside-Route") is None
            if header:
                assert answer.head.value(header)


async def test_the_guides_rule_to_the_letter() -> None:
    async with running_proxy(BOTH, settings=ProxySettings(rule=Rule.LITERAL)) as proxy:
        passed = await proxy.ask("GET", "/v2/", "Authorization: Basic Og==", agent="docker/1.0.1")
        assert (passed.body, _version(passed)) == (b"v2 Basic Og==", "registry/2.0")
        refused = await proxy.ask("GET", "/v2/", agent=GO)
        assert (refused.status, _version(refused)) == (404, "registry/2.0")
        for target in ("/", "/v1/_ping", "/anything"):
            answer = await proxy.ask("GET", target, "Authorization: Basic Og==", "X-Odd: é", agent=NEW)
            assert (answer.body, _version(answer)) == (b"v1 none", None)


def _version(answer: Answer) -> str | None:
    return answer.head.value("Docker-Distribution-Api-Version")


@pytest.mark.parametrize(
    "agent", [b"docker/1.5.0\x01\x7f", b"docker/1.5.0-\xff\xfe", b"x" * 60_000, b"docker/9\t: y", b""]
)
async def test_a_hostile_agent_writes_nothing_into_the_answer(agent: bytes) -> None:
    async with running_proxy(BOTH) as proxy, asyncio.timeout(5), proxy.connection() as client:
        await client.send(b"GET /v2/ HTTP/1.1\r\nHost: h\r\nUser-Agent: ", agent, b"\r\n\r\n")
        head = await client.read_head()
        assert head.status in {200, 404, 400}
        assert (head.value("X-Portside-Route") or "").isprintable()
        assert len(head.value("X-Portside-Route") or "") < 250


async def test_the_proxys_own_pages() -> None:
    async with running_proxy(BOTH) as proxy:
        root = await proxy.ask("GET", "/")
        assert (root.status, root.head.value("Content-Type")) == (200, "text/plain; charset=utf-8")
        assert f"http://{proxy.authority}/v2/".encode() in root.body
        json = await proxy.ask("GET", "/", "Accept: application/json")
        assert json.head.value("Content-Type") == "application/json; charset=utf-8"
        slash = await proxy.ask("GET", "/v2")
        assert (slash.status, slash.head.value("Location")) == (301, "/v2/")
        head = await proxy.ask("HEAD", "/")
        assert (head.status, head.body, head.head.value("Content-Length")) == (200, b"", str(len(root.body)))
        assert (await proxy.ask("GET", "/unknown")).status == 404


async def test_a_page_names_the_scheme_that_a_trusted_peer_tells() -> None:
    async with running_proxy(BOTH, trusted=True) as proxy:
        assert (
            f"https://{proxy.authority}/v2/".encode() in (await proxy.ask("GET", "/", "X-Forwarded-Proto: https")).body
        )
    async with running_proxy(BOTH) as proxy:
        assert (
            f"http://{proxy.authority}/v2/".encode() in (await proxy.ask("GET", "/", "X-Forwarded-Proto: https")).body
        )


async def test_an_answer_of_the_proxys_own_to_a_request_with_a_body_closes_the_connection() -> None:
    async with running_proxy(BOTH) as proxy, asyncio.timeout(5), proxy.connection() as client:
        await client.send("PUT /unknown HTTP/1.1\r\nHost: h\r\nContent-Length: 1000\r\n\r\nhalf")
        head = await client.read_head()
        assert (head.status, head.value("Connection")) == (404, "close")
