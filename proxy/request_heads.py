"""The heads of requests to a registry elsewhere: made of a client's by the pure functions in `headers`.

A client that sends the same again has the same head made of it, so heads are kept by what they were made of.

Invariant: no credentials are kept. A client's `Authorization` is put at the end of a kept head each time; a head with
other secrets, with the proxy's own credentials or with a certificate is made anew each time.
"""

from __future__ import annotations

import logging
import re
import string
import time
from collections.abc import Sequence
from dataclasses import dataclass
from urllib.parse import quote

from aiohttp import web

from backends import request_context
from backends.http.accel import NOT_BY_NGINX, is_for_layer
from backends.http.certificate_header import HEADER as CERTIFICATE_HEADER
from backends.http.certificate_header import asked_for, seal
from backends.http.client_certificates import peer_certificate
from backends.http.handed_files import TAKES
from backends.http.masking import masked
from backends.http.request_info import client_scheme
from backends.model.cache import Cache
from proxy.credentials import PASSED, PASSED_TO_V1, OwnCredentials
from proxy.headers import Header, request_headers
from proxy.message_heads import encode_head, end_with
from proxy.routing import Backend, origin_form
from proxy.upstream_address import UpstreamAddress
from proxy.upstream_answers import REPEATABLE

HEADS_REMEMBERED = 1024 * 1024
"""Bytes of heads that are not made again when the same request comes again."""
_NO_LENGTH = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})
"""Methods that say nothing of a length where they have no body."""
_SECRETS = frozenset({b"cookie", b"cookie2", b"proxy-authorization"})
_ONE_LINE = re.compile(rb"[\x21-\x7e](?:[\t\x20-\x7e]*[\x21-\x7e])?")

_log = logging.getLogger("portside.proxy")


@dataclass(frozen=True, slots=True)
class KeptRequest:
    """A head that may be kept: without its client's credentials.

    Attributes:
        data: its bytes without its empty line.
        shows: the name of the client's header with credentials that the registry is to see, as the client writes it;
            b"" for none.
    """

    data: bytes
    shows: bytes


