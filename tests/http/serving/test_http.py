"""aiohttp's settings, seen to act (it drops all when one is misspelt), and what a handler is told of its peer."""

from __future__ import annotations

import gzip
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.served import RunningServer, running_server


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RunningServer]:
    with running_server(tmp_path, trusted_networks=["127.0.0.9/32"]) as started:
        yield started


def exchange(connection: socket.socket, request: bytes) -> bytes:
    with connection, connection.makefile("rb") as answer:
        connection.sendall(request)
        return answer.read()


def connect(server: RunningServer, *, source: str = "127.0.0.1") -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=20, source_address=(source, 0))


def test_a_header_line_of_60_kib_is_accepted(server: RunningServer) -> None:
    value = b"x" * 60 * 1024
    answer = exchange(
        connect(server), b"GET /long HTTP/1.1\r\nConnection: close\r\nHost: x\r\nX-Long: " + value + b"\r\n\r\n"
    )
    assert answer.endswith(b"\r\n\r\n61440")


def test_a_request_line_of_60_kib_is_accepted(server: RunningServer) -> None:
    query = b"x" * 60 * 1024
    answer = exchange(connect(server), b"GET /long?" + query + b" HTTP/1.1\r\nConnection: close\r\nHost: x\r\n\r\n")
    assert answer.endswith(b"\r\n\r\n61440")


def test_a_longer_header_line_gets_a_plain_400_and_one_line_in_the_log(server: RunningServer) -> None:
    answer = exchange(connect(server), b"GET /long HTTP/1.1\r\nHost: x\r\nX-Long: " + b"x" * 70_000 + b"\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"\r\nContent-Type: text/plain" in answer
    server.wait_for_line("a request from 127.0.0.1 is refused", "longer than 65536 bytes")
    assert "Traceback" not in server.log()


def test_a_compressed_body_arrives_as_it_was_sent(server: RunningServer) -> None:
    body = gzip.compress(b"a layer")
    head = (
        f"PUT /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Encoding: gzip\r\nContent-Length: {len(body)}"
    )
    assert exchange(connect(server), head.encode() + b"\r\n\r\n" + body).endswith(b"\r\n\r\n" + body)


def test_a_client_that_hangs_up_cancels_its_handler(server: RunningServer) -> None:
    with connect(server) as connection:
        connection.sendall(b"GET /hang HTTP/1.1\r\nHost: x\r\n\r\n")
        server.wait_for_mark("hang-began")
    server.wait_for_mark("hang-cancelled")


def test_several_requests_go_over_one_connection(server: RunningServer) -> None:
    with connect(server) as connection:
        for _ in range(3):
            connection.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert connection.recv(65536).endswith(b"hello")


def test_requests_sent_ahead_are_answered_in_order(server: RunningServer) -> None:
    pipelined = b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 3 + b"GET /long HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    answer = exchange(connect(server), pipelined)
    assert answer.count(b"HTTP/1.1 200 OK") == 4
    assert answer.endswith(b"\r\n\r\n0")


def test_a_head_request_has_no_body(server: RunningServer) -> None:
    answer = exchange(connect(server), b"HEAD / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert b"\r\nContent-Length: 5\r\n" in answer
    assert answer.endswith(b"\r\n\r\n")


def peer(answer: bytes) -> dict[str, object]:
    shown: dict[str, object] = json.loads(answer.rpartition(b"\r\n\r\n")[2])
    return shown


PEER = b"GET /peer HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"


def test_a_stranger_is_not_trusted(server: RunningServer) -> None:
    assert peer(exchange(connect(server), PEER)) == {"remote": "127.0.0.1", "trusted": False}


def test_a_peer_of_a_trusted_network_is(server: RunningServer) -> None:
    assert peer(exchange(connect(server, source="127.0.0.9"), PEER)) == {"remote": "127.0.0.9", "trusted": True}


def test_who_comes_by_the_unix_socket_is_trusted(tmp_path: Path) -> None:
    path = tmp_path / "v1.sock"
    with running_server(tmp_path, address=f"unix:{path}", workers=2) as started:
        connection = socket.socket(socket.AF_UNIX)
        connection.connect(str(path))
        assert peer(exchange(connection, PEER))["trusted"] is True
        assert started.end() == 0
    assert not path.exists()


def test_ipv4_and_ipv6_peers_show_their_own_addresses(tmp_path: Path) -> None:
    with running_server(tmp_path, address="[::]:0") as started:
        seen = []
        for host in ("127.0.0.1", "::1"):
            try:
                connection = socket.create_connection((host, started.port), timeout=10)
            except OSError:
                continue  # a machine without IPv6
            seen.append((host, peer(exchange(connection, PEER))["remote"]))
        assert seen
        assert all(host == remote for host, remote in seen)


def test_large_buffers_do_not_fault_anew_each_time(server: RunningServer) -> None:
    """The allocator's settings: a fault every 4 KiB would be 256 for each MiB."""
    pid = int(Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text())

    def faults() -> int:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[7])

    body = os.urandom(1 << 20)
    request = b"PUT /echo HTTP/1.1\r\nHost: x\r\nContent-Length: 1048576\r\n\r\n" + body
    with connect(server) as connection:
        stream = connection.makefile("rb")
        before = 0
        for turn in range(60):
            connection.sendall(request)
            while stream.readline() != b"\r\n":
                pass
            assert stream.read(1 << 20) == body
            if turn == 19:
                before = faults()
        assert faults() - before < 40 * 30
