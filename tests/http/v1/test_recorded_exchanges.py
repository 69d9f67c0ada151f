"""What docker 1.5.0 and docker-registry 0.9.1 said to each other (WIRE sections 10 and 11), said again.

Each answer has exactly the recorded headers with the recorded values, but for those that name the server or the time;
and what only tells of a body's length where there is none (204).
"""

from __future__ import annotations

import json
import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from backends.storage.factory import open_folder
from tests.support.images import Image, make_image
from tests.support.v1server import Answer, Pushed, RunningRegistry, running_v1

AGENT = "docker/1.5.0 go/go1.4.1 git-commit/a8a31ef kernel/6.18.44-fc-v657 os/linux arch/amd64"
PING_AGENT = "Go 1.1 package http"
NAME = "real150/ml"
STD = {"Expires": "-1", "Content-Type": "application/json", "Pragma": "no-cache", "Cache-Control": "no-cache"}
CACHE = {
    "Last-Modified": "Thu, 01 Jan 1970 00:00:00 GMT",
    "Cache-Control": "public, max-age=31536000",
    "Expires": "<a year from now>",
}
PING = STD | {"X-Docker-Registry-Standalone": "True", "Content-Length": "2"}


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[RunningRegistry]:
    storage = open_folder(tmp_path)
    async with running_v1(storage) as running:
        yield running
    await storage.close()


def chain_of(image: Image) -> list[Pushed]:
    chain = image.v1_chain(final_newline=True, closing_blocks=True)
    return [Pushed(part.id, part.json, part.layer) for part in chain]


def assert_said(told: Answer, status: int, headers: dict[str, str], body: bytes) -> None:
    assert (told.status, told.body) == (status, body)
    said = {name: value for name, value in told.head.headers if name not in {"Server", "Date"}}
    assert said.pop("X-Content-Type-Options") == "nosniff"  # ours: no old client looks at it, browsers do
    if "public" in said["Cache-Control"]:
        assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", said["Expires"])
        said["Expires"] = "<a year from now>"
    for name in ("X-Docker-Token", "WWW-Authenticate"):
        if name in said:
            said[name] = re.sub(r"signature=[A-Z0-9]{16},", "signature=S,", said[name])
    assert said == headers


def token(access: str, authority: str) -> dict[str, str]:
    value = f'Token signature=S,repository="{NAME}",access={access}'
    return {"X-Docker-Token": value, "WWW-Authenticate": value, "X-Docker-Endpoints": authority}


async def test_a_push_is_answered_as_it_was(registry: RunningRegistry) -> None:
    chain = chain_of(make_image("recorded"))
    top = chain[-1].id
    ids = [{"id": image.id} for image in chain]
    announced = json.dumps([*ids[:-1], {"id": top, "Tag": "b"}], separators=(",", ":")).encode()
    true = STD | {"Content-Length": "4"}
    gzip = "Accept-Encoding: gzip"
    anonymous = ("Authorization: Basic Og==", "Content-type: application/json", "X-Docker-Token: true", gzip)

    told = await registry.ask("GET", "/v1/_ping", gzip, agent=PING_AGENT)
    assert_said(told, 200, PING, b"{}")
    told = await registry.ask("PUT", f"/v1/repositories/{NAME}/", *anonymous, body=announced, agent=AGENT)
    write = token("write", registry.authority)
    assert_said(told, 200, STD | write | {"Content-Length": "2"}, b'""')
    # Docker puts the word once more before a value that has it already.
    authorization = f"Authorization: Token {told.value('X-Docker-Token')}"
    for image in chain:
        told = await registry.ask("GET", f"/v1/images/{image.id}/json", authorization, gzip, agent=AGENT)
        assert_said(told, 404, STD | {"Content-Length": "28"}, b'{"error": "Image not found"}')
    for image in chain:
        place = f"/v1/images/{image.id}"
        kind = "Content-Type: application/json"
        told = await registry.ask("PUT", f"{place}/json", authorization, kind, gzip, body=image.json, agent=AGENT)
        assert_said(told, 200, true, b"true")
        kind = "Content-Type: application/octet-stream"
        chunks = [image.layer[:10], image.layer[10:50], image.layer[50:]]
        told = await registry.ask("PUT", f"{place}/layer", authorization, kind, gzip, chunks=chunks, agent=AGENT)
        assert_said(told, 200, true, b"true")
        checksums = (f"X-Docker-Checksum: tarsum+sha256:{'a' * 64}", f"X-Docker-Checksum-Payload: {image.payload}")
        told = await registry.ask("PUT", f"{place}/checksum", authorization, *checksums, gzip, agent=AGENT)
        assert_said(told, 200, true, b"true")
    told = await registry.ask(
        "PUT", f"/v1/repositories/{NAME}/tags/b", authorization, gzip, body=json.dumps(top).encode(), agent=AGENT
    )
    assert_said(told, 200, true, b"true")
    endpoint = f"X-Docker-Endpoints: http://{registry.authority}/v1/"
    told = await registry.ask("PUT", f"/v1/repositories/{NAME}/images", *anonymous, endpoint, body=b"[]", agent=AGENT)
    assert_said(told, 204, STD | write, b"")


async def test_a_pull_is_answered_as_it_was(registry: RunningRegistry) -> None:
    chain = chain_of(make_image("recorded"))
    await registry.push(NAME, "b", chain)
    listed = json.dumps([{"id": image.id} for image in chain]).encode()
    gzip = "Accept-Encoding: gzip"

    told = await registry.ask("GET", "/v1/_ping", gzip, agent=PING_AGENT)
    assert_said(told, 200, PING, b"{}")
    told = await registry.ask("GET", f"/v1/repositories/{NAME}/images", "X-Docker-Token: true", gzip, agent=AGENT)
    read = token("read", registry.authority)
    assert_said(told, 200, STD | read | {"Content-Length": str(len(listed))}, listed)
    authorization = f"Authorization: Token {told.value('X-Docker-Token')}"
    told = await registry.ask("GET", f"/v1/repositories/{NAME}/tags", authorization, gzip, agent=AGENT)
    tags = json.dumps({"b": chain[-1].id}).encode()
    assert_said(told, 200, STD | {"Content-Length": str(len(tags))}, tags)
    told = await registry.ask("GET", f"/v1/images/{chain[-1].id}/ancestry", authorization, gzip, agent=AGENT)
    ancestry = json.dumps([image.id for image in reversed(chain)]).encode()
    cached = CACHE | {"Content-Type": "application/json"}
    assert_said(told, 200, cached | {"Content-Length": str(len(ancestry))}, ancestry)
    for image in chain:
        told = await registry.ask("GET", f"/v1/images/{image.id}/json", authorization, gzip, agent=AGENT)
        facts = {
            "X-Docker-Checksum-Payload": image.payload,
            "X-Docker-Size": str(len(image.layer)),
            "Content-Length": str(len(image.json)),
        }
        assert_said(told, 200, cached | facts, image.json)
        told = await registry.ask("GET", f"/v1/images/{image.id}/layer", authorization, gzip, agent=AGENT)
        facts = {
            "Accept-Ranges": "bytes",
            "Content-Type": "application/octet-stream",
            "Content-Length": str(len(image.layer)),
        }
        assert_said(told, 200, CACHE | facts, image.layer)
