"""A stand-in for a registry: real sockets, answers by a script.

It proves the replayer before Portside sees it: it answers as the captured run was answered (status by status),
with contents made of the test's own images, and refuses whatever the script does not foresee.
"""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

from tests.support.certificate import CertificateFiles
from tests.support.wire import Address, Headers

_PLAIN_ON_TLS = b"\x16"


@dataclass(frozen=True, slots=True)
class Arrived:
    """A request as the server read it."""

    method: str
    target: str
    headers: Headers
    body: bytes

    def value(self, name: str) -> str | None:
        """The first value of a header, or None."""
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


@dataclass(frozen=True, slots=True)
class Answer:
    """What to say."""

    status: int
    headers: Headers = ()
    body: bytes = b""


Answerer = Callable[[Arrived], Answer]


@dataclass(slots=True)
class StandIn:
    """A threaded server on a free loopback port; a context manager.

    Attributes:
        answer: Decides each answer; called from several threads, one call at a time.
        certificate: Serve TLS with it.
        port: Where it listens, once it was entered.
        connections: Number of TCP connections accepted.
        sni: Server names that TLS clients asked for, in order.
        tls: Versions of TLS that were spoken, in order.
        requests: What arrived, in order.
    """

    answer: Answerer
    certificate: CertificateFiles | None = None
    port: int = 0
    connections: int = 0
    sni: list[str] = field(default_factory=list)
    tls: list[str | None] = field(default_factory=list)
    requests: list[Arrived] = field(default_factory=list)
    _listener: socket.socket = field(init=False)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _threads: list[threading.Thread] = field(default_factory=list)
    _context: ssl.SSLContext | None = None

    def __enter__(self) -> Self:
        if self.certificate:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(self.certificate.chain, self.certificate.key)
            self._context.sni_callback = self._note_name
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        thread = threading.Thread(target=self._accept)
        thread.start()
        self._threads.append(thread)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(timeout=10)

    def address(self, host: str = "127.0.0.1") -> Address:
        """As an insecure registry, the way loopback addresses are one."""
        return Address(host, self.port)

    def _note_name(self, _: ssl.SSLObject | ssl.SSLSocket, name: str | None, __: ssl.SSLContext) -> None:
        if name:
            self.sni.append(name)

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            connection.settimeout(10)
            self.connections += 1
            thread = threading.Thread(target=self._serve, args=(connection,))
            thread.start()
            self._threads.append(thread)

    def _serve(self, connection: socket.socket) -> None:
        with connection:
            try:
                first = connection.recv(1, socket.MSG_PEEK)
                if (first == _PLAIN_ON_TLS) != (self._context is not None):
                    return  # a hello on the plain port, or a plain request on the TLS port: hang up
                if self._context is None:
                    self._converse(connection)
                    return
                with self._context.wrap_socket(connection, server_side=True) as secured:
                    self.tls.append(secured.version())
                    self._converse(secured)
            except (OSError, ValueError):
                return  # the client gave up; what it sent until then is on record

    def _converse(self, connection: socket.socket) -> None:
        stream = connection.makefile("rb")
        with stream:
            line = stream.readline().decode("latin-1").split()
            if len(line) != 3:
                return
            headers: list[tuple[str, str]] = []
            while field_line := stream.readline().rstrip(b"\r\n"):
                name, _, value = field_line.decode("latin-1").partition(":")
                headers.append((name, value.strip()))
            fields = {name.lower(): value for name, value in headers}
            body = b""
            if fields.get("transfer-encoding") == "chunked":
                while size := int(stream.readline(), 16):
                    body += stream.read(size)
                    stream.readline()
                stream.readline()
            elif "content-length" in fields:
                body = stream.read(int(fields["content-length"]))
        arrived = Arrived(line[0], line[1], tuple(headers), body)
        with self._lock:
            self.requests.append(arrived)
            answer = self.answer(arrived)
        connection.sendall(_written(answer, with_body=arrived.method != "HEAD"))


def _written(answer: Answer, *, with_body: bool) -> bytes:
    lines = [f"HTTP/1.1 {answer.status} Scripted", *_header_lines(answer)]
    return "".join(f"{line}\r\n" for line in [*lines, ""]).encode("latin-1") + answer.body * with_body


def _header_lines(answer: Answer) -> Iterable[str]:
    yield from (f"{name}: {value}" for name, value in answer.headers)
    if answer.status not in {204, 304}:
        yield f"Content-Length: {len(answer.body)}"
