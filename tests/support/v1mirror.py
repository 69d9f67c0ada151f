"""Mirrors of v1 registries on loopback sockets of this process, and sources that say what a test tells them to."""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from aiohttp import web

from backends.registry.store import Store
from backends.storage.storage import Storage
from backends.v1.mirror.mirror import Mirror
from backends.v1.mirror.settings import MirrorSettings
from backends.v1.registry import Registry
from backends.v1.settings import V1Settings
from tests.support.loopback import serve
from tests.support.v1server import Pushed, RunningRegistry

Say = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


@contextlib.asynccontextmanager
async def running_mirror(storage: Storage, source: str, **more: Any) -> AsyncIterator[RunningRegistry]:
    """Runs a mirror over a storage; several over one storage are as several processes."""
    store = Store(storage)
    mirror = Mirror(MirrorSettings(source, **more), store)
    try:
        async with serve(Registry(store, V1Settings(), mirror=mirror).handle) as port:
            yield RunningRegistry(port)
    finally:
        await mirror.close()
        await store.close()


@dataclass(slots=True)
class Source:
    """A registry that is mirrored.

    Attributes:
        address: of it.
        asked: method and target of each request, in order.
        heads: the headers of each.
        pages: what it says of a path, before `usual`.
        usual: what it says of the others; None for 404.
    """

    address: str = ""
    asked: list[str] = field(default_factory=list)
    heads: list[Mapping[str, str]] = field(default_factory=list)
    pages: dict[str, Say] = field(default_factory=dict)
    usual: Say | None = None

    def asked_for(self, end: str, *, method: str = "GET") -> int:
        """How often a path was asked for that ends so."""
        return sum(each.startswith(method + " ") and each.partition("?")[0].endswith(end) for each in self.asked)

    def has(
        self,
        image: Pushed,
        *ancestors: Pushed,
        layer: Say | None = None,
        size: str | None = None,
        checksum: str | None = None,
    ) -> None:
        """Has it say an image; `layer` in place of the image's own, and what is said of it ("" for nothing)."""
        folder = f"/v1/images/{image.id}"
        said = {
            "X-Docker-Size": str(len(image.layer)) if size is None else size,
            "X-Docker-Checksum-Payload": image.payload if checksum is None else checksum,
        }
        self.pages[f"{folder}/json"] = says(image.json, headers={name: value for name, value in said.items() if value})
        self.pages[f"{folder}/ancestry"] = says(json.dumps([image.id, *(each.id for each in ancestors)]).encode())
        self.pages[f"{folder}/layer"] = layer or says(image.layer)

    def tags(self, name: str, **tags: str) -> None:
        """Has it say the tags of a repository."""
        folder = f"/v1/repositories/{name}"
        self.pages[f"{folder}/tags"] = says(json.dumps(tags).encode())
        for tag, image_id in tags.items():
            self.pages[f"{folder}/tags/{tag}"] = says(json.dumps(image_id).encode())

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        self.asked.append(f"{request.method} {request.raw_path}")
        self.heads.append(dict(request.headers))
        say = self.pages.get(request.raw_path.partition("?")[0], self.usual)
        return web.Response(status=404, text='{"error": "not found"}') if say is None else await say(request)


def says(body: bytes, status: int = 200, *, headers: Mapping[str, str] | None = None) -> Say:
    """An answer."""

    async def say(_: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=status, body=body, headers=headers)

    return say


def dribbles(pieces: Sequence[bytes], goes_on: Callable[[int], Awaitable[None]], *, size: int | None = None) -> Say:
    """An answer in pieces; before each is awaited what a test has to say about it."""

    async def say(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        response.content_length = sum(map(len, pieces)) if size is None else size
        await response.prepare(request)
        for number, piece in enumerate(pieces):
            await goes_on(number)
            await response.write(piece)
        await goes_on(len(pieces))
        if size is not None and size > sum(map(len, pieces)):
            assert request.transport is not None
            request.transport.abort()
            return response
        await response.write_eof()
        return response

    return say


@contextlib.asynccontextmanager
async def running_source(usual: Say | None = None, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Source]:
    """Runs one."""
    source = Source(usual=usual)
    async with serve(source.handle, tls=tls) as port:
        source.address = f"{'http' if tls is None else 'https'}://127.0.0.1:{port}"
        yield source


async def until(true: Callable[[], bool], *, seconds: float = 45.0) -> None:
    """Waits until something holds."""
    async with asyncio.timeout(seconds):
        while not true():  # noqa: ASYNC110 - what another task does tells nobody
            await asyncio.sleep(0.01)


def staged(folder: Path) -> list[str]:
    """What is staged of v1's images on a volume that is being written to."""
    root = folder / "docker/registry/portside/primary/v1/staging"
    found: list[str] = []
    with contextlib.suppress(FileNotFoundError):
        for image in root.iterdir():
            with contextlib.suppress(FileNotFoundError):
                found += [f"{image.name}/{each.name}" for each in image.iterdir()]
    return found
