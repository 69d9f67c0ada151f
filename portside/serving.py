"""Serving in one worker: an HTTP server for each listener over the worker's handlers, until it is told to stop.

`listening` has the addresses and binds, `workers` forks and supervises, `accepting` takes connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import lru_cache
from ipaddress import ip_address
from typing import Protocol

from aiohttp import web

from backends import exchange
from portside.accepting import Acceptor
from portside.listening import BoundListener, Listener
from portside.tls import ReloadingContext

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

READ_BUFFER = 512 * 1024
KEEPALIVE_SECONDS = 90.0
MAX_LINE = 65536


class Services(Protocol):
    """What a worker has built: a handler for every listener, and how to let go of it all."""

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """Handlers by `Listener.name`; every bound listener has one."""

    async def close(self) -> None:
        """Lets go of files and connections; called once, after the last request."""


Build = Callable[[], Awaitable[Services]]


async def serve_here(
    bound: Sequence[BoundListener],
    contexts: Sequence[ReloadingContext | None],
    build: Build,
    *,
    drain_seconds: float,
    ready: Callable[[], None],
    parent: int,
) -> None:
    """Serves in this process until SIGTERM, or until the parent is gone.

    Args:
        bound: the listeners, with inherited sockets.
        contexts: TLS of each listener, in the same order.
        build: makes the services.
        drain_seconds: how long requests in flight may go on.
        ready: called when every listener accepts.
        parent: a pipe's reading end that closes with the parent.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, stop.set)
    loop.add_reader(parent, stop.set)
    services = await build()
    servers: list[web.Server] = []
    acceptors: list[Acceptor] = []
    for each, context in zip(bound, contexts, strict=True):
        server = _server(_trusting(services.handlers[each.listener.name], each.listener))
        servers.append(server)
        acceptors.append(Acceptor(each.sockets, server, context, address=each.text))
    watchers = [loop.create_task(context.watch()) for context in contexts if context is not None]
    gc.collect()
    gc.freeze()
    for acceptor in acceptors:
        acceptor.start()
    ready()
    await stop.wait()
    loop.remove_reader(parent)
    for acceptor in acceptors:
        acceptor.stop()
    for watcher in watchers:
        watcher.cancel()
    await asyncio.gather(*(acceptor.greeted() for acceptor in acceptors))
    for server in servers:
        server.pre_shutdown()
    await asyncio.gather(*(server.shutdown(drain_seconds) for server in servers))
    with contextlib.suppress(asyncio.CancelledError):
        await services.close()


def _server(handler: Handler) -> web.Server:
    """Aiohttp drops all settings when it does not know one: a test sees each of them act."""
    return web.Server(
        handler,
        handler_cancellation=True,
        auto_decompress=False,
        access_log=None,
        max_line_size=MAX_LINE,
        max_field_size=MAX_LINE,
        read_bufsize=READ_BUFFER,
        keepalive_timeout=KEEPALIVE_SECONDS,
    )


def _trusting(handler: Handler, listener: Listener) -> Handler:
    """Marks requests whose peer's word on forwarding counts."""
    if not listener.trusted_peer and not listener.trusted_networks:
        return handler
    networks = listener.trusted_networks

    @lru_cache(maxsize=1024)
    def within(host: str) -> bool:
        try:
            address = ip_address(host)
        except ValueError:
            return False
        return any(address in network for network in networks)

    async def mark(request: web.BaseRequest) -> web.StreamResponse:
        if listener.trusted_peer or within(request.remote or ""):
            request[exchange.TRUSTED_PEER] = True
        return await handler(request)

    return mark
