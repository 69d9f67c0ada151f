"""Certificates: a private CA and a server certificate made when there are none, and what a certificate says.

Invariant: a folder holds either whole pairs or an error is raised; nothing of the user's is ever overwritten (a
server certificate is only issued anew where our own CA's key lies beside it). P-256 throughout: every client back to
Docker 1.0 speaks it (PERFORMANCE section 4, rule 4).
"""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import os
import secrets
import socket
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import CertificatePublicKeyTypes, PublicKeyTypes
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from portside.problems import CertificateProblem
from portside.tls.diagnosis import certificate_trouble, key_kind, key_trouble, missing_issuer

__all__ = [
    "CertificateDescription",
    "CertificateFolder",
    "CertificateProblem",
    "check_pair",
    "describe",
    "ensure_certificates",
    "own_names",
    "trust_lines",
]

CA_DAYS = 3650
SERVER_DAYS = 820
RENEW_DAYS = 30
BACKDATED = timedelta(hours=1)
"""Clocks differ; a certificate that is valid a little earlier harms nobody."""


@dataclass(frozen=True, slots=True)
class CertificateFolder:
    """Where the files lie, and what was done.

    Attributes:
        certificate: `server.crt`, the server certificate followed by the CA's.
        key: `server.key`.
        ca: `ca.crt`, what clients must trust; None when the user's own certificate lies here without a CA.
        done: a sentence for the log when something was made or issued anew, else empty.
    """

    certificate: Path
    key: Path
    ca: Path | None
    done: str


@dataclass(frozen=True, slots=True)
class CertificateDescription:
    """What a certificate says of itself.

    Attributes:
        subject: RFC 4514 text, `CN=localhost`.
        names: subjectAltName, DNS names first, then addresses; empty when there is none.
        not_before: start of validity, UTC.
        not_after: end of validity, UTC.
        key_kind: "ECDSA", "RSA" or what else it may be.
        warnings: whole sentences: no subjectAltName, expired, not valid yet, expires soon, no intermediate.
    """

    subject: str
    names: tuple[str, ...]
    not_before: datetime
    not_after: datetime
    key_kind: str
    warnings: tuple[str, ...]


def own_names() -> tuple[str, ...]:
    """Returns the names that every server certificate carries: localhost, this host's name, 127.0.0.1, ::1."""
    host = socket.gethostname().lower()
    named = (host,) if host and host != "localhost" and len(host) <= 253 else ()  # noqa: PLR2004 - a DNS name's length
    return ("localhost", *named, "127.0.0.1", "::1")


def ensure_certificates(folder: Path, *, names: Sequence[str] = ()) -> CertificateFolder:
    """Makes what is missing in `folder`: CA and server certificate, for `own_names()` and `names`.

    Issues the server certificate anew when the wanted names changed or it expires within 30 days, as long as the
    CA's key is there. Two processes that start at once make one CA.

    Args:
        folder: made (0755) when it does not exist.
        names: further DNS names and IP addresses.

    Raises:
        CertificateProblem: half a pair, a pair that does not match, or a folder that cannot be written.
    """
    wanted = tuple(dict.fromkeys((*own_names(), *names)))
    try:
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(folder, error) from None
    if _is_settled(folder, wanted):
        return _found(folder, "")
    with _locked(folder):
        return _found(folder, _make_missing(folder, wanted))


def _is_settled(folder: Path, wanted: Sequence[str]) -> bool:
    """Whether nothing needs to be made, or nothing can be: a folder that may only be read is taken as it is."""
    certificate, key = folder / "server.crt", folder / "server.key"
    if not certificate.exists() or not key.exists():
        return False
    fixed = not os.access(folder, os.W_OK)
    try:
        check_pair(certificate, key)
        return fixed or not _is_ours(folder) or not _outdated(certificate, wanted)
    except CertificateProblem:
        if fixed:
            raise
        return False  # another process may be in the middle of it: look again under the lock


