"""Forwarding a request to a registry in another process, streaming in both directions.

- The target is passed on as it came, never decoded.
- A request that changes something gets a connection of its own: a pooled one may have been closed meanwhile, and only
  requests that can be repeated may be sent twice.
- A client that waits for `100 Continue` gets it when the registry sends it.
- An answer that comes before the body has been read is passed on at once, and the rest of the body is not read.
- A registry that breaks off in the middle breaks the client's connection too: a truncated body never looks complete.
- A registry that cannot be reached or breaks off is 502, one that stays silent 504; a client that does 408.
"""

from __future__ import annotations

import asyncio
import json
import logging
import ssl
import string
import time
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from urllib.parse import quote, urlsplit

import aiohttp
from aiohttp import web
from multidict import CIMultiDict
from yarl import URL

from backends import request_context
from backends.http.accel import NOT_BY_NGINX, is_for_layer
from backends.http.address_doubts import AddressDoubts
from backends.http.certificate_header import HEADER as CERTIFICATE_HEADER
from backends.http.certificate_header import asked_for, seal
from backends.http.client_certificates import peer_certificate
from backends.http.connections import break_off, close_if_out_of_step
from backends.http.receiving import expects_continue, require_expectation
from backends.http.request_info import client_authority, client_scheme, location_origin, path_for_log
from backends.http.sending import add_outer_headers
from backends.http.text import printable
from backends.model.errors import ErrorCode, RegistryError
from backends.resolving import OwnResolver
from proxy.answers import registry_error
from proxy.credentials import KEPT, PASSED, PASSED_TO_V1, OwnCredentials
from proxy.headers import Addresses, Header, request_headers, response_headers
from proxy.receiving import ClientBody, nothing
from proxy.replying import reply
from proxy.routing import Backend, origin_form
from proxy.settings import HEALTH_PATH, UpstreamSettings

READ_BUFFER = 256 * 1024
MAX_LINE = 65536
SMALL_BODY = 64 * 1024
PROBE_SECONDS = 3.0
_REPEATABLE = frozenset({"GET", "HEAD", "OPTIONS"})
_NO_BODY = frozenset({204, 304})
_CATALOG = ("registry:catalog:*",)
_AUTOMATIC = frozenset({"User-Agent", "Accept", "Accept-Encoding", "Content-Type"})

_log = logging.getLogger("portside.proxy")


EXPECT_SECONDS = 3.0
"""How long a registry may take to answer `Expect: 100-continue` with anything at all; then the body is sent all the
same, since there are servers that never send `100 Continue`."""


@dataclass(frozen=True, slots=True)
class Page:
    """An answer to the proxy itself.

    Attributes:
        more: whether it names a next page.
    """

    status: int
    more: bool
    body: bytes


