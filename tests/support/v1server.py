"""The v1 registry on a socket of its own, with the server settings of the program, and a client that speaks by hand."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from aiohttp import web

from backends.registry.store import Store
from backends.storage.storage import Storage
from backends.v1.registry import Registry
from backends.v1.settings import V1Settings
from backends.web.gates import make_gates
from backends.web.settings import GateSettings
from tests.support.upstreams import Head, Peer

DOCKER = "docker/1.5.0 go/go1.4.1 git-commit/a8a31ef kernel/3.16.0-4-amd64 os/linux arch/amd64"


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer."""

    head: Head
    body: bytes

    @property
    def status(self) -> int:
        return self.head.status

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def value(self, name: str) -> str | None:
        return self.head.value(name)

    @property
    def told(self) -> tuple[int, str]:
        """Status and message of an error."""
        return self.status, self.json["error"]


@dataclass(frozen=True, slots=True)
class Pushed:
    """An image as it is pushed: its id, JSON, layer."""

    id: str
    json: bytes
    layer: bytes

    @property
    def payload(self) -> str:
        return "sha256:" + sha256(self.json + b"\n" + self.layer).hexdigest()


def make_pushed(letter: str, *, parent: str | None = None, layer: bytes = b"layer", **more: Any) -> Pushed:
    """An image whose id is one letter 64 times, or the whole id."""
    image_id = letter * 64 if len(letter) == 1 else letter
    document = {"id": image_id, **({"parent": parent} if parent else {}), **more}
    return Pushed(image_id, json.dumps(document).encode(), layer)


class RunningRegistry:
    """A registry that listens on a loopback port; its client opens one connection for each request."""

    def __init__(self, port: int) -> None:
        self.port = port

    @property
    def authority(self) -> str:
        return f"127.0.0.1:{self.port}"

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Peer]:
        """A connection to it."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        peer = Peer(reader, writer)
        try:
            yield peer
        finally:
            await peer.close()

    async def ask(
        self,
        method: str,
        target: str,
        *headers: str,
        body: bytes | None = None,
        chunks: Sequence[bytes] | None = None,
        agent: str | None = DOCKER,
    ) -> Answer:
        """Sends one request and reads the whole answer; `chunks` go out chunked."""
        lines = [f"{method} {target} HTTP/1.1", f"Host: {self.authority}", *headers]
        if agent is not None:
            lines.append(f"User-Agent: {agent}")
        if chunks is not None:
            lines.append("Transfer-Encoding: chunked")
            body = b"".join(chunk_of(chunk) for chunk in [*chunks, b""])
        elif body is not None or method == "PUT":
            lines.append(f"Content-Length: {len(body or b'')}")
        async with asyncio.timeout(20), self.connection() as peer:
            await peer.send("\r\n".join([*lines, "", ""]), body or b"")
            head = await peer.read_head()
            return Answer(head, await peer.read_body(head, of=method))

    async def put_json(self, image: Pushed) -> Answer:
        return await self.ask("PUT", f"/v1/images/{image.id}/json", body=image.json)

    async def put_layer(self, image: Pushed) -> Answer:
        middle = len(image.layer) // 2
        chunks = [chunk for chunk in (image.layer[:middle], image.layer[middle:]) if chunk]
        return await self.ask("PUT", f"/v1/images/{image.id}/layer", chunks=chunks)

    async def put_checksum(self, image: Pushed, payload: str | None = None) -> Answer:
        header = f"X-Docker-Checksum-Payload: {payload or image.payload}"
        return await self.ask("PUT", f"/v1/images/{image.id}/checksum", header)

    async def push_images(self, images: Iterable[Pushed]) -> None:
        """Pushes images, parents first."""
        for image in images:
            for answer in (await self.put_json(image), await self.put_layer(image), await self.put_checksum(image)):
                assert (answer.status, answer.body) == (200, b"true"), answer.body

    async def push(self, name: str, tag: str, images: Sequence[Pushed]) -> None:
        """Pushes a repository with one tag, as docker does."""
        announced = json.dumps([{"id": image.id} for image in images]).encode()
        assert (await self.ask("PUT", f"/v1/repositories/{name}/", body=announced)).status == 200
        await self.push_images(images)
        top = json.dumps(images[-1].id).encode()
        assert (await self.ask("PUT", f"/v1/repositories/{name}/tags/{tag}", body=top)).status == 200
        assert (await self.ask("PUT", f"/v1/repositories/{name}/images", body=b"[]")).status == 204


def chunk_of(data: bytes) -> bytes:
    """One chunk with its frame; of nothing, the end of a body."""
    return b"%x\r\n%s\r\n" % (len(data), data)


@contextlib.asynccontextmanager
async def running_v1(
    storage: Storage, settings: V1Settings | None = None, *, gates: GateSettings | None = None
) -> AsyncIterator[RunningRegistry]:
    """Runs a registry over a storage; several over one storage are as several processes."""
    server = web.Server(
        Registry(
            Store(storage), settings or V1Settings(), gates=make_gates(gates or GateSettings(delete_enabled=True))
        ).handle,
        handler_cancellation=True,
        auto_decompress=False,
        access_log=None,
        max_line_size=65536,
        max_field_size=65536,
        read_bufsize=512 * 1024,
    )
    runner = web.ServerRunner(server, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield RunningRegistry(runner.addresses[0][1])
    finally:
        await runner.cleanup()
