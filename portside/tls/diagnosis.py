"""Why a certificate or a key cannot be used, in one sentence that says what to do.

Invariant: "not PEM" is said only of what is not PEM; OpenSSL's own words for what it refuses are passed on otherwise.
"""

from __future__ import annotations

import re
import ssl
from pathlib import Path

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.types import PublicKeyTypes

_BEGIN = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----")
_DER_SEQUENCE = b"\x30"
_CERTIFICATES = frozenset({"CERTIFICATE", "X509 CERTIFICATE", "TRUSTED CERTIFICATE"})
_TOO_WEAK = {
    "EE_KEY_TOO_SMALL": "its key is too small for OpenSSL: make one of 2048 bits or more (RSA), or P-256",
    "CA_KEY_TOO_SMALL": "the key of its CA is too small for OpenSSL: let a CA with a larger key issue it",
    "CA_MD_TOO_WEAK": "its signature is too weak for OpenSSL (SHA-1 or MD5): have it issued with SHA-256",
}


def key_kind(key: PublicKeyTypes) -> str:
    """Returns `ECDSA`, `RSA`, or what else a key is."""
    match key:
        case ec.EllipticCurvePublicKey():
            return "ECDSA"
        case rsa.RSAPublicKey():
            return "RSA"
        case _:
            return type(key).__name__.removeprefix("_").removesuffix("PublicKey")


def certificate_trouble(path: Path, content: bytes) -> str:
    """Returns why a file's content cannot be read as a certificate; "" when it can."""
    labels = _labels(content)
    if not labels:
        return _not_pem(path, content, what="certificate", command="x509")
    if not _CERTIFICATES & set(labels):
        return f"{path} holds no certificate but {_listed(labels)}: put the certificate there"
    try:
        x509.load_pem_x509_certificate(content)
    except (ValueError, UnsupportedAlgorithm):
        return f"the certificate in {path} is damaged, or of a kind that cannot be read: put a whole one there"
    return ""


def key_trouble(path: Path, content: bytes) -> str:
    """Returns why a file's content cannot be read as a private key; "" when it can."""
    labels = _labels(content)
    if not labels:
        return _not_pem(path, content, what="key", command="pkey")
    if not any(label.endswith("PRIVATE KEY") for label in labels):
        return f"{path} holds no private key but {_listed(labels)}: put the certificate's key there"
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - half a megabyte, for keys alone

    try:
        serialization.load_pem_private_key(content, password=None)
    except TypeError:
        return f"the key {path} has a passphrase; remove it with `openssl pkey`"
    except (ValueError, UnsupportedAlgorithm):
        return f"the key in {path} is damaged, or of a kind that cannot be read: put a whole one there"
    return ""


def pair_trouble(certificate: Path, key: Path, error: ssl.SSLError) -> str:
    """Returns why OpenSSL refuses a certificate and its key.

    Args:
        certificate: a file that exists.
        key: another.
        error: what OpenSSL said.
    """
    both = f"the certificate {certificate} and the key {key} cannot be used"
    try:
        leaf, private = certificate.read_bytes(), key.read_bytes()
    except OSError as gone:
        return f"{both}: {gone.filename} cannot be read ({gone.strerror})"
    said = certificate_trouble(certificate, leaf) or key_trouble(key, private)
    if said:
        return said
    from cryptography.hazmat.primitives import serialization  # noqa: PLC0415 - as above

    reason = error.reason or ""
    kinds = [
        key_kind(x509.load_pem_x509_certificate(leaf).public_key()),
        key_kind(serialization.load_pem_private_key(private, password=None).public_key()),
    ]
    if kinds[0] != kinds[1]:
        return f"{both}: the certificate is for a key of kind {kinds[0]}, and the key is of kind {kinds[1]}"
    if reason == "KEY_VALUES_MISMATCH":
        return f"{both}: they do not belong together (the server's own certificate must be the first one of its file)"
    if reason in _TOO_WEAK:
        return f"the certificate {certificate} cannot be used: {_TOO_WEAK[reason]}"
    return f"{both}: OpenSSL says {reason.lower().replace('_', ' ') or error}"


def _labels(content: bytes) -> list[str]:
    return [label.decode() for label in _BEGIN.findall(content)]


def _listed(labels: list[str]) -> str:
    return ", ".join(dict.fromkeys(label.lower() for label in labels))


def _not_pem(path: Path, content: bytes, *, what: str, command: str) -> str:
    if content.startswith(_DER_SEQUENCE):
        return (
            f"{path} is not a PEM {what} but looks like DER: `openssl {command} -inform DER -in {path}` turns it to PEM"
        )
    return f"{path} is not a PEM {what}: it must hold a block that begins with -----BEGIN"
