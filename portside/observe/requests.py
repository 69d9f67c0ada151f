"""Around the handler of every listener: the access line, the metrics, and the answer to unexpected errors.

Invariant: every request leaves one line and counts once, the ones whose client went away too.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Sequence
from time import perf_counter
from typing import NamedTuple

from aiohttp import HttpVersion10, web

from backends import request_context
from backends.dependencies import NOTED, Tell, refuse_keeping
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
                told = _told(request, listener, backend, status=status, sent=sent)
                for tell in _tells(told, access, metrics):
                    noted.tell(tell)
            if noting is not None and noting.passage is not None:
                told = _told(request, listener, backend, status=status, sent=sent)
                noting.passage.tells = _telling(told, access, metrics)
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
    """What is told of an answer, and of the request that it is given to.

    Attributes:
        address: the client's, where a trusted peer forwards for it; "" for that of whoever asks.
    """

    listener: str
    backend: str
    status: int
    sent: int
    method: str
    path: str
    version: str
    agent: str
    handler: str
    decided: tuple[str, str] | None
    reason: str
    user: str
    address: str


def _told(request: web.BaseRequest, listener: str, backend: str, *, status: int, sent: int) -> Told:
    return Told(
        listener,
        backend,
        status,
        sent,
        request.method,
        request.raw_path,
        "HTTP/1.0" if request.version is HttpVersion10 else "HTTP/1.1",
        client_agent(request) or "-",
        request.get(request_context.HANDLER, ""),
        request.get(request_context.DECIDED) if listener == "proxy" else None,
        request.get(request_context.ROUTE, ""),
        request.get(request_context.USER) or "",
        told_address(request),
    )


def _tells(told: Told, access: AccessLog | None, metrics: Metrics | None, *, is_passed_on: bool = False) -> list[Tell]:
    """Returns what has each request leave what this one leaves that is answered so, from here or elsewhere."""
    found: list[Tell] = []
    if metrics is not None:
        count = metrics.counting(
            told.listener,
            told.backend,
            told.status,
            told.method,
            sent=told.sent,
            handler=told.handler,
            decided=told.decided,
            is_passed_on=is_passed_on,
        )
        found.append(lambda _, seconds: count(seconds))
    if access is not None:
        address = told.address
        line = access.lines(
            told.method,
            told.path,
            told.version,
            told.agent,
            told.status,
            told.sent,
            told.backend,
            told.reason,
            told.user,
        )
        found.append((lambda _, seconds: line(address, seconds)) if address else line)
    return found


def _telling(told: Told, access: AccessLog | None, metrics: Metrics | None) -> Callable[[int, int], Sequence[Tell]]:
    """Returns what such a request leaves, by the status of its answer and the bytes of its body."""
    return lambda status, sent: _tells(told._replace(status=status, sent=sent), access, metrics, is_passed_on=True)


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
