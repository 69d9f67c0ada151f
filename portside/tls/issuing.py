"""Makes a private CA and server certificates, and puts them into their folder whole.

P-256 throughout: every client back to Docker 1.0 speaks it (PERFORMANCE section 4, rule 4). A server certificate never
outlives its CA: clients check both.
"""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import os
import secrets
import socket
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import cast

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from portside.problems import CertificateProblem

CA_DAYS = 3650
SERVER_DAYS = 820
LOCK_SECONDS = 10.0
LOCK_PAUSE = 0.02
BACKDATED = timedelta(hours=1)
"""Clocks differ; a certificate that is valid a little earlier harms nobody."""


def make_ca(folder: Path) -> None:
    """Writes `ca.crt` and `ca.key`."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Portside"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"Portside CA of {socket.gethostname()[:40]}"),
        ]
    )
    certificate = (
        _builder(name, name, key.public_key(), until=datetime.now(UTC) + timedelta(days=CA_DAYS))
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write_pair(folder, "ca", certificate.public_bytes(serialization.Encoding.PEM), key)


def end_of_new(ca: x509.Certificate) -> datetime:
    """Until when a server certificate is valid that this CA issues now."""
    return min(datetime.now(UTC) + timedelta(days=SERVER_DAYS), ca.not_valid_after_utc)


def issue(folder: Path, names: Sequence[str]) -> None:
    """Writes `server.crt`, followed by the CA's, by the CA in the folder; `server.key` too, if there is none.

    A key that is there stays: so one file changes, and nobody ever sees halves of two pairs.

    Raises:
        CertificateProblem: the CA's key is of a kind that we do not make, or the folder cannot be written.
    """
    ca_pem = (folder / "ca.crt").read_bytes()
    ca = x509.load_pem_x509_certificate(ca_pem)
    ca_key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), password=None)
    if not isinstance(ca_key, ec.EllipticCurvePrivateKey):
        raise CertificateProblem(
            f"{folder / 'ca.key'} is not one of ours (P-256); issue server.crt with your own tools"
        )
    made: ec.EllipticCurvePrivateKey | None = None
    public: CertificatePublicKeyTypes
    if (folder / "server.key").exists():
        kept = serialization.load_pem_private_key((folder / "server.key").read_bytes(), password=None)
        public = cast("CertificatePublicKeyTypes", kept.public_key())  # it was certified before
    else:
        made = ec.generate_private_key(ec.SECP256R1())
        public = made.public_key()
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, names[0][:64])])
    identifier = x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key())
    certificate = (
        _builder(subject, ca.subject, public, until=end_of_new(ca))
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in names]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    chain = certificate.public_bytes(serialization.Encoding.PEM) + ca_pem
    _write_pair(folder, "server", chain, made)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Excludes other processes that make certificates in this folder.

    Raises:
        CertificateProblem: the folder cannot be written, or another process holds its lock for more than 10 seconds:
            the parent, which renews certificates, must go on answering signals.
    """
    try:
        fd = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise unwritable(folder, error.strerror or str(error)) from None
    try:
        _lock(fd, folder)
        yield
    finally:
        os.close(fd)


def _lock(fd: int, folder: Path) -> None:
    end = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() < end:
                time.sleep(LOCK_PAUSE)
                continue
            raise CertificateProblem(
                f"another process has been making certificates in {folder.absolute()} for {LOCK_SECONDS:g} seconds:"
                f" see which one with `fuser {folder.absolute() / '.lock'}`, and end it"
            ) from None
        return


def unwritable(folder: Path, why: str) -> CertificateProblem:
    """Returns the problem of a folder in which nothing can be made."""
    return CertificateProblem(
        f"certificates cannot be made in {folder.absolute()} ({why}): give it to uid {os.getuid()},"
        " or name another folder with --certs or gateway.certs"
    )


def _builder(
    subject: x509.Name, issuer: x509.Name, key: CertificatePublicKeyTypes, *, until: datetime
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(datetime.now(UTC) - BACKDATED)
        .not_valid_after(until)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _pem_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write_pair(folder: Path, name: str, certificate: bytes, key: ec.EllipticCurvePrivateKey | None) -> None:
    """Both are on the disk before either is seen, so that a crash hardly ever leaves half a pair."""
    files = [("key", _pem_key(key), 0o600)] if key is not None else []
    written: list[tuple[Path, Path]] = []
    try:
        for suffix, content, mode in (*files, ("crt", certificate, 0o644)):
            temporary = folder / f".{name}.{suffix}.{secrets.token_hex(6)}.tmp"
            written.append((temporary, folder / f"{name}.{suffix}"))
            fd = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, mode)
            with open(fd, "wb") as file:  # noqa: PTH123 - a descriptor has no Path
                file.write(content)
                file.flush()
                os.fsync(fd)
        for temporary, path in written:
            temporary.replace(path)
        directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
    except OSError as error:
        for temporary, _ in written:
            temporary.unlink(missing_ok=True)
        raise unwritable(folder, error.strerror or str(error)) from None
