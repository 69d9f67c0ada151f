"""An HTTP server that knows which of its connections are at work, so that it can end without harming one.

aiohttp's own `pre_shutdown` stops reading from every connection, also from one in the middle of an upload, whose
request then hangs until it is cut off. Here a connection is left alone until its request has been answered.

Invariant: once draining has begun, an idle connection is closed at once, one at work after its answer, and one that
has just come may still ask one thing.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.web_protocol import RequestHandler
from typing_extensions import override

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

FIRST_REQUEST_SECONDS = 1.0
TAIL_SECONDS = 1.0
TICK_SECONDS = 0.02

_log = logging.getLogger("portside.server.serving")


class DrainingServer(web.Server):
    """`web.Server` with a `drain` of its own.

    Args:
        handler: what answers.
        settings: of aiohttp's protocol. It drops all of them when it does not know one: a test sees each act.
    """

    def __init__(self, handler: Handler, **settings: Any) -> None:
        super().__init__(self._answer, handler_cancellation=True, **settings)
        self._handler = handler
        self._open: dict[RequestHandler, asyncio.Transport] = {}
        self._fresh: set[RequestHandler] = set()
        self._busy: set[RequestHandler] = set()
        self._draining = False

    def answer_by(self, handler: Handler) -> None:
        """Has requests that come from now on answered by another handler."""
        self._handler = handler

    @property
    def busy(self) -> int:
        """How many requests are at work."""
        return len(self._busy)

    @override
    def connection_made(self, handler: RequestHandler, transport: asyncio.Transport) -> None:
        super().connection_made(handler, transport)
        self._open[handler] = transport
        self._fresh.add(handler)

    @override
    def connection_lost(self, handler: RequestHandler, exc: BaseException | None = None) -> None:
        super().connection_lost(handler, exc)
        self._open.pop(handler, None)
        self._fresh.discard(handler)

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        protocol = request.protocol
        self._fresh.discard(protocol)
        self._busy.add(protocol)
        try:
            response = await self._handler(request)
            if self._draining:
                response.force_close()
            # What aiohttp has to write of it is in the transport's buffer before anything else runs.
            return response
        finally:
            self._busy.discard(protocol)

    async def drain(self, seconds: float, *, arriving: Callable[[], bool]) -> None:
        """Lets requests in flight finish, then closes everything.

        Args:
            seconds: how long they may take; what is not done then is cut off.
            arriving: whether connections are still being greeted, so that more may come.
        """
        self._draining = True
        loop = asyncio.get_running_loop()
        start = loop.time()
        while loop.time() < start + seconds:
            late = loop.time() > start + FIRST_REQUEST_SECONDS
            if late:
                self._fresh.clear()
            self._close_idle()
            if not (self._busy or self._fresh or (arriving() and not late)):
                break
            await asyncio.sleep(TICK_SECONDS)
        if self._busy:
            _log.warning("%d requests were not done after %g seconds and are cut off", len(self._busy), seconds)
        self._fresh.clear()
        self._close_idle()
        tail = loop.time() + TAIL_SECONDS
        while loop.time() < tail or (self._is_sending() and loop.time() < start + seconds):
            if not self._open.keys() - self._busy:
                break
            await asyncio.sleep(TICK_SECONDS)
        await self.shutdown(0.1)

    def _close_idle(self) -> None:
        for connection in tuple(self._open):
            if connection not in self._busy and connection not in self._fresh:
                connection.force_close()

    def _is_sending(self) -> bool:
        return any(transport.get_write_buffer_size() for transport in self._open.values())
