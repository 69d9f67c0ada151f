"""What a connection's first byte decides, and the line that each mistake leaves."""

from __future__ import annotations

import http.client
import socket
import ssl
import struct
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.certificate import CertificateFiles, make_certificate
from tests.support.programs import find_program
from tests.support.served import RunningServer, running_server

LOOPS = ["uvloop", "asyncio"]
TLS_HELLO = bytes.fromhex("16030100870100008303") + b"\x03" * 60


@pytest.fixture
def files(tmp_path: Path) -> CertificateFiles:
    return make_certificate(tmp_path)


@pytest.fixture(params=LOOPS)
def secure(request: pytest.FixtureRequest, tmp_path: Path, files: CertificateFiles) -> Iterator[RunningServer]:
    with running_server(tmp_path, tls={"chains": [(files.chain, files.key)]}, loop=request.param) as server:
        yield server


@pytest.fixture(params=LOOPS)
def plain(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[RunningServer]:
    with running_server(tmp_path, loop=request.param) as server:
        yield server


def connect(server: RunningServer) -> socket.socket:
    return socket.create_connection(("127.0.0.1", server.port), timeout=10)


def ask_securely(server: RunningServer, files: CertificateFiles) -> bytes:
    context = ssl.create_default_context(cafile=str(files.ca))
    connection = http.client.HTTPSConnection("localhost", server.port, context=context, timeout=10)
    connection.sock = context.wrap_socket(connect(server), server_hostname="localhost")
    try:
        connection.request("GET", "/")
        return connection.getresponse().read()
    finally:
        connection.close()


def test_a_plain_request_on_a_tls_port_gets_a_400_that_says_so(secure: RunningServer, files: CertificateFiles) -> None:
    with connect(secure) as connection:
        connection.sendall(b"GET /v2/ HTTP/1.1\r\nHost: registry.example.com:5000\r\nUser-Agent: docker/1.0.1\r\n\r\n")
        address = connection.getsockname()
        answer = connection.makefile("rb").read()
    assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert answer.endswith(b"\r\n\r\nThis port speaks TLS: use https://registry.example.com:5000/\n")
    secure.wait_for_line("plain HTTP request", f"127.0.0.1:{address[1]}", "speaks TLS")
    assert ask_securely(secure, files) == b"hello"


def test_a_large_plain_upload_to_a_tls_port_sees_the_answer_and_no_reset(secure: RunningServer) -> None:
    with connect(secure) as connection:
        connection.sendall(
            b'PUT / HTTP/1.1\r\nHost: evil"><script>\r\nContent-Length: 2000000\r\n\r\n' + b"x" * 2_000_000
        )
        answer = connection.makefile("rb").read()
    assert answer.endswith(b"This port speaks TLS: use https://127.0.0.1:%d/\n" % secure.port)


@pytest.mark.parametrize("junk", [b"\x80\x2e\x01\x03\x01", b"\x00", b"SSH-2.0-x\r\n"])
def test_junk_on_a_tls_port_gets_the_400_too(secure: RunningServer, junk: bytes) -> None:
    with connect(secure) as connection:
        connection.sendall(junk)
        assert connection.makefile("rb").read().startswith(b"HTTP/1.1 400 ")


def test_a_tls_hello_on_a_plain_port_leaves_one_line(plain: RunningServer) -> None:
    with connect(plain) as connection:
        connection.sendall(TLS_HELLO)
        address = connection.getsockname()
        answer = connection.makefile("rb").read()
    assert answer.startswith(b"HTTP/")  # by which Go's programs tell their user what is wrong
    plain.wait_for_line("INFO", "TLS hello", f"127.0.0.1:{address[1]}", "plain HTTP")
    with connect(plain) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert connection.makefile("rb").read().endswith(b"hello")
    assert len(plain.log().splitlines()) == 2  # "ready on", and that line


@pytest.mark.parametrize("newest", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_a_client_that_rejects_the_certificate_leaves_one_line(secure: RunningServer, newest: ssl.TLSVersion) -> None:
    context = ssl.create_default_context()
    context.maximum_version = newest
    with connect(secure) as connection:
        address = connection.getsockname()
        with pytest.raises(ssl.SSLCertVerificationError):
            context.wrap_socket(connection, server_hostname="localhost")
    secure.wait_for_line(
        f"TLS handshake error from 127.0.0.1:{address[1]}: remote error: unknown certificate authority"
    )
    assert len(secure.log().splitlines()) == 2


@pytest.mark.real
def test_curl_that_does_not_trust_the_ca_fails_with_60_and_leaves_the_line(
    secure: RunningServer, files: CertificateFiles
) -> None:
    curl = find_program("curl")
    url = f"https://127.0.0.1:{secure.port}"
    assert subprocess.run([curl, "-sS", url], capture_output=True, timeout=20, check=False).returncode == 60
    secure.wait_for_line("TLS handshake error from 127.0.0.1:", "unknown certificate authority")
    trusting = subprocess.run([curl, "-sS", "--cacert", files.ca, url], capture_output=True, timeout=20, check=True)
    assert trusting.stdout == b"hello"


def test_a_client_too_old_is_told_in_the_log(secure: RunningServer, files: CertificateFiles) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(files.ca)
    context.set_ciphers("ALL:@SECLEVEL=0")
    with pytest.warns(DeprecationWarning, match="TLSv1"):
        context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1
    with connect(secure) as connection, pytest.raises(ssl.SSLError):
        context.wrap_socket(connection, server_hostname="localhost")
    secure.wait_for_line("TLS handshake error from 127.0.0.1:", "older than the configured minimum")


def test_a_client_that_vanishes_in_the_handshake_harms_nobody(secure: RunningServer, files: CertificateFiles) -> None:
    with connect(secure) as connection:
        connection.sendall(TLS_HELLO[:20])
        time.sleep(0.2)
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    secure.wait_for_line("TLS handshake error from 127.0.0.1:")
    assert ask_securely(secure, files) == b"hello"
    assert "Traceback" not in secure.log()


def test_silent_and_slow_clients_delay_nobody(secure: RunningServer, files: CertificateFiles) -> None:
    silent = [connect(secure) for _ in range(40)]
    slow = [connect(secure) for _ in range(40)]
    try:
        for each in slow:
            each.sendall(b"\x16")
        start = time.monotonic()
        assert ask_securely(secure, files) == b"hello"
        assert time.monotonic() - start < 8
    finally:
        for each in silent + slow:
            each.close()
    assert ask_securely(secure, files) == b"hello"
    assert "Traceback" not in secure.log()


def test_a_connection_without_a_word_leaves_no_line(plain: RunningServer) -> None:
    connect(plain).close()
    with connect(plain) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert connection.makefile("rb").read().endswith(b"hello")
    assert len(plain.log().splitlines()) == 1


def test_running_out_of_open_files_is_told_and_passes(tmp_path: Path) -> None:
    wrapper = ["sh", "-c", 'ulimit -n 40; exec "$@"', "sh"]
    with running_server(tmp_path, wrapper=wrapper) as server:
        many = [connect(server) for _ in range(60)]
        for each in many:
            each.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        server.wait_for_line("no more connections can be taken for now", "raise the limit of open files")
        for each in many[:40]:
            each.close()
        assert many[-1].makefile("rb").readline() == b"HTTP/1.1 200 OK\r\n"
        for each in many:
            each.close()
