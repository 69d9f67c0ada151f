"""What the settings want checked beside storage: a file that must not exist, servers and addresses that must answer.

Distribution's `health.file`, `health.http` and `health.tcp`, in its words (health/checks/checks.go). While one of them
fails, no request is answered (`stopping`).
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import ssl
from collections.abc import Callable, Coroutine
from typing import Any, assert_never

import aiohttp

from backends.http.masking import masked
from backends.http.text import printable
from backends.resolving import OwnResolver
from portside.observe.check_settings import FileCheck, HttpCheck, TcpCheck
from portside.observe.health import Check, Finding

MARK_HEADER = "Portside-Health-Check"

_Ask = Callable[[], Coroutine[Any, Any, str]]
"""Returns what is wrong; "" when nothing is."""

HANGS_AFTER_SECONDS = 1.0
"""Beyond its own timeout: the system's resolver keeps to none."""


def make_check(settings: FileCheck | HttpCheck | TcpCheck, number: int, *, mark: str) -> Check:
    """Makes a check of its settings.

    Args:
        settings: what is checked.
        number: its place in the list of its kind, by which clients may know it.
        mark: by which this program knows its own questions (`stopping`).
    """
    match settings:
        case FileCheck():
            return _check(settings, settings.path, FileProbe(settings), f"health.file.{number}", bound=None)
        case HttpCheck():
            what, public = masked(settings.uri), f"health.http.{number}"
            return _check(settings, what, HttpProbe(settings, mark), public, bound=settings.timeout_seconds)
        case TcpCheck():
            what, public = settings.address, f"health.tcp.{number}"
            return _check(settings, what, TcpProbe(settings), public, bound=settings.timeout_seconds)
        case _:
            assert_never(settings)


def announcement(settings: FileCheck | HttpCheck | TcpCheck) -> str:
    """Returns what is said of a check at start, in distribution's words."""
    interval = f"interval={settings.interval_seconds:g}"
    match settings:
        case FileCheck():
            return f"configuring file health check path={settings.path}, {interval}"
        case HttpCheck():
            where = f"HTTP health check uri={masked(settings.uri)}"
        case TcpCheck():
            where = f"TCP health check addr={settings.address}"
        case _:
            assert_never(settings)
    return f"configuring {where}, {interval}, threshold={settings.threshold}"


def _check(
    settings: FileCheck | HttpCheck | TcpCheck, what: str, ask: _Ask, public: str, *, bound: float | None
) -> Check:
    async def probe() -> tuple[Finding, ...]:
        wrong = await ask()
        return (Finding(what, wrong, fatal=True, public=public),) if wrong else ()

    return Check(
        what,
        probe,
        threshold=settings.threshold,
        interval_seconds=settings.interval_seconds,
        bound_seconds=None if bound is None else bound + HANGS_AFTER_SECONDS,
        public=public,
        stops_requests=True,
    )


class FileProbe:
    """Asks whether a file exists."""

    def __init__(self, settings: FileCheck) -> None:
        self._path = os.path.abspath(settings.path)  # noqa: PTH100 - as it is now; nothing is resolved

    async def __call__(self) -> str:
        try:
            await asyncio.to_thread(os.stat, self._path)
        except (FileNotFoundError, NotADirectoryError):
            return ""
        except OSError as error:
            return f"it cannot be looked for: {error.strerror}"
        return "file exists"


class HttpProbe:
    """Asks a server by HEAD."""

    def __init__(self, settings: HttpCheck, mark: str) -> None:
        self._settings = settings
        self._mark = mark
        self._tls: ssl.SSLContext | None = None
        self._resolver = OwnResolver(1)

    async def __call__(self) -> str:
        settings = self._settings
        try:
            async with asyncio.timeout(settings.timeout_seconds):
                if self._tls is None:  # an http address may redirect to an https one
                    self._tls = await asyncio.to_thread(ssl.create_default_context)
                status = await self._ask(self._tls)
        except TimeoutError:
            return f"it has not answered within {settings.timeout_seconds:g} seconds"
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return f"it cannot be asked: {_why(error)}"
        return "" if status == settings.status else f"downstream service returned unexpected status: {status}"

    async def _ask(self, tls: ssl.SSLContext) -> int:
        connector = aiohttp.TCPConnector(ssl=tls, force_close=True, resolver=self._resolver)
        headers = [("User-Agent", "Portside"), (MARK_HEADER, self._mark), *self._settings.headers]
        if any(name.lower() == "user-agent" for name, _ in self._settings.headers):
            del headers[0]
        async with (
            aiohttp.ClientSession(
                connector=connector,
                cookie_jar=aiohttp.DummyCookieJar(),
                skip_auto_headers=("Accept", "Accept-Encoding"),
            ) as session,
            session.head(self._settings.uri, headers=headers, allow_redirects=True) as answer,
        ):
            return answer.status


class TcpProbe:
    """Opens a connection, and closes it."""

    def __init__(self, settings: TcpCheck) -> None:
        self._settings = settings
        host, _, port = settings.address.rpartition(":")
        self._host, self._port = host.strip("[]") or "localhost", int(port)
        self._resolver = OwnResolver(1)

    async def __call__(self) -> str:
        try:
            async with asyncio.timeout(self._settings.timeout_seconds):
                await self._connect()
        except TimeoutError:
            return f"connection failed: no answer within {self._settings.timeout_seconds:g} seconds"
        except OSError as error:
            return f"connection failed: {_why(error)}"
        return ""

    async def _connect(self) -> None:
        """Tries one address after another; raises OSError when none takes the connection."""
        *others, last = await self._resolver.resolve(self._host, self._port)
        for address in others:
            with contextlib.suppress(OSError):
                await _open(address["host"], self._port)
                return
        await _open(last["host"], self._port)


async def _open(host: str, port: int) -> None:
    _, writer = await asyncio.open_connection(host, port)
    writer.transport.abort()


def _why(error: Exception) -> str:
    """Returns the system's reason where there is one, else the library's, without what may hold a password."""
    reason = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
    number = reason.errno if isinstance(reason, OSError) and not isinstance(reason, ssl.SSLError) else None
    if number is not None and number in errno.errorcode:
        return os.strerror(number)
    return printable(masked(str(reason) or type(reason).__name__))[:200]
