"""The v2 registry on a loopback socket of this process, with the program's own server settings, and a plain client.

The client writes requests byte for byte over one connection each, so a test says exactly what is sent; it takes any
address, so the same tests can be turned on a server elsewhere, over TLS too.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from tests.support import loopback
from tests.support.loopback import Handler, connect, exchange, serve
from tests.support.upstreams import Peer

_LENGTHS = frozenset({"POST", "PUT", "PATCH"})

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCTETS = {"Content-Type": "application/octet-stream"}


@dataclass(frozen=True, slots=True)
class Answer(loopback.Answer):
    """A whole answer of a v2 registry."""

    def __getitem__(self, name: str) -> str:
        value = self.head.value(name)
        assert value is not None, f"no {name} in {self.head}"
        return value

    @property
    def told(self) -> tuple[int, str]:
        """Status and code of an error in the distribution protocol's shape."""
        assert self["Content-Type"] == "application/json; charset=utf-8"
        errors = self.json["errors"]
        for error in errors:
            assert set(error) == {"code", "message", "detail"}
            detail = error["detail"]
            reason = detail if error["code"] == "MANIFEST_BLOB_UNKNOWN" else detail.get("reason") or error["message"]
            assert len(reason) > 10
            assert reason.isprintable()
        (code,) = {error["code"] for error in errors}
        return self.status, code

    @property
    def path(self) -> str:
        """The path and query of `Location`, which must be absolute."""
        scheme, mark, rest = self["Location"].partition("://")
        assert mark, self["Location"]
        assert scheme in {"http", "https"}
        return "/" + rest.partition("/")[2]


@dataclass(frozen=True, slots=True)
class Client:
    """Speaks to one address, a connection for each request.

    Attributes:
        tls: whom to trust; None for plain HTTP.
    """

    host: str
    port: int
    tls: ssl.SSLContext | None = None

    @property
    def authority(self) -> str:
        return f"{self.host}:{self.port}"

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Peer]:
        """Opens a connection."""
        async with connect(self.host, self.port, tls=self.tls) as peer:
            yield peer

    async def ask(
        self,
        method: str,
        target: str,
        headers: Mapping[str, str] | Sequence[tuple[str, str]] = (),
        *,
        body: bytes | None = None,
        chunks: Sequence[bytes] | None = None,
    ) -> Answer:
        """Sends one request, `chunks` as a chunked body, and reads the whole answer."""
        async with asyncio.timeout(30), self.connection() as peer:
            return await self.ask_on(peer, method, target, headers, body=body, chunks=chunks)

    async def ask_on(
        self,
        peer: Peer,
        method: str,
        target: str,
        headers: Mapping[str, str] | Sequence[tuple[str, str]] = (),
        *,
        body: bytes | None = None,
        chunks: Sequence[bytes] | None = None,
    ) -> Answer:
        """The same on an open connection."""
        pairs = headers.items() if isinstance(headers, Mapping) else headers
        lines = [f"Host: {self.authority}", *(f"{key}: {value}" for key, value in pairs)]
        return Answer(*await exchange(peer, method, target, *lines, body=body, chunks=chunks, lengths=_LENGTHS))

    async def begin(self, name: str) -> str:
        """Begins an upload and returns the path of its `Location`."""
        answer = await self.ask("POST", f"/v2/{name}/blobs/uploads/")
        assert answer.status == 202, answer
        return answer.path

    async def push_blob(self, name: str, content: bytes) -> str:
        """Pushes a blob as one stream and returns its digest."""
        place = await self.begin(name)
        answer = await self.ask("PATCH", place, OCTETS, chunks=[content] if content else [])
        assert answer.status == 202, answer
        digest = digest_of(content)
        joint = "&" if "?" in answer.path else "?"  # distribution's has a query
        answer = await self.ask("PUT", f"{answer.path}{joint}digest={digest}")
        assert answer.status == 201, answer
        return digest

    async def push_image(self, name: str, *tags: str, seed: str = "image") -> bytes:
        """Pushes a small OCI image under tags, or by its digest only, and returns its manifest."""
        blobs = [f"{seed} config".encode(), f"{seed} layer".encode()]
        for blob in blobs:
            await self.push_blob(name, blob)
        content = make_manifest(*blobs)
        for reference in tags or [digest_of(content)]:
            answer = await self.put_manifest(name, reference, content)
            assert answer.status == 201, answer
        return content

    async def put_manifest(self, name: str, reference: str, content: bytes, media_type: str = OCI_MANIFEST) -> Answer:
        """Pushes a manifest."""
        return await self.ask("PUT", f"/v2/{name}/manifests/{reference}", {"Content-Type": media_type}, body=content)


def digest_of(content: bytes) -> str:
    """`sha256:` and the hexadecimal digest."""
    return "sha256:" + sha256(content).hexdigest()


def blob_file(root: Path, digest: str) -> Path:
    """Where distribution keeps a blob."""
    algorithm, _, text = digest.partition(":")
    return root / "docker/registry/v2/blobs" / algorithm / text[:2] / text / "data"


def make_manifest(config: bytes, *layers: bytes, media_type: str = OCI_MANIFEST, **more: Any) -> bytes:
    """An image manifest over these blobs."""
    document = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": describe(config, "application/vnd.oci.image.config.v1+json"),
        "layers": [describe(layer, "application/vnd.oci.image.layer.v1.tar") for layer in layers],
        **more,
    }
    return json.dumps(document).encode()


def describe(content: bytes, media_type: str) -> dict[str, Any]:
    """A descriptor."""
    return {"mediaType": media_type, "digest": digest_of(content), "size": len(content)}


@contextlib.asynccontextmanager
async def serving_here(handler: Handler) -> AsyncIterator[Client]:
    """Serves a handler on a free port; several over one storage are as several processes."""
    async with serve(handler) as port:
        yield Client("127.0.0.1", port)
