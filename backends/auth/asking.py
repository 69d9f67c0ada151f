"""Asking one server, which the operator has named, a question by GET: a token server, an index.

What is sent is somebody's password or token. So TLS certificates are verified, no redirect is followed, no cookie is
kept, and an answer is read up to a bound.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from http import HTTPStatus
from typing import NamedTuple
from urllib.parse import urlsplit

import aiohttp
from multidict import CIMultiDictProxy
from yarl import URL

from backends.model.strict_json import parse_json
from backends.outgoing_requests import read_up_to
from backends.resolving import OwnResolver

RETRY_SECONDS = 5
"""In so many seconds clients are told to come again where the server does not say."""
_MAX_RETRY = 60

DEFAULT_SECONDS = 60
"""How long a token holds whose server does not say."""
MAX_SECONDS = 300
"""A token is kept no longer, as a password that was found right: who is struck off is out by then."""
EARLY_SECONDS = 5
"""A token is asked for again a little before it ends."""


class Answered(NamedTuple):
    """An answer.

    Attributes:
        status: its status.
        headers: its headers.
        content: its body, of a 200 alone.
    """

    status: int
    headers: CIMultiDictProxy[str]
    content: bytes


class Asking:
    """Connections to the server. Used inside one running event loop.

    Args:
        url: the server's address; it decides whether there is TLS.
        at_once: questions that are asked at the same time.
        ca: a PEM file that its certificate is checked against; "" for the system's.
        more_ca: a PEM file of a CA that is trusted beside these; "" for none.
    """

    def __init__(self, url: URL, *, at_once: int, ca: str = "", more_ca: str = "") -> None:
        self._url = url
        self._at_once = at_once
        self._ca = ca
        self._more_ca = more_ca
        self._resolver = OwnResolver()
        self._session: aiohttp.ClientSession | None = None
        self._opening = asyncio.Lock()

    async def get(self, url: URL, headers: Mapping[str, str], *, most: int) -> Answered:
        """Returns what is answered; it may take for ever, which the caller bounds.

        Args:
            url: what is asked for.
            headers: with the credentials.
            most: so many bytes a body may have.

        Raises:
            aiohttp.ClientError, OSError, ValueError: nothing that can be used; `why_unanswered` says why.
        """
        session = await self._get_session()
        async with session.get(url, headers=headers, allow_redirects=False) as answer:
            content = await read_up_to(answer, most) if answer.status == HTTPStatus.OK else b""
            return Answered(answer.status, answer.headers, content)

    async def close(self) -> None:
        """Ends what is being asked."""
        if self._session is not None:
            await self._session.close()
        await self._resolver.close()

    async def _get_session(self) -> aiohttp.ClientSession:
        async with self._opening:
            if self._session is None:
                tls: ssl.SSLContext | bool = True
                if self._url.scheme == "https":  # made in a thread, since the system's authorities are many
                    tls = await asyncio.to_thread(_context, self._ca, self._more_ca)
                self._session = aiohttp.ClientSession(
                    connector=aiohttp.TCPConnector(
                        ssl=tls, limit=self._at_once, resolver=self._resolver, ttl_dns_cache=10
                    ),
                    timeout=aiohttp.ClientTimeout(total=None),
                    cookie_jar=aiohttp.DummyCookieJar(),
                    auto_decompress=False,
                    skip_auto_headers=("Accept-Encoding",),
                )
            return self._session


def _context(ca: str, more_ca: str) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=ca or None)
    if more_ca:
        context.load_verify_locations(more_ca)
    return context


def shown(url: URL) -> str:
    """Returns an address for the log: without a query, which may hold a secret."""
    parts = urlsplit(str(url))
    port = f":{parts.port}" if parts.port else ""
    return f"{parts.scheme}://{parts.hostname}{port}{parts.path}"


def retry_after(answer: Answered) -> int:
    """Returns in how many seconds the server wants to be asked again."""
    said = answer.headers.get("Retry-After", "")
    return min(max(int(said), 1), _MAX_RETRY) if said.isascii() and said.isdigit() else RETRY_SECONDS


def parse_token_answer(content: bytes) -> tuple[str, float]:
    """Returns the token of an answer, and for how many seconds it may be kept."""
    try:
        says = parse_json(content)
    except ValueError:
        raise ValueError("its answer is not JSON") from None
    if not isinstance(says, dict):
        raise ValueError("its answer is not a JSON object")
    token = says.get("token") or says.get("access_token")
    if not isinstance(token, str) or not token:
        raise ValueError("its answer has no token")
    seconds = says.get("expires_in")
    if isinstance(seconds, bool) or not isinstance(seconds, int) or seconds <= 0:
        seconds = DEFAULT_SECONDS
    return token, min(max(0, seconds - EARLY_SECONDS), MAX_SECONDS)
