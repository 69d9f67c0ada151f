"""Bodies that are kept in memory: 4 MiB at most, however they are framed and whichever way they come."""

from __future__ import annotations

import asyncio
import contextlib
import json

import pytest

from backends.v1.parts import MAX_JSON_BYTES
from backends.v2.manifests import MAX_BYTES
from tests.support.limits import NAME, Framing, Place, framed, manifest_with, padded
from tests.support.serving_here import OCI_MANIFEST

pytestmark = pytest.mark.parametrize("place", ["alone", "in the proxy", "behind the proxy"], indirect=True)
ID = "a" * 64
V1_BODIES = {
    f"/v1/images/{ID}/json": (json.dumps({"id": ID}).encode(), 200),
    "/v1/repositories/team/app/": (b"[]", 200),
    "/v1/repositories/team/app/images": (b"[]", 204),
    "/v1/repositories/team/app/tags/latest": (json.dumps(ID).encode(), 404),  # read, and the image is not there
    "/v1/repositories/team/app/properties": (b'{"access": "public"}', 200),
    "/v1/repositories/team/app/auth": (b"{}", 200),
    "/v1/users/me/": (b"{}", 204),
}


@pytest.mark.parametrize("framing", ["length", "chunked"])
async def test_a_manifest_has_four_mebibytes(place: Place, framing: Framing) -> None:
    await place.push_blobs()
    before = place.tree()
    content = padded(manifest_with(), MAX_BYTES)
    path, headers = f"/v2/{NAME}/manifests/big", {"Content-Type": OCI_MANIFEST}
    answer = await place.v2.ask("PUT", path, headers, **framed(content + b" ", framing))
    assert answer.told == (413, "MANIFEST_INVALID")
    assert str(MAX_BYTES) in answer.body.decode()
    assert place.tree() == before
    assert (await place.v2.ask("PUT", path, headers, **framed(content, framing))).status == 201
    assert (await place.v2.ask("GET", path)).body == content


@pytest.mark.parametrize("framing", ["length", "chunked"])
@pytest.mark.parametrize("path", V1_BODIES)
async def test_a_json_body_of_v1_has_four_mebibytes(place: Place, path: str, framing: Framing) -> None:
    body, status = V1_BODIES[path]
    content = padded(body, MAX_JSON_BYTES)
    before = place.tree()
    answer = await place.v1.ask("PUT", path, **framed(content + b" ", framing))
    assert answer.status == 413
    assert str(MAX_JSON_BYTES) in answer.json["error"]
    assert place.tree() == before
    assert (await place.v1.ask("PUT", path, **framed(content, framing))).status == status


@pytest.mark.parametrize("path", ["/v1/users/", f"/v2/{NAME}/manifests/big", f"/v1/images/{ID}/json"])
async def test_what_is_announced_as_too_long_is_never_asked_for(place: Place, path: str) -> None:
    method = "POST" if path.endswith("users/") else "PUT"
    client = place.v2 if path.startswith("/v2/") else place.v1
    async with asyncio.timeout(10), client.connection() as peer:
        lines = [f"{method} {path} HTTP/1.1", f"Host: {client.authority}", "Expect: 100-continue"]
        await peer.send("\r\n".join([*lines, f"Content-Length: {MAX_BYTES + 1}", "", ""]))
        head = await peer.read_head()
        assert (head.status, head.value("Connection")) == (413, "close")


@pytest.mark.parametrize("path", ["/v1/users/", f"/v2/{NAME}/manifests/big"])
async def test_what_turns_out_too_long_is_answered_while_it_comes(place: Place, path: str) -> None:
    """What the server has taken by then is the limit, and what its buffers and the kernel's hold."""
    method = "POST" if path.endswith("users/") else "PUT"
    client = place.v2 if path.startswith("/v2/") else place.v1
    piece = b"40000\r\n" + b" " * (1 << 18) + b"\r\n"
    async with asyncio.timeout(20), client.connection() as peer:
        lines = [f"{method} {path} HTTP/1.1", f"Host: {client.authority}", "Transfer-Encoding: chunked"]
        await peer.send("\r\n".join([*lines, "", ""]))
        answer = asyncio.create_task(peer.read_head())
        sent = 0
        with contextlib.suppress(ConnectionError):
            while not answer.done() and sent < 64 * len(piece):
                await peer.send(piece)
                sent += len(piece)
                await asyncio.sleep(0.01)
        head = await answer
        assert (head.status, head.value("Connection")) == (413, "close")
        assert sent < 3 * MAX_BYTES
