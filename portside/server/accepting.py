"""Taking connections: the first byte tells TLS from plain HTTP, and each mistake leaves one readable line.

Invariant: a slow or silent client costs its own connection and nobody else's time.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import re
import socket
import ssl
from collections.abc import Callable

from portside.tls.contexts import ReloadingContext
from portside.tls.handshakes import ALERT_SECONDS, CURRENT, Handshake, explain

FIRST_BYTE_SECONDS = 30.0
HANDSHAKE_SECONDS = 30.0
PAUSE_SECONDS = 0.5
AT_ONCE = 8
WRITE_BUFFER = 128 * 1024
REFUSAL_SECONDS = 5.0
TLS_HELLO = 0x16

_log = logging.getLogger("portside.server.accepting")

_HOST = re.compile(rb"\r\nHost:[ \t]*([A-Za-z0-9.:\[\]_-]{1,255})[ \t]*\r\n", re.IGNORECASE)


class Acceptor:
    """Accepts from inherited sockets and gives each connection to a protocol.

    Args:
        sockets: non-blocking listening sockets, shared with other workers.
        factory: makes the protocol of a connection (aiohttp's `web.Server`).
        tls: None for plain HTTP.
        address: how clients write this listener, for the sentence to who comes without TLS.
    """

    def __init__(
        self,
        sockets: tuple[socket.socket, ...],
        factory: Callable[[], asyncio.BaseProtocol],
        tls: ReloadingContext | None,
        *,
        address: str,
    ) -> None:
        self._sockets = sockets
        self._factory = factory
        self._tls = tls
        self._address = address
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()
        self._stopped = False

    def start(self) -> None:
        """Begins to accept."""
        for listening in self._sockets:
            self._loop.add_reader(listening, self._accept, listening)

    def stop(self) -> None:
        """Takes what waits in the queue, then no more; connections that are being greeted go on."""
        self._stopped = True
        for listening in self._sockets:
            self._loop.remove_reader(listening)
            while self._accept_one(listening):
                pass

    def is_greeting(self) -> bool:
        """Whether a connection has not said yet what it speaks."""
        return bool(self._tasks)

    def _accept(self, listening: socket.socket) -> None:
        for _ in range(AT_ONCE):
            if not self._accept_one(listening):
                return

    def _accept_one(self, listening: socket.socket) -> bool:
        try:
            connection, _ = listening.accept()
        except (BlockingIOError, InterruptedError):
            return False
        except ConnectionAbortedError:
            return True
        except OSError as error:
            if error.errno not in {errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM}:
                raise
            _log.error("no more connections can be taken for now: %s; raise the limit of open files", error)
            self._pause(listening)
            return False
        connection.setblocking(False)
        task = self._loop.create_task(self._greet(connection))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    def _pause(self, listening: socket.socket) -> None:
        self._loop.remove_reader(listening)

        def resume() -> None:
            if not self._stopped:
                self._loop.add_reader(listening, self._accept, listening)

        self._loop.call_later(PAUSE_SECONDS, resume)

    async def _greet(self, connection: socket.socket) -> None:
        if connection.family == socket.AF_UNIX:
            await self._loop.connect_accepted_socket(self._factory, connection)
            return
        try:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            first = await self._first_byte(connection)
        except (OSError, TimeoutError):
            connection.close()
            return
        if not first:
            connection.close()
        elif first[0] == TLS_HELLO:
            await self._secure(connection)
        elif self._tls is not None:
            await self._refuse_plain(connection)
        else:
            await self._loop.connect_accepted_socket(self._factory, connection)

    async def _first_byte(self, connection: socket.socket) -> bytes:
        try:
            return connection.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            pass
        readable: asyncio.Future[None] = self._loop.create_future()
        self._loop.add_reader(connection, _wake, readable)
        try:
            async with asyncio.timeout(FIRST_BYTE_SECONDS):
                await readable
        finally:
            self._loop.remove_reader(connection)
        return connection.recv(1, socket.MSG_PEEK)

    async def _secure(self, connection: socket.socket) -> None:
        peer = _peer(connection)
        if self._tls is None:
            _log.warning(
                "a TLS hello from %s on %s, which speaks plain HTTP: the client must use http:// or another port",
                peer,
                self._address,
            )
            # Go's programs, docker among them, know this answer: "server gave HTTP response to HTTPS client".
            await self._refuse(connection, "This port speaks plain HTTP: use http://{host}/")
            return
        patience = asyncio.timeout(None)
        handshake = Handshake(lambda: patience.reschedule(self._loop.time() + ALERT_SECONDS))
        CURRENT.set(handshake)
        try:
            async with patience:
                transport, _ = await self._loop.connect_accepted_socket(
                    self._factory, connection, ssl=self._tls.current, ssl_handshake_timeout=HANDSHAKE_SECONDS
                )
            # By default a TLS transport takes half a megabyte of a slow reader's answer: too much for many of them.
            transport.set_write_buffer_limits(high=WRITE_BUFFER, low=WRITE_BUFFER // 4)
        except (OSError, TimeoutError) as error:  # ssl's own errors are among them
            failure = handshake.error or error
            if isinstance(failure, ssl.SSLError):
                _log.warning("TLS handshake error from %s: %s", peer, explain(failure))
            else:
                _log.info("TLS handshake error from %s: %s", peer, str(error) or "the client went away")

    async def _refuse_plain(self, connection: socket.socket) -> None:
        peer = _peer(connection)
        _log.warning("a plain HTTP request from %s on %s, which speaks TLS", peer, self._address)
        await self._refuse(connection, "This port speaks TLS: use https://{host}/")

    async def _refuse(self, connection: socket.socket, sentence: str) -> None:
        """Answers 400 with a sentence, in which `{host}` is the name that the client used, and closes."""
        try:
            async with asyncio.timeout(REFUSAL_SECONDS):
                asked = await self._loop.sock_recv(connection, 65536)
                named = _HOST.search(asked)
                host = named[1].decode() if named else _shown(self._address)
                text = f"{sentence.format(host=host)}\n"
                answer = (
                    "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n"
                    f"Content-Length: {len(text)}\r\nConnection: close\r\n\r\n{text}"
                )
                await self._loop.sock_sendall(connection, answer.encode())
                connection.shutdown(socket.SHUT_WR)
                while await self._loop.sock_recv(connection, 65536):
                    pass  # whatever still comes would turn the answer into a reset
        except (OSError, TimeoutError):
            pass  # it has gone: the line in the log is all there is to do
        finally:
            connection.close()


def _wake(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def _peer(connection: socket.socket) -> str:
    try:
        host, port = connection.getpeername()[:2]
    except OSError:
        return "a client that has gone"
    return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"


def _shown(address: str) -> str:
    return f"localhost{address}" if address.startswith(":") else address
