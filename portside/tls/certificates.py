"""A folder of certificates: a private CA and a server certificate made where there are none.

Invariant: a folder holds either whole pairs or an error is raised; nothing of the user's is ever overwritten (a
server certificate is only renewed where our own CA's key lies beside it).
"""

from __future__ import annotations

import os
import socket
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

from portside.problems import CertificateProblem
from portside.tls.describing import RENEW_DAYS, describe, is_issued, load_certificate
from portside.tls.diagnosis import key_trouble
from portside.tls.issuing import end_of_new, issue, locked, make_ca, unwritable
from portside.tls.names import parse_certificate_name

__all__ = [
    "CertificateFolder",
    "CertificateProblem",
    "check_pair",
    "ensure_certificates",
    "own_names",
    "trust_lines",
]

CA_WARN_DAYS = 180
"""A CA that expires takes a person: every client needs the next one."""
USUAL, TUTORIAL = "server", "domain"


@dataclass(frozen=True, slots=True)
class CertificateFolder:
    """Where the files lie, what was done, and what could not be.

    Attributes:
        certificate: `server.crt`, the server certificate followed by the CA's; or the tutorial's `domain.crt`.
        key: `server.key`, or `domain.key`.
        ca: `ca.crt`, what clients must trust; None when the user's own certificate lies here without a CA.
        done: a sentence for the log when something was made or renewed, else empty.
        warnings: whole sentences: what keeps a certificate from being renewed, and what a person must do.
        due: when it is to be renewed, UTC; None for the user's own.
    """

    certificate: Path
    key: Path
    ca: Path | None
    done: str = ""
    warnings: tuple[str, ...] = ()
    due: datetime | None = None


def own_names() -> tuple[str, ...]:
    """Returns the names that every server certificate carries: localhost, this host's name, 127.0.0.1, ::1."""
    try:
        host = parse_certificate_name(socket.gethostname())
    except ValueError:  # a host may be called what no client can look up
        host = "localhost"
    return tuple(dict.fromkeys(("localhost", host, "127.0.0.1", "::1")))


def ensure_certificates(folder: Path, *, names: Sequence[str] = ()) -> CertificateFolder:
    """Makes what is missing in `folder`: CA and server certificate, for `own_names()` and `names`.

    Renews the server certificate when the wanted names changed or it expires within 30 days, as long as the
    CA and its key are there. Two processes that start at once make one CA. `domain.crt` and `domain.key`, the names
    of Docker's tutorial, are taken where no `server.crt` of the user's own stands beside them.

    Args:
        folder: made (0755) when it does not exist.
        names: further DNS names and IP addresses.

    Raises:
        CertificateProblem: half a pair, a pair that does not match, or a folder that cannot be written.
    """
    try:
        wanted = tuple(dict.fromkeys((*own_names(), *map(parse_certificate_name, names))))
    except ValueError as error:
        raise CertificateProblem(str(error)) from None
    try:
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
    except OSError as error:
        raise unwritable(folder, error.strerror or str(error)) from None
    if not os.access(folder, os.W_OK):
        return _as_it_is(folder, wanted)
    try:
        if not _needs_work(folder, wanted):
            return _found(folder)
    except CertificateProblem:
        pass  # another process may be in the middle of it: look again under the lock
    with locked(folder):
        return _found(folder, done=_make_missing(folder, wanted))


def _as_it_is(folder: Path, wanted: Sequence[str]) -> CertificateFolder:
    """Takes a folder that may only be read, and says what ought to be done there."""
    if not _needs_work(folder, wanted):
        return _found(folder)
    certificate, key = folder / "server.crt", folder / "server.key"
    _require_whole(certificate, key, "server certificate")
    if not certificate.exists():
        raise unwritable(folder, "it may only be read")
    shown = describe(certificate)
    missing = _missing_names(shown.names, wanted)
    why = f"has no name {', '.join(missing)}" if missing else f"expires on {shown.not_after:%Y-%m-%d}"
    warning = (
        f"{certificate} {why} and cannot be renewed, since {folder.absolute()} may only be read:"
        f" make it writable for uid {os.getuid()}, or put a new certificate there"
    )
    return _found(folder, warnings=(warning,))


def _needs_work(folder: Path, wanted: Sequence[str]) -> bool:
    """Whether something is to be made or renewed.

    Raises:
        CertificateProblem: what is there cannot be used.
    """
    if _tutorial_s(folder):
        check_pair(folder / "domain.crt", folder / "domain.key")
        return False
    certificate, key = folder / "server.crt", folder / "server.key"
    if not certificate.exists() or not key.exists():
        return True
    check_pair(certificate, key)
    return _is_ours(folder) and _outdated(folder, wanted)


def _make_missing(folder: Path, wanted: Sequence[str]) -> str:
    ca, ca_key = folder / "ca.crt", folder / "ca.key"
    certificate, key = folder / "server.crt", folder / "server.key"
    _require_whole(certificate, key, "server certificate")
    if not _needs_work(folder, wanted):
        return ""
    if certificate.exists():
        issue(folder, wanted)
        return f"the server certificate {certificate} was renewed for {', '.join(wanted)}"
    _require_whole(ca, ca_key, "CA")
    if ca.exists():
        check_pair(ca, ca_key)
        if load_certificate(ca).not_valid_after_utc <= datetime.now(UTC):
            raise CertificateProblem(_ca_expired(ca))
        issue(folder, wanted)
        return f"a server certificate was made: {certificate}"
    make_ca(folder)
    issue(folder, wanted)
    return f"a private CA and a server certificate were made in {folder}: clients must trust {ca}"


