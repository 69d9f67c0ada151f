"""Certificates that come near their end while the program runs, by the real program."""

from __future__ import annotations

import datetime as dt
import shutil
import signal
import socket
import ssl
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509

from portside.tls.certificates import ensure_certificates, own_names
from portside.tls.contexts import CertificateChain, TlsSettings
from portside.tls.describing import describe
from portside.tls.renewal import Renewal, warnings_about
from tests.support.certificate import make_certificate, sign_server_certificate
from tests.support.commands import running_command
from tests.support.mounts import make_read_only, mounted_tmpfs

SETTINGS = "gateway: {addr: '127.0.0.1:0', workers: 2, v1: {addr: ''}, v2: {addr: ''}, metrics: {addr: ''}}"
SOON = dt.timedelta(days=30, seconds=6)
"""A certificate that ends then is due in six seconds."""


def ends(port: int, ca: Path) -> dt.datetime:
    """Until when the certificate is valid that is served, and that a client accepts."""
    context = ssl.create_default_context(cafile=str(ca))
    with (
        socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        content = secure.getpeercert(binary_form=True)
    assert content is not None
    return x509.load_der_x509_certificate(content).not_valid_after_utc


def until(holds: Callable[[], bool], *, seconds: float = 45.0) -> None:
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_a_certificate_that_comes_near_its_end_is_issued_anew_while_it_runs(tmp_path: Path) -> None:
    certs = tmp_path / "certs"
    ensure_certificates(certs)
    sign_server_certificate(certs, by=certs, ends=SOON, names=own_names())
    (tmp_path / "all.yml").write_text(SETTINGS)
    with running_command("serve", "all.yml", folder=tmp_path) as running:
        port, ca = running.port("proxy"), certs / "ca.crt"
        late = dt.datetime.now(dt.UTC) + dt.timedelta(days=800)
        assert ends(port, ca) < late
        running.wait_for_line(running.err, "was renewed for localhost", seconds=20)
        until(lambda: all(ends(port, ca) > late for _ in range(8)))
        assert running.err.read_text().count("was renewed") == 1
        assert running.end() == 0


def test_processes_that_share_a_folder_issue_one(tmp_path: Path) -> None:
    certs = tmp_path / "certs"
    ensure_certificates(certs)
    sign_server_certificate(certs, by=certs, ends=SOON, names=own_names())
    first, second = tmp_path / "1", tmp_path / "2"
    for folder in (first, second):
        folder.mkdir()
        (folder / "all.yml").write_text(SETTINGS)
    asked = ("serve", "all.yml", "--certs", certs)
    late = dt.datetime.now(dt.UTC) + dt.timedelta(days=800)
    with running_command(*asked, folder=first) as one, running_command(*asked, folder=second) as other:
        for running in (one, other):
            port = running.port("proxy")
            until(lambda: ends(port, certs / "ca.crt") > late)  # noqa: B023 - over before the next port
        said = one.err.read_text() + other.err.read_text()
        assert said.count("was renewed") == 1


@pytest.mark.real
def test_where_the_folder_may_only_be_read_a_line_says_so_in_time(tmp_path: Path) -> None:
    with mounted_tmpfs(tmp_path / "mount") as mount:
        certs = mount / "certs"
        ensure_certificates(certs)
        sign_server_certificate(certs, by=certs, ends=SOON, names=own_names())
        make_read_only(mount)
        (tmp_path / "all.yml").write_text(SETTINGS)
        with running_command("serve", "all.yml", "--certs", certs, folder=tmp_path) as running:
            assert "may only be read" not in running.err.read_text()
            line = running.wait_for_line(running.err, "server.crt expires on", "may only be read", seconds=20)
            assert "level=warning" in line
            assert running.end() == 0


def test_a_user_s_own_certificate_is_warned_of_once_a_day_and_never_touched(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    files = make_certificate(tmp_path)
    sign_server_certificate(tmp_path, ends=dt.timedelta(days=20))
    chain = CertificateChain(tmp_path / "server.crt", tmp_path / "server.key")
    before = chain.certificate.read_bytes()
    start = time.time()
    hours = 0
    served = [TlsSettings((chain, CertificateChain(files.chain, files.key)))]
    renewal = Renewal(None, (), served, clock=lambda: start + hours * 3601)
    said = 0
    for hours in range(60):
        renewal.tick()
        renewal.tick()
        said = sum("expires on" in record.getMessage() for record in caplog.records)
        assert said == (hours + 23) // 24 if hours else said == 0
    assert said == 3
    assert chain.certificate.read_bytes() == before


def test_a_client_ca_that_comes_near_its_end_is_warned_of_with_the_file_and_what_it_means(tmp_path: Path) -> None:
    files = make_certificate(tmp_path)
    sign_server_certificate(tmp_path / "soon", ends=dt.timedelta(days=20))
    sign_server_certificate(tmp_path / "over", ends=dt.timedelta(days=-1))
    bundle = tmp_path / "clients.pem"
    bundle.write_bytes(
        files.ca.read_bytes()
        + (tmp_path / "soon" / "server.crt").read_bytes()
        + (tmp_path / "over" / "server.crt").read_bytes()
    )
    tls = TlsSettings((CertificateChain(files.chain, files.key),), client_cas=(bundle,))
    soon, over = [warning for warning in warnings_about(tls) if warning.startswith("the client CA ")]
    assert f"the client CA CN=localhost in {bundle} expires on" in soon
    assert f"the client CA CN=localhost in {bundle} expired on" in over
    assert "clients with its certificates are refused" in over


def test_what_falls_due_while_it_starts_is_issued_at_once(tmp_path: Path) -> None:
    ensure_certificates(tmp_path)
    sign_server_certificate(tmp_path, by=tmp_path, ends=dt.timedelta(days=31), names=own_names())
    found = ensure_certificates(tmp_path)
    sign_server_certificate(tmp_path, by=tmp_path, ends=dt.timedelta(days=29), names=own_names())
    assert found.due is not None
    due = found.due.timestamp()
    Renewal(found, (), (), clock=lambda: due + 1).tick()
    assert describe(tmp_path / "server.crt").not_after > dt.datetime.now(dt.UTC) + dt.timedelta(days=800)


def test_what_cannot_be_used_any_more_is_told_and_does_not_end_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = ensure_certificates(tmp_path / "certs")
    now = time.time()
    renewal = Renewal(found, (), (), clock=lambda: now)
    shutil.rmtree(tmp_path / "certs")
    (tmp_path / "certs").touch()
    now += 3601
    renewal.tick()
    (record,) = caplog.records
    assert (record.levelname, record.exc_info) == ("ERROR", None)
    assert "certificates cannot be made in" in record.getMessage()
    (tmp_path / "certs").unlink()
    now += 3601
    renewal.tick()
    assert describe(tmp_path / "certs" / "server.crt").warnings == ()


def name_in_latin_1(path: Path) -> None:
    """Gives a self-signed certificate the name of an old CA: Latin-1 letters in a T61String, unsigned anew.

    OpenSSL serves it and trusts it: a root's own signature is nobody's concern.
    """
    content = ssl.PEM_cert_to_DER_cert(path.read_text())
    assert content.count(b"\x0c\x09localhost") == 2  # issuer and subject; SubjectAltName has another tag
    path.write_text(ssl.DER_cert_to_PEM_cert(content.replace(b"\x0c\x09localhost", b"\x14\x09M\xfcller AG")))


def test_certificates_whose_names_only_openssl_reads_are_served_trusted_and_looked_after(tmp_path: Path) -> None:
    certs = tmp_path / "certs"
    sign_server_certificate(certs, ends=dt.timedelta(days=5))
    name_in_latin_1(certs / "server.crt")
    chain = CertificateChain(certs / "server.crt", certs / "server.key")
    told = warnings_about(TlsSettings((chain,), client_cas=(certs / "server.crt",)))
    assert [warning for warning in told if "server.crt expires on" in warning]
    assert [warning for warning in told if warning.startswith(f"the client CA serial number 7 in {certs}")]
    (tmp_path / "all.yml").write_text(
        f"http: {{tls: {{certificate: {chain.certificate}, key: {chain.key}}}}}\n" + SETTINGS
    )
    with running_command("serve", "all.yml", folder=tmp_path) as running:
        running.port("proxy")
        running.process.send_signal(signal.SIGHUP)
        running.wait_for_line(running.err, "were reloaded")
        assert running.end() == 0


def test_what_nobody_thought_of_does_not_end_what_is_served(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The parent looks after certificates: if that fails, in whatever way, its workers must not die with it."""
    now = [0.0]
    chain = CertificateChain(tmp_path / "a\0b", tmp_path / "key")  # no path of any file: a ValueError
    renewal = Renewal(None, (), (TlsSettings((chain,)),), clock=lambda: now[0])
    for _ in range(3):
        now[0] += 3601
        renewal.tick()
        renewal.tick()
    assert caplog.text.count("looking after certificates failed") == 3
