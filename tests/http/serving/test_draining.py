"""The end: what is in flight when a signal comes is finished, what is idle is closed, a second signal is obeyed."""

from __future__ import annotations

import http.client
import signal
import socket
import ssl
import threading
import time
from pathlib import Path

import pytest

from tests.support.certificate import make_certificate
from tests.support.served import RunningServer, running_server


def ask(server: RunningServer, path: str) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
    try:
        connection.request("GET", path)
        return connection.getresponse().read().decode()
    finally:
        connection.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_request_in_flight_is_answered_and_the_status_is_0(tmp_path: Path, number: signal.Signals) -> None:
    with running_server(tmp_path, workers=2) as server:
        answers: list[str] = []
        thread = threading.Thread(target=lambda: answers.append(ask(server, "/slow?seconds=1.5")))
        thread.start()
        server.wait_for_mark("slow-began")
        assert server.end(number) == 0
        thread.join()
        assert answers == ["slow but whole"]
        assert len(list(tmp_path.glob("closed-*"))) == 2


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_an_upload_in_flight_goes_on_to_its_end(tmp_path: Path, loop: str, *, secure: bool) -> None:
    files = make_certificate(tmp_path)
    tls = {"chains": [(files.chain, files.key)]} if secure else None
    with running_server(tmp_path, tls=tls, loop=loop) as server:
        connection = socket.create_connection(("127.0.0.1", server.port), timeout=20)
        if secure:
            context = ssl.create_default_context(cafile=str(files.ca))
            connection = context.wrap_socket(connection, server_hostname="localhost")
        with connection:
            connection.sendall(b"PUT /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 3000000\r\n\r\n" + b"x" * 1_000_000)
            server.wait_for_mark("upload-began")
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.5)
            connection.sendall(b"x" * 1_000_000)
            time.sleep(0.2)
            connection.sendall(b"x" * 1_000_000)
            answer = connection.makefile("rb").read()
            assert answer.startswith(b"HTTP/1.1 200 OK\r\n")
            assert b"\r\nConnection: close\r\n" in answer
            assert answer.endswith(b"\r\n\r\n3000000")
        assert server.process.wait(10) == 0


@pytest.mark.parametrize("secure", [False, True])
@pytest.mark.parametrize("loop", ["uvloop", "asyncio"])
def test_a_slow_reader_gets_the_whole_of_an_answer_that_was_given_before(
    tmp_path: Path, loop: str, *, secure: bool
) -> None:
    files = make_certificate(tmp_path)
    tls = {"chains": [(files.chain, files.key)]} if secure else None
    with running_server(tmp_path, tls=tls, loop=loop) as server:
        connection = socket.create_connection(("127.0.0.1", server.port), timeout=20)
        if secure:
            context = ssl.create_default_context(cafile=str(files.ca))
            connection = context.wrap_socket(connection, server_hostname="localhost")
        with connection:
            connection.sendall(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n")
            server.wait_for_mark("large-began")
            time.sleep(0.2)
            server.process.send_signal(signal.SIGTERM)
            time.sleep(2.5)
            answer = connection.makefile("rb").read()
        assert len(answer.partition(b"\r\n\r\n")[2]) == 32 << 20
        assert server.process.wait(10) == 0


def test_idle_connections_are_closed_at_once(tmp_path: Path) -> None:
    with running_server(tmp_path, drain_seconds=8) as server:
        connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=20)
        connection.request("GET", "/")
        assert connection.getresponse().read() == b"hello"
        start = time.monotonic()
        assert server.end() == 0
        assert time.monotonic() - start < 6
        assert connection.sock.recv(1) == b""
        connection.close()


def test_a_client_that_never_reads_does_not_keep_an_idle_tls_connection_open(tmp_path: Path) -> None:
    files = make_certificate(tmp_path)
    with running_server(tmp_path, tls={"chains": [(files.chain, files.key)]}) as server:
        context = ssl.create_default_context(cafile=str(files.ca))
        raw = socket.create_connection(("127.0.0.1", server.port), timeout=20)
        with context.wrap_socket(raw, server_hostname="localhost") as pooled:
            pooled.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            assert pooled.recv(65536).endswith(b"hello")
            start = time.monotonic()
            assert server.end() == 0
            assert time.monotonic() - start < 7


def test_what_takes_longer_than_the_limit_is_cut_off_and_its_handler_hears_of_it(tmp_path: Path) -> None:
    with running_server(tmp_path, drain_seconds=1) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
            connection.sendall(b"GET /hang HTTP/1.1\r\nHost: x\r\n\r\n")
            server.wait_for_mark("hang-began")
            start = time.monotonic()
            assert server.end() == 0
            assert 0.9 < time.monotonic() - start < 7
            assert connection.recv(65536) == b""
        assert (tmp_path / "hang-cancelled").exists()
        assert list(tmp_path.glob("closed-*"))
        server.wait_for_line("1 request is not finished after 1 seconds and cut off")


def test_a_connection_that_has_just_come_may_still_ask(tmp_path: Path) -> None:
    with running_server(tmp_path) as server, socket.create_connection(("127.0.0.1", server.port), timeout=20) as early:
        early.sendall(b"GET / HT")
        time.sleep(0.3)
        server.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        early.sendall(b"TP/1.1\r\nHost: x\r\n\r\n")
        assert early.makefile("rb").read().endswith(b"hello")
        assert server.process.wait(10) == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_it_at_once(tmp_path: Path, number: signal.Signals) -> None:
    with running_server(tmp_path, workers=2) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
            connection.sendall(b"GET /hang HTTP/1.1\r\nHost: x\r\n\r\n")
            server.wait_for_mark("hang-began")
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
            start = time.monotonic()
            assert server.end(number) == 128 + number
            assert time.monotonic() - start < 5
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", server.port), timeout=5)


def accepts(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


def test_nobody_new_is_accepted_while_it_drains(tmp_path: Path) -> None:
    with running_server(tmp_path, workers=2) as server:
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as connection:
            connection.sendall(b"GET /slow?seconds=6 HTTP/1.1\r\nHost: x\r\n\r\n")
            server.wait_for_mark("slow-began")
            server.process.send_signal(signal.SIGTERM)
            while accepts(server.port):
                time.sleep(0.02)
            assert server.process.poll() is None, "it drains still"
        assert server.process.wait(10) == 0
