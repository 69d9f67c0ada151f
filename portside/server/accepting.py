"""Taking connections: the first byte distinguishes TLS from plain HTTP, and each mistake leaves one readable line.

Invariant: a slow or silent client delays no other client.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import socket
import ssl
from collections.abc import Callable
from functools import partial
from typing import Any

from portside.server.address_limit import QUIET_SECONDS, AddressLimit
from portside.server.connection import Connection
from portside.server.grammar import Violation
from portside.server.opening import Opening
from portside.server.sockets import peer_name
from portside.tls.contexts import ReloadingContext
from portside.tls.handshakes import CURRENT, Handshake, explain

FIRST_BYTE_SECONDS = 30.0
HANDSHAKE_SECONDS = 30.0
PAUSE_SECONDS = 0.5
AT_ONCE = 8
TLS_HELLO = 0x16

_log = logging.getLogger("portside.server.accepting")

_OF_ONE_CONNECTION = frozenset(
    {
        errno.ENETDOWN, errno.EPROTO, errno.ENOPROTOOPT, errno.EHOSTDOWN, errno.ENONET, errno.EHOSTUNREACH,
        errno.EOPNOTSUPP, errno.ENETUNREACH, errno.EPERM,
    }
)  # fmt: skip
"""Errors of accept(2) that concern one connection: it failed before it was accepted, or a firewall forbids it."""


class Acceptor:
    """Accepts from inherited sockets and gives each connection to a protocol.

    Args:
        sockets: non-blocking listening sockets, shared with other workers.
        factory: makes the protocol of a connection; takes the reason when all its requests are to be refused.
        tls: None for plain HTTP.
        address: this listener as clients write it, for the answer to a client that uses the wrong scheme.
        limit: of connections per client address; None for none.
    """

    def __init__(
        self,
        sockets: tuple[socket.socket, ...],
        factory: Callable[..., Connection | Opening],
        tls: ReloadingContext | None,
        *,
        address: str,
        limit: AddressLimit | None = None,
    ) -> None:
        self._sockets = sockets
        self._factory = factory
        self._tls = tls
        self._address = address
        self._limit = limit
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._stopped = False
        self._logged_full = -QUIET_SECONDS

    def start(self) -> None:
        """Starts accepting."""
        for listening in self._sockets:
            self._loop.add_reader(listening, self._accept, listening)

    def stop(self) -> None:
        """Accepts what waits in the queue, then nothing more; connections whose protocol is being detected go on."""
        self._stopped = True
        for listening in self._sockets:
            self._loop.remove_reader(listening)
            while self._accept_one(listening):
                pass

    def is_greeting(self) -> bool:
        """Whether the protocol of some connection has not been detected yet."""
        return bool(self._tasks)

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(AT_ONCE):
            if not self._accept_one(listening):
                return

    def _accept_one(self, listening: socket.socket) -> bool:
        try:
            connection, peer = listening.accept()
        except (BlockingIOError, InterruptedError):
            return False
        except ConnectionAbortedError:
            return True
        except OSError as error:
            if error.errno in _OF_ONE_CONNECTION:
                return True
            if error.errno not in {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}:
                raise
            self._log_full(error)
            self._pause(listening)
            return False
        connection.setblocking(False)
        if self._limit is None or not isinstance(peer, tuple):
            task = self._loop.create_task(self._greet(connection, peer))
        else:
            release = self._limit.admit(peer[0])
            if release is None:
                connection.close()
                return True
            task = self._loop.create_task(self._greet_counted(connection, peer, release))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    def _pause(self, listening: socket.socket) -> None:
        self._loop.remove_reader(listening)

        def resume() -> None:
            if not self._stopped:
                self._loop.add_reader(listening, self._accept, listening)

        self._loop.call_later(PAUSE_SECONDS, resume)

    def _log_full(self, error: OSError) -> None:
        """Logs one line a minute, however many connections wait."""
        now = self._loop.time()
        if now - self._logged_full >= QUIET_SECONDS:
            self._logged_full = now
            _log.error("no more connections can be taken for now: %s; raise the limit of open files", error)

    async def _greet_counted(self, connection: socket.socket, peer: object, release: Callable[[], None]) -> None:
        """Greets a counted connection, and has `release` called when it has ended, however it ends."""
        protocol = None
        try:
            protocol = await self._greet(connection, peer)
        finally:
            if protocol is not None and protocol.connected:
                protocol.on_lost = release
            else:
                release()

    async def _greet(self, connection: socket.socket, peer: object) -> Connection | Opening | None:
        """Detects what a client speaks and hands its connection to a protocol; None if the client left before that."""
        if not isinstance(peer, tuple):  # a unix socket: its path; to ask for its family is slow
            return await self._take(connection, self._factory)
        try:
            first = connection.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            first = await self._first_byte(connection)
        except OSError:
            first = b""
        if not first:
            connection.close()
            return None
        if first[0] == TLS_HELLO:
            return await self._secure(connection, peer)
        if self._tls is None:
            return await self._take(connection, self._factory)
        _log.warning("a plain HTTP request from %s on %s, which speaks TLS", peer_name(peer), self._address)
        return await self._refuse(connection, "This port speaks TLS: use https://{host}/")

    async def _refuse(self, connection: socket.socket, sentence: str) -> Connection | Opening | None:
        """Hands a connection to a protocol that answers every request with 400 and this sentence."""
        return await self._take(
            connection, partial(self._factory, Violation(400, sentence, host=_shown(self._address)))
        )

    async def _take(
        self, connection: socket.socket, factory: Callable[[], Connection | Opening]
    ) -> Connection | Opening | None:
        """Hands a connection without TLS to a protocol; returns the one that it has by now."""
        return _protocol((await self._loop.connect_accepted_socket(factory, connection))[0])

    async def _first_byte(self, connection: socket.socket) -> bytes:
        """Waits for it; b"" where it does not come."""
        readable: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_reader(connection, _wake, readable)
        try:
            async with asyncio.timeout(FIRST_BYTE_SECONDS):
                await readable
            return connection.recv(1, socket.MSG_PEEK)
        except OSError:  # TimeoutError is one
            return b""
        finally:
            self._loop.remove_reader(connection)

    async def _secure(self, connection: socket.socket, peer: object) -> Connection | Opening | None:
        if self._tls is None:
            # docker, podman and crane begin so with every plain registry, and go on in plain HTTP.
            _log.info(
                "a TLS hello from %s on %s, which speaks plain HTTP: a client that does not go on so must use http://"
                " or another port",
                peer_name(peer),
                self._address,
            )
            # Go's programs, docker among them, know this answer: "server gave HTTP response to HTTPS client".
            return await self._refuse(connection, "This port speaks plain HTTP: use http://{host}/")
        narrowed, handshake = self._tls.narrowed, Handshake(self._loop, connection)
        CURRENT.set(handshake)
        try:
            transport, _ = await self._loop.connect_accepted_socket(
                self._factory, connection, ssl=self._tls.current, ssl_handshake_timeout=HANDSHAKE_SECONDS
            )
        except OSError as error:  # ssl's own errors and TimeoutError are among them
            failure = handshake.error or error
            if isinstance(failure, ssl.SSLError):
                _log.warning("TLS handshake error from %s: %s", peer_name(peer), explain(failure))
            else:
                _log.info("TLS handshake error from %s: %s", peer_name(peer), str(error) or "the client went away")
            return None
        protocol = _protocol(transport)
        if protocol is not None and narrowed != self._tls.narrowed:
            protocol.part()  # it was verified by what held when the handshake began
        return protocol


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _protocol(transport: asyncio.Transport) -> Connection | Opening | None:
    """Returns the protocol that a connection has by now (uvloop returns its own for TLS); None where it has ended."""
    protocol: object = transport.get_protocol()
    assert protocol is None or isinstance(protocol, Connection | Opening)
    return protocol


def _shown(address: str) -> str:
    return f"localhost{address}" if address.startswith(":") else address
