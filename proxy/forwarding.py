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
import string
import time
from dataclasses import dataclass
from functools import partial
from http import HTTPStatus
from urllib.parse import quote

from aiohttp import web
from multidict import CIMultiDict

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
from backends.model.cache import Cache
from backends.model.errors import ErrorCode, RegistryError
from proxy.answer_heads import AnswerHead
from proxy.answers import registry_error
from proxy.credentials import KEPT, PASSED, PASSED_TO_V1, OwnCredentials
from proxy.headers import Addresses, Header, request_headers, response_headers
from proxy.message_heads import encode_head
from proxy.passing_back import KEPT_BYTES, Asked, KeptAnswer, KeptHead, make_kept, may_be_kept, takes_kept, weigh
from proxy.receiving import ClientBody, nothing
from proxy.replying import reply
from proxy.routing import Backend, origin_form
from proxy.settings import HEALTH_PATH, UpstreamSettings
from proxy.upstream_address import UpstreamAddress
from proxy.upstream_answers import REPEATABLE, Body, UpstreamAnswer, ask
from proxy.upstream_failures import UpstreamFailure
from proxy.upstream_pool import UpstreamPool

SMALL_BODY = 64 * 1024
PROBE_SECONDS = 3.0
HEADS_REMEMBERED = 1024 * 1024
"""Bytes of requests' heads that are not made again when the same request comes again."""
_NO_LENGTH = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""Methods that say nothing of a length where they have no body."""
_CATALOG = ("registry:catalog:*",)

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
        self._address = UpstreamAddress(settings, name=backend.value)
        self._pool = UpstreamPool(self._address, read_seconds=settings.read_seconds)
        self._where = f"the {backend.value} registry at {settings.address}"
        key = f"gateway.{backend.value}.credentials"
        own = settings.credentials
        self._credentials = OwnCredentials(own, key=key, ca=settings.ca) if own is not None else None
        self._passed = PASSED_TO_V1 if backend is Backend.V1 else PASSED
        self._refused = ""
        self._doubts = AddressDoubts()
        self._heads: Cache[object, bytes] = Cache(bound=HEADS_REMEMBERED, weigh=lambda _, head: 1024 + 3 * len(head))
        self._kept: Cache[Asked, KeptHead | None] = Cache(bound=KEPT_BYTES, weigh=weigh)

    async def handle(self, request: web.BaseRequest) -> web.StreamResponse:
        """Forwards a request and streams the answer back."""
        body = ClientBody(request, idle_seconds=self._settings.body_idle_seconds) if request.body_exists else None
        try:
            require_expectation(request)
            answer = await self._ask(request, body)
            if self._credentials is not None:
                if answer.head.status == HTTPStatus.UNAUTHORIZED and body is None:
                    answer = await self._ask_again(request, answer, self._credentials)
                self._require_welcome(answer, self._credentials)
            small = await _small_body(request, answer)
        except RegistryError as error:
            return self._error(request, error)
        except UpstreamFailure as failure:
            return self._failed(request, body, failure)
        async with answer:
            return await self._answer(request, answer, small)

    async def _answer(
        self, request: web.BaseRequest, answer: UpstreamAnswer, small: bytes | None
    ) -> web.StreamResponse:
        """Gives the client an answer whose body is there, if it is small."""
        head = answer.head
        carries = request.method != "HEAD" and not head.has_no_content
        if small is not None and (kept := self._kept_head(request, head, has_content=bool(small))) is not None:
            response: web.Response = KeptAnswer(head, kept, small)
        elif small is None or not carries:
            return await self._stream_back(request, answer)
        else:
            headers = self._headers_back(request, head)
            headers.popall("Content-Length", None)
            response = web.Response(status=head.status, reason=head.reason, headers=headers, body=small)
            add_outer_headers(request, response)
        close_if_out_of_step(request, response)
        return response

    async def _ask(self, request: web.BaseRequest, body: ClientBody | None) -> UpstreamAnswer:
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

    async def _send(self, request: web.BaseRequest, body: ClientBody | None, *, expects: bool) -> UpstreamAnswer:
        method = request.method
        if body is not None:
            head = await self._head(request, body, expects=expects)
            sent = Body(body.chunks(), chunked="Content-Length" not in request.headers, expects=expects)
            return await ask(self._pool, head, method=method, body=sent)
        if self._credentials is not None or (self._certificate_key is not None and peer_certificate(request)):
            return await ask(self._pool, await self._head(request, None), method=method)
        asked = (
            method,
            request.raw_path,
            request.raw_headers,
            request.remote,
            request.scheme,
            request_context.TRUSTED_PEER in request,
            request_context.DROP_AUTHORIZATION in request,
        )
        try:
            head = self._heads[asked]
        except KeyError:
            head = await self._head(request, None)
            self._heads.put(asked, head)
        return await ask(self._pool, head, method=method)

    async def _head(self, request: web.BaseRequest, body: ClientBody | None, *, expects: bool = False) -> bytes:
        """Returns the head that the registry is sent."""
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
        target = self._address.hidden + _ascii(origin_form(request.raw_path))
        if self._certificate_key is not None:
            headers += self._certificate(request, target, self._certificate_key)
        if "Host" not in request.headers:
            headers.insert(0, ("Host", self._address.host))
        return _request_head(request.method, target, headers, body=body, expects=expects)

    async def _ask_again(self, request: web.BaseRequest, answer: UpstreamAnswer, own: OwnCredentials) -> UpstreamAnswer:
        """Asks once more with another token, where there may be one: nothing was done, and no body is gone."""
        if not own.may_ask_again(request.get(request_context.SCOPES, ())):
            return answer
        answer.close()
        return await self._ask(request, None)

    def _require_welcome(self, answer: UpstreamAnswer, own: OwnCredentials) -> None:
        """Requires that the registry takes the proxy's own credentials: it would ask clients for what is not theirs.

        Raises:
            RegistryError: UNAVAILABLE, 502.
        """
        if answer.head.status != HTTPStatus.UNAUTHORIZED:
            self._refused = ""
            return
        answer.close()
        challenges = [value for name, value in answer.head.headers if name.lower() == "www-authenticate"]
        sentence = own.refused(challenges, where=self._where)
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
            async with await self._get(target, own) as answer:
                if self._credentials is not None:
                    self._require_welcome(answer, self._credentials)
                body = bytearray()
                while chunk := await answer.read():
                    body += chunk
                    if len(body) > most:
                        sentence = f"{self._where} answers with more than {most} bytes"
                        raise RegistryError(ErrorCode.UNAVAILABLE, sentence, status=502)
                has_next = any(name.lower() == "link" for name, _ in answer.head.headers)
                return Page(answer.head.status, has_next, bytes(body))
        except UpstreamFailure as failure:
            raise self._unreachable(failure) from None

    async def _get(self, target: str, headers: list[Header]) -> UpstreamAnswer:
        """Asks for something for the proxy itself."""
        named = [("Host", self._address.host), *headers]
        head = _request_head("GET", self._address.hidden + target, named, body=None)
        return await ask(self._pool, head, method="GET")

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

    def _headers_back(self, request: web.BaseRequest, head: AnswerHead) -> CIMultiDict[str]:
        passed = response_headers(head.headers, partial(self._addresses, request))
        if self._credentials is not None:
            passed = [each for each in passed if each[0].lower() not in KEPT]
        headers_back = CIMultiDict(passed)
        headers_back.setdefault("Server", "Portside")
        return headers_back

    def _kept_head(self, request: web.BaseRequest, head: AnswerHead, *, has_content: bool) -> KeptHead | None:
        """Returns what a head becomes for clients of HTTP/1.1, where it is the same for all of them."""
        if not takes_kept(request) or self._credentials is not None:  # then more is changed in it, further out
            return None
        asked = (head, request.get(request_context.RESPONSE_HEADERS), has_content)
        try:
            return self._kept[asked]
        except KeyError:
            kept = None
            if may_be_kept(head):
                response = web.StreamResponse(headers=self._headers_back(request, head))
                add_outer_headers(request, response)
                kept = make_kept(head, response.headers, has_content=has_content)
            self._kept.put(asked, kept)
            return kept

    def _addresses(self, request: web.BaseRequest) -> Addresses:
        settings, host = self._settings, client_authority(request)
        if not settings.host:
            self._doubts.check(request)
        return Addresses(
            asked=self._address.origin + origin_form(request.raw_path),
            host=host,
            client=settings.host or location_origin(request),
            endpoint=settings.host.partition("://")[2] or host,
            rooted=settings.relative_urls,
            hidden=self._address.hidden,
        )

    async def _stream_back(self, request: web.BaseRequest, answer: UpstreamAnswer) -> web.StreamResponse:
        head = answer.head
        response = web.StreamResponse(status=head.status, reason=head.reason, headers=self._headers_back(request, head))
        add_outer_headers(request, response)
        close_if_out_of_step(request, response)
        await response.prepare(request)
        while chunk := await self._next(request, answer):
            await response.write(chunk)
        await response.write_eof()
        return response

    async def _next(self, request: web.BaseRequest, answer: UpstreamAnswer) -> bytes:
        try:
            return await answer.read()
        except UpstreamFailure as failure:
            name, path = self._backend.value, printable(path_for_log(request))
            _log.error("the %s registry failed in the middle of %s: %s", name, path, printable(failure.why))
            raise break_off(request) from failure

    def _failed(
        self, request: web.BaseRequest, body: ClientBody | None, failure: UpstreamFailure
    ) -> web.StreamResponse:
        if body is not None and body.failure is not None:
            return self._error(request, body.failure)
        return self._error(request, self._unreachable(failure))

    def _unreachable(self, failure: UpstreamFailure) -> RegistryError:
        detail = (
            f"{self._where} does not answer: {printable(failure.why)};"
            f" start it or correct gateway.{self._backend.value}.upstream"
        )
        _log.error("%s", detail)
        return RegistryError(ErrorCode.UNAVAILABLE, detail, status=failure.status)

    def _error(self, request: web.BaseRequest, error: RegistryError) -> web.StreamResponse:
        return reply(request, registry_error(self._backend, error))

    async def available(self) -> bool:
        """Whether the registry answers now."""
        path = f"{self._settings.prefix}/v2/" if self._backend is Backend.V2 else "/v1/_ping"
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                own = await self._credentials.headers(()) if self._credentials is not None else []
                async with await self._get(path, own) as answer:
                    if self._credentials is not None:
                        self._require_welcome(answer, self._credentials)
                    return answer.head.status < 500  # noqa: PLR2004 - HTTP's own border between their fault and ours
        except (UpstreamFailure, TimeoutError, RegistryError):
            return False

    async def ask_health(self) -> str:
        """Returns "" when the registry can do its work, else a sentence that says what is wrong.

        One of ours is asked for its health, which leaves no line in its access log; another must only answer.
        """
        where = self._where
        try:
            async with asyncio.timeout(PROBE_SECONDS), await self._get(HEALTH_PATH, []) as answer:
                status = answer.head.status
                if status == 200:  # noqa: PLR2004 - well
                    return ""
                found = _findings(await _read_some(answer)) if status == 503 else ""  # noqa: PLR2004
        except TimeoutError:
            return f"{where} does not answer: it said nothing for {PROBE_SECONDS:g} seconds"
        except UpstreamFailure as failure:
            return f"{where} does not answer: {printable(failure.why)}"
        if found:
            return f"{where} is not well: {printable(found)}"
        return "" if await self.available() else self._refused or f"{where} does not answer its own ping"

    async def close(self) -> None:
        """Closes the pooled connections."""
        await self._pool.close()
        if self._credentials is not None:
            await self._credentials.close()


def _findings(body: bytes) -> str:
    """Returns what a registry of ours says is wrong; "" when this is not such an answer."""
    try:
        found = json.loads(body)
    except (ValueError, RecursionError):
        return ""
    return "; ".join(f"{what}: {reason}" for what, reason in found.items()) if isinstance(found, dict) else ""


async def _small_body(request: web.BaseRequest, answer: UpstreamAnswer) -> bytes | None:
    """Returns a body that is small and of known length whole, so that head and body are sent in one write."""
    head = answer.head
    if request.method == "HEAD" or head.has_no_content:
        return b""
    if head.length is None or head.chunked or head.length > SMALL_BODY:
        return None
    return await answer.read_whole()


async def _read_some(answer: UpstreamAnswer) -> bytes:
    """Returns a body; as much of it as is looked at."""
    body = bytearray()
    while len(body) < SMALL_BODY and (chunk := await answer.read()):
        body += chunk
    return bytes(body)


def _request_head(
    method: str, target: str, headers: list[Header], *, body: ClientBody | None, expects: bool = False
) -> bytes:
    """Returns the head of a request to a registry, with how its body is framed and its connection is used."""
    framing: list[Header] = []
    has_length = any(name.lower() == "content-length" for name, _ in headers)
    if body is not None and not has_length:
        framing.append(("Transfer-Encoding", "chunked"))
    elif not has_length and method not in _NO_LENGTH:
        framing.append(("Content-Length", "0"))
    if expects:
        framing.append(("Expect", "100-continue"))
    if body is not None or method not in REPEATABLE:
        framing.append(("Connection", "close"))
    return encode_head(f"{method} {target} HTTP/1.1", (*headers, *framing)) + b"\r\n"


def _ascii(target: str) -> str:
    """Returns a target with bytes beyond ASCII percent-encoded: no request line may hold them as they are."""
    if target.isascii():
        return target
    return quote(target.encode("utf-8", "surrogateescape"), safe=string.printable)
