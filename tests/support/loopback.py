"""A handler on a loopback socket of this process, with the program's own server settings, and requests sent to it.

A connection, a request written byte for byte, the whole answer: `serving_here`, `v1server` and `proxies` add what the
tests of their protocol need.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from portside.server.draining import DrainingServer
from portside.server.grammar import MAX_HEADER_COUNT, MAX_LINE
from portside.server.serving import KEEPALIVE_SECONDS, READ_BUFFER
from tests.support.upstreams import Head, Peer

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


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


@contextlib.asynccontextmanager
async def serve(handler: Handler, *, tls: ssl.SSLContext | None = None, kept_bytes: int = 0) -> AsyncIterator[int]:
    """Serves a handler on a free port; several over one storage are as several processes."""
    server = DrainingServer(
        handler,
        auto_decompress=False,
        access_log=None,
        max_line_size=MAX_LINE,
        max_field_size=MAX_LINE,
        max_headers=MAX_HEADER_COUNT,
        read_bufsize=READ_BUFFER,
        keepalive_timeout=KEEPALIVE_SECONDS,
        kept_bytes=kept_bytes,
    )
    runner = web.ServerRunner(server, shutdown_timeout=1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=tls)
    await site.start()
    try:
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def connect(host: str, port: int, *, tls: ssl.SSLContext | None = None) -> AsyncIterator[Peer]:
    """A connection, closed at the end."""
    peer = Peer(*await asyncio.open_connection(host, port, ssl=tls))
    try:
        yield peer
    finally:
        await peer.close()


async def exchange(
    peer: Peer,
    method: str,
    target: str,
    *lines: str,
    body: bytes | None = None,
    chunks: Sequence[bytes] | None = None,
    lengths: frozenset[str] = frozenset(),
) -> tuple[Head, bytes]:
    """Sends one request and reads the whole answer.

    Args:
        peer: an open connection.
        method: of the request.
        target: of the request, as it is sent.
        lines: of the head, whole, `Host` included.
        body: what follows the head, with its length.
        chunks: what follows instead, as a chunked body.
        lengths: methods that send `Content-Length: 0` without a body.
    """
    head = [f"{method} {target} HTTP/1.1", *lines]
    if chunks is not None:
        head.append("Transfer-Encoding: chunked")
        body = b"".join(chunk_of(chunk) for chunk in [*chunks, b""])
    elif body is not None or method in lengths:
        head.append(f"Content-Length: {len(body or b'')}")
    await peer.send("\r\n".join([*head, "", ""]), body or b"")
    received = await peer.read_head()
    return received, await peer.read_body(received, of=method)


def chunk_of(data: bytes) -> bytes:
    """One chunk with its frame; of nothing, the end of a body."""
    return b"%x\r\n%s\r\n" % (len(data), data)
