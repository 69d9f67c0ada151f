"""The proxy on a socket of its own, with the server settings of the program, and a client that speaks by hand."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass

from aiohttp import web

from backends import request_context
from proxy.forwarding import Forwarder
from proxy.proxy import InProcess, Proxy, Upstream
from proxy.routing import Backend
from proxy.settings import ProxySettings, UpstreamSettings
from tests.support.loopback import Answer, Handler, connect, exchange, serve
from tests.support.upstreams import Peer

DOCKER = "docker/20.10.24+dfsg1 go/go1.19.8 git-commit/5d6db84 kernel/6.1 os/linux arch/amd64"


@dataclass(slots=True)
class RunningProxy:
    """A proxy that listens on a loopback port.

    Attributes:
        port: where.
        requests: those that were handled, as the layers around the proxy see them afterwards.
    """

    port: int
    requests: list[web.BaseRequest]

    @property
    def authority(self) -> str:
        return f"127.0.0.1:{self.port}"

    @contextlib.asynccontextmanager
    async def connection(self) -> AsyncIterator[Peer]:
        """A connection to it."""
        async with connect("127.0.0.1", self.port) as peer:
            yield peer

    async def ask(
        self, method: str, target: str, *headers: str, body: bytes = b"", agent: str | None = DOCKER
    ) -> Answer:
        """Sends one request on a connection of its own and reads the whole answer."""
        lines = [f"Host: {self.authority}", *headers, *([] if agent is None else [f"User-Agent: {agent}"])]
        async with asyncio.timeout(10), self.connection() as peer:
            return Answer(*await exchange(peer, method, target, *lines, body=body or None))


async def answered(peer: Peer, *, of: str = "GET") -> Answer:
    """Reads one whole answer."""
    head = await peer.read_head()
    return Answer(head, await peer.read_body(head, of=of))


@contextlib.asynccontextmanager
async def running_proxy(
    upstreams: Mapping[Backend, str | UpstreamSettings | Handler],
    *,
    settings: ProxySettings | None = None,
    trusted: bool = False,
    kept_bytes: int = 0,
) -> AsyncIterator[RunningProxy]:
    """Runs a proxy.

    Args:
        upstreams: for each registry its address, its settings, or a handler in this process.
        settings: rule and header.
        trusted: believe what every peer says of forwarding.
        kept_bytes: for answers that are given again; with any, requests are passed on without being read again.
    """
    parts = {backend: _upstream(backend, upstream) for backend, upstream in upstreams.items()}
    proxy = Proxy(settings or ProxySettings(), parts)
    requests: list[web.BaseRequest] = []

    async def handle(request: web.BaseRequest) -> web.StreamResponse:
        requests.append(request)
        if trusted:
            request[request_context.TRUSTED_PEER] = True
        return await proxy.handle(request)

    try:
        async with serve(handle, kept_bytes=kept_bytes) as port:
            yield RunningProxy(port, requests)
    finally:
        await proxy.close()


def _upstream(backend: Backend, upstream: str | UpstreamSettings | Handler) -> Upstream:
    if isinstance(upstream, str):
        return Forwarder(backend, UpstreamSettings(upstream))
    if isinstance(upstream, UpstreamSettings):
        return Forwarder(backend, upstream)
    return InProcess(upstream)
