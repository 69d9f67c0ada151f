"""TLS of a running server: versions, chains side by side, client certificates, files that change."""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509

from tests.support.certificate import CertificateFiles, make_certificate
from tests.support.served import RunningServer, running_server


@pytest.fixture
def files(tmp_path: Path) -> CertificateFiles:
    return make_certificate(tmp_path)


def trusting(files: CertificateFiles) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(files.ca))
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


def handshake(server: RunningServer, context: ssl.SSLContext) -> ssl.SSLSocket:
    raw = socket.create_connection(("127.0.0.1", server.port), timeout=10)
    try:
        return context.wrap_socket(raw, server_hostname="localhost")
    except BaseException:
        raw.close()
        raise


def ask(server: RunningServer, context: ssl.SSLContext) -> str:
    with handshake(server, context) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        response = http.client.HTTPResponse(connection)
        response.begin()
        return response.read().decode()


def serial(server: RunningServer, files: CertificateFiles) -> int:
    with handshake(server, trusting(files)) as connection:
        return x509.load_der_x509_certificate(connection.getpeercert(binary_form=True) or b"").serial_number


def test_modern_clients_get_tls_1_3_with_the_cheap_cipher_and_no_http_2(
    tmp_path: Path, files: CertificateFiles
) -> None:
    with running_server(tmp_path, tls={"chains": [(files.chain, files.key)]}) as server:
        with handshake(server, trusting(files)) as connection:
            assert connection.version() == "TLSv1.3"
            assert connection.selected_alpn_protocol() == "http/1.1"
        context = trusting(files)
        context.set_alpn_protocols([])
        assert ask(server, context) == "hello"


def test_a_client_of_docker_1_0s_time_gets_tls_1_2(tmp_path: Path, files: CertificateFiles) -> None:
    with running_server(tmp_path, tls={"chains": [(files.chain, files.key)]}) as server:
        context = ssl.create_default_context(cafile=str(files.ca))
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        context.set_ciphers("ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-ECDSA-AES128-GCM-SHA256")
        with handshake(server, context) as connection:
            # The client's order counts, and this one put 256 bits first.
            assert connection.cipher() == ("ECDHE-ECDSA-AES256-GCM-SHA384", "TLSv1.2", 256)
        context.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
        assert ask(server, context) == "hello"


def test_the_minimum_can_be_raised(tmp_path: Path, files: CertificateFiles) -> None:
    with running_server(tmp_path, tls={"chains": [(files.chain, files.key)], "minimum": "tls1.3"}) as server:
        assert ask(server, trusting(files)) == "hello"
        context = trusting(files)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with pytest.raises(ssl.SSLError):
            handshake(server, context)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_the_minimum_can_be_lowered(tmp_path: Path, files: CertificateFiles, version: ssl.TLSVersion) -> None:
    with running_server(tmp_path, tls={"chains": [(files.chain, files.key)], "minimum": "tls1.0"}) as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.load_verify_locations(files.ca)
        context.set_ciphers("ALL:@SECLEVEL=0")
        with pytest.warns(DeprecationWarning, match="TLSv1"):
            context.minimum_version = context.maximum_version = version
        assert ask(server, context) == "hello"
        assert ask(server, trusting(files)) == "hello"


