"""Serving: bound listeners, worker processes that inherit them, handlers that answer.

`listening` has the addresses and binds, `workers` forks and supervises, `accepting` takes connections. Import
addresses and listeners from `portside.listening` (light), this module only to serve.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

from aiohttp import web

from portside.listening import BoundListener

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]


class Services(Protocol):
    """What a worker has built: a handler for every listener, and how to let go of it all."""

    @property
    def handlers(self) -> Mapping[str, Handler]:
        """Handlers by `Listener.name`; every bound listener has one."""

    async def close(self) -> None:
        """Let go of files and connections; called once, after the last request."""


Build = Callable[[], Awaitable[Services]]


def serve(
    bound: Sequence[BoundListener],
    build: Build,
    *,
    workers: int,
    drain_seconds: float = 8.0,
    on_ready: Callable[[], None] | None = None,
    on_worker_end: Callable[[int], None] | None = None,
) -> int:
    """Serve until SIGTERM or SIGINT; closes what was bound.

    Args:
        bound: what `listening.bind` returned.
        build: called in each worker, inside its event loop. A `Problem` that it raises ends everything.
        workers: how many processes, at least 1; each serves every listener.
        drain_seconds: how long requests in flight may go on after the first signal (docker kills after 10).
        on_ready: called in the parent once, when all workers accept.
        on_worker_end: called in the parent with the pid of each worker that ended (for metrics).

    Returns:
        The exit status: 0 after a signal and a drain, 128 + n after a second signal, 1 when workers keep dying.

    Raises:
        Problem: the workers could not start, or TLS files cannot be loaded.
    """
    raise NotImplementedError
