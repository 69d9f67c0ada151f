"""Around the handler of every listener: the access line, the metrics, and the answer to unexpected errors.

Invariant: every request leaves one line and counts once, the ones whose client went away too.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from time import perf_counter
from typing import NamedTuple

from aiohttp import HttpVersion10, web

from backends import request_context
from backends.dependencies import NOTED, Dependencies, Tell, refuse_keeping
from backends.http.configured_headers import ConfiguredHeaders
from backends.http.connections import break_off
from backends.http.request_info import client_agent, path_for_log, remote_address, told_address
from backends.http.sending import HandedOver, add_outer_headers
from backends.model.errors import ErrorCode, RegistryError
from backends.v1.errors import render as render_v1
from backends.v2.errors import render as render_v2
from portside.observe.access_log import AccessLog
from portside.observe.metrics import Metrics
from proxy.settings import HEALTH_PATH

Handler = Callable[[web.BaseRequest], Awaitable[web.StreamResponse]]

CLIENT_GONE = 499
"""nginx's number for a client that went away before its answer was whole."""

_log = logging.getLogger("portside.server.serving")


def observed(
    handler: Handler,
    listener: str,
    *,
    access: AccessLog | None,
    metrics: Metrics | None,
    headers: ConfiguredHeaders,
    health: Handler | None = None,
) -> Handler:
    """Wraps a handler so that each request leaves a line and counts, and each answer has the configured headers.

    Args:
        handler: answers requests.
        listener: `proxy`, `v1` or `v2`: where the request came in.
        access: None when the access log is off.
        metrics: where it is counted; None when there is no listener for them.
        headers: `http.headers`; the proxy puts others in their place, which hold these.
        health: answers `/debug/health`, which leaves no line and counts nowhere: it is asked every few seconds.
    """
    is_routed = listener == "proxy"  # elsewhere nothing is decided, and to ask a request for what it lacks is slow

    async def observe(request: web.BaseRequest) -> web.StreamResponse:
        request[request_context.RESPONSE_HEADERS] = headers.current
        if request.raw_path == HEALTH_PATH and health is not None and request.method in {"GET", "HEAD"}:
            refuse_keeping()
            response = await health(request)
            add_outer_headers(request, response)
            return response
        start = perf_counter()
        noting = NOTED.get() if is_routed else None
        if metrics is not None:
            metrics.begin(listener)
        status, sent = CLIENT_GONE, -1
        try:
            try:
                response = await handler(request)
            except (asyncio.CancelledError, ConnectionError):
                raise
            except Exception as error:  # noqa: BLE001 - nothing above catches it: it is logged, and the client gets a 500
                status = 500
                response = _failed(request, listener, error)
            status, sent = response.status, _size(request, response)
            return response
        finally:
            seconds = perf_counter() - start
            backend = request.get(request_context.BACKEND, listener) if is_routed else listener
            if sent < 0:
                sent = request.writer.output_size
            noted = NOTED.get()
            if noted is not None and status != CLIENT_GONE:
                told = Told(listener, backend, status, sent, is_routed=is_routed)
                _leave_again(noted, request, told, access=access, metrics=metrics)
            if noting is not None and noting.passage is not None:
                noting.passage.tells = partial(_tells_of, request, listener, backend, access, metrics)
            if metrics is not None:
                metrics.end(
                    listener,
                    backend,
                    status,
                    request.method,
                    seconds=seconds,
                    sent=sent,
                    received=request.content.total_bytes,
                    handler=request.get(request_context.HANDLER, ""),
                    decided=request.get(request_context.DECIDED) if is_routed else None,
                )
            if access is not None:
                access.line(
                    remote_address(request),
                    request.method,
                    request.raw_path,
                    "HTTP/1.0" if request.version is HttpVersion10 else "HTTP/1.1",
                    client_agent(request) or "-",
                    status,
                    sent,
                    seconds,
                    backend,
                    request.get(request_context.ROUTE, ""),
                    request.get(request_context.USER) or "",
                )

    return observe


class Told(NamedTuple):
    """What is told of an answer."""

    listener: str
    backend: str
    status: int
    sent: int
    is_routed: bool


def _leave_again(
    noted: Dependencies,
    request: web.BaseRequest,
    told: Told,
    *,
    access: AccessLog | None,
    metrics: Metrics | None,
) -> None:
    """Has each request to which this answer is given again leave what this one leaves."""
    address = told_address(request)
    if metrics is not None:
        count = metrics.counting(
            told.listener,
            told.backend,
            told.status,
            request.method,
            sent=told.sent,
            handler=request.get(request_context.HANDLER, ""),
            decided=request.get(request_context.DECIDED) if told.is_routed else None,
        )
        noted.tell(lambda _, seconds: count(seconds))
    if access is not None:
        line = access.lines(
            request.method,
            request.raw_path,
            "HTTP/1.0" if request.version is HttpVersion10 else "HTTP/1.1",
            client_agent(request) or "-",
            told.status,
            told.sent,
            told.backend,
            request.get(request_context.ROUTE, ""),
            request.get(request_context.USER) or "",
        )
        noted.tell((lambda _, seconds: line(address, seconds)) if address else line)


def _tells_of(
    request: web.BaseRequest,
    listener: str,
    backend: str,
    access: AccessLog | None,
    metrics: Metrics | None,
    status: int,
    sent: int,
) -> Sequence[Tell]:
    """Returns what each such request leaves that is answered by this status and so many bytes."""
    noted = Dependencies()
    _leave_again(noted, request, Told(listener, backend, status, sent, is_routed=True), access=access, metrics=metrics)
    return noted.tells


def _failed(request: web.BaseRequest, listener: str, error: Exception) -> web.StreamResponse:
    """Reports an unexpected exception: to the log in full, to the client in its protocol's shape."""
    _log.error("%s %s failed", request.method, path_for_log(request), exc_info=error)
    if request.writer.output_size > 0:
        raise break_off(request) from error
    answer = RegistryError(ErrorCode.UNKNOWN, "something failed here; the log has the reason")
    render = render_v1 if request.get(request_context.BACKEND, listener) == "v1" else render_v2
    response = render(request, answer)
    response.force_close()  # its body may not have been read
    return response


def _size(request: web.BaseRequest, response: web.StreamResponse) -> int:
    """The bytes of the answer's body."""
    if request.method == "HEAD":
        return 0
    if isinstance(response, HandedOver):
        return response.length
    if isinstance(response, web.Response):
        return len(response.body) if isinstance(response.body, bytes | bytearray) else 0
    length = response.content_length
    return response.body_length if length is None else length
