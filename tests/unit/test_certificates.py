"""Certificates as made, as described, as they are renewed, and what is said of what cannot be used."""

from __future__ import annotations

import datetime as dt
import fcntl
import multiprocessing
import os
import shutil
import socket
import ssl
import stat
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID

from portside.problems import CertificateProblem
from portside.tls import issuing
from portside.tls.certificates import (
    CertificateFolder,
    check_pair,
    ensure_certificates,
    own_names,
    trust_lines,
)
from portside.tls.contexts import CertificateChain, TlsSettings, build_context
from portside.tls.describing import describe
from tests.support.certificate import sign_server_certificate
from tests.support.mounts import make_read_only, mounted_tmpfs
from tests.support.programs import find_program


def load(path: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate(path.read_bytes())


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> CertificateFolder:
    return ensure_certificates(tmp_path_factory.mktemp("made") / "certs", names=["registry.test", "10.99.0.1"])


@pytest.fixture
def folder(made: CertificateFolder, tmp_path: Path) -> Path:
    """A copy of what was made, to be spoiled."""
    target = tmp_path / "certs"
    shutil.copytree(made.certificate.parent, target)
    return target


def test_what_is_missing_is_made(made: CertificateFolder) -> None:
    folder = made.certificate.parent
    assert {path.name for path in folder.iterdir()} - {".lock"} == {"ca.crt", "ca.key", "server.crt", "server.key"}
    assert (mode(folder / "ca.key"), mode(made.key)) == (0o600, 0o600)
    assert (mode(folder / "ca.crt"), mode(made.certificate)) == (0o644, 0o644)
    assert str(made.ca) in made.done


def test_the_certificate_names_this_host_and_what_was_asked(made: CertificateFolder) -> None:
    shown = describe(made.certificate)
    assert set(shown.names) == {*own_names(), "registry.test", "10.99.0.1"}
    assert {"localhost", "127.0.0.1", "::1"} <= set(shown.names)
    assert (shown.subject, shown.key_kind, shown.warnings) == ("CN=localhost", "ECDSA", ())


def test_validity_is_what_clients_accept(made: CertificateFolder) -> None:
    assert made.ca is not None
    server, ca = load(made.certificate), load(made.ca)
    assert server.not_valid_after_utc - server.not_valid_before_utc <= dt.timedelta(days=825)
    assert ca.not_valid_after_utc - ca.not_valid_before_utc > dt.timedelta(days=3649)
    assert server.not_valid_after_utc < ca.not_valid_after_utc


def test_extensions_are_those_that_strict_clients_want(made: CertificateFolder) -> None:
    assert made.ca is not None
    server, ca = load(made.certificate), load(made.ca)
    for certificate, is_ca in ((server, False), (ca, True)):
        assert isinstance(certificate.public_key(), ec.EllipticCurvePublicKey)
        constraints = certificate.extensions.get_extension_for_class(x509.BasicConstraints)
        usage = certificate.extensions.get_extension_for_class(x509.KeyUsage)
        assert (constraints.critical, constraints.value.ca) == (True, is_ca)
        assert (usage.critical, usage.value.key_cert_sign, usage.value.digital_signature) == (True, is_ca, True)
    identifier = ca.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value
    issuer = server.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    assert issuer.key_identifier == identifier.digest
    purposes = server.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert list(purposes) == [ExtendedKeyUsageOID.SERVER_AUTH]


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "::1", "registry.test", "10.99.0.1"])
def test_pythons_strictest_verification_accepts_it(made: CertificateFolder, name: str) -> None:
    client = ssl.create_default_context(cafile=str(made.ca))
    client.verify_flags |= ssl.VERIFY_X509_STRICT
    server = build_context(TlsSettings((CertificateChain(made.certificate, made.key),)))
    ours, theirs = socket.socketpair()
    thread = threading.Thread(target=lambda: server.wrap_socket(theirs, server_side=True).close())
    thread.start()
    with client.wrap_socket(ours, server_hostname=name) as connection:
        assert connection.version() == "TLSv1.3"
    thread.join()


