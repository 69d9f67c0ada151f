"""The head of a request: how long it may be, and that nothing in it takes long to read."""

from __future__ import annotations

import asyncio
import contextlib
import time
from itertools import product

import pytest

from portside.server.grammar import MAX_AUTHORIZATION, MAX_HEAD, MAX_HEADER_COUNT, MAX_HEADERS, MAX_LINE
from tests.support.limits import NAME, Place
from tests.support.serving_here import Client, digest_of
from tests.support.upstreams import Head

ADDED_BY_THE_PROXY = 1024
"""Room for what it says of the client, where the bound is met a second time behind it."""


async def ask(client: Client, *lines: str, target: str = "/v2/", method: str = "GET") -> tuple[Head, bytes]:
    """Sends a head; `Host` is the first header."""
    async with asyncio.timeout(20), client.connection() as peer:
        await peer.send("\r\n".join([f"{method} {target} HTTP/1.1", "Host: x", *lines, "", ""]))
        head = await peer.read_head()
        return head, await peer.read_body(head, of=method)


def filled(size: int, *, first: str = "", name: str = "X") -> list[str]:
    """Headers that are, with `Host: x`, so many bytes long together."""
    lines = [first] if first else []
    left = size - len("Host") - len("x") - sum(len(line) - len(": ") for line in lines)
    while left:
        length = min(left, 50_000)
        lines.append(f"{name}: {'y' * (length - len(name))}")
        left -= length
    return lines


async def test_the_headers_have_64_kib_together(place: Place) -> None:
    bound = MAX_HEADERS - (ADDED_BY_THE_PROXY if place.way == "behind the proxy" else 0)
    for client, target in ((place.v2, "/v2/"), (place.v1, "/v1/_ping")):
        head, _ = await ask(client, *filled(bound), target=target)
        assert head.status == 200
        head, body = await ask(client, *filled(MAX_HEADERS + 1), target=target)
        assert (head.status, head.value("Connection")) == (431, "close")
        assert body == b"the headers are longer than 65536 bytes together\n"


@pytest.mark.parametrize("name", ["Authorization", "authorization"])
async def test_credentials_have_16_kib(place: Place, name: str) -> None:
    for client, target in ((place.v2, "/v2/"), (place.v1, "/v1/_ping")):
        token = "Bearer " + "t" * (MAX_AUTHORIZATION - len("Bearer "))
        head, _ = await ask(client, f"{name}: {token}", target=target)
        assert head.status == 200
        head, body = await ask(client, f"{name}: {token}t", target=target)
        assert (head.status, head.value("Connection")) == (431, "close")
        assert b"Authorization" in body
        assert b"tttt" not in body


async def test_credentials_that_are_too_long_are_found_behind_others(place: Place) -> None:
    lines = [f"Authorization: {'t' * (MAX_AUTHORIZATION + 1)}", "Authorization: Basic x"]
    for order in (lines, lines[::-1]):
        head, _ = await ask(place.v2, *order)
        assert head.status in {400, 431}


GET = b"GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n"
PUSH = (
    f"POST /v2/{NAME}/blobs/uploads/?digest={digest_of(bytes(9000))} HTTP/1.1\r\n"
    "Host: x\r\nContent-Length: 9000\r\n\r\n"
).encode() + bytes(9000)


@pytest.mark.parametrize("before", [b"", GET, 3 * GET, 40 * GET, PUSH], ids=len)
@pytest.mark.parametrize("size", [1000, 4000, 7000])
async def test_credentials_that_are_too_long_are_found_in_small_pieces(place: Place, before: bytes, size: int) -> None:
    """Heads that come at once are not measured, unless they are long; these begin in the pieces of other requests."""
    content = (
        before + f"GET /v2/ HTTP/1.1\r\nHost: x\r\nAuthorization: {'t' * (MAX_AUTHORIZATION + 1)}\r\n\r\n".encode()
    )
    async with asyncio.timeout(20), place.v2.connection() as peer:
        for start in range(0, len(content), size):
            await peer.send(content[start : start + size])
            await asyncio.sleep(0.002)
        for _ in range(before.count(b"HTTP/1.1")):
            await peer.read_body(await peer.read_head())
        head = await peer.read_head()
        assert (head.status, head.value("Connection")) == (431, "close")


async def test_there_are_128_headers_at_most(place: Place) -> None:
    added = 8 if place.way == "behind the proxy" else 0
    head, _ = await ask(place.v2, *["X: y"] * (MAX_HEADER_COUNT - 1 - added))
    assert head.status == 200
    head, _ = await ask(place.v2, *["X: y"] * MAX_HEADER_COUNT)
    assert (head.status, head.value("Connection")) == (400, "close")


@pytest.mark.parametrize("piece", [b"X: " + b"y" * 4000 + b"\r\n", b"X: " + b"y" * 60_000 + b"\r\n"], ids=len)
@pytest.mark.parametrize("requests_before", [0, 1])
async def test_a_head_that_does_not_end_is_not_collected(place: Place, piece: bytes, requests_before: int) -> None:
    """Each header is within its bound, and there are fewer than 128."""
    async with asyncio.timeout(20), place.v2.connection() as peer:
        for _ in range(requests_before):
            await peer.send("GET /v2/ HTTP/1.1\r\nHost: x\r\n\r\n")
            await peer.read_body(await peer.read_head())
        await peer.send("GET /v2/ HTTP/1.1\r\nHost: x\r\n")
        answer = asyncio.create_task(peer.read_head())
        sent = 0
        with contextlib.suppress(ConnectionError):
            while not answer.done() and sent < 120 * len(piece):
                await peer.send(piece)
                sent += len(piece)
                await asyncio.sleep(0.001)
        head = await answer
        assert (head.status, head.value("Connection")) == (431, "close")
        assert sent < MAX_HEAD + 4 * len(piece)


