"""What the tests of limits share: where requests are sent, and requests at a bound and one above it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from tests.support.serving_here import OCI_MANIFEST, Answer, Client, digest_of, make_manifest
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
    """The sentence of an error of either protocol."""
    document = json.loads(answer.body)
    return str(document["error"] if "error" in document else document["errors"][0]["detail"]["reason"])


__all__ = [
    "CONFIG", "LAYER", "NAME", "Framing", "Place", "digest_of", "framed", "manifest_with", "padded", "text_of",
]  # fmt: skip
