"""A server that takes notifications, or does not: it refuses, hangs, breaks off, answers slowly, or is gone."""

from __future__ import annotations

import contextlib
import json
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

ACCEPT = "accept"
HANG = "hang"
CLOSE = "close"
HALF = "half"
SLOW = "slow"
GARBAGE = "garbage"
ENDLESS = "endless"
SILENT_CLOSE = "silent close"
"""It accepts, and closes the connection without having said so."""


@dataclass(frozen=True, slots=True)
class Received:
    """A request, whatever it was answered."""

    at: float
    line: str
    headers: list[tuple[str, str]]
    body: bytes
    connection: int

    def values(self, name: str) -> list[str]:
        """The values of a header."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    @property
    def events(self) -> list[dict[str, Any]]:
        """The events of the envelope."""
        document = json.loads(self.body)
        assert set(document) == {"events"}
        events: list[dict[str, Any]] = document["events"]
        return events


@dataclass
class Webhook:
    """A server on a port of loopback.

    Attributes:
        behaviour: what it does with the requests that come now: one of the constants, or a status line's end
            (`503 Busy`, with further lines of a head after it).
        received: all requests, in the order in which they were read.
    """

    tls: ssl.SSLContext | None = None
    behaviour: str = ACCEPT
    received: list[Received] = field(default_factory=list)
    port: int = 0
    _listening: socket.socket | None = None
    _open: set[socket.socket] = field(default_factory=set)
    _connections: int = 0

    @property
    def url(self) -> str:
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}/callback"

    def start(self) -> None:
        """Listens, on the same port as before."""
        self._listening = socket.create_server(("127.0.0.1", self.port), backlog=64)
        self.port = self._listening.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listening,), daemon=True).start()

    def stop(self) -> None:
        """Is gone, with all connections."""
        if self._listening is not None:
            with contextlib.suppress(OSError):
                self._listening.shutdown(socket.SHUT_RDWR)
            self._listening.close()
            self._listening = None
        for each in list(self._open):
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)

    @property
    def ids(self) -> list[Any]:
        """The ids of the events, in the order in which they came; of what came again, each time."""
        return [event["id"] for request in list(self.received) for event in request.events]

    def has(self, event_id: str) -> bool:
        """Whether an event has come."""
        return event_id in self.ids

    def wait_for(self, count: int, *, seconds: float = 45.0) -> None:
        """Waits until it has read so many requests."""
        deadline = time.monotonic() + seconds
        while len(self.received) < count:
            assert time.monotonic() < deadline, f"{len(self.received)} of {count} requests after {seconds} s"
            time.sleep(0.01)

    def _accept(self, listening: socket.socket) -> None:
        while True:
            try:
                connection, _ = listening.accept()
            except OSError:
                return
            self._connections += 1
            threading.Thread(target=self._serve, args=(connection, self._connections), daemon=True).start()

    def _serve(self, connection: socket.socket, number: int) -> None:
        self._open.add(connection)
        try:
            with connection, contextlib.suppress(OSError):
                if self.tls is not None:
                    connection = self.tls.wrap_socket(connection, server_side=True)
                with connection, connection.makefile("rb") as reading:
                    while self._serve_one(connection, reading, number):
                        pass
        finally:
            self._open.discard(connection)

    def _serve_one(self, connection: socket.socket, reading: Any, number: int) -> bool:
        line = reading.readline().decode("latin-1").rstrip("\r\n")
        if not line:
            return False
        headers: list[tuple[str, str]] = []
        while text := reading.readline().decode("latin-1").rstrip("\r\n"):
            key, _, value = text.partition(": ")
            headers.append((key, value))
        length = next((int(value) for key, value in headers if key.lower() == "content-length"), 0)
        body = reading.read(length)
        if len(body) < length:
            return False
        behaviour = self.behaviour
        self.received.append(Received(time.monotonic(), line, headers, body, number))
        match behaviour:
            case "accept" | "silent close":
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                return behaviour == ACCEPT
            case "hang":
                with contextlib.suppress(OSError):
                    connection.settimeout(30)
                    connection.recv(1)
                return False
            case "close":
                return False
            case "endless":
                connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
                while True:
                    connection.sendall(b"10000\r\n" + bytes(65536) + b"\r\n")
            case "half":
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Le")
                return False
            case "slow":
                for byte in b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n":
                    connection.sendall(bytes([byte]))
                    time.sleep(0.1)
                return True
            case "garbage":
                connection.sendall(b"\0\1\2 what is this\r\n\r\n")
                return False
            case _:
                connection.sendall(f"HTTP/1.1 {behaviour}\r\nContent-Length: 0\r\n\r\n".encode())
                return True


@contextlib.contextmanager
def webhook(*, tls: ssl.SSLContext | None = None, behaviour: str = ACCEPT) -> Iterator[Webhook]:
    """Runs one until the end of the block."""
    server = Webhook(tls=tls, behaviour=behaviour)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def firsts(ids: list[Any]) -> list[Any]:
    """Each id where it came first."""
    return list(dict.fromkeys(ids))
