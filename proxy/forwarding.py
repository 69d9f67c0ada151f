"""Handing a request to a registry in another process, streaming both ways.

- The target goes on as it came, never decoded.
- A request that changes something gets a connection of its own: a pooled one may have been closed meanwhile, and only
  what can be repeated may be tried twice.
- Leave to send a body (`100 Continue`) is given when the registry gives it.
- A registry that breaks off in the middle breaks the client's connection too: half a body never looks whole.
"""

from __future__ import annotations

import logging
import ssl
from collections.abc import AsyncIterator

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from backends import exchange
from backends.model.errors import ErrorCode
from proxy.answers import Answer, upstream_error
from proxy.headers import request_headers, response_headers
from proxy.routing import Backend
from proxy.settings import UpstreamSettings

READ_BUFFER = 512 * 1024
SMALL_BODY = 64 * 1024
PROBE_SECONDS = 3.0
_REPEATABLE = frozenset({"GET", "HEAD", "OPTIONS"})
_AUTOMATIC = frozenset({"User-Agent", "Accept", "Accept-Encoding", "Content-Type"})

_log = logging.getLogger("portside.proxy")


class Forwarder:
    """An upstream: a registry behind a unix socket or a URL."""

    def __init__(self, backend: Backend, settings: UpstreamSettings) -> None:
        self._backend = backend
        self._settings = settings
        unix = settings.address.removeprefix("unix:") if settings.address.startswith("unix:") else ""
        self._unix = unix
        self._origin = f"http://{backend.value}" if unix else settings.address.rstrip("/")
        timeout = aiohttp.ClientTimeout(
            total=None, sock_connect=settings.connect_seconds, sock_read=settings.read_seconds
        )
        self._pooled = self._session(timeout, pooled=True)
        self._fresh = self._session(timeout, pooled=False)

    def _session(self, timeout: aiohttp.ClientTimeout, *, pooled: bool) -> aiohttp.ClientSession:
        connector: aiohttp.BaseConnector
        if self._unix:
            connector = aiohttp.UnixConnector(self._unix, limit=0, force_close=not pooled)
        else:
            tls: ssl.SSLContext | bool = True
            if self._settings.ca:
                tls = ssl.create_default_context(cafile=self._settings.ca)
            connector = aiohttp.TCPConnector(
                ssl=tls, limit=0, force_close=not pooled, resolver=aiohttp.ThreadedResolver()
            )
        return aiohttp.ClientSession(
            connector=connector,
            timeout=timeout,
            auto_decompress=False,
            skip_auto_headers=_AUTOMATIC,
            read_bufsize=READ_BUFFER,
            max_line_size=65536,
            max_field_size=65536,
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Forwards a request and streams the answer back."""
        try:
            async with self._send(request) as answer:
                return await self._pass_back(request, answer)
        except aiohttp.ClientConnectorError as error:
            return self._failed(request, 502, f"it cannot be reached ({error.os_error.strerror or error})")
        except TimeoutError:
            return self._failed(request, 504, f"it said nothing for {self._settings.read_seconds:g} seconds")
        except aiohttp.ClientError as error:
            return self._failed(request, 502, f"it broke off ({str(error) or type(error).__name__})")

    def _send(self, request: web.BaseRequest) -> aiohttp.client._BaseRequestContextManager[aiohttp.ClientResponse]:
        peer = request.remote or "unix"
        trusted = bool(request.get(exchange.TRUSTED_PEER))
        headers = request_headers(
            [(name, value) for name, value in request.headers.items()],
            peer=peer,
            scheme=request.scheme,
            trusted=trusted,
            drop_authorization=exchange.DROP_AUTHORIZATION in request,
        )
        has_body = request.body_exists
        session = self._pooled if request.method in _REPEATABLE and not has_body else self._fresh
        return session.request(
            request.method,
            URL(self._origin + _origin_form(request.raw_path), encoded=True),
            headers=CIMultiDict(headers),
            data=_body(request) if has_body else None,
            expect100=has_body and request.headers.get("Expect", "").lower() == "100-continue",
            allow_redirects=False,
        )

    async def _pass_back(self, request: web.BaseRequest, answer: aiohttp.ClientResponse) -> web.StreamResponse:
        client = f"{_scheme(request)}://{request.headers.get('Host', 'localhost')}"
        headers = CIMultiDict(response_headers(list(answer.headers.items()), upstream=self._origin, client=client))
        for name, value in request.get(exchange.RESPONSE_HEADERS, {}).items():
            headers[name] = value
        length = answer.content_length
        small = length is not None and length <= SMALL_BODY
        if small and request.method != "HEAD" and answer.status not in {204, 304}:
            body = await answer.read()
            headers.popall("Content-Length", None)
            whole = web.Response(status=answer.status, reason=answer.reason, headers=headers, body=body)
            return _closing(request, whole)
        response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=headers)
        _closing(request, response)
        await response.prepare(request)
        try:
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
        except (aiohttp.ClientError, TimeoutError) as error:
            name, path = self._backend.value, request.raw_path[:200]
            _log.error("the %s registry broke off in the middle of %s: %r", name, path, error)
            if request.transport is not None:
                request.transport.abort()
            raise ConnectionResetError("the registry broke off in the middle of its answer") from error
        await response.write_eof()
        return response

    def _failed(self, request: web.BaseRequest, status: int, why: str) -> web.StreamResponse:
        detail = (
            f"the {self._backend.value} registry at {self._settings.address} does not answer: {why};"
            " start it or mend gateway.upstreams"
        )
        _log.error("%s", detail)
        return reply(request, upstream_error(self._backend, ErrorCode.UNAVAILABLE, status, detail))

    async def available(self) -> bool:
        """Whether the registry answers now."""
        path = "/v2/" if self._backend is Backend.V2 else "/v1/_ping"
        try:
            async with self._fresh.get(
                URL(self._origin + path, encoded=True), timeout=aiohttp.ClientTimeout(total=PROBE_SECONDS)
            ) as answer:
                return answer.status < 500  # noqa: PLR2004 - HTTP's own border between their fault and ours
        except (aiohttp.ClientError, TimeoutError):
            return False

    async def close(self) -> None:
        """Closes the pooled connections."""
        await self._pooled.close()
        await self._fresh.close()


def reply(request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
    """Makes a response of a short answer, with what the layers around want on it."""
    headers = CIMultiDict(answer.headers)
    headers["Server"] = "Portside"
    for name, value in request.get(exchange.RESPONSE_HEADERS, {}).items():
        headers[name] = value
    return _closing(request, web.Response(status=answer.status, headers=headers, body=answer.body))


def _closing(request: web.BaseRequest, response: web.StreamResponse) -> web.StreamResponse:
    """A client that waits for leave to send a body and gets an answer instead must not send it as its next request."""
    if "Expect" in request.headers and exchange.CONTINUED not in request:
        response.force_close()
    return response


async def _body(request: web.BaseRequest) -> AsyncIterator[bytes]:
    if "Expect" in request.headers:
        request[exchange.CONTINUED] = True
        if not request.content.is_eof():
            await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
            request.writer.output_size = 0
    while chunk := await request.content.readany():
        yield chunk


def _origin_form(target: str) -> str:
    if target.startswith("/"):
        return target
    return "/" + target.partition("://")[2].partition("/")[2]


def _scheme(request: web.BaseRequest) -> str:
    if request.get(exchange.TRUSTED_PEER):
        said = request.headers.get("X-Forwarded-Proto", "")
        if said in {"http", "https"}:
            return said
    return request.scheme
