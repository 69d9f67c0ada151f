"""A head that a registry repeats becomes the same for clients as the first time, and as the pure function says."""

from __future__ import annotations

import asyncio
import tempfile
from collections import Counter
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from proxy.answer_heads import parse_head
from proxy.headers import Addresses, response_headers
from proxy.routing import Backend
from tests.support.proxies import DOCKER, answered, running_proxy
from tests.support.upstreams import Peer, Registry, spoken_by_hand

DATE = "Date: Fri, 27 Nov 2026 12:00:00 GMT"
NAMES = ["Etag", "X-Odd", "Connection", "Keep-Alive", "Server", "Content-Type", "X-Portside-Route", "Location", "Link"]


def _no_address() -> Addresses:
    return Addresses("http://v2/v2/", "h", "http://h", "h")


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(["", "a", "X-Odd", "/v2/x", "b c; d"])), max_size=5),
    st.sampled_from(["200 OK", "404 Not Found", "206 Partial Content", "304 Not Modified", "401 Unauthorized"]),
    st.binary(max_size=20),
    st.booleans(),
)
def test_every_time_the_client_sees_what_the_pure_function_says(
    headers: list[tuple[str, str]],
    status: str,
    body: bytes,
    has_date: bool,  # noqa: FBT001
) -> None:
    if status.startswith("304"):
        body = b""
    lines = [f"{name}: {value}" for name, value in headers if value != "close"]
    said = "\r\n".join([f"HTTP/1.1 {status}", *lines, *([DATE] if has_date else []), f"Content-Length: {len(body)}"])

    async def converse(peer: Peer) -> None:
        while True:
            await peer.read_head()
            await peer.send(f"{said}\r\n\r\n", body)

    async def asked() -> list[tuple[str, Counter[tuple[str, str]], bytes]]:
        with tempfile.TemporaryDirectory(prefix="ps-") as folder:
            async with (
                spoken_by_hand(converse, unix=Path(folder) / "s") as upstream,
                running_proxy({Backend.V2: upstream.address}) as proxy,
                proxy.connection() as client,
            ):
                found = []
                for _ in range(3):
                    await client.send(f"GET /v2/ HTTP/1.1\r\nHost: h\r\nUser-Agent: {DOCKER}\r\n\r\n")
                    answer = await answered(client)
                    seen = Counter((name.lower(), value) for name, value in answer.head.headers)
                    found.append((answer.head.line, seen, answer.body))
                return found

    first, *others = asyncio.run(asked())
    if not has_date:
        for _, seen, _ in (first, *others):
            assert sum(1 for name, _ in seen if name == "date") == 1
            for each in [each for each in seen if each[0] == "date"]:
                del seen[each]
    assert others == [first] * 2
    line, seen, got = first
    assert (line, got) == (f"HTTP/1.1 {status}", body)
    expected = Counter(
        (name.lower(), value)
        for name, value in response_headers(parse_head(f"{said}\r\n\r\n".encode()).headers, _no_address)
        if name.lower() not in {"x-portside-route", "date", *(["content-length"] if status.startswith("304") else [])}
    )
    ours = {"server", "content-type", "x-portside-route", "date", "connection"}
    assert expected - seen == Counter()
    assert {name for name, _ in seen - expected} <= ours
    assert [value for name, value in seen if name == "x-portside-route"] == ["v2; docker 20.10.24+dfsg1 speaks v2"]


async def test_each_client_sees_its_own_route_and_its_own_end_of_the_connection(registry: Registry) -> None:
    async def converse(peer: Peer) -> None:
        while True:
            await peer.read_head()
            await peer.answer("200 OK", DATE, body=b"{}")

    async with registry(converse) as upstream, running_proxy({Backend.V2: upstream.address}) as proxy:
        for _ in range(2):
            for agent, client in (("docker/24.0.7", "docker 24.0.7"), ("skopeo/1.9", "skopeo 1.9")):
                async with proxy.connection() as peer:
                    asked = f"GET /v2/ HTTP/1.1\r\nHost: h\r\nUser-Agent: {agent}\r\n"
                    await peer.send(asked, "\r\n", asked, "Connection: close\r\n\r\n")
                    first, last = await answered(peer), await answered(peer)
                    assert await peer.reader.read() == b""
                assert [each.head.value("X-Portside-Route") for each in (first, last)] == [
                    f"v2; {client} speaks v2"
                ] * 2
                assert [each.head.value("Connection") for each in (first, last)] == [None, "close"]
                assert [each.head.value("Date") for each in (first, last)] == [DATE[6:]] * 2
        assert upstream.connections == 1


async def test_http_1_0_gets_answers_of_its_own_version(registry: Registry) -> None:
    async def converse(peer: Peer) -> None:
        while True:
            await peer.read_head()
            await peer.answer("200 OK", DATE, body=b"{}")

    async with registry(converse) as upstream, running_proxy({Backend.V2: upstream.address}) as proxy:
        for version in ("1.1", "1.0", "1.1", "1.0"):
            async with proxy.connection() as peer:
                await peer.send(f"GET /v2/ HTTP/{version}\r\nHost: h\r\nConnection: close\r\n\r\n")
                assert (await answered(peer)).head.line == f"HTTP/{version} 200 OK"


async def test_head_and_get_of_one_head_are_two(registry: Registry) -> None:
    async def converse(peer: Peer) -> None:
        while True:
            head = await peer.read_head()
            body = "" if head.method == "HEAD" else "{}"
            await peer.send(f"HTTP/1.1 200 OK\r\n{DATE}\r\nContent-Length: 2\r\n\r\n", body)

    async with registry(converse) as upstream, running_proxy({Backend.V2: upstream.address}) as proxy:
        for _ in range(2):
            head, whole = await proxy.ask("HEAD", "/v2/"), await proxy.ask("GET", "/v2/")
            assert (head.head.value("Content-Type"), head.head.value("Content-Length")) == (None, "2")
            assert (whole.head.value("Content-Type"), whole.body) == ("application/octet-stream", b"{}")