def _make_missing(folder: Path, wanted: Sequence[str]) -> str:
    ca, ca_key = folder / "ca.crt", folder / "ca.key"
    certificate, key = folder / "server.crt", folder / "server.key"
    _require_whole(certificate, key, "server certificate")
    if certificate.exists():
        check_pair(certificate, key)
        if not _is_ours(folder) or not _outdated(certificate, wanted):
            return ""
        _issue(folder, wanted)
        return f"the server certificate {certificate} was issued anew for {', '.join(wanted)}"
    _require_whole(ca, ca_key, "CA")
    if ca.exists():
        check_pair(ca, ca_key)
        _issue(folder, wanted)
        return f"a server certificate was made: {certificate}"
    _make_ca(folder)
    _issue(folder, wanted)
    return f"a private CA and a server certificate were made in {folder}: clients must trust {ca}"


def _is_ours(folder: Path) -> bool:
    """Whether the CA in this folder issued its server certificate and can do so again: never the user's own."""
    ca, ca_key = folder / "ca.crt", folder / "ca.key"
    if not ca_key.exists():
        return False
    check_pair(ca, ca_key)
    try:
        _load(folder / "server.crt").verify_directly_issued_by(_load(ca))
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True


def _require_whole(certificate: Path, key: Path, what: str) -> None:
    for present, absent in ((certificate, key), (key, certificate)):
        if present.exists() and not absent.exists():
            raise CertificateProblem(
                f"{present} is there without {absent.name}: put {absent.name} beside it,"
                f" or move {present.name} away and a new {what} is made"
            )


def _outdated(certificate: Path, wanted: Sequence[str]) -> bool:
    shown = describe(certificate)
    missing = {_canonical(name) for name in wanted} - {_canonical(name) for name in shown.names}
    return bool(missing) or shown.not_after - datetime.now(UTC) < timedelta(days=RENEW_DAYS)


def _canonical(name: str) -> str:
    try:
        return str(ipaddress.ip_address(name))
    except ValueError:
        return name.lower()


def _found(folder: Path, done: str) -> CertificateFolder:
    ca = folder / "ca.crt"
    return CertificateFolder(folder / "server.crt", folder / "server.key", ca if ca.exists() else None, done)