async def test_a_head_that_does_not_end_is_not_collected_behind_requests_that_wait(place: Place) -> None:
    large = await place.v2.push_blob(NAME, bytes(16 * 1024 * 1024))
    async with asyncio.timeout(20), place.v2.connection() as peer:
        for target in (f"/v2/{NAME}/blobs/{large}", "/v2/"):
            await peer.send(f"GET {target} HTTP/1.1\r\nHost: x\r\n\r\n")
            await asyncio.sleep(0.05)
        await peer.send("GET /v2/ HTTP/1.1\r\nHost: x\r\n")
        for _ in range(3):
            await peer.send(b"X: " + b"y" * 60_000 + b"\r\n")
            await asyncio.sleep(0.05)
        for _ in range(2):
            head = await peer.read_head()
            assert head.status == 200
            await peer.read_body(head)
        head = await peer.read_head()
        assert (head.status, head.value("Connection")) == (431, "close")


async def test_a_request_line_has_64_kib(place: Place) -> None:
    def target(size: int) -> str:
        return "/v2/?" + "x" * (size - len("/v2/?"))

    assert (await ask(place.v2, target=target(MAX_LINE)))[0].status == 200
    head, _ = await ask(place.v2, target=target(MAX_LINE + 1))
    assert (head.status, head.value("Connection")) == (400, "close")


LONG = 60_000
MOST_CPU = 0.25
"""Seconds for one request, client included; most take a hundredth of it."""


async def ask_quickly(client: Client, *lines: str, target: str, method: str = "GET") -> None:
    """Sends a request up to three times: garbage of other tests may be collected in the middle of one."""
    for _ in range(3):
        begun = time.process_time()
        head, _ = await ask(client, *lines, "Connection: close", target=target, method=method)
        assert head.status < 500
        if time.process_time() - begun < MOST_CPU:
            return
    raise AssertionError(f"{method} {target[:40]} {[line[:40] for line in lines]} took long")


HOSTILE = [
    "x", "a/b,", "a/b;q=0.1,", ",", ";", '"', '\\"', "(", " ", "%", "1-2,", "-,", "a=b;", "a=b,", 'a="b\\', "::1,", "=",
    "/", "docker/1.5 ", "1.", "application/vnd.oci.image.manifest.v1+json, ", "W/", '"a",', "bytes=0-1,", "../", "@",
]  # fmt: skip
HEADERS = [
    "Accept", "Accept-Encoding", "Connection", "Content-Range", "Content-Type", "Cookie", "Expect", "Forwarded",
    "If-Match", "If-Modified-Since", "If-None-Match", "If-Range", "Origin", "Range", "Referer", "TE", "User-Agent",
    "Via", "X-Docker-Token", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "X-Real-IP",
]  # fmt: skip


async def test_no_header_takes_long_whatever_it_holds(place: Place) -> None:
    await place.push_blobs()
    path = f"/v2/{NAME}/blobs/{digest_of(b'a layer')}"
    for name in HEADERS:
        for unit in HOSTILE:
            value = (unit * (LONG // len(unit) + 1))[:LONG].strip()
            await ask_quickly(place.v2, f"{name}: {value}", target=path)


STARTS = ["/v2/", "/v1/repositories/", "/v2/a/tags/list?", "/v1/search?q=", "/"]
UNITS = ["a/", "manifests/", "/manifests/a", "/blobs/uploads", "tags/list/", "%2e", "a=b&", "_"]


async def test_no_target_takes_long_whatever_it_holds(place: Place) -> None:
    for start, unit in product(STARTS, UNITS):
        target = (start + unit * (LONG // len(unit)))[:LONG]
        for client in (place.v1, place.v2):
            for method in ("GET", "PUT", "OPTIONS"):
                await ask_quickly(client, "Content-Length: 0", target=target, method=method)


async def test_the_end_of_a_large_body_is_not_taken_for_a_head(place: Place) -> None:
    """What follows on the same connection is answered, in however large pieces the body came."""
    async with asyncio.timeout(60), place.v2.connection() as peer:
        for turn in range(30):
            begun = await place.v2.ask_on(peer, "POST", f"/v2/{NAME}/blobs/uploads/")
            body = bytes([turn]) * (MAX_HEAD + 100 * turn)
            await peer.send(f"PATCH {begun.path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body) + 1}\r\n\r\n", b"b")
            await asyncio.sleep(0.01)
            await peer.send(body)  # once the connection has been in use for a while, all of it comes at once
            head = await peer.read_head()
            assert head.status == 202
            target = f"{begun.path}?digest={digest_of(b'b' + body)}"
            answer = await place.v2.ask_on(peer, "PUT", target)
            assert answer.status == 201, turn
