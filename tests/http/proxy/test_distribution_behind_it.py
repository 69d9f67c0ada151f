"""The proxy in front of a foreign registry: Debian's docker-registry (distribution 2.8)."""

from __future__ import annotations

import asyncio
import hashlib
import json
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from proxy.routing import Backend
from tests.support.loopback import Answer
from tests.support.programs import docker_registry
from tests.support.proxies import RunningProxy, answered, running_proxy

pytestmark = pytest.mark.real

MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
LAYER = hashlib.sha256(b"seed").digest() * 40_000  # 1.2 MiB


def _digest(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


@pytest.fixture(scope="module")
def distribution(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with docker_registry(Path(tmp_path_factory.mktemp("registry"))) as address:
        yield f"http://{address.netloc}"


@pytest.fixture
async def proxy(distribution: str) -> AsyncIterator[RunningProxy]:
    async with running_proxy({Backend.V2: distribution}, trusted=True) as running:
        yield running


async def _push(proxy: RunningProxy, name: str, content: bytes, *, chunked: bool) -> Answer:
    """Uploads a blob as docker does: POST, PATCH, PUT, each to where the answer before said."""
    begun = await proxy.ask("POST", f"/v2/{name}/blobs/uploads/", "Content-Length: 0")
    assert begun.status == 202, begun
    location = _path(proxy, begun)
    async with asyncio.timeout(10), proxy.connection() as client:
        framing = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(content)}"
        await client.send(f"PATCH {location} HTTP/1.1\r\nHost: {proxy.authority}\r\n{framing}\r\n\r\n")
        await client.send(b"%x\r\n%b\r\n0\r\n\r\n" % (len(content), content) if chunked else content)
        sent = await answered(client, of="PATCH")
    assert (sent.status, sent.head.value("Range")) == (202, f"0-{len(content) - 1}")
    return await proxy.ask("PUT", f"{_path(proxy, sent)}&digest={_digest(content)}", "Content-Length: 0")


def _path(proxy: RunningProxy, answer: Answer) -> str:
    location = answer.head.value("Location") or ""
    assert location.startswith(f"http://{proxy.authority}/v2/"), location
    return location.removeprefix(f"http://{proxy.authority}")


@pytest.mark.parametrize("chunked", [True, False], ids=["chunked", "length"])
async def test_an_image_is_pushed_and_pulled(proxy: RunningProxy, *, chunked: bool) -> None:
    name = f"team/{'chunked' if chunked else 'length'}"
    config = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": []}}).encode()
    for blob in (config, LAYER):
        stored = await _push(proxy, name, blob, chunked=chunked)
        assert (stored.status, stored.head.value("Docker-Content-Digest")) == (201, _digest(blob))
    manifest = json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": MANIFEST,
            "config": {"mediaType": "application/vnd.docker.container.image.v1+json", "size": len(config),
                       "digest": _digest(config)},
            "layers": [{"mediaType": "application/vnd.docker.image.rootfs.diff.tar.gzip", "size": len(LAYER),
                        "digest": _digest(LAYER)}],
        }
    ).encode()  # fmt: skip
    tagged = await proxy.ask("PUT", f"/v2/{name}/manifests/b", f"Content-Type: {MANIFEST}", body=manifest)
    assert (tagged.status, tagged.head.value("Docker-Content-Digest")) == (201, _digest(manifest))

    assert (await proxy.ask("GET", "/v2/")).body == b"{}"
    pulled = await proxy.ask("GET", f"/v2/{name}/manifests/b", f"Accept: {MANIFEST}")
    assert (pulled.body, pulled.head.value("Content-Type")) == (manifest, MANIFEST)
    head = await proxy.ask("HEAD", f"/v2/{name}/blobs/{_digest(LAYER)}")
    assert (head.status, head.head.value("Content-Length")) == (200, str(len(LAYER)))
    assert (await proxy.ask("GET", f"/v2/{name}/blobs/{_digest(LAYER)}")).body == LAYER
    part = await proxy.ask("GET", f"/v2/{name}/blobs/{_digest(LAYER)}", "Range: bytes=32-63")
    assert (part.status, part.body) == (206, LAYER[32:64])
    assert json.loads((await proxy.ask("GET", f"/v2/{name}/tags/list")).body) == {"name": name, "tags": ["b"]}


async def test_behind_a_tls_port_its_locations_are_https(proxy: RunningProxy) -> None:
    begun = await proxy.ask("POST", "/v2/team/tls/blobs/uploads/", "X-Forwarded-Proto: https", "Content-Length: 0")
    assert (begun.head.value("Location") or "").startswith(f"https://{proxy.authority}/v2/team/tls/blobs/uploads/")


@pytest.mark.parametrize(
    "target",
    ["/v2/none/manifests/zz", "/v2/none/tags/list", "/v2/none/blobs/sha256:" + "0" * 64, "/v2/UPPER/tags/list",
     "/v2/a%2fb/tags/list", "/v2/none/manifests/../x"],
)  # fmt: skip
async def test_its_errors_are_the_same_with_and_without_the_proxy(
    proxy: RunningProxy, distribution: str, target: str
) -> None:
    port = int(distribution.rpartition(":")[2])
    through, straight = await proxy.ask("GET", target), await RunningProxy(port, []).ask("GET", target)
    assert (through.head.line, through.body) == (straight.head.line, straight.body)
    own = {"date", "server", "x-portside-route"}
    assert {(name.lower(), value.replace(str(proxy.port), str(port))) for name, value in through.head.headers
            if name.lower() not in own} == {(name.lower(), value) for name, value in straight.head.headers
                                            if name.lower() not in own}  # fmt: skip


async def test_an_old_client_falls_back_and_is_told_that_there_is_no_v1(proxy: RunningProxy) -> None:
    refused = await proxy.ask("GET", "/v2/", agent="Go 1.1 package http")
    assert (refused.status, refused.head.value("Docker-Distribution-Api-Version")) == (404, None)
    ping = await proxy.ask("GET", "/v1/_ping", agent="Go 1.1 package http")
    assert ping.status == 404
    assert "gateway.v1.upstream" in json.loads(ping.body)["error"]
