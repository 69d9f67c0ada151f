"""One POST to an endpoint, and what became of it.

As distribution does: any 2xx or 3xx is success, and the timeout covers everything from connecting to the head of the
answer, whose body is not read. Unlike it, a redirect is never followed: it is the operator who says where events go.

Names are looked up in threads of the endpoint's own, so that a name server that hangs delays nobody else. TLS
certificates are verified. The proxy that the environment names (`HTTPS_PROXY`, `HTTP_PROXY`, `NO_PROXY`) is used as in
distribution, never for this machine; `~/.netrc` is not read.
"""

from __future__ import annotations

import asyncio
import base64
import os
import ssl
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import unquote, urlsplit

import aiohttp
from multidict import CIMultiDict
from yarl import URL

from backends.notify.environment_proxy import find_proxy
from backends.notify.settings import EndpointSettings, MediaType
from backends.outgoing_requests import why_not_reached
from backends.resolving import OwnResolver

KEEPALIVE_SECONDS = 15.0
USER_AGENT = "Portside"
EXCLUDED = frozenset({"host", "content-length", "transfer-encoding", "connection", "trailer", "expect", "upgrade"})
"""Headers that HTTP itself needs: configured ones are not sent, as in Go for most of them."""

_ACCEPTED = range(200, 400)
_REDIRECTS = range(300, 400)
_AUTOMATIC = frozenset({"User-Agent", "Accept", "Accept-Encoding", "Content-Type"})
_BROKEN = (aiohttp.ServerDisconnectedError, aiohttp.ClientOSError)


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of a POST.

    Attributes:
        status: of the answer; 0 when there was none.
        reason: what is wrong, as a clause; "" when it was accepted.
        redirect: whether the answer names another address, to which nothing was sent.
    """

    status: int
    reason: str = ""
    redirect: bool = False

    @property
    def accepted(self) -> bool:
        """Whether the endpoint has the event."""
        return not self.reason

    @property
    def code(self) -> str:
        """The status as distribution's metrics name it: `200 OK`."""
        try:
            return f"{self.status} {HTTPStatus(self.status).phrase}"
        except ValueError:
            return f"{self.status} "


class Poster:
    """Posts to one endpoint. Made inside a running event loop.

    Args:
        endpoint: where to.
        media_type: of the bodies.
    """

    def __init__(self, endpoint: EndpointSettings, media_type: MediaType) -> None:
        self._endpoint = endpoint
        self._url = URL(endpoint.url).with_user(None)
        self._headers = _headers(endpoint, media_type)
        self._resolver = OwnResolver()
        self._session: aiohttp.ClientSession | None = None
        self._proxy: URL | None = None
        self._mistake = ""
        try:
            self._proxy = find_proxy(endpoint.url, os.environ)
        except ValueError as error:
            self._mistake = str(error)
        self._is_warm = False

    async def post(self, body: bytes) -> Outcome:
        """Sends a body once, or twice where the connection that was kept has been closed meanwhile."""
        if self._mistake:
            return Outcome(0, self._mistake)
        if self._session is None:
            self._session = await self._open()
        try:
            async with asyncio.timeout(self._endpoint.timeout_seconds):
                try:
                    return await self._post(self._session, body)
                except _BROKEN:
                    if not self._is_warm:
                        raise
                    self._is_warm = False
                    return await self._post(self._session, body)
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            self._is_warm = False
            return Outcome(0, self._why(error))

    async def _post(self, session: aiohttp.ClientSession, body: bytes) -> Outcome:
        async with session.post(
            self._url, data=body, headers=self._headers, allow_redirects=False, proxy=self._proxy
        ) as answer:
            self._is_warm = True
            if answer.status in _ACCEPTED:
                return Outcome(answer.status, redirect=answer.status in _REDIRECTS and "Location" in answer.headers)
            outcome = Outcome(answer.status)
            return Outcome(answer.status, f"it answered {outcome.code.strip()}")

    async def _open(self) -> aiohttp.ClientSession:
        tls: ssl.SSLContext | bool = True
        if self._url.scheme == "https" or (self._proxy is not None and self._proxy.scheme == "https"):
            # Made here, since aiohttp's own context has no CAs (`portside.running`); in a thread, since they are many.
            tls = await asyncio.to_thread(ssl.create_default_context)
        connector = aiohttp.TCPConnector(
            ssl=tls,
            limit=1,
            keepalive_timeout=KEEPALIVE_SECONDS,
            resolver=self._resolver,
            ttl_dns_cache=10,
        )
        return aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=None),
            skip_auto_headers=_AUTOMATIC,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
        )

    def _why(self, error: Exception) -> str:
        match error:
            case TimeoutError():
                return f"it did not answer within {self._endpoint.timeout_seconds:g} seconds"
            case aiohttp.ClientConnectorError():
                return why_not_reached(error)
            case aiohttp.ClientHttpProxyError():
                return f"the proxy of the environment refuses ({error.status})"
            case aiohttp.ClientResponseError():
                return "its answer is not valid HTTP"
            case aiohttp.ServerDisconnectedError():
                return "it closed the connection without an answer"
            case aiohttp.InvalidURL():
                return "its address is not valid"
            case OSError() if error.errno:
                return f"the connection broke ({os.strerror(error.errno)})"
            case _:
                return f"the connection broke ({type(error).__name__})"

    async def close(self) -> None:
        """Closes the connection."""
        if self._session is not None:
            await self._session.close()
        await self._resolver.close()


def _headers(endpoint: EndpointSettings, media_type: MediaType) -> CIMultiDict[str]:
    """Returns the headers of every POST: configured ones take the place of ours."""
    headers = CIMultiDict({"User-Agent": USER_AGENT, "Content-Type": media_type.value})
    parsed = urlsplit(endpoint.url)
    if parsed.username is not None:
        credentials = f"{unquote(parsed.username)}:{unquote(parsed.password or '')}"
        headers["Authorization"] = f"Basic {base64.b64encode(credentials.encode()).decode()}"
    for name, values in endpoint.headers.items():
        if name.lower() not in EXCLUDED:
            headers.popall(name, None)
            for value in values:
                headers.add(name, value)
    return headers