def test_ciphers_are_chosen_by_gos_names(tmp_path: Path, files: CertificateFiles) -> None:
    ciphers = ["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "TLS_AES_128_GCM_SHA256"]
    with running_server(tmp_path, tls={"chains": [(files.chain, files.key)], "ciphers": ciphers}) as server:
        context = trusting(files)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with handshake(server, context) as connection:
            assert (connection.cipher() or ("",))[0] == "ECDHE-ECDSA-AES256-GCM-SHA384"
        context.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
        with pytest.raises(ssl.SSLError):
            handshake(server, context)
        server.wait_for_line("TLS handshake error", "no cipher in common")


def test_an_ecdsa_and_an_rsa_chain_stand_side_by_side(tmp_path: Path, files: CertificateFiles) -> None:
    rsa, key = tmp_path / "domain.crt", tmp_path / "domain.key"
    guide = "openssl req -newkey rsa:2048 -nodes -keyout {} -x509 -days 365 -subj /CN=localhost -out {}"
    subprocess.run(guide.format(key, rsa).split(), check=True, capture_output=True, timeout=30)
    with running_server(tmp_path, tls={"chains": [(files.chain, files.key), (rsa, key)]}) as server:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        for kind, authentication in ((files.chain, "ECDSA"), (rsa, "RSA")):
            context.set_ciphers(f"ECDHE-{authentication}-AES128-GCM-SHA256")
            with handshake(server, context) as connection:
                shown = x509.load_der_x509_certificate(connection.getpeercert(binary_form=True) or b"")
                assert shown == x509.load_pem_x509_certificate(kind.read_bytes())


def test_no_ticket_is_made_that_hardly_any_client_uses(tmp_path: Path, files: CertificateFiles) -> None:
    """OpenSSL makes two for each connection of TLS 1.3, a tenth of its cost."""
    with running_server(tmp_path, tls={"chains": [(files.chain, files.key)]}) as server:
        for newest, has_ticket in ((ssl.TLSVersion.TLSv1_3, False), (ssl.TLSVersion.TLSv1_2, True)):
            context = trusting(files)
            context.maximum_version = newest
            with handshake(server, context) as connection:
                connection.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert connection.recv(65536).startswith(b"HTTP/1.1 200")  # tickets come before the answer
                session = connection.session
                assert (session is not None and session.has_ticket) is has_ticket
            raw = socket.create_connection(("127.0.0.1", server.port), timeout=10)
            with context.wrap_socket(raw, server_hostname="localhost", session=session) as again:
                assert again.session_reused is has_ticket


@pytest.fixture
def other(tmp_path: Path) -> CertificateFiles:
    folder = tmp_path / "other"
    folder.mkdir()
    return make_certificate(folder)


def test_a_session_begun_with_one_worker_goes_on_with_another(tmp_path: Path, files: CertificateFiles) -> None:
    with running_server(tmp_path, workers=2, tls={"chains": [(files.chain, files.key)]}) as server:
        context = trusting(files)
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        with handshake(server, context) as connection:
            session = connection.session
        reused = []
        for _ in range(20):
            raw = socket.create_connection(("127.0.0.1", server.port), timeout=10)
            with context.wrap_socket(raw, server_hostname="localhost", session=session) as connection:
                reused.append(connection.session_reused)
        assert reused == [True] * 20


def clients(server_files: CertificateFiles, shown: CertificateFiles | None) -> ssl.SSLContext:
    context = trusting(server_files)
    context.maximum_version = ssl.TLSVersion.TLSv1_2  # the refusal comes in the handshake itself then
    if shown is not None:
        context.load_cert_chain(shown.chain, shown.key)
    return context


def test_client_certificates_are_asked_for_and_verified(
    tmp_path: Path, files: CertificateFiles, other: CertificateFiles
) -> None:
    tls = {"chains": [(files.chain, files.key)], "client_cas": [other.ca]}
    with running_server(tmp_path, tls=tls) as server:
        assert ask(server, clients(files, other)) == "hello"
        with pytest.raises(ssl.SSLError):
            ask(server, clients(files, None))
        server.wait_for_line("TLS handshake error", "the client sent no certificate")
        with pytest.raises(ssl.SSLError):
            ask(server, clients(files, files))
        server.wait_for_line("TLS handshake error", "the client's certificate was not issued by a CA in clientcas")


def test_client_certificates_may_be_left_out_where_they_are_optional(
    tmp_path: Path, files: CertificateFiles, other: CertificateFiles
) -> None:
    tls = {
        "chains": [(files.chain, files.key)],
        "client_cas": [other.ca],
        "client_auth": "verify-client-cert-if-given",
    }
    with running_server(tmp_path, tls=tls) as server:
        assert ask(server, clients(files, other)) == "hello"
        assert ask(server, clients(files, None)) == "hello"
        with pytest.raises(ssl.SSLError):
            ask(server, clients(files, files))


@pytest.fixture
def live(tmp_path: Path, files: CertificateFiles) -> CertificateFiles:
    folder = tmp_path / "live"
    folder.mkdir()
    for path in (files.ca, files.chain, files.key):
        shutil.copy(path, folder / path.name)
    return CertificateFiles(folder / "ca.pem", folder / "chain.pem", folder / "key.pem")


def replace(live: CertificateFiles, new: CertificateFiles) -> None:
    for source, target in ((new.key, live.key), (new.chain, live.chain)):
        temporary = target.with_suffix(".new")
        shutil.copy(source, temporary)
        temporary.replace(target)


@pytest.fixture
def reloading(tmp_path: Path, live: CertificateFiles) -> Iterator[RunningServer]:
    tls = {"chains": [(live.chain, live.key)], "reload_seconds": 0.1}
    with running_server(tmp_path, tls=tls, workers=2) as server:
        yield server


def wait_for_two_reloads(server: RunningServer) -> None:
    """Waits until both workers have the new files."""
    server.wait_for_line("certificates were reloaded")
    while server.log().count("certificates were reloaded") < 2:
        time.sleep(0.02)


def test_changed_files_are_read_anew_by_every_worker(
    reloading: RunningServer, live: CertificateFiles, files: CertificateFiles, other: CertificateFiles
) -> None:
    first = serial(reloading, files)
    with handshake(reloading, trusting(files)) as old:
        replace(live, other)
        wait_for_two_reloads(reloading)
        second = x509.load_pem_x509_certificate(other.chain.read_bytes()).serial_number
        assert {serial(reloading, other) for _ in range(10)} == {second}
        assert first != second
        old.sendall(b"GET / HTTP/1.0\r\n\r\n")  # a connection goes on with what it began with
        assert old.recv(65536).startswith(b"HTTP/1.")


def test_sessions_go_on_when_a_certificate_is_renewed(
    reloading: RunningServer, live: CertificateFiles, files: CertificateFiles, other: CertificateFiles
) -> None:
    context = trusting(files)
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    with handshake(reloading, context) as connection:
        session = connection.session
    replace(live, other)
    wait_for_two_reloads(reloading)
    for _ in range(10):  # both workers
        raw = socket.create_connection(("127.0.0.1", reloading.port), timeout=10)
        with context.wrap_socket(raw, server_hostname="localhost", session=session) as connection:
            assert connection.session_reused
    assert serial(reloading, other) == x509.load_pem_x509_certificate(other.chain.read_bytes()).serial_number


def test_a_certificate_of_another_kind_takes_the_place_of_the_one_before(
    reloading: RunningServer, live: CertificateFiles, tmp_path: Path
) -> None:
    rsa, key = tmp_path / "domain.crt", tmp_path / "domain.key"
    guide = "openssl req -newkey rsa:2048 -nodes -keyout {} -x509 -days 365 -subj /CN=localhost -out {}"
    subprocess.run(guide.format(key, rsa).split(), check=True, capture_output=True, timeout=30)
    replace(live, CertificateFiles(rsa, rsa, key))
    wait_for_two_reloads(reloading)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers("ECDHE-RSA-AES128-GCM-SHA256")
    for _ in range(5):
        handshake(reloading, context).close()
    context.set_ciphers("ECDHE-ECDSA-AES128-GCM-SHA256")
    for _ in range(5):
        with pytest.raises(ssl.SSLError):
            handshake(reloading, context)


@pytest.mark.parametrize("broken", ["garbage", "gone", "another's key"])
def test_broken_files_leave_the_old_certificate_and_a_line(
    reloading: RunningServer, live: CertificateFiles, files: CertificateFiles, other: CertificateFiles, broken: str
) -> None:
    before = serial(reloading, files)
    match broken:
        case "garbage":
            live.chain.write_text("-----BEGIN CERTIFICATE-----\nnonsense\n")
        case "gone":
            live.key.unlink()
        case _:
            shutil.copy(other.key, live.key)
    line = reloading.wait_for_line("the changed certificates are not used, the old ones stay in use")
    assert str(live.chain) in line or str(live.key) in line
    assert {serial(reloading, files) for _ in range(5)} == {before}
    replace(live, other)
    reloading.wait_for_line("certificates were reloaded")


def test_a_worker_that_takes_anothers_place_has_the_new_certificate(
    tmp_path: Path, live: CertificateFiles, other: CertificateFiles
) -> None:
    tls = {"chains": [(live.chain, live.key)], "reload_seconds": 600}
    with running_server(tmp_path, tls=tls, workers=1) as server:
        replace(live, other)
        pid = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children").read_text()
        os.kill(int(pid), 9)
        expected = x509.load_pem_x509_certificate(other.chain.read_bytes()).serial_number
        assert serial(server, other) == expected


def test_a_client_ca_that_is_withdrawn_ends_what_it_let_in(
    tmp_path: Path, live: CertificateFiles, files: CertificateFiles, other: CertificateFiles
) -> None:
    """A client that keeps its connection is no exception: its certificate was verified when that began."""
    shutil.copy(other.ca, live.ca)
    with live.ca.open("ab") as cas:
        cas.write(files.ca.read_bytes())
    tls = {
        "chains": [(live.chain, live.key)],
        "client_cas": [live.ca],
        "client_auth": "verify-client-cert-if-given",
        "reload_seconds": 0.1,
    }
    request = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
    with running_server(tmp_path, tls=tls, workers=1) as server:
        with handshake(server, clients(files, other)) as kept, handshake(server, clients(files, other)) as silent:
            kept.sendall(request)
            assert b" 200 " in kept.recv(65536)
            (live.chain.parent / "touched").write_bytes(live.chain.read_bytes())
            (live.chain.parent / "touched").replace(live.chain)  # another chain of the server's takes nothing back
            server.wait_for_line("certificates were reloaded")
            kept.sendall(request)
            assert b" 200 " in kept.recv(65536)
            live.ca.write_bytes(files.ca.read_bytes())
            for connection in (kept, silent):
                connection.settimeout(10)
                assert _end_of(connection) == b""
        with pytest.raises(ssl.SSLError):
            ask(server, clients(files, other))
        assert ask(server, clients(files, None)) == "hello"


def _end_of(connection: ssl.SSLSocket) -> bytes:
    try:
        return connection.recv(65536)
    except (ConnectionResetError, ssl.SSLEOFError):
        return b""
