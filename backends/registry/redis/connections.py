"""Connections to Redis: taken, kept for a while, replaced; with bounds of time and number that its client has not.

Invariant: a question is answered or given up within the configured timeouts, and a connection on which an answer may
still come is closed.

The library's own pool keeps every connection for ever and retries what fails; both are wrong here, where whoever gets
no answer reads from storage at once.
"""

from __future__ import annotations

import asyncio
import errno
import os
import socket
import ssl
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol

from redis.asyncio.connection import AbstractConnection, Connection, SSLConnection, UnixDomainSocketConnection
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as Disconnected
from redis.exceptions import ReadOnlyError, RedisError, ResponseError
from typing_extensions import override

from backends.registry.redis.settings import RedisSettings

PORT = 6379

Word = str | bytes | int


class Unreachable(Exception):  # noqa: N818 - a finding, not a fault
    """Redis does not answer, or not as Redis does; the text says why."""


class Refused(Exception):  # noqa: N818
    """Redis answers that it will not; the text is its own."""


class Redis(Protocol):
    """What answers commands."""

    async def ask(self, *command: Word) -> object:
        """Sends a command and returns the answer; None also when there is no connection free.

        Raises:
            Unreachable: there is no answer.
            Refused: the answer is an error.
        """
        ...

    async def close(self) -> None:
        """Closes all connections."""
        ...


@dataclass(slots=True)
class _Kept:
    """A connection, and when it was made and used last (seconds of a monotonic clock)."""

    connection: AbstractConnection
    made: float
    used: float


class Connections(Redis):
    """Connections to one server.

    Args:
        settings: how it is reached.
        tls: None for plain TCP.
        find: returns its address, each time one connects.
        port: where the address has none.
    """

    def __init__(
        self,
        settings: RedisSettings,
        tls: ssl.SSLContext | None,
        find: Callable[[], Awaitable[str]],
        *,
        port: int = PORT,
    ) -> None:
        self._settings = settings
        self._tls = tls
        self._find = find
        self._port = port
        self._hops = 1 + len(settings.addresses) if settings.master_name else 1  # each Sentinel may hang
        self._idle: list[_Kept] = []
        self._in_use = 0

    @override
    async def ask(self, *command: Word) -> object:
        await self._prune()
        if self._in_use >= self._settings.connections:
            return None
        self._in_use += 1
        try:
            with suppress(Disconnected):
                if self._idle:  # which Redis may have closed: it may have been restarted
                    return await self._ask_on(self._idle.pop(), command)
            await self._close_idle()
            return await self._ask_on(await self._connect(), command)
        except Refused:
            raise
        except (RedisError, OSError, TimeoutError) as error:
            raise Unreachable(explain(error)) from error
        except Exception as error:
            raise Unreachable(f"it does not speak Redis's protocol ({type(error).__name__})") from error
        finally:
            self._in_use -= 1

    @override
    async def close(self) -> None:
        await self._close_idle()

    async def _connect(self) -> _Kept:
        settings = self._settings
        try:
            async with asyncio.timeout(settings.connect_seconds * self._hops):
                connection = self._make(await self._find())
                try:
                    await connection.connect()  # type: ignore[no-untyped-call]
                except BaseException:
                    await _close(connection)
                    raise
        except TimeoutError:
            raise TimeoutError(f"it cannot be connected to within {settings.connect_seconds:g} s") from None
        now = time.monotonic()
        return _Kept(connection, now, now)

    def _make(self, address: str) -> AbstractConnection:
        settings = self._settings
        options: dict[str, Any] = {
            "db": settings.database,
            "username": settings.username or None,
            "password": settings.password or None,
            "client_name": settings.client_name or None,
            "protocol": settings.protocol,
            "socket_timeout": None,
            "socket_connect_timeout": settings.connect_seconds,
            "retry": Retry(NoBackoff(), 0),
        }
        if not settings.identifies:
            options["driver_info"] = None
        if address.startswith("/"):
            return UnixDomainSocketConnection(path=address, **options)
        host, port = split_address(address, self._port)
        if self._tls is None:
            return Connection(host=host, port=port, **options)
        connection = SSLConnection(host=host, port=port, **options)
        connection.ssl_context.context = self._tls  # else it makes one of its own, with the system's CAs in it
        return connection

    async def _ask_on(self, kept: _Kept, command: Sequence[Word]) -> object:
        settings, connection = self._settings, kept.connection
        try:
            async with asyncio.timeout(settings.write_seconds):
                await connection.send_command(*command)
            async with asyncio.timeout(settings.read_seconds):
                answer: object = await connection.read_response()
        except ResponseError as error:
            if isinstance(error, ReadOnlyError):  # no master any more
                await _close(connection)
            else:
                await self._release(kept)
            raise Refused(str(error)[:200]) from error
        except TimeoutError:
            await _close(connection)
            raise TimeoutError(f"it has not answered within {settings.read_seconds:g} s") from None
        except BaseException:
            await _close(connection)
            raise
        await self._release(kept)
        return answer

    async def _release(self, kept: _Kept) -> None:
        kept.used = time.monotonic()
        if len(self._idle) < self._settings.idle_connections:
            self._idle.append(kept)
        else:
            await _close(kept.connection)

    async def _prune(self) -> None:
        """Closes what was idle for too long, or has become too old."""
        if not self._idle:
            return
        now = time.monotonic()
        idle, age = self._settings.idle_seconds or now, self._settings.lifetime_seconds or now
        gone = [each for each in self._idle if now - each.used > idle or now - each.made > age]
        for each in gone:
            self._idle.remove(each)
        for each in gone:
            await _close(each.connection)

    async def _close_idle(self) -> None:
        idle, self._idle = self._idle, []
        for each in idle:
            await _close(each.connection)


def split_address(address: str, port: int) -> tuple[str, int]:
    """Returns host and port; `port` where the address has none."""
    host, mark, number = address.rpartition(":")
    if not mark or not number.isdecimal():
        return address.strip("[]"), port
    return host.strip("[]") or "localhost", int(number)


async def _close(connection: AbstractConnection) -> None:
    """Closes a connection without waiting for its peer: it may not answer."""
    with suppress(RedisError, OSError):
        await connection.disconnect(nowait=True)


def explain(error: BaseException) -> str:
    """Returns why Redis cannot be talked to, on one line: the system's reason where the library hides one."""
    hidden = error.__cause__ or error.__context__
    if isinstance(hidden, OSError) and not isinstance(hidden, ssl.SSLError):
        if isinstance(hidden, socket.gaierror):
            return f"cannot connect: {hidden.strerror}"
        number = hidden.errno
        if number is not None and number in errno.errorcode:
            return f"cannot connect: {os.strerror(number)}"
    return " ".join((str(error) or type(error).__name__).split())[:200]
