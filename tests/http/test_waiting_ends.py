"""A request that waits ends when its client has gone, on every kind of listener; what it asked for does not happen."""

from __future__ import annotations

import asyncio
import ssl
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from backends.model.digest import parse_digest
from backends.storage import layout
from backends.storage.file_locks import FileLocks
from portside.server.idle_connections import HALF_CLOSED_SECONDS, INTERVAL_SECONDS
from tests.support.certificate import CertificateFiles, make_certificate
from tests.support.commands import RunningCommand, running_command
from tests.support.portside import Form, running_portside
from tests.support.serving_here import OCI_MANIFEST, Client, digest_of

AT_ONCE = HALF_CLOSED_SECONDS - 1
"""Sooner than what shuts down its side is given up."""

SETTINGS = """
storage: {{filesystem: {{rootdirectory: data}}, delete: {{enabled: true}}}}
http: {{tls: {{certificate: {files.chain}, key: {files.key}}}}}
gateway:
  addr: 127.0.0.1:0
  workers: 1
  v1: {{addr: ""}}
  v2: {{addr: "127.0.0.1:0"}}
  metrics: {{addr: ""}}
"""


@dataclass(frozen=True, slots=True)
class World:
    """A running registry with an image in it, and its locks.

    Attributes:
        log: with its access lines.
        plain: its v2 listener.
        secure: the proxy's, over TLS.
        manifest: of the image `app:1`.
    """

    log: Path
    plain: Client
    secure: Client
    locks: FileLocks
    manifest: bytes


@pytest.fixture
def files(tmp_path: Path) -> CertificateFiles:
    return make_certificate(tmp_path)


@pytest.fixture
def running(tmp_path: Path, files: CertificateFiles) -> Iterator[RunningCommand]:
    (tmp_path / "portside.yml").write_text(SETTINGS.format(files=files))
    with running_command("serve", "portside.yml", folder=tmp_path) as started:
        yield started


@pytest.fixture
async def world(tmp_path: Path, files: CertificateFiles, running: RunningCommand) -> AsyncIterator[World]:
    plain = Client("127.0.0.1", running.port("v2"))
    trusting = ssl.create_default_context(cafile=str(files.ca))
    locks = FileLocks(tmp_path / "data")
    manifest = await plain.push_image("app", "1")
    secure = Client("localhost", running.port("proxy"), trusting)
    yield World(running.out, plain, secure, locks, manifest)
    await locks.close()


async def leave_while_it_waits(client: Client, log: Path, request: bytes, mark: str) -> float:
    """Sends a request that must wait, hangs up, and returns the seconds until the access log has its end."""
    _, writer = await asyncio.open_connection(client.host, client.port, ssl=client.tls)
    writer.write(request)
    await writer.drain()
    await asyncio.sleep(0.5)
    assert not lines_with(mark, log), "it did not wait"
    writer.transport.abort()
    start = time.monotonic()
    while not (lines := lines_with(mark, log)):
        assert time.monotonic() < start + 30
        await asyncio.sleep(0.02)
    assert " 499 " in lines[0]
    return time.monotonic() - start


def lines_with(mark: str, log: Path) -> list[str]:
    return [line for line in log.read_text().splitlines() if mark in line]


def put_manifest(manifest: bytes, tag: str) -> bytes:
    head = f"PUT /v2/app/manifests/{tag} HTTP/1.1\r\nHost: x\r\nContent-Type: {OCI_MANIFEST}\r\n"
    return f"{head}Content-Length: {len(manifest)}\r\n\r\n".encode() + manifest


async def test_a_tag_that_somebody_else_holds(world: World) -> None:
    async with world.locks.hold(layout.tag_lock("app", "2")):
        request = put_manifest(world.manifest, "2")
        waited = await leave_while_it_waits(world.plain, world.log, request, "/v2/app/manifests/2")
    assert waited < HALF_CLOSED_SECONDS + INTERVAL_SECONDS + 8  # a plain client may have shut down its side alone
    await asyncio.sleep(0.5)
    assert (await world.plain.ask("GET", "/v2/app/manifests/2")).status == 404


async def test_a_client_of_tls_is_missed_at_once(world: World) -> None:
    async with world.locks.hold(layout.tag_lock("app", "2")):
        waited = await leave_while_it_waits(
            world.secure, world.log, put_manifest(world.manifest, "2"), "/v2/app/manifests/2"
        )
    assert waited < AT_ONCE
    await asyncio.sleep(0.5)
    assert (await world.plain.ask("GET", "/v2/app/manifests/2")).status == 404


async def test_a_blob_that_somebody_else_holds(world: World) -> None:
    content = b"a blob of its own"
    digest = digest_of(content)
    async with world.locks.hold(layout.blob_lock(parse_digest(digest))):
        target = f"/v2/app/blobs/uploads/?digest={digest}"
        request = f"POST {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(content)}\r\n\r\n".encode() + content
        waited = await leave_while_it_waits(world.secure, world.log, request, f"POST {target}")
    assert waited < AT_ONCE
    await asyncio.sleep(0.5)
    assert (await world.plain.ask("GET", f"/v2/app/blobs/{digest}")).status == 404


@pytest.mark.parametrize("name", ["app", "a" * 199])
async def test_a_v1_list_of_images_that_somebody_else_holds(world: World, name: str) -> None:
    async with world.locks.hold(layout.v1_images_lock("library", name)):
        request = f"PUT /v1/repositories/{name}/ HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n[]".encode()
        waited = await leave_while_it_waits(world.secure, world.log, request, f"/v1/repositories/{name}/ ")
    assert waited < AT_ONCE
    await asyncio.sleep(0.5)
    assert (await world.secure.ask("GET", f"/v1/repositories/{name}/images")).status == 404


async def test_in_another_process_behind_the_proxy(tmp_path: Path) -> None:
    with running_portside(Form.ROLES, tmp_path) as running:
        trusting = ssl.create_default_context(cafile=str(running.address.ca))
        client = Client("localhost", running.address.port, trusting)
        manifest = await client.push_image("app", "1")
        locks = FileLocks(running.data)
        async with locks.hold(layout.tag_lock("app", "2")):
            request = put_manifest(manifest, "2")
            assert await leave_while_it_waits(client, running.logs["v2"], request, "/v2/app/manifests/2") < AT_ONCE
        await locks.close()
