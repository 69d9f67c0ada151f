"""A limit of connections per client address: off by default, counted from the accept to the end of each connection."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.certificate import make_certificate
from tests.support.served import RunningServer, running_server

LIMIT = 3
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"


@pytest.fixture(params=[(loop, secure) for loop in ("uvloop", "asyncio") for secure in (False, True)], ids=str)
def server(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RunningServer]:
    loop, secure = request.param
    files = make_certificate(tmp_path)
    tls = {"chains": [(files.chain, files.key)]} if secure else None
    if secure:
        (tmp_path / "tls").touch()
    limits = {"connections": LIMIT}
    with running_server(tmp_path, tls=tls, loop=loop, limits=limits, trusted_networks=["127.0.0.9/32"]) as started:
        yield started


def connect(server: RunningServer, source: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), 10, (source, 0))


def is_closed(connection: socket.socket) -> bool:
    """Whether the server closes a connection that asks, in place of an answer."""
    connection.settimeout(20)
    try:
        connection.sendall(REQUEST)  # TCP_DEFER_ACCEPT: a connection is not taken before it says something
        return connection.recv(65536) == b""
    except ConnectionError:
        return True


def until_one_is_served(server: RunningServer) -> None:
    """Waits until the server has noticed that a connection has ended."""
    deadline = time.monotonic() + 20
    while True:
        with connect(server) as connection:
            if not is_closed(connection):
                return
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_one_too_many_is_closed_and_others_are_served(server: RunningServer) -> None:
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(connect(server)) for _ in range(LIMIT)]
        for each in held:
            each.sendall(b"\x16" if (server.folder / "tls").exists() else b"G")  # a beginning and no more
        time.sleep(0.3)
        assert is_closed(stack.enter_context(connect(server)))
        assert not is_closed(stack.enter_context(connect(server, "127.0.0.2")))
        server.wait_for_line("connections from 127.0.0.1 are refused: it has 3 already")
        held[0].close()
        until_one_is_served(server)
        assert server.log().count("are refused") == 1


def test_a_connection_that_ends_in_any_way_is_no_longer_counted(server: RunningServer) -> None:
    for _ in range(LIMIT * 3):
        with connect(server) as connection:
            connection.sendall(b"\x16\x03\x01\x00\x05hello")  # a handshake that fails, or what is not HTTP
            with contextlib.suppress(ConnectionError):
                while connection.recv(65536):
                    pass
        with connect(server) as connection:
            assert not is_closed(connection)
        time.sleep(0.05)
    assert "are refused" not in server.log()


def test_a_trusted_proxy_may_have_any_number(server: RunningServer) -> None:
    with contextlib.ExitStack() as stack:
        many = [stack.enter_context(connect(server, "127.0.0.9")) for _ in range(LIMIT * 3)]
        assert not any(is_closed(each) for each in many)


def test_established_tls_connections_count_until_they_end(tmp_path: Path) -> None:
    files = make_certificate(tmp_path)
    context = ssl.create_default_context(cafile=str(files.ca))
    limits = {"connections": LIMIT}
    with running_server(tmp_path, tls={"chains": [(files.chain, files.key)]}, limits=limits) as server:

        def open_one() -> ssl.SSLSocket:
            return context.wrap_socket(connect(server), server_hostname="localhost")

        for _ in range(3):
            held = [open_one() for _ in range(LIMIT)]
            with pytest.raises((ConnectionError, ssl.SSLError)):
                open_one()
            for each in held:
                each.sendall(REQUEST)
                assert each.recv(65536).startswith(b"HTTP/1.1 200")
                each.close()
            time.sleep(0.3)