@pytest.mark.real
def test_openssl_accepts_it(made: CertificateFolder) -> None:
    command = [find_program("openssl"), "verify", "-x509_strict", "-purpose", "sslserver", "-verify_hostname"]
    done = subprocess.run(
        [*command, "registry.test", "-CAfile", str(made.ca), str(made.certificate)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout.endswith(": OK\n"), done.stderr


@pytest.mark.real
def test_go_accepts_it(made: CertificateFolder, tmp_path: Path) -> None:
    program = tmp_path / "verify.go"
    program.write_text(
        """package main
import ("crypto/x509"; "encoding/pem"; "fmt"; "os")
func main() {
    ca, _ := os.ReadFile(os.Args[1]); pool := x509.NewCertPool(); pool.AppendCertsFromPEM(ca)
    chain, _ := os.ReadFile(os.Args[2]); block, _ := pem.Decode(chain)
    leaf, err := x509.ParseCertificate(block.Bytes)
    if err == nil { _, err = leaf.Verify(x509.VerifyOptions{Roots: pool, DNSName: os.Args[3]}) }
    fmt.Print(err)
}
"""
    )
    environment = {**os.environ, "GOFLAGS": "-mod=mod"}
    command = [find_program("go"), "run", str(program), str(made.ca), str(made.certificate), "registry.test"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path, check=False)
    assert done.stdout == "<nil>", done.stderr


def test_a_second_start_changes_nothing(folder: Path) -> None:
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    found = ensure_certificates(folder, names=["registry.test", "10.99.0.1"])
    assert found.done == ""
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_further_name_brings_a_new_certificate_of_the_same_ca(folder: Path) -> None:
    ca, old = (folder / "ca.crt").read_bytes(), load(folder / "server.crt")
    found = ensure_certificates(folder, names=["registry.test", "10.99.0.1", "other.test"])
    assert "renewed" in found.done
    assert "other.test" in describe(found.certificate).names
    assert (folder / "ca.crt").read_bytes() == ca
    assert load(found.certificate).serial_number != old.serial_number
    check_pair(found.certificate, found.key)


def test_names_given_in_other_spellings_change_nothing(folder: Path) -> None:
    assert ensure_certificates(folder, names=["REGISTRY.test", "0:0::1"]).done == ""


def test_without_the_cas_key_nothing_is_issued_anew(folder: Path) -> None:
    (folder / "ca.key").unlink()
    before = (folder / "server.crt").read_bytes()
    assert ensure_certificates(folder, names=["other.test"]).done == ""
    assert (folder / "server.crt").read_bytes() == before


def test_one_that_expires_within_30_days_is_issued_anew_for_the_same_key(folder: Path) -> None:
    sign_server_certificate(folder, by=folder, ends=dt.timedelta(days=29), names=own_names())
    key = (folder / "server.key").read_bytes()
    found = ensure_certificates(folder)
    assert "renewed" in found.done
    shown = describe(folder / "server.crt")
    assert shown.not_after > dt.datetime.now(dt.UTC) + dt.timedelta(days=800)
    assert found.due == shown.not_after - dt.timedelta(days=30)
    # One file changes, so whoever reads or dies in between never has halves of two pairs.
    assert (folder / "server.key").read_bytes() == key
    check_pair(folder / "server.crt", folder / "server.key")


def ca_that_ends(folder: Path, ends: dt.timedelta) -> None:
    """Give the folder a CA of the usual kind with another end, and nothing that it issued."""
    for path in folder.iterdir():
        path.unlink()
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name.from_rfc4514_string("CN=CA")
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(5)
        .not_valid_before(now - dt.timedelta(days=3650))
        .not_valid_after(now + ends)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "ca.crt").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    (folder / "ca.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )


def test_a_server_certificate_never_outlives_its_ca(folder: Path) -> None:
    ca_that_ends(folder, dt.timedelta(days=100))
    found = ensure_certificates(folder)
    assert "was made" in found.done
    assert load(folder / "server.crt").not_valid_after_utc == load(folder / "ca.crt").not_valid_after_utc
    (warning,) = found.warnings
    assert "ca.crt expires on" in warning
    assert "give clients the new ca.crt" in warning
    before = (folder / "server.crt").read_bytes()
    assert ensure_certificates(folder).done == ""
    assert (folder / "server.crt").read_bytes() == before


def test_under_a_ca_that_ends_soon_nothing_is_issued_again_and_again(folder: Path) -> None:
    ca_that_ends(folder, dt.timedelta(days=20))
    assert "was made" in ensure_certificates(folder).done
    assert ensure_certificates(folder).done == ""


def test_under_an_expired_ca_nothing_is_issued_and_what_is_there_goes_on_with_a_warning(folder: Path) -> None:
    ca_that_ends(folder, dt.timedelta(days=-1))
    with pytest.raises(CertificateProblem, match=r"ca\.crt expired on .*: move ca\.crt, ca\.key, .* away, restart"):
        ensure_certificates(folder)
    assert not (folder / "server.crt").exists()
    sign_server_certificate(folder, by=folder, ends=dt.timedelta(days=3))
    before = (folder / "server.crt").read_bytes()
    found = ensure_certificates(folder, names=["other.test"])
    assert found.done == ""
    assert any("expired on" in warning for warning in found.warnings)
    assert (folder / "server.crt").read_bytes() == before


@pytest.mark.real
def test_in_a_folder_that_may_only_be_read_a_certificate_that_ends_soon_is_warned_of(
    folder: Path, tmp_path: Path
) -> None:
    with mounted_tmpfs(tmp_path / "mount") as mount:
        certs = shutil.copytree(folder, mount / "certs")
        sign_server_certificate(certs, by=certs, ends=dt.timedelta(days=29), names=own_names())
        make_read_only(mount)
        (warning,) = ensure_certificates(certs).warnings
        assert "expires on" in warning
        assert "may only be read: make it writable" in warning
        (warning,) = ensure_certificates(certs, names=["other.test"]).warnings
        assert "has no name other.test" in warning


@pytest.mark.real
def test_in_an_empty_folder_that_may_only_be_read_nothing_can_be_made(tmp_path: Path) -> None:
    with mounted_tmpfs(tmp_path / "mount") as mount:
        make_read_only(mount)
        with pytest.raises(CertificateProblem, match=r"certificates cannot be made in .*it may only be read"):
            ensure_certificates(mount)


def as_in_the_tutorial(folder: Path) -> None:
    sign_server_certificate(folder.parent / "own")
    folder.mkdir(exist_ok=True)
    for suffix in ("crt", "key"):
        shutil.copy(folder.parent / "own" / f"server.{suffix}", folder / f"domain.{suffix}")


def test_a_certificate_with_the_tutorial_s_names_is_seen_and_used(tmp_path: Path) -> None:
    as_in_the_tutorial(tmp_path / "certs")
    found = ensure_certificates(tmp_path / "certs")
    assert (found.certificate.name, found.key.name, found.ca, found.done) == ("domain.crt", "domain.key", None, "")
    assert {path.name for path in (tmp_path / "certs").iterdir()} == {"domain.crt", "domain.key"}


def test_it_goes_before_a_certificate_that_was_made_here_and_that_is_said(folder: Path) -> None:
    as_in_the_tutorial(folder)
    found = ensure_certificates(folder)
    assert found.certificate.name == "domain.crt"
    assert "domain.crt is served, and" in found.done


def test_it_does_not_go_before_a_server_certificate_of_the_user_s_own(tmp_path: Path) -> None:
    as_in_the_tutorial(tmp_path / "certs")
    sign_server_certificate(tmp_path / "certs")
    assert ensure_certificates(tmp_path / "certs").certificate.name == "server.crt"


@pytest.mark.parametrize(("gone", "left"), [("domain.key", "domain.crt"), ("domain.crt", "domain.key")])
def test_half_of_the_tutorial_s_pair_is_told_with_what_to_do(tmp_path: Path, gone: str, left: str) -> None:
    as_in_the_tutorial(tmp_path / "certs")
    (tmp_path / "certs" / gone).unlink()
    with pytest.raises(CertificateProblem, match=rf"{left} exists without {gone}: put {gone} beside it"):
        ensure_certificates(tmp_path / "certs")


def test_a_user_s_own_ca_of_another_kind_is_never_used_to_issue_anew(folder: Path) -> None:
    command = "openssl req -newkey rsa:2048 -nodes -keyout ca.key -x509 -days 365 -subj /CN=own -out ca.crt"
    subprocess.run(command.split(), check=True, cwd=folder, capture_output=True, timeout=60)
    request = "openssl req -new -key server.key -subj /CN=localhost -out server.csr"
    sign = "openssl x509 -req -in server.csr -CA ca.crt -CAkey ca.key -days 9 -out server.crt"
    for each in (request, sign):
        subprocess.run(each.split(), check=True, cwd=folder, capture_output=True, timeout=60)
    before = (folder / "server.crt").read_bytes()
    found = ensure_certificates(folder, names=["other.test"])
    assert (found.done, found.due, found.ca) == ("", None, folder / "ca.crt")
    assert (folder / "server.crt").read_bytes() == before


def test_a_users_own_certificate_beside_our_ca_is_never_replaced(folder: Path) -> None:
    sign_server_certificate(folder, ends=dt.timedelta(days=3))
    before = (folder / "server.crt").read_bytes()
    assert ensure_certificates(folder, names=["other.test"]).done == ""
    assert (folder / "server.crt").read_bytes() == before


def test_a_users_own_certificate_needs_no_ca(tmp_path: Path) -> None:
    sign_server_certificate(tmp_path / "certs")
    found = ensure_certificates(tmp_path / "certs")
    assert (found.ca, found.done) == (None, "")
    assert not (tmp_path / "certs" / "ca.crt").exists()


def test_a_ca_of_our_own_is_used_again_when_only_the_server_certificate_is_gone(folder: Path) -> None:
    ca = (folder / "ca.crt").read_bytes()
    (folder / "server.crt").unlink()
    (folder / "server.key").unlink()
    assert "server certificate was made" in ensure_certificates(folder).done
    assert (folder / "ca.crt").read_bytes() == ca


@pytest.mark.parametrize(
    ("gone", "left", "also"),
    [
        ("server.key", "server.crt", ()),
        ("server.crt", "server.key", ()),
        ("ca.key", "ca.crt", ("server.crt", "server.key")),
        ("ca.crt", "ca.key", ("server.crt", "server.key")),
    ],
)
def test_half_a_pair_is_told_with_what_to_do(folder: Path, gone: str, left: str, also: tuple[str, ...]) -> None:
    for name in (gone, *also):
        (folder / name).unlink()
    with pytest.raises(CertificateProblem, match=rf"{left} exists without {gone}: put {gone} beside it"):
        ensure_certificates(folder)
    assert not (folder / gone).exists()


def test_a_key_of_another_certificate_is_told(folder: Path, tmp_path: Path) -> None:
    sign_server_certificate(tmp_path / "other")
    shutil.copy(tmp_path / "other" / "server.key", folder / "server.key")
    with pytest.raises(
        CertificateProblem, match=r"server\.key is not the one of .*server\.crt: put the right one there"
    ):
        ensure_certificates(folder)


def encrypt(folder: Path) -> None:
    command = ["openssl", "pkey", "-aes128", "-passout", "pass:secret", "-in", "server.key", "-out", "locked.key"]
    subprocess.run(command, check=True, cwd=folder, capture_output=True)
    (folder / "locked.key").replace(folder / "server.key")


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda folder: (folder / "server.key").write_text("x"), r"server\.key is not a PEM key"),
        (lambda folder: (folder / "server.crt").write_text("x"), r"server\.crt is not a PEM certificate"),
        (encrypt, r"server\.key has a passphrase; remove it with `openssl pkey`"),
    ],
)
def test_files_that_cannot_be_used_are_told(folder: Path, spoil: Callable[[Path], object], sentence: str) -> None:
    spoil(folder)
    with pytest.raises(CertificateProblem, match=sentence):
        ensure_certificates(folder)