class RequestHeads:
    """Makes heads for one registry.

    Args:
        backend: which one.
        address: where it is.
        own: the proxy's credentials there; None where its clients' pass through.
        certificate_key: what it is told of a client's certificate is sealed with this; None: it is told nothing.
        takes_files: whether it may hand over files in place of their bytes.
    """

    def __init__(
        self,
        backend: Backend,
        address: UpstreamAddress,
        *,
        own: OwnCredentials | None,
        certificate_key: bytes | None,
        takes_files: bool,
    ) -> None:
        self._backend = backend
        self._address = address
        self._own = own
        self._certificate_key = certificate_key
        self._takes_files = takes_files
        self._passed = PASSED_TO_V1 if backend is Backend.V1 else PASSED
        self._heads: Cache[object, KeptRequest] = Cache(
            bound=HEADS_REMEMBERED, weigh=lambda _, head: 1024 + 3 * len(head.data)
        )

    @property
    def are_by_bytes(self) -> bool:
        """Whether the bytes of a request and its client's address decide what its head becomes."""
        return self._own is None and self._certificate_key is None

    async def of(self, request: web.BaseRequest) -> tuple[bytes, KeptRequest | None]:
        """Returns the head of a request without a body, and what of it may be kept; None for nothing."""
        plain = _without_credentials(request)
        if plain is None or self._own is not None or (self._certificate_key is not None and peer_certificate(request)):
            return self._encode(request, await self._headers(request), ()), None
        headers, name, credentials = plain
        asked = (
            request.method,
            request.raw_path,
            headers,
            name,
            request.remote,
            request.scheme,
            request_context.TRUSTED_PEER in request,
            request_context.DROP_AUTHORIZATION in request,
        )
        try:
            kept = self._heads[asked]
        except KeyError:
            made = await self._headers(request)
            shown = [each for each in made if each[0].lower() != "authorization"]
            data = self._encode(request, shown, ()).removesuffix(b"\r\n")
            kept = KeptRequest(data, name if len(shown) < len(made) else b"")
            self._heads.put(asked, kept)
        return kept.data + end_with(credentials if kept.shows else b""), kept

    async def with_body(self, request: web.BaseRequest, *, chunked: bool, expects: bool) -> bytes:
        """Returns the head of a request with a body.

        Args:
            request: the client's.
            chunked: whether the body is sent with that transfer coding; it has a length otherwise.
            expects: whether the registry is to say first that it wants it.
        """
        framing = [("Transfer-Encoding", "chunked")] if chunked else []
        if expects:
            framing.append(("Expect", "100-continue"))
        return self._encode(request, await self._headers(request), (*framing, ("Connection", "close")))

    def _encode(self, request: web.BaseRequest, headers: list[Header], framing: Sequence[Header]) -> bytes:
        return encode_request(request.method, self._target(request), (*headers, *framing))

    def _target(self, request: web.BaseRequest) -> str:
        return self._address.hidden + _ascii(origin_form(request.raw_path))

    async def _headers(self, request: web.BaseRequest) -> list[Header]:
        is_trusted = request_context.TRUSTED_PEER in request
        headers = request_headers(
            list(request.headers.items()),
            peer=request.remote or "",
            scheme=client_scheme(request),
            trusted=is_trusted,
            drop_authorization=request_context.DROP_AUTHORIZATION in request,
        )
        if self._own is not None:
            own = await self._own.headers(request.get(request_context.SCOPES, ()))
            headers = [each for each in headers if each[0].lower() in self._passed] + own
        if self._backend is Backend.V1 and not is_trusted and is_for_layer(request.raw_path):
            headers.append((NOT_BY_NGINX, "no"))
        if self._certificate_key is not None:
            headers += self._certificate(request, self._certificate_key)
        if self._takes_files and request.method == "GET":
            headers.append((TAKES, "yes"))
        if "Host" not in request.headers:
            headers.insert(0, ("Host", self._address.host))
        return headers

    def _certificate(self, request: web.BaseRequest, key: bytes) -> list[Header]:
        """Returns the header that tells the client's certificate, if it has shown one."""
        certificate = peer_certificate(request)
        if certificate is None:
            return []
        asked = asked_for(self._backend.value, request.method, self._target(request))
        try:
            return [(CERTIFICATE_HEADER, seal(certificate, key, asked=asked, now=time.time()))]
        except ValueError as error:
            _log.warning("%s; the %s registry is told of none", error, self._backend.value)
            return []


def _without_credentials(request: web.BaseRequest) -> tuple[tuple[tuple[bytes, bytes], ...], bytes, bytes] | None:
    """Returns a request's headers without credentials, and these: name and value of `Authorization`, b"" for none.

    None where secrets are elsewhere too, or `Authorization` is not one plain line.
    """
    name = credentials = b""
    rest = []
    for header in request.raw_headers:
        lower = header[0].lower()
        if lower == b"authorization":
            if name or _ONE_LINE.fullmatch(header[1]) is None:
                return None
            name, credentials = header
        elif lower in _SECRETS:
            return None
        else:
            rest.append(header)
    if masked(request.raw_path) != request.raw_path:
        return None
    return tuple(rest), name, credentials


def encode_request(method: str, target: str, headers: Sequence[Header]) -> bytes:
    """Returns a head, with its empty line.

    What changes something gets a connection of its own, and what has no body says so where one could be expected.
    """
    names = {name.lower() for name, _ in headers}
    if method not in _NO_LENGTH and not names & {"content-length", "transfer-encoding"}:
        headers = (*headers, ("Content-Length", "0"))
    if method not in REPEATABLE and "connection" not in names:
        headers = (*headers, ("Connection", "close"))
    return encode_head(f"{method} {target} HTTP/1.1", headers) + b"\r\n"


def _ascii(target: str) -> str:
    """Returns a target with bytes beyond ASCII percent-encoded: no request line may hold them as they are."""
    if target.isascii():
        return target
    return quote(target.encode("utf-8", "surrogateescape"), safe=string.printable)
