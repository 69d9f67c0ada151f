"""A registry's answers pass to the byte: Docker 1.9 to 1.13 decide by error bodies where they go next."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from proxy.routing import Backend
from tests.support.proxies import running_proxy
from tests.support.upstreams import Peer, Registry

UNKNOWN = b'{"errors":[{"code":"MANIFEST_UNKNOWN","message":"manifest unknown","detail":{"Tag":"zz"}}]}\n'
BODIES = [UNKNOWN, b"{}", b"", b'  {"errors" :null}\r\n', b"<html>\xff\xfe", b"\x1f\x8b\x08\x00 not really gzip"]


STATUSES = [
    "200 OK",
    "400 Bad Request",
    "401 Unauthorized",
    "404 Not Found",
    "429 Slow down",
    "500 Internal Server Error",
    "503 Service Unavailable",
    "599 Odd reason (x)",
]


@pytest.mark.parametrize("body", BODIES, ids=range(len(BODIES)))
async def test_status_headers_and_body_pass_as_they_are(registry: Registry, body: bytes) -> None:
    headers = [
        "Content-Type: application/json; charset=utf-8",
        "Docker-Distribution-Api-Version: registry/2.0",
        "Www-Authenticate: Basic realm=x",
        'Www-Authenticate: Bearer realm="https://auth.example/token",service="s"',
        "Set-Cookie: session=a.b; Path=/",
        "Set-Cookie: second=1",
        "Warning: 299 - one",
        "Warning: 299 - two",
        'Etag: "sha256:ab"',
        "Content-Encoding: gzip",
        "Date: Mon, 01 Jan 2018 00:00:00 GMT",
        "Server: gunicorn/19.1.1",
    ]

    saying = ""

    async def converse(peer: Peer) -> None:
        await peer.read_head()
        await peer.answer(saying, *headers, body=body)

    expected = [*headers, f"Content-Length: {len(body)}", "X-Portside-Route: v2; docker 20.10.24+dfsg1 speaks v2"]
    async with registry(converse) as upstream, running_proxy({Backend.V2: upstream.address}) as proxy:
        for status in STATUSES:
            saying = status
            answer = await proxy.ask("GET", "/v2/a/manifests/zz")
            assert answer.head.line == f"HTTP/1.1 {status}"
            assert answer.body == body
            assert _folded(f"{name}: {value}" for name, value in answer.head.headers) == _folded(expected)


def _folded(headers: Iterable[str]) -> list[str]:
    """Headers sorted, their names in lower case: aiohttp writes well-known names in its own case."""
    return sorted(name.lower() + colon + value for name, colon, value in (line.partition(":") for line in headers))


async def test_nothing_is_said_of_the_body_that_the_registry_did_not_say(registry: Registry) -> None:
    async def converse(peer: Peer) -> None:
        await peer.read_head()
        await peer.answer("202 Accepted", "Location: /v2/x")

    async with registry(converse) as upstream, running_proxy({Backend.V2: upstream.address}) as proxy:
        answer = await proxy.ask("POST", "/v2/a/blobs/uploads/", "Content-Length: 0")
    assert answer.head.value("Content-Type") is None
    assert answer.head.value("Server") == "Portside"


@pytest.mark.parametrize(
    ("method", "status", "headers"),
    [
        ("HEAD", "200 OK", ["Content-Length: 73819283", "Docker-Content-Digest: sha256:ab", "Accept-Ranges: bytes"]),
        ("HEAD", "404 Not Found", ["Content-Length: 157"]),
        ("HEAD", "200 OK", ["Content-Length: 0"]),
        ("HEAD", "200 OK", []),
        ("GET", "304 Not Modified", ['Etag: "x"']),
        ("DELETE", "204 No Content", ["X-One: 1"]),
        ("PUT", "204 No Content", ["Range: 0-0", "Docker-Upload-UUID: u"]),
    ],
)
async def test_answers_without_a_body_keep_what_they_say_of_it(
    registry: Registry, method: str, status: str, headers: list[str]
) -> None:
    async def converse(peer: Peer) -> None:
        while True:
            await peer.read_head()
            await peer.send("\r\n".join([f"HTTP/1.1 {status}", *headers, "", ""]))

    async with registry(converse) as upstream, running_proxy({Backend.V2: upstream.address}) as proxy:
        for _ in range(2):
            answer = await proxy.ask(method, "/v2/a/blobs/x")
            assert answer.head.line == f"HTTP/1.1 {status}"
            names = {header.partition(":")[0] for header in headers}
            passed = [f"{name}: {value}" for name, value in answer.head.headers if name in names]
            assert passed == headers
            assert answer.head.value("Transfer-Encoding") is None


async def test_a_part_of_a_body_passes(registry: Registry) -> None:
    async def converse(peer: Peer) -> None:
        head = await peer.read_head()
        assert head.value("Range") == "bytes=2-4"
        await peer.answer("206 Partial Content", "Content-Range: bytes 2-4/10", body=b"cde")

    async with registry(converse) as upstream, running_proxy({Backend.V2: upstream.address}) as proxy:
        answer = await proxy.ask("GET", "/v2/a/blobs/x", "Range: bytes=2-4")
    assert (answer.status, answer.head.value("Content-Range"), answer.body) == (206, "bytes 2-4/10", b"cde")