def test_a_folder_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(CertificateProblem, match=r"certificates cannot be made in .*file/certs .*--certs"):
        ensure_certificates(tmp_path / "file" / "certs")


def test_a_name_that_is_not_valid_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CertificateProblem, match="is not a valid DNS name or IP address"):
        ensure_certificates(tmp_path / "certs", names=["a" * 64 + ".test"])


def make(folder: Path, start: threading.Barrier) -> None:
    start.wait()
    ensure_certificates(folder)


def test_processes_that_start_at_once_make_one_ca(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    start = context.Barrier(4)
    processes = [context.Process(target=make, args=(tmp_path / "certs", start)) for _ in range(4)]
    for each in processes:
        each.start()
    for each in processes:
        each.join(30)
    assert [each.exitcode for each in processes] == [0] * 4
    ca, server = load(tmp_path / "certs" / "ca.crt"), load(tmp_path / "certs" / "server.crt")
    server.verify_directly_issued_by(ca)
    check_pair(tmp_path / "certs" / "server.crt", tmp_path / "certs" / "server.key")
    assert not list((tmp_path / "certs").glob(".*.tmp"))


def test_the_guides_own_certificate_is_described_with_a_warning(tmp_path: Path) -> None:
    guide = "openssl req -newkey rsa:2048 -nodes -keyout domain.key -x509 -days 365 -subj /CN=localhost -out domain.crt"
    subprocess.run(guide.split(), check=True, cwd=tmp_path, capture_output=True, timeout=60)
    shown = describe(tmp_path / "domain.crt")
    assert (shown.subject, shown.names, shown.key_kind) == ("CN=localhost", (), "RSA")
    (warning,) = shown.warnings
    assert "has no subjectAltName, so modern clients refuse it" in warning
    assert "`portside certs`" in warning
    build_context(TlsSettings((CertificateChain(tmp_path / "domain.crt", tmp_path / "domain.key"),)))


@pytest.mark.parametrize(
    ("begins", "ends", "warning"),
    [(-9, -1, "expired on"), (-9, 5, "expires on"), (2, 90, "is not valid before")],
)
def test_a_certificate_out_of_its_time_is_warned_of(tmp_path: Path, begins: int, ends: int, warning: str) -> None:
    sign_server_certificate(tmp_path, begins=dt.timedelta(days=begins), ends=dt.timedelta(days=ends))
    (said,) = describe(tmp_path / "server.crt").warnings
    assert warning in said


def test_lines_make_each_client_trust_the_ca_for_each_name() -> None:
    text = trust_lines(Path("/srv/certs/ca.crt"), ["localhost", "registry.test"], port=5000)
    for host in ("localhost", "registry.test"):
        assert f"install -D -m 644 /srv/certs/ca.crt /etc/docker/certs.d/{host}:5000/ca.crt" in text
        assert f"install -D -m 644 /srv/certs/ca.crt /etc/containers/certs.d/{host}:5000/ca.crt" in text
        assert f"install -D -m 644 /srv/certs/ca.crt /etc/containerd/certs.d/{host}:5000/ca.crt" in text
        assert f"curl --cacert /srv/certs/ca.crt https://{host}:5000/v2/" in text


def test_a_lock_that_another_process_keeps_is_waited_for_only_so_long(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(issuing, "LOCK_SECONDS", 0.1)
    with (tmp_path / ".lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(CertificateProblem, match="another process has been making certificates"):
            ensure_certificates(tmp_path)
    assert ensure_certificates(tmp_path).done
