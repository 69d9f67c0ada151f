"""Clients that take nothing, send nothing more, or have gone: each ends, and whoever does something never does."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from portside.server.idle_connections import HALF_CLOSED_SECONDS, INTERVAL_SECONDS
from tests.support.certificate import make_certificate
from tests.support.served import RunningServer, running_server

SEND_SECONDS = 1.0
PATIENT_SECONDS = 4.0
LARGE = 32 << 20
BUSY_SECONDS = 8.0
"""So much later than it should something may be seen: the machine does other things too."""

HALF_CLOSED_AT_MOST = HALF_CLOSED_SECONDS + INTERVAL_SECONDS + BUSY_SECONDS
AT_ONCE = HALF_CLOSED_SECONDS - 1.0
"""What happens sooner was not waited for."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """A server and how to connect to it, by the way it is reached: `plain`, `tls`, `unix`."""

    server: RunningServer
    way: str
    connect: Callable[[], socket.socket]


FORMS = [(loop, way) for loop in ("uvloop", "asyncio") for way in ("plain", "tls", "unix")]


@pytest.fixture(params=FORMS, ids=str)
def endpoint(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Endpoint]:
    with _endpoint(tmp_path, *request.param) as found:
        yield found


@pytest.fixture(params=FORMS, ids=str)
def patient(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Endpoint]:
    """One whose clients have time enough for pauses, whatever else the machine does."""
    with _endpoint(tmp_path, *request.param, send_seconds=PATIENT_SECONDS) as found:
        yield found


@pytest.fixture(params=[form for form in FORMS if form[1] != "tls"], ids=str)
def in_clear(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Endpoint]:
    with _endpoint(tmp_path, *request.param) as found:
        yield found


@contextlib.contextmanager
def _endpoint(folder: Path, loop: str, way: str, *, send_seconds: float = SEND_SECONDS) -> Iterator[Endpoint]:
    files = make_certificate(folder)
    path = folder / "s.sock"
    with running_server(
        folder,
        address=f"unix:{path}" if way == "unix" else "127.0.0.1:0",
        tls={"chains": [(files.chain, files.key)]} if way == "tls" else None,
        loop=loop,
        limits={"send_seconds": send_seconds},
        trusted_peer=False,
        trusted_networks=["127.0.0.9/32"],
    ) as server:

        def connect() -> socket.socket:
            raw = socket.socket(socket.AF_UNIX if way == "unix" else socket.AF_INET)
            raw.settimeout(20)
            # A small window, so that a little that is read is seen by the other side.
            raw.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
            raw.connect(str(path) if way == "unix" else ("127.0.0.1", server.port))
            if way != "tls":
                return raw
            return ssl.create_default_context(cafile=str(files.ca)).wrap_socket(raw, server_hostname="localhost")

        yield Endpoint(server, way, connect)


def ask(target: str, *, method: str = "GET", more: str = "") -> bytes:
    return f"{method} {target} HTTP/1.1\r\nHost: x\r\n{more}\r\n".encode()


def read_all(connection: socket.socket) -> bytes:
    received = bytearray()
    with contextlib.suppress(ConnectionError, ssl.SSLEOFError):
        while piece := connection.recv(1 << 20):
            received += piece
    return bytes(received)


def body(answer: bytes) -> bytes:
    return answer.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("target", ["/large", f"/stream?size={LARGE}"])
def test_one_that_takes_nothing_is_cut_off(endpoint: Endpoint, target: str) -> None:
    with endpoint.connect() as connection:
        start = time.monotonic()
        connection.sendall(ask(target))
        endpoint.server.wait_for_line("was closed: the client received nothing of its answer for 1 seconds")
        assert SEND_SECONDS * 0.9 < time.monotonic() - start < SEND_SECONDS + BUSY_SECONDS
        assert len(body(read_all(connection))) < LARGE
    if target != "/large":
        endpoint.server.wait_for_mark("stream-ended")
    assert "Traceback" not in endpoint.server.log()


def test_one_that_takes_a_little_now_and_then_gets_all_of_it(patient: Endpoint) -> None:
    with patient.connect() as connection:
        connection.sendall(ask(f"/stream?size={LARGE}", more="Connection: close\r\n"))
        received, end = bytearray(), time.monotonic() + 2 * PATIENT_SECONDS
        while time.monotonic() < end:
            received += connection.recv(32768)
            time.sleep(0.3)
        assert len(received) < 2 << 20
        received += read_all(connection)
    assert len(body(bytes(received))) == LARGE
    assert "was closed" not in patient.server.log()


def test_one_that_takes_a_long_time_to_answer_is_not_the_clients_fault(endpoint: Endpoint) -> None:
    with endpoint.connect() as connection:
        connection.sendall(ask("/slow?seconds=3", more="Connection: close\r\n"))
        assert read_all(connection).endswith(b"slow but whole")


def test_a_trusted_proxy_may_take_as_long_as_it_likes(tmp_path: Path) -> None:
    limits = {"send_seconds": SEND_SECONDS}
    with (
        running_server(tmp_path, limits=limits, trusted_networks=["127.0.0.9/32"]) as server,
        socket.create_connection(("127.0.0.1", server.port), 20, ("127.0.0.9", 0)) as connection,
    ):
        connection.sendall(ask("/large", more="Connection: close\r\n"))
        time.sleep(SEND_SECONDS + 2)
        assert len(body(read_all(connection))) == LARGE


def test_our_own_proxy_behind_its_unix_socket_too(tmp_path: Path) -> None:
    limits, path = {"send_seconds": SEND_SECONDS}, tmp_path / "s.sock"
    with (
        running_server(tmp_path, address=f"unix:{path}", limits=limits),
        socket.socket(socket.AF_UNIX) as connection,
    ):
        connection.settimeout(20)
        connection.connect(str(path))
        connection.sendall(ask("/large", more="Connection: close\r\n"))
        time.sleep(SEND_SECONDS + 2)
        assert len(body(read_all(connection))) == LARGE


# One that shuts down its side


@pytest.mark.parametrize(
    ("request_", "end"),
    [
        (ask("/"), b"hello"),
        (ask("/slow?seconds=1.5"), b"slow but whole"),
        (ask("/upload", method="PUT", more="Content-Length: 3\r\n") + b"abc", b"\r\n\r\n3"),
        (ask("/") + ask("/slow?seconds=1") + ask("/"), b"hello"),
        (b"GET /slow?seconds=1 HTTP/1.0\r\n\r\n", b"slow but whole"),
    ],
    ids=["at once", "slow", "a body", "several", "HTTP/1.0"],
)
def test_it_gets_the_answers_that_were_on_their_way(in_clear: Endpoint, request_: bytes, end: bytes) -> None:
    with in_clear.connect() as connection:
        connection.sendall(request_)
        connection.shutdown(socket.SHUT_WR)
        start = time.monotonic()
        answer = read_all(connection)
        assert time.monotonic() - start < HALF_CLOSED_SECONDS
    assert answer.count(b"\r\nDate: ") == max(1, request_.count(b"\r\n\r\n"))
    assert answer.endswith(end)


def test_it_gets_a_large_answer_whole(in_clear: Endpoint) -> None:
    with in_clear.connect() as connection:
        connection.sendall(ask(f"/stream?size={LARGE}"))
        connection.shutdown(socket.SHUT_WR)
        time.sleep(HALF_CLOSED_SECONDS / 8)
        assert len(body(read_all(connection))) == LARGE


def test_half_a_body_ends_at_once(in_clear: Endpoint) -> None:
    with in_clear.connect() as connection:
        connection.sendall(ask("/hang", method="PUT", more="Content-Length: 10\r\n") + b"abc")
        in_clear.server.wait_for_mark("hang-began")
        connection.shutdown(socket.SHUT_WR)
        in_clear.server.wait_for_mark("hang-cancelled", seconds=AT_ONCE)
        assert read_all(connection) == b""


def test_an_idle_one_is_closed_at_once(in_clear: Endpoint) -> None:
    with in_clear.connect() as connection:
        connection.sendall(ask("/"))
        assert connection.recv(65536).endswith(b"hello")
        connection.shutdown(socket.SHUT_WR)
        connection.settimeout(AT_ONCE)
        assert connection.recv(10) == b""


def test_one_whose_answer_does_not_begin_is_not_waited_for(in_clear: Endpoint) -> None:
    with in_clear.connect() as connection:
        connection.sendall(ask("/hang"))
        in_clear.server.wait_for_mark("hang-began")
        connection.shutdown(socket.SHUT_WR)
        in_clear.server.wait_for_mark("hang-cancelled", seconds=HALF_CLOSED_AT_MOST)


# One that has gone


def test_a_handler_that_waits_ends_when_its_client_has_gone(endpoint: Endpoint) -> None:
    with endpoint.connect() as connection:
        connection.sendall(ask("/hang"))
        endpoint.server.wait_for_mark("hang-began")
    seconds = HALF_CLOSED_AT_MOST if endpoint.way == "plain" else AT_ONCE
    endpoint.server.wait_for_mark("hang-cancelled", seconds=seconds)


def test_it_ends_too_when_the_body_has_filled_the_buffers(endpoint: Endpoint) -> None:
    """Nothing is read then, so the event loop does not see the client go."""
    with endpoint.connect() as connection:
        connection.sendall(ask("/hang", method="PUT", more="Content-Length: 50000000\r\n"))
        endpoint.server.wait_for_mark("hang-began")
        connection.sendall(b"x" * 700_000)
        time.sleep(0.3)
    endpoint.server.wait_for_mark("hang-cancelled", seconds=HALF_CLOSED_AT_MOST)
