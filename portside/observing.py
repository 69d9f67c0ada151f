"""Around every handler that faces a listener: the access line, the metrics, and the last net for what goes wrong."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from time import perf_counter

from aiohttp import web

from backends import exchange
from portside.access import AccessLog
from portside.metrics import Metrics

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

CLIENT_GONE = 499
"""nginx's number for a client that went away before its answer was whole."""

_log = logging.getLogger("portside.serving")


def observed(handler: Handler, listener: str, *, access: AccessLog | None, metrics: Metrics) -> Handler:
    """Wraps a handler so that each request leaves a line and counts.

    Args:
        handler: what answers.
        listener: `proxy`, `v1` or `v2`: where the request came in.
        access: None when the access log is off.
        metrics: where it counts.
    """
    flying = metrics.in_flight[listener]

    async def observe(request: web.BaseRequest) -> web.StreamResponse:
        start = perf_counter()
        flying.inc()
        status, sent = CLIENT_GONE, 0
        try:
            response = await handler(request)
            status, sent = response.status, _size(request, response)
        except (asyncio.CancelledError, ConnectionError):
            raise
        except Exception:  # noqa: BLE001 - the last net: whatever got here is logged, and the client hears of it
            status = 500
            _log.exception("%s %s failed", request.method, request.raw_path[:300])
            return web.Response(status=500, text="something failed here; the log has the reason\n")
        else:
            return response
        finally:
            flying.dec()
            seconds = perf_counter() - start
            backend = request.get(exchange.BACKEND, listener)
            metrics.count(listener, backend, status, request.method, seconds=seconds, sent=sent)
            if access is not None:
                access.line(
                    request.remote or "unix",
                    request.method,
                    request.raw_path,
                    request.headers.get("User-Agent", "-"),
                    status,
                    sent,
                    seconds,
                    backend,
                    request.get(exchange.ROUTE, ""),
                )

    return observe


def _size(request: web.BaseRequest, response: web.StreamResponse) -> int:
    if request.method == "HEAD":
        return 0
    if isinstance(response, web.Response):
        return len(response.body) if isinstance(response.body, bytes) else 0
    return response.content_length or 0