def _tutorial_s(folder: Path) -> bool:
    """Whether `domain.crt` is to be served: it is there, and no `server.crt` that the user put there."""
    certificate, key = folder / "domain.crt", folder / "domain.key"
    if not certificate.exists() and not key.exists():
        return False
    if (folder / "server.crt").exists() and not _is_ours(folder):
        return False
    _require_whole(certificate, key, "certificate")
    return True


def _is_ours(folder: Path) -> bool:
    """Whether the CA in this folder issued its server certificate and can do so again: never the user's own."""
    ca, ca_key = folder / "ca.crt", folder / "ca.key"
    if not ca.exists() or not ca_key.exists():
        return False
    check_pair(ca, ca_key)
    made_here = isinstance(load_certificate(ca).public_key(), ec.EllipticCurvePublicKey)
    return made_here and _issued_by(folder / "server.crt", ca)


def _issued_by(certificate: Path, ca: Path) -> bool:
    return is_issued(load_certificate(certificate), by=load_certificate(ca))


def _require_whole(certificate: Path, key: Path, what: str) -> None:
    for present, absent in ((certificate, key), (key, certificate)):
        if present.exists() and not absent.exists():
            raise CertificateProblem(
                f"{present} exists without {absent.name}: put {absent.name} beside it,"
                f" or move {present.name} away and a new {what} is made"
            )


def _outdated(folder: Path, wanted: Sequence[str]) -> bool:
    """Whether the server certificate lacks a name or ends soon, and the CA can issue a better one."""
    shown = describe(folder / "server.crt")
    best = end_of_new(load_certificate(folder / "ca.crt"))
    if best <= datetime.now(UTC):
        return False  # nobody trusts the CA any more: `_ca_warnings` says so
    ends_soon = shown.not_after - datetime.now(UTC) < timedelta(days=RENEW_DAYS)
    return bool(_missing_names(shown.names, wanted)) or (ends_soon and best - shown.not_after > timedelta(days=1))


def _missing_names(carried: Sequence[str], wanted: Sequence[str]) -> list[str]:
    there = {name.lower() for name in carried}
    return [name for name in wanted if name not in there]


def _found(folder: Path, *, done: str = "", warnings: tuple[str, ...] = ()) -> CertificateFolder:
    name = TUTORIAL if _tutorial_s(folder) else USUAL
    certificate, ca = folder / f"{name}.crt", folder / "ca.crt"
    if name == TUTORIAL and (folder / "server.crt").exists():
        done = f"{certificate} is served, and {folder / 'server.crt'} is not: it was made here before"
    if not ca.exists() or not _issued_by(certificate, ca):
        return CertificateFolder(certificate, folder / f"{name}.key", None, done, warnings)
    due = None
    if name == USUAL and _is_ours(folder):
        due = load_certificate(certificate).not_valid_after_utc - timedelta(days=RENEW_DAYS)
    return CertificateFolder(certificate, folder / f"{name}.key", ca, done, (*warnings, *_ca_warnings(ca)), due)


def _ca_warnings(ca: Path) -> tuple[str, ...]:
    end = load_certificate(ca).not_valid_after_utc
    if end <= datetime.now(UTC):
        return (_ca_expired(ca),)
    if end - datetime.now(UTC) < timedelta(days=CA_WARN_DAYS):
        soon = (
            f"the CA {ca} expires on {end:%Y-%m-%d}, and everything that it issued with it: move ca.crt, ca.key,"
            " server.crt and server.key away before, restart, and give clients the new ca.crt"
        )
        return (soon,)
    return ()


def _ca_expired(ca: Path) -> str:
    return (
        f"the CA {ca} expired on {load_certificate(ca).not_valid_after_utc:%Y-%m-%d}, and clients refuse what it"
        " issued: move ca.crt, ca.key, server.crt and server.key away, restart, and give clients the new ca.crt"
    )


def check_pair(certificate: Path, key: Path) -> None:
    """Raises CertificateProblem unless both files are there, readable, unencrypted, and belong together."""
    loaded = load_certificate(certificate)
    try:
        private = serialization.load_pem_private_key(key.read_bytes(), password=None)
    except FileNotFoundError:
        raise CertificateProblem(f"{certificate} exists without its key {key}: put the key there") from None
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


def trust_lines(ca: Path, hosts: Sequence[str], *, port: int, prefix: str = "") -> str:
    """Returns the shell lines that make docker, podman, containerd and curl trust `ca` for each of `hosts` at `port`.

    Args:
        ca: the CA's file.
        hosts: names and addresses.
        port: of all of them.
        prefix: `http.prefix`.
    """
    lines = [f"clients must trust {ca}:"]
    for host in hosts:
        place = f"{f'[{host}]' if ':' in host else host}:{port}"
        lines += [
            f"  docker:      sudo install -D -m 644 {ca} /etc/docker/certs.d/{place}/ca.crt",
            f"  podman:      sudo install -D -m 644 {ca} /etc/containers/certs.d/{place}/ca.crt",
            f"  containerd:  sudo install -D -m 644 {ca} /etc/containerd/certs.d/{place}/ca.crt",
            f"  curl:        curl --cacert {ca} https://{place}{prefix}/v2/",
        ]
    return "\n".join(lines)


def _spki(key: PublicKeyTypes) -> bytes:
    return key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
