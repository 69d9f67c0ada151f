"""A CA for clients, and certificates of it."""

from __future__ import annotations

import datetime as dt
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID


@dataclass(frozen=True, slots=True)
class ClientFiles:
    """PEM files of a client: its certificate, its key."""

    certificate: Path
    key: Path


@dataclass(frozen=True, slots=True)
class ClientAuthority:
    """A CA.

    Attributes:
        folder: where its files and those of its clients are.
    """

    folder: Path
    key: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP256R1()))

    @property
    def certificate(self) -> Path:
        """Its own certificate."""
        path = self.folder / "client-ca.pem"
        if not path.exists():
            self.folder.mkdir(exist_ok=True)
            path.write_bytes(_pem(_sign(_NAME, self.key.public_key(), self.key, ca=True)))
        return path

    def issue(
        self,
        subject: str,
        *names: x509.GeneralName,
        file: str = "client",
        ends: dt.timedelta = dt.timedelta(days=30),
    ) -> ClientFiles:
        """A certificate for a subject as RFC 4514 writes it, with alternative names."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name.from_rfc4514_string(subject) if subject else x509.Name([])
        certificate = _sign(name, key.public_key(), self.key, names=names, ends=ends)
        assert self.certificate.exists()
        files = ClientFiles(self.folder / f"{file}.cert", self.folder / f"{file}.key")
        files.certificate.write_bytes(_pem(certificate))
        files.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return files


def read_certificate(files: ClientFiles) -> dict[str, Any]:
    """A certificate as a server is shown it that has verified it."""
    decoded: dict[str, Any] = ssl._ssl._test_decode_cert(str(files.certificate))  # type: ignore[attr-defined] # as its own tests
    return decoded


_NAME = x509.Name.from_rfc4514_string("CN=registry clients")


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _sign(
    subject: x509.Name,
    key: ec.EllipticCurvePublicKey,
    by: ec.EllipticCurvePrivateKey,
    *,
    ca: bool = False,
    names: Sequence[x509.GeneralName] = (),
    ends: dt.timedelta = dt.timedelta(days=30),
) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(_NAME)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + ends)
        .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
    )
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName(names), critical=False)
    if not ca:
        builder = builder.add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.CLIENT_AUTH]), critical=False)
    return builder.sign(by, hashes.SHA256())
