"""Asking the registry that is mirrored.

It is the operator's, named in the settings. TLS certificates are verified; of a redirect only one to the same scheme,
host and port is followed, so neither this registry's credentials nor its place in a network serve anybody else. Of a
client nothing goes there but what program it is. Every answer is bounded in size, and all but layers in time.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
import time
from base64 import b64encode
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path

import aiohttp
from yarl import URL

from backends.auth.followed_file import FollowedFile
from backends.outgoing_requests import read_up_to, reason_of, why_unanswered
from backends.resolving import OwnResolver
from backends.v1.mirror.answers import VIA
from backends.v1.mirror.settings import MirrorSettings

CONNECT_SECONDS = 5.0
SMALL_SECONDS = 30.0
"""For an answer that is no layer, in all."""
SILENT_SECONDS = 60.0
"""A layer may pause for so long."""
REST_SECONDS = 5.0
"""A source that could not be reached is not tried again for so long: a push asks for dozens of images."""
MAX_ANSWER = 8 * 1024 * 1024
AT_ONCE = 64
MAX_REDIRECTS = 10
"""One that is busy sends to the same address again, nine times."""
_SAID_SECONDS = 60.0
_MOST_SAID = 100
_REDIRECTS = frozenset({301, 302, 303, 307, 308})
_LONGEST = 4096

_log = logging.getLogger("portside.v1.mirror")


class Unavailable(Exception):  # noqa: N818 - a finding, not a fault
    """The source does not answer, or not with what was asked for; the message is a clause about it."""


@dataclass(frozen=True, slots=True)
class Behalf:
    """For whom something is asked.

    Attributes:
        agent: the program of the client.
        via: the proxies between it and here, of which this one will be the next.
    """

    agent: str = ""
    via: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Reply:
    """A whole answer 200.

    Attributes:
        body: of at most `MAX_ANSWER` bytes.
        size: `X-Docker-Size`.
        checksums: each `X-Docker-Checksum-Payload`.
    """

    body: bytes
    size: str | None
    checksums: Sequence[str]


class Upstream:
    """The source. Made inside a running event loop.

    Args:
        settings: where it is.
        clock: monotonic seconds.

    Raises:
        OSError: its CA cannot be used.
        UnusableFile: there is no password for it.
    """

    def __init__(self, settings: MirrorSettings, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._source = settings.source
        self._index = settings.source_index or settings.source
        self._user = settings.user
        self._password = (
            FollowedFile(Path(settings.password_file), _one_line, what="gateway.v1.mirroring.passwordfile")
            if settings.user
            else None
        )
        self._clock = clock
        self._rests_until: dict[str, float] = {}
        self._said: dict[str, float] = {}
        self._resolver = OwnResolver()
        tls: ssl.SSLContext | bool = True
        if any(URL(each).scheme == "https" for each in (self._source, self._index)):
            tls = ssl.create_default_context(cafile=settings.ca or None)
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(ssl=tls, limit=AT_ONCE, resolver=self._resolver),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS, sock_read=SILENT_SECONDS),
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            skip_auto_headers=("Accept-Encoding", "User-Agent"),
        )

    async def close(self) -> None:
        """Closes the connections."""
        await self._session.close()
        await self._resolver.close()

    async def get(self, path: str, behalf: Behalf, *, index: bool = False) -> Reply | None:
        """Returns an answer; None where the source says that it has no such thing.

        Args:
            path: with its query.
            behalf: for whom.
            index: whether it is the index's to answer.

        Raises:
            Unavailable: it cannot be asked, or answers something else.
        """
        async with self._ask("GET", path, behalf, index=index, seconds=SMALL_SECONDS) as answer:
            if answer is None:
                return None
            body = await read_up_to(answer, MAX_ANSWER)
            checksums = answer.headers.getall("X-Docker-Checksum-Payload", ())
            return Reply(body, answer.headers.get("X-Docker-Size"), checksums)

    async def size_of(self, path: str, behalf: Behalf) -> str | None:
        """Returns the length that the source says of a layer, "" for none; None where it has no such layer.

        Raises:
            Unavailable: as above.
        """
        async with self._ask("HEAD", path, behalf, seconds=SMALL_SECONDS) as answer:
            return None if answer is None else answer.headers.get("Content-Length", "")

    @asynccontextmanager
    async def open(self, path: str, behalf: Behalf) -> AsyncIterator[aiohttp.ClientResponse | None]:
        """Opens a layer; None where the source has no such layer.

        Raises:
            Unavailable: it cannot be asked, answers something else, or breaks off, also while it is read.
        """
        async with self._ask("GET", path, behalf) as answer:
            yield answer

    @asynccontextmanager
    async def _ask(
        self, method: str, path: str, behalf: Behalf, *, index: bool = False, seconds: float | None = None
    ) -> AsyncIterator[aiohttp.ClientResponse | None]:
        base = self._index if index else self._source
        if self._clock() < self._rests_until.get(base, 0.0):
            raise Unavailable("it could not be reached a moment ago")
        try:
            async with asyncio.timeout(seconds), self._follow(method, URL(base + path, encoded=True), behalf) as answer:
                if answer.status == HTTPStatus.OK:
                    yield answer
                elif answer.status == HTTPStatus.NOT_FOUND:
                    yield None
                else:
                    raise ValueError(_why_not(answer.status))
        except (aiohttp.ClientError, OSError, ValueError) as error:  # the time's end is among them
            if isinstance(error, aiohttp.ClientConnectorError | aiohttp.ConnectionTimeoutError):
                self._rests_until[base] = self._clock() + REST_SECONDS
            raise self._unavailable(path, _why(error)) from None

    @asynccontextmanager
    async def _follow(self, method: str, url: URL, behalf: Behalf) -> AsyncIterator[aiohttp.ClientResponse]:
        headers = await self._headers(behalf)
        for _ in range(MAX_REDIRECTS):
            async with self._session.request(method, url, headers=headers, allow_redirects=False) as answer:
                location = answer.headers.get("Location")
                if answer.status not in _REDIRECTS or location is None:
                    yield answer
                    return
                there = url.join(URL(location))
                if there.origin() != url.origin() or there.user is not None:
                    raise ValueError("it redirects to another host, where it is not followed")
                url = there
        raise ValueError("it redirects too often")

    async def _headers(self, behalf: Behalf) -> dict[str, str]:
        headers = {
            "Accept": "*/*",
            "Accept-Encoding": "identity",
            "User-Agent": behalf.agent or "Portside",
            "Via": ", ".join([*behalf.via, VIA]),
        }
        if self._password is not None:
            shown = b64encode(self._user.encode() + b":" + await self._password.get()).decode()
            headers["Authorization"] = f"Basic {shown}"
        return headers

    def _unavailable(self, path: str, why: str) -> Unavailable:
        now = self._clock()
        if now - self._said.get(why, -_SAID_SECONDS) >= _SAID_SECONDS:
            if len(self._said) > _MOST_SAID:
                self._said.clear()
            self._said[why] = now
            _log.warning("%s is not had from the registry that is mirrored: %s", path[:200], why)
        return Unavailable(why)

    def disbelieve(self, path: str, why: str) -> Unavailable:
        """Says in the log that an answer is not believed."""
        return self._unavailable(path, f"its answer is not believed: {why}")


def _one_line(content: bytes) -> bytes:
    password = content.removesuffix(b"\n").removesuffix(b"\r")
    if not password or len(password) > _LONGEST or any(byte < 32 or byte == 127 for byte in password):  # noqa: PLR2004 - ASCII's control characters
        raise ValueError(f"it must hold the password alone, in one line of at most {_LONGEST} bytes")
    return password


def _why_not(status: int) -> str:
    if status in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}:
        return f"it answers {status}; name a user that may pull below gateway.v1.mirroring (user, passwordfile)"
    return f"it answers {status}"


def _why(error: Exception) -> str:
    match error:
        case TimeoutError():
            return "it does not answer in time"
        case OSError() if not isinstance(error, aiohttp.ClientError):
            return f"the connection broke ({reason_of(error)})"
        case _:
            return why_unanswered(error)
