"""One request on one connection, byte for byte as an old Go program would write it.

The room for plain HTTP/1.1 over sockets and TLS: the order and spelling of header names stay under the control
of the caller, nothing is added but what Go's own ``net/http`` adds, and everything that went over the wire is
kept in a transcript. It knows nothing of registries (WIRE sections 7 and 13).
"""

from __future__ import annotations

import gzip
import socket
import ssl
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Final
from urllib.parse import urljoin, urlsplit

Headers = tuple[tuple[str, str], ...]

_REDIRECTS_FOLLOWED: Final = 10
_READ_BYTES: Final = 64 * 1024
# io.Copy's buffer behind bufio's: the gzip header goes out first, then what the buffers hold.
_CHUNK_SIZES: Final = (10, 4096, 32 * 1024)


class BrokenConnectionError(Exception):
    """The peer hung up, refused or spoke nonsense where an answer was due."""


class HandshakeError(BrokenConnectionError):
    """No TLS session came about: no TLS there, or a certificate that is not trusted."""


class TlsVersion(Enum):
    """The newest TLS a generation of clients speaks."""

    V1_2 = ssl.TLSVersion.TLSv1_2
    V1_3 = ssl.TLSVersion.TLSv1_3


@dataclass(frozen=True, slots=True)
class Address:
    """Where a registry listens, and which CA its certificate is checked against.

    Attributes:
        host: Name or IP address, sent as SNI and as ``Host``.
        port: TCP port.
        ca: A PEM file of trusted CAs (``certs.d/HOST:PORT/ca.crt``). None means an "insecure" registry, as
            loopback addresses are for docker: certificates are not checked and plain HTTP is tried too.
    """

    host: str
    port: int
    ca: Path | None = None

    @property
    def netloc(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Request:
    """A request as it was written.

    Attributes:
        url: Absolute URL.
        headers: Every header line in the order of writing.
        body: The body without chunk framing.
        chunks: Number of chunks the body was written in; 0 when it was not chunked.
    """

    method: str
    url: str
    headers: Headers
    body: bytes = b""
    chunks: int = 0

    @property
    def target(self) -> str:
        parts = urlsplit(self.url)
        return f"{parts.path or '/'}{'?' + parts.query if parts.query else ''}"

    def values(self, name: str) -> list[str]:
        """All values of a header, compared without regard to case."""
        return [value for key, value in self.headers if key.lower() == name.lower()]


@dataclass(frozen=True, slots=True)
class Response:
    """An answer. `body` is decoded if the server compressed it on its own (``Content-Encoding: gzip``)."""

    status: int
    reason: str
    headers: Headers
    body: bytes

    def values(self, name: str) -> list[str]:
        """All values of a header, compared without regard to case."""
        return [value for key, value in self.headers if key.lower() == name.lower()]

    def value(self, name: str) -> str | None:
        """The first value of a header, or None."""
        return next(iter(self.values(name)), None)


@dataclass(frozen=True, slots=True)
class Exchange:
    """A request and what came back; `response` is None when the connection broke first."""

    request: Request
    response: Response | None


@dataclass(frozen=True, slots=True)
class FailedHandshake:
    """A connection that ended before any request, because TLS did not come about."""

    netloc: str
    reason: str


Event = Exchange | FailedHandshake


@dataclass(slots=True)
class Transcript:
    """What went over the wire, in the order in which it was begun."""

    events: list[Event] = field(default_factory=list)

    @property
    def exchanges(self) -> list[Exchange]:
        return [event for event in self.events if isinstance(event, Exchange)]


@dataclass(frozen=True, slots=True)
class Call:
    """A request before Go's transport has dressed it.

    Attributes:
        agent: The whole User-Agent.
        fields: Headers set by the program; the transport sorts them by name.
        body: None sends none (and ``Content-Length: 0`` on POST and PUT).
        chunked: Send the body with ``Transfer-Encoding: chunked``, in several writes.
    """

    method: str
    url: str
    agent: str
    fields: Sequence[tuple[str, str]] = ()
    body: bytes | None = None
    chunked: bool = False


class HttpClient:
    """Go's HTTP client of one generation: dresses calls, opens a connection for each, follows redirects.

    Invariant: one call that is not redirected is one TCP connection.
    """

    def __init__(
        self,
        address: Address,
        transcript: Transcript,
        *,
        newest_tls: TlsVersion,
        says_close: bool,
        timeout_s: float = 30.0,
    ) -> None:
        self._address = address
        self._transcript = transcript
        self._newest_tls = newest_tls
        self._says_close = says_close
        self._timeout_s = timeout_s

    def send(self, call: Call) -> Response:
        """Send a call and return the final answer.

        GET and HEAD follow 301, 302, 303 and 307; a redirected request carries the same headers but
        ``Authorization``, and a ``Referer``, as docker's redirect rule has it.

        Raises:
            HandshakeError: The scheme is https and TLS did not come about.
            BrokenConnectionError: The peer refused the connection or hung up without an answer.
        """
        for _ in range(_REDIRECTS_FOLLOWED):
            request = self._dress(call)
            response = self._exchange(request)
            location = response.value("Location")
            follows = call.method in {"GET", "HEAD"} and response.status in {301, 302, 303, 307}
            if not (follows and location):
                return response
            kept = [(name, value) for name, value in call.fields if name not in {"Authorization", "Referer"}]
            call = Call(
                method=call.method,
                url=urljoin(call.url, location),
                agent=call.agent,
                fields=[*kept, ("Referer", call.url)],
            )
        raise BrokenConnectionError(f"stopped after {_REDIRECTS_FOLLOWED} redirects at {call.url}")

    def _dress(self, call: Call) -> Request:
        """The header lines in Go's order: Host, agent, framing, the program's own sorted, the transport's."""
        headers = [("Host", urlsplit(call.url).netloc), ("User-Agent", call.agent)]
        if call.chunked:
            headers.append(("Transfer-Encoding", "chunked"))
        elif call.body is not None or call.method in {"POST", "PUT"}:
            headers.append(("Content-Length", str(len(call.body or b""))))
        headers += sorted(call.fields, key=lambda header: header[0])
        ranged = any(name == "Range" for name, _ in call.fields)
        if call.method != "HEAD" and not ranged:
            headers.append(("Accept-Encoding", "gzip"))
        if self._says_close:
            headers.append(("Connection", "close"))
        body = call.body or b""
        chunks = len(list(_pieces(body))) if call.chunked else 0
        return Request(call.method, call.url, tuple(headers), body, chunks)

    def _exchange(self, request: Request) -> Response:
        parts = urlsplit(request.url)
        secure = parts.scheme == "https"
        port = parts.port or (443 if secure else 80)
        try:
            connection = socket.create_connection((parts.hostname or "", port), timeout=self._timeout_s)
        except OSError as error:
            raise BrokenConnectionError(f"cannot connect to {parts.netloc}: {error}") from error
        with connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            peer = self._secured(connection, parts.hostname or "", parts.netloc) if secure else connection
            slot = len(self._transcript.events)
            self._transcript.events.append(Exchange(request, None))
            with peer:
                response = _converse(peer, request)
            # Parallel uploads append between: the slot is found again by identity.
            for index in range(slot, len(self._transcript.events)):
                event = self._transcript.events[index]
                if isinstance(event, Exchange) and event.request is request:
                    self._transcript.events[index] = Exchange(request, response)
                    break
            return response

    def _secured(self, connection: socket.socket, host: str, netloc: str) -> ssl.SSLSocket:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.maximum_version = self._newest_tls.value
        if self._address.ca is None:
            context.check_hostname = False
            context.verify_mode = ssl.CERT_NONE
        else:
            context.load_verify_locations(self._address.ca)
        try:
            return context.wrap_socket(connection, server_hostname=host)
        except (OSError, ValueError) as error:
            self._transcript.events.append(FailedHandshake(netloc, str(error)))
            raise HandshakeError(f"no TLS with {netloc}: {error}") from error


def _pieces(body: bytes) -> Iterator[bytes]:
    """The body cut as Go's buffers cut it: many writes, the first ones small."""
    at = 0
    sizes = list(_CHUNK_SIZES)
    while at < len(body):
        size = sizes.pop(0) if len(sizes) > 1 else sizes[0]
        yield body[at : at + size]
        at += size


def _converse(peer: socket.socket, request: Request) -> Response:
    lines = [f"{request.method} {request.target} HTTP/1.1", *(f"{name}: {value}" for name, value in request.headers)]
    head = "".join(f"{line}\r\n" for line in [*lines, ""]).encode("latin-1")
    try:
        peer.sendall(head)
        if request.values("Transfer-Encoding"):
            for piece in _pieces(request.body):
                peer.sendall(b"%x\r\n" % len(piece) + piece + b"\r\n")
            peer.sendall(b"0\r\n\r\n")
        elif request.body:
            peer.sendall(request.body)
    except (BrokenPipeError, ConnectionResetError):
        pass  # an early answer to an unread body is still an answer: read it
    except OSError as error:
        raise BrokenConnectionError(f"writing {request.method} {request.url}: {error}") from error
    try:
        return _Reader(peer.recv).response(request)
    except OSError as error:
        raise BrokenConnectionError(f"reading the answer to {request.method} {request.url}: {error}") from error


class _Reader:
    """An HTTP/1.1 answer out of a byte stream; strict where Go is strict."""

    def __init__(self, receive: Callable[[int], bytes]) -> None:
        self._receive = receive
        self._buffer = b""

    def response(self, request: Request) -> Response:
        while True:
            version, status, reason = self._status_line(request)
            headers = tuple(self._header_lines())
            if status >= 200:
                break
        body = self._body(request, status, headers)
        response = Response(status, reason, headers, body)
        asked = request.values("Accept-Encoding") == ["gzip"]
        if asked and response.value("Content-Encoding") == "gzip" and body:
            return Response(status, reason, headers, gzip.decompress(body))
        if version not in {"HTTP/1.1", "HTTP/1.0"}:
            raise BrokenConnectionError(f"malformed HTTP version {version!r}")
        return response

    def _status_line(self, request: Request) -> tuple[str, int, str]:
        line = self._line()
        if not line:
            raise BrokenConnectionError(f"EOF instead of an answer to {request.method} {request.url}")
        version, _, rest = line.partition(" ")
        code, _, reason = rest.partition(" ")
        if not (version.startswith("HTTP/") and code.isdigit()):
            raise BrokenConnectionError(f"malformed HTTP response {line!r}")
        return version, int(code), reason

    def _header_lines(self) -> Iterator[tuple[str, str]]:
        while line := self._line():
            name, separator, value = line.partition(":")
            if not separator:
                raise BrokenConnectionError(f"malformed header line {line!r}")
            yield name, value.strip()

    def _body(self, request: Request, status: int, headers: Headers) -> bytes:
        fields = {name.lower(): value for name, value in headers}
        if request.method == "HEAD" or status in {204, 304}:
            return b""
        if fields.get("transfer-encoding", "").lower() == "chunked":
            return b"".join(self._chunks())
        if "content-length" in fields:
            return self._exactly(int(fields["content-length"]))
        return self._rest()

    def _chunks(self) -> Iterator[bytes]:
        while size := int(self._line().partition(";")[0], 16):
            yield self._exactly(size)
            self._line()
        while self._line():
            continue

    def _line(self) -> str:
        while b"\n" not in self._buffer:
            data = self._receive(_READ_BYTES)
            if not data:
                if self._buffer:
                    raise BrokenConnectionError("unexpected EOF in the head of an answer")
                return ""
            self._buffer += data
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.rstrip(b"\r").decode("latin-1")

    def _exactly(self, size: int) -> bytes:
        parts = [self._buffer[:size]]
        missing = size - len(parts[0])
        self._buffer = self._buffer[size:]
        while missing:
            data = self._receive(min(missing, 1 << 20))
            if not data:
                raise BrokenConnectionError(f"unexpected EOF: {missing} of {size} bytes of a body are missing")
            parts.append(data)
            missing -= len(data)
        return b"".join(parts)

    def _rest(self) -> bytes:
        parts = [self._buffer]
        while data := self._receive(_READ_BYTES):
            parts.append(data)
        self._buffer = b""
        return b"".join(parts)
