"""What the tests of limits share: where requests are sent, and requests at a bound and one above it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from backends.registry.store import Store
from backends.registry.validation import Validation
from backends.storage.factory import open_folder
from backends.v1.registry import Registry as V1Registry
from backends.v1.settings import V1Settings
from backends.v2.registry import Registry as V2Registry
from backends.v2.settings import V2Settings
from backends.web.gates import make_gates
from backends.web.settings import GateSettings
from proxy.forwarding import Forwarder
from proxy.proxy import InProcess, Proxy
from proxy.routing import Backend
from proxy.settings import ProxySettings, UpstreamSettings
from tests.support.serving_here import OCI_MANIFEST, Answer, Client, make_manifest, serving_here
from tests.support.trees import read_tree

NAME = "team/app"
CONFIG, LAYER = b"{}", b"a layer"
Framing = Literal["length", "chunked"]


@dataclass(frozen=True, slots=True)
class Place:
    """Both registries over one folder.

    Attributes:
        way: how they are reached: alone, in the proxy's process, behind the proxy.
        v1: speaks to the first.
        v2: speaks to the second.
        root: their folder.
        outside: a tree beside it.
    """

    way: str
    v1: Client
    v2: Client
    root: Path
    outside: Path

    def tree(self) -> dict[str, bytes | None]:
        return read_tree(self.root)

    async def push_blobs(self, name: str = NAME) -> None:
        for blob in (CONFIG, LAYER):
            await self.v2.push_blob(name, blob)

    async def put(self, content: bytes, media_type: str = OCI_MANIFEST, *, reference: str = "latest") -> Answer:
        """Pushes a manifest."""
        return await self.v2.put_manifest(NAME, reference, content, media_type)


@contextlib.asynccontextmanager
async def open_place(way: str, root: Path, outside: Path, validation: Validation | None = None) -> AsyncIterator[Place]:
    """Serves both registries over a folder.

    Args:
        way: `alone`, `in the proxy`, `behind the proxy`.
        root: the folder.
        outside: see `Place`.
        validation: what pushed manifests must be.
    """
    storage = open_folder(root)
    store = Store(storage, validation=validation or Validation())
    gates = make_gates(GateSettings(delete_enabled=True))
    v1, v2 = V1Registry(store, V1Settings(), gates=gates), V2Registry(store, V2Settings(), gates=gates)
    async with contextlib.AsyncExitStack() as stack:
        stack.push_async_callback(storage.close)
        stack.push_async_callback(store.close)
        if way == "in the proxy":
            proxy = Proxy(ProxySettings(), {Backend.V1: InProcess(v1.handle), Backend.V2: InProcess(v2.handle)})
        else:
            first = await stack.enter_async_context(serving_here(v1.handle))
            second = await stack.enter_async_context(serving_here(v2.handle))
            if way == "alone":
                yield Place(way, first, second, root, outside)
                return
            elsewhere = {
                Backend.V1: Forwarder(Backend.V1, UpstreamSettings(f"http://{first.authority}")),
                Backend.V2: Forwarder(Backend.V2, UpstreamSettings(f"http://{second.authority}")),
            }
            proxy = Proxy(ProxySettings(), elsewhere)
        stack.push_async_callback(proxy.close)
        client = await stack.enter_async_context(serving_here(proxy.handle))
        yield Place(way, client, client, root, outside)


def manifest_with(**more: Any) -> bytes:
    """A manifest whose blobs are there, with more keys."""
    return make_manifest(CONFIG, LAYER, **more)


def padded(content: bytes, size: int) -> bytes:
    """JSON made longer by blanks, to a size."""
    assert len(content) <= size
    return content + b" " * (size - len(content))


def framed(content: bytes, framing: Framing) -> dict[str, Any]:
    """A body's part of a call of `ask`."""
    return {"body": content} if framing == "length" else {"chunks": [content[:1000], content[1000:]]}


def text_of(answer: Answer) -> str:
    """The sentence of an error of either protocol, or of HTTP itself."""
    if (answer.head.value("Content-Type") or "").startswith("text/plain"):
        return answer.body.decode().removesuffix("\n")
    document = json.loads(answer.body)
    return str(document["error"] if "error" in document else document["errors"][0]["detail"]["reason"])
