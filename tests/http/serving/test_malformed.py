"""What is not valid HTTP, byte for byte: it never reaches a handler, ends its connection and is answered once.

First among it what two programs could read in two ways ("request smuggling"): a proxy in front would see one request
where we see two. RFC 9112 sections 2.2, 3, 5, 6, 7 and 11.2.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import pytest

from tests.support.certificate import CertificateFiles, make_certificate
from tests.support.served import RunningServer, running_server

SECOND = b"GET /pid HTTP/1.1\r\nHost: x\r\n\r\n"
"""What must never be answered: what follows a request that is not valid."""


def head(*lines: bytes, method: bytes = b"GET", target: bytes = b"/echo", version: bytes = b"HTTP/1.1") -> bytes:
    """A request's head; the Host header is given unless one of the lines is one."""
    host = [] if any(line.lower().startswith(b"host") for line in lines) else [b"Host: x"]
    return b"\r\n".join([method + b" " + target + b" " + version, *host, *lines, b"", b""])


def post(*lines: bytes, body: bytes = b"", version: bytes = b"HTTP/1.1") -> bytes:
    return head(*lines, method=b"POST", version=version) + body


CHUNKED = b"Transfer-Encoding: chunked"
END = b"0\r\n\r\n"
REFUSED: dict[str, tuple[int, bytes]] = {
    # Framing that could be read in two ways.
    "length and chunked": (400, post(b"Content-Length: 4", CHUNKED, body=END)),
    "chunked and length": (400, post(CHUNKED, b"Content-Length: 4", body=END)),
    "chunked is not the last coding": (400, post(b"Transfer-Encoding: chunked, identity", body=END)),
    "no chunked at all": (400, post(b"Transfer-Encoding: gzip", body=b"abc")),
    "identity": (400, post(b"Transfer-Encoding: identity")),
    "empty coding": (400, post(b"Transfer-Encoding: ")),
    "empty element before chunked": (400, post(b"Transfer-Encoding: , chunked", body=END)),
    "chunked twice in a line": (400, post(b"Transfer-Encoding: chunked, chunked", body=END)),
    "chunked in two lines": (400, post(CHUNKED, CHUNKED, body=END)),
    "xchunked": (400, post(b"Transfer-Encoding: xchunked", body=END)),
    "vertical tab before chunked": (400, post(b"Transfer-Encoding: \x0bchunked", body=END)),
    "quoted chunked": (400, post(b'Transfer-Encoding: "chunked"', body=END)),
    "blank before the colon": (400, post(b"Transfer-Encoding : chunked", body=END)),
    "tab before the colon": (400, post(b"Transfer-Encoding\t: chunked", body=END)),
    "chunked in HTTP/1.0": (400, post(CHUNKED, body=END, version=b"HTTP/1.0")),
    "an unknown coding": (501, post(b"Transfer-Encoding: x, chunked", body=END)),
    "gzip, chunked": (501, post(b"Transfer-Encoding: gzip, chunked", body=END)),
    "GZIP,Chunked": (501, post(b"Transfer-Encoding: GZIP,Chunked", body=END)),
    "length twice": (400, post(b"Content-Length: 1", b"Content-Length: 1", body=b"a")),
    "two lengths": (400, post(b"Content-Length: 1", b"Content-Length: 2", body=b"a")),
    "length as a list": (400, post(b"Content-Length: 1, 1", body=b"a")),
    "length +1": (400, post(b"Content-Length: +1", body=b"a")),
    "length -1": (400, post(b"Content-Length: -1", body=b"a")),
    "length empty": (400, post(b"Content-Length: ")),
    "length 0x1": (400, post(b"Content-Length: 0x1", body=b"a")),
    "length 1_0": (400, post(b"Content-Length: 1_0", body=b"a" * 10)),
    "length 1 0": (400, post(b"Content-Length: 1 0", body=b"a" * 10)),
    "length 1.0": (400, post(b"Content-Length: 1.0", body=b"a")),
    "length beyond 64 bits": (400, post(b"Content-Length: 99999999999999999999999", body=b"a")),
    # Lines.
    "bare line feeds": (400, b"GET / HTTP/1.1\nHost: x\n\n"),
    "one bare line feed": (400, b"GET / HTTP/1.1\r\nHost: x\nX: y\r\n\r\n"),
    "line feed before the end of the head": (400, b"GET / HTTP/1.1\r\nHost: x\r\n\n"),
    "bare carriage return": (400, head(b"X: a\rb")),
    "carriage return before the colon": (400, head(b"X\r: a")),
    "folded header": (400, head(b"X: a\r\n b")),
    "folded length": (400, post(b"Content-Length:\r\n 1", body=b"a")),
    "folded coding": (400, post(b"Transfer-Encoding:\r\n chunked", body=END)),
    "blank before the first header": (400, b"GET / HTTP/1.1\r\n X: a\r\nHost: x\r\n\r\n"),
    "NUL in a value": (400, head(b"X: a\x00b")),
    "control character in a value": (400, head(b"X: a\x01b")),
    "header without a colon": (400, head(b"Xa")),
    "header without a name": (400, head(b": a")),
    "blank in a header's name": (400, head(b"X Y: a")),
    # Chunks.
    "chunk size with a bare line feed": (400, post(CHUNKED, body=b"1\na\r\n" + END)),
    "chunk extension with a bare line feed": (400, post(CHUNKED, body=b"1;a\nb\r\na\r\n" + END)),
    "chunk size 0x1": (400, post(CHUNKED, body=b"0x1\r\na\r\n" + END)),
    "chunk size with a blank": (400, post(CHUNKED, body=b"1 \r\na\r\n" + END)),
    "chunk size +1": (400, post(CHUNKED, body=b"+1\r\na\r\n" + END)),
    "chunk size -1": (400, post(CHUNKED, body=b"-1\r\na\r\n" + END)),
    "chunk size empty": (400, post(CHUNKED, body=b"\r\na\r\n" + END)),
    "chunk size beyond 64 bits": (400, post(CHUNKED, body=b"10000000000000001\r\na\r\n" + END)),
    "chunk longer than its size": (400, post(CHUNKED, body=b"1\r\nab\r\n" + END)),
    "chunk that ends with a bare line feed": (400, post(CHUNKED, body=b"1\r\na\n" + END)),
    # The request line.
    "HTTP/2.0": (505, head(version=b"HTTP/2.0")),
    "HTTP/0.9": (505, head(version=b"HTTP/0.9")),
    "HTTP/1.2": (400, head(version=b"HTTP/1.2")),
    "http/1.1": (400, head(version=b"http/1.1")),
    "HTTP/1.10": (400, head(version=b"HTTP/1.10")),
    "the preface of HTTP/2": (400, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "a tab after the method": (400, b"GET\t/ HTTP/1.1\r\nHost: x\r\n\r\n"),
    "a blank in the target": (400, head(target=b"/a b")),
    "a control character in the target": (400, head(target=b"/a\x01b")),
    "a method in lower case": (400, head(method=b"get")),
    "a method that nobody knows": (400, head(method=b"SMUGGLE")),
    "a target without a slash": (400, head(target=b"v2/")),
    "an absolute target without a host": (400, head(target=b"http:/x")),
    "* for what is not OPTIONS": (400, head(target=b"*")),
    "a long request line": (400, head(target=b"/" + b"a" * 70_000)),
    "a long header": (400, head(b"X: " + b"a" * 70_000)),
    "too many headers": (400, head(*[b"X: y"] * 200)),
    # The host.
    "no host": (400, b"GET / HTTP/1.1\r\n\r\n"),
    "two hosts": (400, head(b"Host: a", b"Host: b")),
    "an empty host": (400, head(b"Host: ")),
    "a blank in the host": (400, head(b"Host: a b")),
    "a path in the host": (400, head(b"Host: a/b")),
    "a user in the host": (400, head(b"Host: me@a")),
    "a list of hosts": (400, head(b"Host: a, b")),
    "a port that is not a number": (400, head(b"Host: a:b")),
    "a port beyond all": (400, head(b"Host: a:70000")),
    "an open bracket": (400, head(b"Host: [::1")),
    "a quote in the host": (400, head(b'Host: a"b')),
    "bytes beyond ASCII in the host": (400, head(b"Host: b\xc3\xbccher")),
    "a bad host in HTTP/1.0": (400, head(b"Host: a b", version=b"HTTP/1.0")),
    "two User-Agents": (400, head(b"User-Agent: docker/1.0", b"User-Agent: docker/20.10")),
}  # fmt: skip

ACCEPTED: dict[str, bytes] = {
    "HTTP/1.0 without a host": head(b"Connection: close", version=b"HTTP/1.0").replace(b"Host: x\r\n", b""),
    "blanks around values": head(b"Host: \t x:5000 \t", b"Connection:close"),
    "Chunked": post(b"Transfer-Encoding: Chunked", b"Connection: close", body=b"1\r\na\r\n" + END),
    "a chunk's extension": post(CHUNKED, b"Connection: close", body=b'1;x=y;z="a b"\r\na\r\n' + END),
    "a trailer": post(CHUNKED, b"Connection: close", body=b"1\r\na\r\n0\r\nX: y\r\n\r\n"),
    "empty lines first": b"\r\n\r\n" + head(b"Connection: close"),
    "an underscore in a host": head(b"Host: my_registry:5000", b"Connection: close"),
    "an address": head(b"Host: [::1]:5000", b"Connection: close"),
    "an absolute target": head(b"Host: x", b"Connection: close", target=b"http://x/echo"),
    "* for OPTIONS": head(b"Connection: close", method=b"OPTIONS", target=b"*"),
    "an upgrade that nobody grants": head(b"Upgrade: h2c", b"Connection: Upgrade, close"),
}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server and how to connect to it."""

    server: RunningServer
    connect: Callable[[], socket.socket]


FORMS = [(loop, secure) for loop in ("uvloop", "asyncio") for secure in (False, True)]


@pytest.fixture(scope="module", params=FORMS, ids=str)
def endpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Endpoint]:
    loop, secure = request.param
    folder = tmp_path_factory.mktemp("server")
    files = make_certificate(folder)
    tls = {"chains": [(files.chain, files.key)]} if secure else None
    with running_server(folder, tls=tls, loop=loop) as server:
        yield Endpoint(server, connector(server, files if secure else None))


def connector(server: RunningServer, files: CertificateFiles | None) -> Callable[[], socket.socket]:
    context = ssl.create_default_context(cafile=str(files.ca)) if files else None

    def connect() -> socket.socket:
        raw = socket.create_connection(("127.0.0.1", server.port), timeout=10)
        return raw if context is None else context.wrap_socket(raw, server_hostname="localhost")

    return connect


def exchange(connection: socket.socket, *parts: bytes, pause: float = 0.0) -> bytes:
    """Sends parts and returns all that comes until the other side closes."""
    with connection:
        for number, part in enumerate(parts):
            time.sleep(pause if number else 0)
            with contextlib.suppress(ConnectionError):  # it may have heard enough
                connection.sendall(part)
        received = b""
        with contextlib.suppress(ConnectionError):
            while piece := connection.recv(65536):
                received += piece
        return received


def assert_refused(answer: bytes, status: int) -> None:
    assert answer.startswith(b"HTTP/1.1 %d " % status), answer
    assert answer.count(b"\r\nDate: ") == 1, answer
    text, _, body = answer.partition(b"\r\n\r\n")
    assert b"\r\nConnection: close" in text
    assert b"\r\nServer: Portside\r\n" in text
    assert b"\r\nContent-Type: text/plain; charset=utf-8\r\n" in text
    assert b"\r\nContent-Length: %d\r\n" % len(body) in text + b"\r\n"
    assert len(body) > 10
    assert body.isascii()
    assert not any(name in answer.lower() for name in (b"aiohttp", b"python", b"llhttp", b"error handling"))


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_once_and_nothing_after_it_is_answered(endpoint: Endpoint, name: str) -> None:
    status, request = REFUSED[name]
    assert_refused(exchange(endpoint.connect(), followed(status, request)), status)


@pytest.mark.parametrize("name", REFUSED)
def test_it_is_refused_after_a_good_request_of_the_same_connection(endpoint: Endpoint, name: str) -> None:
    status, request = REFUSED[name]
    connection = endpoint.connect()
    connection.sendall(head(target=b"/"))
    good = b""
    while not good.endswith(b"hello"):
        good += connection.recv(65536)
    assert good.startswith(b"HTTP/1.1 200 OK\r\n")
    assert_refused(exchange(connection, followed(status, request)), status)


def followed(status: int, request: bytes) -> bytes:
    """A request with another one behind it; the parser refuses that too where a version cannot have a second one."""
    return request if status == 505 else request + SECOND


@pytest.mark.parametrize("name", ACCEPTED)
def test_what_is_valid_is_answered(endpoint: Endpoint, name: str) -> None:
    answer = exchange(endpoint.connect(), ACCEPTED[name])
    assert answer.split(b"\r\n")[0].endswith(b" 200 OK")
    assert b"\r\nServer: Portside\r\n" in answer  # whatever a handler forgets


BROKEN_LATER = [b"zz\r\n", b"-1\r\n", b"5\r\nhelloXX", b"1\r\na\n", b"\x16\x03\x01\r\n"]


@pytest.mark.parametrize("nonsense", BROKEN_LATER)
def test_a_body_that_breaks_in_the_middle_is_told_to_its_handler_at_once(endpoint: Endpoint, nonsense: bytes) -> None:
    start = time.monotonic()
    answer = exchange(endpoint.connect(), post(CHUNKED, body=b"1\r\na\r\n"), nonsense + SECOND, pause=0.2)
    assert time.monotonic() - start < 15
    assert answer.startswith(b"HTTP/1.1 500 ")  # this handler does not know what to make of it
    assert answer.count(b"HTTP/1.1") == 1
    assert b"\r\nServer: Portside\r\n" in answer


@pytest.mark.parametrize("method", [b"POST", b"DELETE"])  # their bodies are read by different readers
@pytest.mark.parametrize("nonsense", BROKEN_LATER)
def test_a_body_that_breaks_behind_its_answer_ends_the_connection_without_a_traceback(
    endpoint: Endpoint, nonsense: bytes, method: bytes
) -> None:
    before, start = endpoint.server.log().count("Traceback"), time.monotonic()
    request = head(CHUNKED, method=method, target=b"/") + b"1\r\na\r\n"
    answer = exchange(endpoint.connect(), request, nonsense + SECOND, pause=0.2)
    assert time.monotonic() - start < 15
    assert answer.endswith(b"hello")
    assert answer.count(b"HTTP/1.1") == 1
    assert endpoint.server.log().count("Traceback") == before


def test_nothing_that_was_refused_left_a_traceback_or_what_was_sent(endpoint: Endpoint) -> None:
    for _, request in REFUSED.values():
        exchange(endpoint.connect(), request.replace(b"Host: x\r\n", b"Host: x\r\nAuthorization: Basic c2VjcmV0\r\n"))
        exchange(endpoint.connect(), request.replace(b"/echo", b"/echo?token=c2VjcmV0"))
    log = endpoint.server.log()
    lines = [line for line in log.splitlines() if "is refused: " in line]
    assert len(lines) >= 2 * len(REFUSED)
    assert "c2VjcmV0" not in log
    assert "^" not in "".join(lines)
