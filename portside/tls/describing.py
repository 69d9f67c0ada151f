"""What a certificate says of itself: names, time, key, and what a person must do about it.

Invariant: no private key is read here: the parent keeps what it imports, and what reads keys is half a megabyte.
"""

from __future__ import annotations

import contextlib
import ssl
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm

from portside.problems import NOT_THERE, CertificateProblem
from portside.tls.diagnosis import certificate_trouble, key_kind

RENEW_DAYS = 30
"""A certificate is renewed, and one that cannot be is warned of, so long before it expires."""
# What its extensions raise; OpenSSL serves such a certificate all the same.
_UNREADABLE = (x509.DuplicateExtension, x509.UnsupportedGeneralNameType, ValueError)


@dataclass(frozen=True, slots=True)
class CertificateDescription:
    """What a certificate says of itself.

    Attributes:
        subject: RFC 4514 text, `CN=localhost`.
        names: subjectAltName, DNS names first, then addresses; empty when there is none that can be read.
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


def describe(certificate: Path) -> CertificateDescription:
    """Returns what the first certificate of a PEM file says; raises CertificateProblem when there is none."""
    loaded = load_certificate(certificate)
    names = _names_in(loaded)
    now = datetime.now(UTC)
    warnings: list[str] = []
    if names == ():
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
    missing = missing_issuer(certificate, certificate.read_bytes())
    if missing:
        warnings.append(missing)
    return CertificateDescription(
        subject_of(loaded),
        names or (),
        loaded.not_valid_before_utc,
        loaded.not_valid_after_utc,
        key_kind(loaded.public_key()),
        tuple(warnings),
    )


def _names_in(certificate: x509.Certificate) -> tuple[str, ...] | None:
    """Returns its names, DNS names first; None where there is one of a kind that cannot be read here."""
    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return ()
    except _UNREADABLE:
        return None
    return (*names.get_values_for_type(x509.DNSName), *map(str, names.get_values_for_type(x509.IPAddress)))


def load_certificate(certificate: Path) -> x509.Certificate:
    """Returns the first certificate of a PEM file; raises CertificateProblem when there is none."""
    try:
        return x509.load_pem_x509_certificate(certificate.read_bytes())
    except FileNotFoundError:
        raise CertificateProblem(f"the certificate {certificate} {NOT_THERE}") from None
    except OSError as error:
        raise CertificateProblem(f"the certificate {certificate} cannot be read: {error.strerror}") from None
    except (ValueError, UnsupportedAlgorithm):
        raise CertificateProblem(certificate_trouble(certificate, certificate.read_bytes())) from None


def missing_issuer(path: Path, content: bytes) -> str:
    """Returns a warning when a file holds only a server's certificate, and its issuer may be an intermediate.

    A certificate does not show whether its issuer is a root that clients trust or an intermediate that the
    server must send. Roots that this machine trusts, and a CA that lies beside the file, are known to be no
    intermediates.
    """
    try:
        leaf, *others = x509.load_pem_x509_certificates(content)
        issuer = leaf.issuer.rfc4514_string()
    except (ValueError, UnsupportedAlgorithm):  # names too: see `subject_of`
        return ""
    possible = _possible_issuers(leaf, others, beside=path.parent / "ca.crt")
    if any(_names_key_of(each, leaf) or is_issued(leaf, by=each) for each in possible):
        return ""
    return (
        f"{path} does not hold the certificate of its issuer ({issuer}): unless that is a root"
        " that clients trust, they refuse the connection; append the intermediate certificates to the file"
    )


def subject_of(certificate: x509.Certificate) -> str:
    """Returns whom a certificate names, as RFC 4514 text; where that cannot be read, its serial number.

    OpenSSL serves and trusts certificates whose names have Latin-1 letters in a T61String, as old CAs wrote them.
    """
    try:
        return certificate.subject.rfc4514_string()
    except ValueError:
        return f"serial number {certificate.serial_number:x}"


def is_issued(certificate: x509.Certificate, *, by: x509.Certificate) -> bool:
    """Whether a certificate has another one's signature; one of a kind that cannot be checked has not."""
    try:
        certificate.verify_directly_issued_by(by)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _names_key_of(issuer: x509.Certificate, leaf: x509.Certificate) -> bool:
    """Whether a certificate names this issuer and its key (RFC 5280 section 4.2.1.1).

    Clients find an issuer so. It spares the parent, which keeps it, a megabyte for checking signatures.
    """
    try:
        named = leaf.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value.key_identifier
        key = issuer.extensions.get_extension_for_class(x509.SubjectKeyIdentifier).value.digest
    except (x509.ExtensionNotFound, *_UNREADABLE):
        return False
    return leaf.issuer == issuer.subject and named == key


def _possible_issuers(
    leaf: x509.Certificate, others: Iterable[x509.Certificate], *, beside: Path
) -> Iterator[x509.Certificate]:
    """Yields who may have issued a certificate, what is cheap to find first."""
    yield leaf
    yield from others
    with contextlib.suppress(OSError, ValueError, UnsupportedAlgorithm):
        yield from x509.load_pem_x509_certificates(beside.read_bytes())
    trusted = ssl.create_default_context().get_ca_certs(binary_form=True)
    name = leaf.issuer.public_bytes()
    for each in trusted:
        if name in each:
            with contextlib.suppress(ValueError, UnsupportedAlgorithm):
                yield x509.load_der_x509_certificate(each)
