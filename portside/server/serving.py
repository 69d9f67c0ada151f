"""Serving in one worker: an HTTP server for each listener over the worker's handlers, until it is asked to stop.

`listening` has the addresses and binds, `workers` forks and supervises, `accepting` takes connections.
"""

from __future__ import annotations

import asyncio
import contextlib
import gc
import logging
import signal
import ssl
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from aiohttp import web

from portside.problems import Problem
from portside.server.accepting import Acceptor
from portside.server.address_limit import AddressLimit
from portside.server.draining import DrainingServer
from portside.server.grammar import MAX_HEADER_COUNT, MAX_LINE
from portside.server.listening import BoundListener, Listener
from portside.server.reloading import ChangeReader
from portside.server.trusted_peers import TrustedPeers
from portside.tls.contexts import ReloadingContext

if TYPE_CHECKING:
    from portside.server.proposals import Change

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

READ_BUFFER = 256 * 1024
KEEPALIVE_SECONDS = 90.0

_log = logging.getLogger("portside.server.serving")


class Services(Protocol):
    """What a worker has built: a handler for every listener, and how to close it all."""

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """Handlers by `Listener.name`; every bound listener has one."""

    @property
    def refusals(self) -> Mapping[str, Handler]:
        """What answers a request that is not valid HTTP, likewise: `grammar.refuse`, with what it is counted by."""

    def change(self, values: Any) -> None:
        """Takes over what may change while serving (`proposals.Change.services`)."""

    async def drain(self) -> None:
        """Ends what requests in flight wait for and others may do later; called once, when no more are accepted."""

    async def close(self) -> None:
        """Closes files and connections; called once, after the last request."""


Build = Callable[[], Awaitable[Services]]


async def serve_here(
    bound: Sequence[BoundListener],
    contexts: Sequence[ReloadingContext | None],
    build: Build,
    *,
    drain_seconds: float,
    ready: Callable[[], None],
    parent: int,
    changes: int | None = None,
    ending: Callable[[int], None] | None = None,
) -> None:
    """Serves in this process until SIGTERM or SIGQUIT, or until the parent is gone.

    Args:
        bound: the listeners, with inherited sockets.
        contexts: TLS of each listener, in the same order.
        build: makes the services.
        drain_seconds: how long requests in flight may go on.
        ready: called when every listener accepts.
        parent: a pipe's reading end that closes with the parent.
        changes: a pipe's reading end, by which the parent sends what changes.
        ending: called when it begins to end, with how many requests are at work.
    """
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGQUIT):
        loop.add_signal_handler(number, stop.set)
    loop.add_reader(parent, stop.set)
    loop.set_exception_handler(_lost)
    services = await build()
    servers: list[DrainingServer] = []
    trusted: list[TrustedPeers] = []
    acceptors: list[Acceptor] = []
    for each, context in zip(bound, contexts, strict=True):
        peers = TrustedPeers(each.listener)
        server = _server(services, each.listener, peers)
        servers.append(server)
        trusted.append(peers)
        most = each.listener.limits.connections
        limit = AddressLimit(most, exempt=peers) if most else None
        acceptors.append(Acceptor(each.sockets, server, context, address=each.text, limit=limit))
        if context is not None:
            context.on_narrowed = server.part
    for context in filter(None, contexts):
        await context.refresh()  # a worker that replaces another one was forked with what the parent had read
    watchers = [loop.create_task(context.watch()) for context in filter(None, contexts)]
    reader = (
        None if changes is None else ChangeReader(changes, partial(_take_over, contexts, servers, trusted, services))
    )
    gc.collect()
    gc.freeze()
    for acceptor in acceptors:
        acceptor.start()
    ready()
    await stop.wait()
    loop.remove_reader(parent)
    if ending is not None:
        ending(sum(server.busy for server in servers))
    if reader is not None:
        await reader.stop()
    for watcher in watchers:
        watcher.cancel()
    for acceptor in acceptors:
        acceptor.stop()
    for each in bound:
        for listening in each.sockets:
            listening.close()
    drains = [
        server.drain(drain_seconds, arriving=acceptor.is_greeting)
        for server, acceptor in zip(servers, acceptors, strict=True)
    ]
    await asyncio.gather(services.drain(), *drains)
    with contextlib.suppress(asyncio.CancelledError):
        await services.close()


def _server(services: Services, listener: Listener, peers: TrustedPeers) -> DrainingServer:
    return DrainingServer(
        peers.marking(services.handlers[listener.name]),
        refusal=peers.marking(services.refusals[listener.name]),
        send_seconds=listener.limits.send_seconds,
        is_exempt=lambda connection: _host(connection.peername) in peers,
        kept_bytes=listener.limits.kept_bytes,
        is_trusted=peers.__contains__,
        auto_decompress=False,
        access_log=None,
        logger=_log,
        max_line_size=MAX_LINE,
        max_field_size=MAX_LINE,
        max_headers=MAX_HEADER_COUNT,
        read_bufsize=READ_BUFFER,
        keepalive_timeout=KEEPALIVE_SECONDS,
    )


def _lost(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    """Logs a broken connection without a traceback, at debug level: clients break connections all the time."""
    error = context.get("exception")
    if isinstance(error, ConnectionError | ssl.SSLError | TimeoutError):
        _log.debug("a connection broke: %s", error)
    else:
        loop.default_exception_handler(context)


async def _take_over(
    contexts: Sequence[ReloadingContext | None],
    servers: Sequence[DrainingServer],
    trusted: Sequence[TrustedPeers],
    services: Services,
    change: Change,
) -> None:
    """Takes a change over: what can fail first."""
    try:
        renewed = [
            None if context is None or listener.tls is None else await asyncio.to_thread(ReloadingContext, listener.tls)
            for context, listener in zip(contexts, change.listeners, strict=True)
        ]
    except Problem as problem:
        _log.error("a worker goes on as before, since the changed settings cannot be used any more: %s", problem)
        return
    for context, other in zip(contexts, renewed, strict=True):
        if context is not None and other is not None:
            context.take_over(other)
    for server, peers, listener in zip(servers, trusted, change.listeners, strict=True):
        peers.take_over(listener)
        handler, refusal = services.handlers[listener.name], services.refusals[listener.name]
        server.answer_by(peers.marking(handler), refusal=peers.marking(refusal))
    services.change(change.services)
    for server in servers:
        server.forget_answers()  # made by what held before


def _host(peername: object) -> str:
    return str(peername[0]) if isinstance(peername, tuple) else ""
