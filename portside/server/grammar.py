"""Rules of HTTP that the parser does not enforce, and the answer to a request that is not valid HTTP.

The parser (llhttp, used by aiohttp) refuses most of what could be read in two ways: Content-Length beside
Transfer-Encoding, bare line feeds, folded headers and others; tests/http/serving/test_malformed.py has the list.

Invariant: the answer to a request that is not valid HTTP closes its connection and names no library and no version.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain

from aiohttp import HttpVersion10, HttpVersion11, hdrs, web
from aiohttp.http_exceptions import BadHttpMethod, HttpProcessingError, InvalidHeader, InvalidURLError, LineTooLong

from backends import request_context
from backends.http.forwarded import is_authority
from backends.http.sending import respond
from backends.model.cache import Cache

MAX_LINE = 65536
"""Bytes of the request line, and of one header."""
MAX_HEADERS = 65536
"""Bytes of all headers of a request together, names and values."""
MAX_HEADER_COUNT = 128
MAX_AUTHORIZATION = 16384
"""Bytes of the credentials: a token of thousands of scopes fits, and whoever reads it never reads more."""
MAX_HEAD = MAX_LINE + MAX_HEADERS + 4 * MAX_HEADER_COUNT + 1024
"""Bytes of a head that is not complete yet, with what separates its fields; more is not waited for."""
MAX_REASON = 200
SERVER = "Portside"


@dataclass(frozen=True, slots=True)
class Violation:
    """Why a request is refused.

    Attributes:
        status: 400, 431, 501 or 505.
        sentence: for the client and the log. It repeats nothing that the client sent except `{host}`, which is replaced
            by the host that the client used.
        host: replaces `{host}` if the client sent no valid host.
    """

    status: int
    sentence: str
    host: str = ""


VIOLATION = web.RequestKey("portside.violation", Violation)
"""What is wrong with a request, for the code that answers it."""

_hosts = Cache(is_authority, bound=1024, weigh=lambda host, _: 1 + len(host) // 64)
_NO_HOST = Violation(400, "the Host header is not a valid host")
_TRANSFER_ENCODING = Violation(400, "the Transfer-Encoding header is not valid")
_OLD_TRANSFER_ENCODING = Violation(400, "HTTP/1.0 has no Transfer-Encoding")
_UNKNOWN_CODING = Violation(501, "only the transfer coding chunked is supported")
_HEAD = Violation(431, f"the headers are longer than {MAX_HEADERS} bytes together")
_AUTHORIZATION = Violation(431, f"the Authorization header is longer than {MAX_AUTHORIZATION} bytes")
_VERSION = Violation(505, "only HTTP/1.1 and HTTP/1.0 are supported")


class HeadTooLong(Exception):  # noqa: N818 - a finding, not a fault
    """A head goes on beyond `MAX_HEAD`."""


def find_violation(request: web.BaseRequest, *, may_be_long: bool) -> Violation | None:
    """Returns what is wrong with a request that the parser accepted, or None.

    Args:
        request: the request.
        may_be_long: whether its head may be longer than `MAX_AUTHORIZATION`: to measure it takes a microsecond.
    """
    headers = request.headers
    host = headers.get(hdrs.HOST)
    if host is not None and not _hosts[host]:  # RFC 9112 section 3.2; a missing one is found by the parser
        return _NO_HOST
    if may_be_long and (too_long := _too_long(request)) is not None:
        return too_long
    version = request.version
    if version is not HttpVersion11 and version is not HttpVersion10:
        return _VERSION
    coding = headers.get(hdrs.TRANSFER_ENCODING)
    if coding is None:
        return None
    if version is HttpVersion10:  # RFC 9112 section 6.1: treat its framing as faulty
        return _OLD_TRANSFER_ENCODING
    if coding.lower() == "chunked":
        return None
    named = {each.strip().lower() for each in coding.split(",")} - {""}
    return _UNKNOWN_CODING if named - {"chunked"} else _TRANSFER_ENCODING


def _too_long(request: web.BaseRequest) -> Violation | None:
    size = sum(map(len, chain.from_iterable(request.raw_headers)))
    if size <= MAX_AUTHORIZATION:
        return None
    if size > MAX_HEADERS:
        return _HEAD
    longest = max(map(len, request.headers.getall(hdrs.AUTHORIZATION, ())), default=0)
    return _AUTHORIZATION if longest > MAX_AUTHORIZATION else None


def explain(error: BaseException) -> Violation:
    """Returns what the parser found wrong, without the bytes that the client sent, which may contain a password."""
    match error:
        case HeadTooLong():
            return _HEAD
        case LineTooLong():
            return Violation(400, f"the request line or a header is longer than {MAX_LINE} bytes")
        case InvalidURLError():
            return Violation(400, "the request's target is not valid")
        case InvalidHeader():
            return Violation(400, "a header is not valid")
        case BadHttpMethod():
            return Violation(400, "the request's method is not valid")
        case HttpProcessingError():
            # "<what is wrong>:\n\n  <the line>\n  ^", and for the request line one more title before that.
            reason = error.message.removeprefix("Bad status line:\n  ").partition(":\n")[0]
            return Violation(400, f"the request is not valid HTTP: {' '.join(reason.split())[:MAX_REASON]}")
        case _:
            return Violation(400, "the request is not valid HTTP")


async def refuse(request: web.BaseRequest) -> web.StreamResponse:
    """Answers a request that has a `VIOLATION`, and closes its connection."""
    violation = request[VIOLATION]
    if violation is _VERSION:
        request._cache["version"] = HttpVersion11  # noqa: SLF001 - aiohttp writes the request's own version otherwise
    host = request.headers.get(hdrs.HOST, "")
    sentence = violation.sentence.replace("{host}", host if _hosts[host] else violation.host)
    request[request_context.ROUTE] = sentence
    headers = {"Server": SERVER, "Content-Type": "text/plain; charset=utf-8", "X-Content-Type-Options": "nosniff"}
    response = respond(request, violation.status, headers, f"{sentence}\n".encode())
    response.force_close()
    return response