class Forwarder:
    """An upstream: a registry behind a unix socket or a URL. Made inside a running event loop.

    Args:
        backend: which registry it is.
        settings: where it is.
        certificate_key: what it is told of a client's certificate is sealed with this; None: it is told nothing.

    Raises:
        OSError: its CA cannot be used.
        UnusableFile: there is no password for it.
    """

    def __init__(self, backend: Backend, settings: UpstreamSettings, *, certificate_key: bytes | None = None) -> None:
        self._backend = backend
        self._certificate_key = certificate_key
        self._settings = settings
        self._unix = settings.address.removeprefix("unix:") if settings.address.startswith("unix:") else ""
        self._origin = f"http://{backend.value}" if self._unix else settings.address.rstrip("/")
        self._hidden = urlsplit(self._origin).path
        self._where = f"the {backend.value} registry at {settings.address}"
        key = f"gateway.{backend.value}.credentials"
        own = settings.credentials
        self._credentials = OwnCredentials(own, key=key, ca=settings.ca) if own is not None else None
        self._passed = PASSED_TO_V1 if backend is Backend.V1 else PASSED
        self._refused = ""
        self._doubts = AddressDoubts()
        self._resolver = OwnResolver()
        self._pooled = self._session(pooled=True)
        self._fresh = self._session(pooled=False)
        self._fresh._retry_connection = False  # noqa: SLF001 - the only switch there is; a test sees it act

    def _session(self, *, pooled: bool) -> aiohttp.ClientSession:
        settings = self._settings
        connector: aiohttp.BaseConnector
        if self._unix:
            connector = aiohttp.UnixConnector(self._unix, limit=0, force_close=not pooled)
        else:
            # Its own context also without a CA of its own: aiohttp's default one is made without the system's CAs,
            # which take a tenth of the cold start to load.
            tls: ssl.SSLContext | bool = True
            if self._origin.startswith("https://"):
                tls = ssl.create_default_context(cafile=settings.ca or None)
            connector = aiohttp.TCPConnector(ssl=tls, limit=0, force_close=not pooled, resolver=self._resolver)
        return aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(
                total=None, connect=settings.connect_seconds, sock_read=settings.read_seconds
            ),
            auto_decompress=False,
            skip_auto_headers=_AUTOMATIC,
            read_bufsize=READ_BUFFER,
            max_line_size=MAX_LINE,
            max_field_size=MAX_LINE,
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Forwards a request and streams the answer back."""
        body = ClientBody(request, idle_seconds=self._settings.body_idle_seconds) if request.body_exists else None
        try:
            require_expectation(request)
            answer = await self._ask(request, body)
            if self._credentials is not None:
                if answer.status == HTTPStatus.UNAUTHORIZED and body is None:
                    answer = await self._ask_again(request, answer, self._credentials)
                self._require_welcome(answer, self._credentials)
            small = await _small_body(request, answer)
        except RegistryError as error:
            return self._error(request, error)
        except (aiohttp.ClientError, TimeoutError) as error:
            return self._failed(request, body, error)
        async with answer:
            headers = self._headers_back(request, answer)
            if small is None:
                return await self._stream_back(request, answer, headers)
            headers.popall("Content-Length")
            response = web.Response(status=answer.status, reason=answer.reason, headers=headers, body=small)
            add_outer_headers(request, response)
            close_if_out_of_step(request, response)
            return response

    async def _ask(self, request: web.BaseRequest, body: ClientBody | None) -> aiohttp.ClientResponse:
        """Sends the request and returns the answer as soon as its head is there."""
        if body is None or not expects_continue(request):
            return await self._send(request, body, expects=False)
        patience = asyncio.timeout(EXPECT_SECONDS)
        try:
            async with patience:
                body.when_begun = lambda: patience.reschedule(None)
                return await self._send(request, body, expects=True)
        except TimeoutError:
            if not patience.expired():
                raise
            body.when_begun = nothing
        # It said nothing, and nothing of the body was sent: ask again, and send the body without its 100 Continue.
        return await self._send(request, body, expects=False)

    async def _send(
        self, request: web.BaseRequest, body: ClientBody | None, *, expects: bool
    ) -> aiohttp.ClientResponse:
        is_trusted = request_context.TRUSTED_PEER in request
        headers = request_headers(
            list(request.headers.items()),
            peer=request.remote or "",
            scheme=client_scheme(request),
            trusted=is_trusted,
            drop_authorization=request_context.DROP_AUTHORIZATION in request,
        )
        if self._credentials is not None:
            own = await self._credentials.headers(request.get(request_context.SCOPES, ()))
            headers = [each for each in headers if each[0].lower() in self._passed] + own
        if self._backend is Backend.V1 and not is_trusted and is_for_layer(request.raw_path):
            headers.append((NOT_BY_NGINX, "no"))
        session = self._pooled if request.method in _REPEATABLE and body is None else self._fresh
        target = _ascii(origin_form(request.raw_path))
        if self._certificate_key is not None:
            headers += self._certificate(request, self._hidden + target, self._certificate_key)
        return await session.request(
            request.method,
            URL(self._origin + target, encoded=True),
            headers=CIMultiDict(headers),
            data=None if body is None else body.chunks(),
            expect100=expects,
            allow_redirects=False,
        )

    async def _ask_again(
        self, request: web.BaseRequest, answer: aiohttp.ClientResponse, own: OwnCredentials
    ) -> aiohttp.ClientResponse:
        """Asks once more with another token, where there may be one: nothing was done, and no body is gone."""
        if not own.may_ask_again(request.get(request_context.SCOPES, ())):
            return answer
        answer.close()
        return await self._ask(request, None)

    def _require_welcome(self, answer: aiohttp.ClientResponse, own: OwnCredentials) -> None:
        """Requires that the registry takes the proxy's own credentials: it would ask clients for what is not theirs.

        Raises:
            RegistryError: UNAVAILABLE, 502.
        """
        if answer.status != HTTPStatus.UNAUTHORIZED:
            self._refused = ""
            return
        answer.close()
        sentence = own.refused(answer.headers.getall("WWW-Authenticate", []), where=self._where)
        if sentence != self._refused:
            self._refused = sentence
            _log.error("%s", sentence)
        raise RegistryError(ErrorCode.UNAVAILABLE, sentence, status=502)

    async def fetch(self, target: str, *, most: int) -> Page:
        """Asks for a page for the proxy itself, with its own credentials.

        Args:
            target: path and query.
            most: bytes that it may have.

        Raises:
            RegistryError: UNAVAILABLE: there is no such page to be had.
        """
        own = await self._credentials.headers(_CATALOG) if self._credentials is not None else []
        try:
            async with self._pooled.get(
                URL(self._origin + target, encoded=True), headers=CIMultiDict(own), allow_redirects=False
            ) as answer:
                if self._credentials is not None:
                    self._require_welcome(answer, self._credentials)
                body = bytearray()
                while chunk := await answer.content.readany():
                    body += chunk
                    if len(body) > most:
                        sentence = f"{self._where} answers with more than {most} bytes"
                        raise RegistryError(ErrorCode.UNAVAILABLE, sentence, status=502)
                return Page(answer.status, "Link" in answer.headers, bytes(body))
        except (aiohttp.ClientError, TimeoutError) as error:
            raise self._unreachable(error) from None

    def _certificate(self, request: web.BaseRequest, target: str, key: bytes) -> list[Header]:
        """Returns the header that tells the client's certificate, if it has shown one."""
        certificate = peer_certificate(request)
        if certificate is None:
            return []
        asked = asked_for(self._backend.value, request.method, target)
        try:
            return [(CERTIFICATE_HEADER, seal(certificate, key, asked=asked, now=time.time()))]
        except ValueError as error:
            _log.warning("%s; the %s registry is told of none", error, self._backend.value)
            return []

    def _headers_back(self, request: web.BaseRequest, answer: aiohttp.ClientResponse) -> CIMultiDict[str]:
        passed = response_headers(list(answer.headers.items()), partial(self._addresses, request))
        if self._credentials is not None:
            passed = [each for each in passed if each[0].lower() not in KEPT]
        headers_back = CIMultiDict(passed)
        headers_back.setdefault("Server", "Portside")
        return headers_back

    def _addresses(self, request: web.BaseRequest) -> Addresses:
        settings, host = self._settings, client_authority(request)
        if not settings.host:
            self._doubts.check(request)
        return Addresses(
            asked=self._origin + origin_form(request.raw_path),
            host=host,
            client=settings.host or location_origin(request),
            endpoint=settings.host.partition("://")[2] or host,
            rooted=settings.relative_urls,
            hidden=self._hidden,
        )

    async def _stream_back(
        self, request: web.BaseRequest, answer: aiohttp.ClientResponse, headers: CIMultiDict[str]
    ) -> web.StreamResponse:
        response = web.StreamResponse(status=answer.status, reason=answer.reason, headers=headers)
        add_outer_headers(request, response)
        close_if_out_of_step(request, response)
        await response.prepare(request)
        while chunk := await self._next(request, answer):
            await response.write(chunk)
        await response.write_eof()
        return response

    async def _next(self, request: web.BaseRequest, answer: aiohttp.ClientResponse) -> bytes:
        try:
            return await answer.content.readany()
        except (aiohttp.ClientError, TimeoutError) as error:
            name, path = self._backend.value, printable(path_for_log(request))
            _log.error("the %s registry broke off in the middle of %s: %s", name, path, printable(repr(error)))
            raise break_off(request) from error

    def _failed(self, request: web.BaseRequest, body: ClientBody | None, error: Exception) -> web.StreamResponse:
        if body is not None and body.failure is not None:
            return self._error(request, body.failure)
        return self._error(request, self._unreachable(error))

    def _unreachable(self, error: Exception) -> RegistryError:
        status, why = self._why(error)
        detail = (
            f"{self._where} does not answer: {printable(why)};"
            f" start it or correct gateway.{self._backend.value}.upstream"
        )
        _log.error("%s", detail)
        return RegistryError(ErrorCode.UNAVAILABLE, detail, status=status)

    def _error(self, request: web.BaseRequest, error: RegistryError) -> web.StreamResponse:
        return reply(request, registry_error(self._backend, error))

    def _why(self, error: Exception) -> tuple[int, str]:
        match error:
            case aiohttp.ConnectionTimeoutError():
                return 504, f"no connection within {self._settings.connect_seconds:g} seconds"
            case TimeoutError():
                return 504, f"it said nothing for {self._settings.read_seconds:g} seconds"
            case aiohttp.ClientConnectorCertificateError():
                return 502, f"its certificate is not trusted ({error.certificate_error})"
            case aiohttp.ClientConnectorError():
                return 502, f"it cannot be reached ({error.os_error.strerror or error.os_error})"
            case aiohttp.ClientResponseError():
                return 502, f"its answer is not HTTP ({error.message})"
            case _:
                return 502, f"it broke off ({str(error) or type(error).__name__})"

    async def available(self) -> bool:
        """Whether the registry answers now."""
        path = f"{self._settings.prefix}/v2/" if self._backend is Backend.V2 else "/v1/_ping"
        try:
            own = await self._credentials.headers(()) if self._credentials is not None else []
            async with self._fresh.get(
                URL(self._origin + path, encoded=True),
                headers=CIMultiDict(own),
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=PROBE_SECONDS),
            ) as answer:
                if self._credentials is not None:
                    self._require_welcome(answer, self._credentials)
                return answer.status < 500  # noqa: PLR2004 - HTTP's own border between their fault and ours
        except (aiohttp.ClientError, TimeoutError, RegistryError):
            return False

    async def ask_health(self) -> str:
        """Returns "" when the registry can do its work, else a sentence that says what is wrong.

        One of ours is asked for its health, which leaves no line in its access log; another must only answer.
        """
        where = self._where
        try:
            async with self._fresh.get(
                URL(self._origin + HEALTH_PATH, encoded=True),
                allow_redirects=False,
                timeout=aiohttp.ClientTimeout(total=PROBE_SECONDS),
            ) as answer:
                if answer.status == 200:  # noqa: PLR2004 - well
                    return ""
                found = _findings(await answer.content.read(SMALL_BODY)) if answer.status == 503 else ""  # noqa: PLR2004
        except (aiohttp.ClientError, TimeoutError) as error:
            return f"{where} does not answer: {printable(self._why(error)[1])}"
        if found:
            return f"{where} is not well: {printable(found)}"
        return "" if await self.available() else self._refused or f"{where} does not answer its own ping"

    async def close(self) -> None:
        """Closes the pooled connections."""
        await self._pooled.close()
        await self._fresh.close()
        await self._resolver.close()
        if self._credentials is not None:
            await self._credentials.close()


def _findings(body: bytes) -> str:
    """Returns what a registry of ours says is wrong; "" when this is not such an answer."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    return "; ".join(f"{what}: {reason}" for what, reason in found.items()) if isinstance(found, dict) else ""


async def _small_body(request: web.BaseRequest, answer: aiohttp.ClientResponse) -> bytes | None:
    """Returns a body that is small and of known length whole, so that head and body are sent in one write."""
    length = answer.content_length
    if length is None or length > SMALL_BODY or request.method == "HEAD" or answer.status in _NO_BODY:
        return None
    return await answer.read()


def _ascii(target: str) -> str:
    """Returns a target with bytes beyond ASCII percent-encoded: no request line may hold them as they are."""
    if target.isascii():
        return target
    return quote(target.encode("utf-8", "surrogateescape"), safe=string.printable)