def _make_ca(folder: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name(
        [
            x509.NameAttribute(NameOID.ORGANIZATION_NAME, "Portside"),
            x509.NameAttribute(NameOID.COMMON_NAME, f"Portside CA of {socket.gethostname()[:40]}"),
        ]
    )
    certificate = (
        _builder(name, name, key.public_key(), CA_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    _write_pair(folder, "ca", certificate.public_bytes(serialization.Encoding.PEM), key)


def _issue(folder: Path, wanted: Sequence[str]) -> None:
    ca_pem = (folder / "ca.crt").read_bytes()
    ca = x509.load_pem_x509_certificate(ca_pem)
    ca_key = serialization.load_pem_private_key((folder / "ca.key").read_bytes(), password=None)
    if not isinstance(ca_key, ec.EllipticCurvePrivateKey):
        raise CertificateProblem(
            f"{folder / 'ca.key'} is not one of ours (P-256); issue server.crt with your own tools"
        )
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, wanted[0][:64])])
    identifier = x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key())
    certificate = (
        _builder(subject, ca.subject, key.public_key(), SERVER_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectAlternativeName([_general_name(name) for name in wanted]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(identifier), critical=False)
        .sign(ca_key, hashes.SHA256())
    )
    chain = certificate.public_bytes(serialization.Encoding.PEM) + ca_pem
    _write_pair(folder, "server", chain, key)


def _builder(
    subject: x509.Name, issuer: x509.Name, key: CertificatePublicKeyTypes, days: int
) -> x509.CertificateBuilder:
    now = datetime.now(UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - BACKDATED)
        .not_valid_after(now + timedelta(days=days))
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
        pass
    try:
        return x509.DNSName(name.encode("idna").decode("ascii"))
    except (UnicodeError, ValueError):
        raise CertificateProblem(f"{name!r} is neither a DNS name nor an IP address") from None


def check_pair(certificate: Path, key: Path) -> None:
    """Raises CertificateProblem unless both files are there, readable, unencrypted, and belong together."""
    loaded = _load(certificate)
    try:
        private = serialization.load_pem_private_key(key.read_bytes(), password=None)
    except FileNotFoundError:
        raise CertificateProblem(f"{certificate} is there without its key {key}: put the key there") from None
    except OSError as error:
        raise CertificateProblem(f"the key {key} cannot be read: {error.strerror}") from None
    except TypeError:
        raise CertificateProblem(f"the key {key} has a passphrase; remove it with `openssl pkey`") from None
    except (ValueError, UnsupportedAlgorithm):
        raise CertificateProblem(key_trouble(key, key.read_bytes())) from None
    if _spki(private.public_key()) != _spki(loaded.public_key()):
        raise CertificateProblem(
            f"the key {key} is not the one of {certificate}: put the right one there,"
            " or move both away and a new pair is made"
        )


def describe(certificate: Path) -> CertificateDescription:
    """Returns what the first certificate of a PEM file says; raises CertificateProblem when there is none."""
    loaded = _load(certificate)
    try:
        extension = loaded.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        names = (
            *extension.get_values_for_type(x509.DNSName),
            *(str(address) for address in extension.get_values_for_type(x509.IPAddress)),
        )
    except x509.ExtensionNotFound:
        names = ()
    now = datetime.now(UTC)
    warnings: list[str] = []
    if not names:
        warnings.append(
            f"{certificate} has no subjectAltName, so modern clients refuse it;"
            " `portside certs` makes one that they accept"
        )
    if loaded.not_valid_after_utc < now:
        warnings.append(f"{certificate} expired on {loaded.not_valid_after_utc:%Y-%m-%d}; put a new one there")
    elif loaded.not_valid_after_utc - now < timedelta(days=RENEW_DAYS):
        warnings.append(f"{certificate} expires on {loaded.not_valid_after_utc:%Y-%m-%d}; put a new one there soon")
    if loaded.not_valid_before_utc > now:
        warnings.append(
            f"{certificate} is not valid before {loaded.not_valid_before_utc:%Y-%m-%d %H:%M} UTC;"
            " look at this machine's clock"
        )
    alone = missing_issuer(certificate, certificate.read_bytes())
    if alone:
        warnings.append(alone)
    return CertificateDescription(
        loaded.subject.rfc4514_string(),
        tuple(names),
        loaded.not_valid_before_utc,
        loaded.not_valid_after_utc,
        key_kind(loaded.public_key()),
        tuple(warnings),
    )


def trust_lines(ca: Path, hosts: Sequence[str], *, port: int) -> str:
    """Returns the shell lines that make docker, podman and curl trust `ca` for each of `hosts` at `port`."""
    lines = [f"clients must trust {ca}:"]
    for host in hosts:
        place = f"{f'[{host}]' if ':' in host else host}:{port}"
        lines += [
            f"  docker:  sudo install -D -m 644 {ca} /etc/docker/certs.d/{place}/ca.crt",
            f"  podman:  sudo install -D -m 644 {ca} /etc/containers/certs.d/{place}/ca.crt",
            f"  curl:    curl --cacert {ca} https://{place}/v2/",
        ]
    return "\n".join(lines)


def _load(certificate: Path) -> x509.Certificate:
    try:
        return x509.load_pem_x509_certificate(certificate.read_bytes())
    except FileNotFoundError:
        raise CertificateProblem(f"the certificate {certificate} does not exist") from None
    except OSError as error:
        raise CertificateProblem(f"the certificate {certificate} cannot be read: {error.strerror}") from None
    except (ValueError, UnsupportedAlgorithm):
        raise CertificateProblem(certificate_trouble(certificate, certificate.read_bytes())) from None


def _spki(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)


def _pem_key(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    try:
        fd = os.open(folder / ".lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise _unwritable(folder, error) from None
    try:
        fcntl.flock(fd, fcntl.LOCK_EX)
        yield
    finally:
        os.close(fd)


def _write_pair(folder: Path, name: str, certificate: bytes, key: ec.EllipticCurvePrivateKey) -> None:
    """Both are on the disk before either is seen, so that a crash hardly ever leaves half a pair."""
    written: list[tuple[Path, Path]] = []
    try:
        for suffix, content, mode in (("key", _pem_key(key), 0o600), ("crt", certificate, 0o644)):
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
        raise _unwritable(folder, error) from None


def _unwritable(folder: Path, error: OSError) -> CertificateProblem:
    return CertificateProblem(
        f"certificates cannot be made in {folder.absolute()} ({error.strerror}): give it to uid {os.getuid()},"
        " or name another folder with --certs or gateway.certs"
    )
