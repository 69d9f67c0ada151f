"""The v1 registry on a socket of its own, with the server settings of the program, and a client that speaks by hand."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from backends.registry.store import Store
from backends.storage.storage import Storage
from backends.v1.registry import Registry
from backends.v1.settings import V1Settings
from backends.web.gates import make_gates
from backends.web.settings import GateSettings
from tests.support import loopback
from tests.support.loopback import connect, exchange, serve
from tests.support.upstreams import Peer

_LENGTHS = frozenset({"PUT"})
DOCKER = "docker/1.5.0 go/go1.4.1 git-commit/a8a31ef kernel/3.16.0-4-amd64 os/linux arch/amd64"


@dataclass(frozen=True, slots=True)
class Answer(loopback.Answer):
    """A whole answer of a v1 registry."""

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
        async with connect("127.0.0.1", self.port) as peer:
            yield peer

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
        lines = [f"Host: {self.authority}", *headers, *([] if agent is None else [f"User-Agent: {agent}"])]
        async with asyncio.timeout(20), self.connection() as peer:
            return Answer(*await exchange(peer, method, target, *lines, body=body, chunks=chunks, lengths=_LENGTHS))

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


@contextlib.asynccontextmanager
async def running_v1(
    storage: Storage, settings: V1Settings | None = None, *, gates: GateSettings | None = None, **of_store: Any
) -> AsyncIterator[RunningRegistry]:
    """Runs a registry over a storage; several over one storage are as several processes; `of_store` is for `Store`."""
    gate = make_gates(gates or GateSettings(delete_enabled=True))
    store = Store(storage, **of_store)
    async with serve(Registry(store, settings or V1Settings(), gates=gate).handle) as port:
        yield RunningRegistry(port)
    await store.close()
