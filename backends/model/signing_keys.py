"""Private keys for schema 1 documents, in the files that distribution takes: libtrust's JSON, or PEM. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from backends.model.base64url import decode
from backends.model.jws import CURVES, PrivateKey, key_id
from backends.model.strict_json import parse_json


def parse_signing_key(content: bytes) -> PrivateKey:
    """Returns a key of a file's content.

    Raises:
        ValueError: there is none that can sign; the message says why, and holds nothing of the key.
    """
    try:
        text = content.strip()
        key = _parse_jwk(parse_json(text)) if text.startswith(b"{") else _parse_pem(text)
    except (LookupError, TypeError, ValueError, UnsupportedAlgorithm) as error:
        why = str(error) if isinstance(error, _UnusableKeyError) else "it is damaged, or not a private key"
        raise ValueError(why) from None
    if isinstance(key, ec.EllipticCurvePrivateKey) and not isinstance(key.curve, tuple(CURVES.values())):
        raise ValueError("the curve must be P-256, P-384 or P-521")
    return key


class _UnusableKeyError(ValueError):
    """A reason that may be shown."""


def _parse_jwk(jwk: Mapping[str, Any]) -> PrivateKey:
    match jwk.get("kty"):
        case "EC":
            key: PrivateKey = _parse_ec(jwk)
        case "RSA":
            key = _parse_rsa(jwk)
        case _:
            raise _UnusableKeyError("its kty must be EC or RSA")
    if jwk.get("kid", key_id(key.public_key())) != key_id(key.public_key()):
        raise _UnusableKeyError("its kid is that of another key")
    return key


def _parse_ec(jwk: Mapping[str, Any]) -> ec.EllipticCurvePrivateKey:
    if jwk["crv"] not in CURVES:
        raise _UnusableKeyError("the curve must be P-256, P-384 or P-521")
    if "d" not in jwk:
        raise _UnusableKeyError("it is a public key: it has no d")
    x, y, d = (_number(jwk, name) for name in ("x", "y", "d"))
    public = ec.EllipticCurvePublicNumbers(x, y, CURVES[jwk["crv"]]())
    return ec.EllipticCurvePrivateNumbers(d, public).private_key()


def _parse_rsa(jwk: Mapping[str, Any]) -> rsa.RSAPrivateKey:
    if "d" not in jwk:
        raise _UnusableKeyError("it is a public key: it has no d")
    if "oth" in jwk:
        raise _UnusableKeyError("RSA keys of more than two primes are not supported")
    n, e, d = (_number(jwk, name) for name in ("n", "e", "d"))
    p, q = (_number(jwk, name) for name in ("p", "q")) if "p" in jwk else rsa.rsa_recover_prime_factors(n, e, d)
    public = rsa.RSAPublicNumbers(e, n)
    exponents = (rsa.rsa_crt_dmp1(d, p), rsa.rsa_crt_dmq1(d, q), rsa.rsa_crt_iqmp(p, q))
    return rsa.RSAPrivateNumbers(p, q, d, *exponents, public).private_key()


def _parse_pem(content: bytes) -> PrivateKey:
    if b"-----BEGIN" not in content:
        raise _UnusableKeyError("it must be libtrust's JSON, or PEM")
    if b"ENCRYPTED" in content:
        raise _UnusableKeyError("it is encrypted, and nobody is asked for a password")
    key = serialization.load_pem_private_key(content, password=None)
    if not isinstance(key, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey):
        raise _UnusableKeyError("it is neither an EC key nor an RSA key")
    return key


def _number(jwk: Mapping[str, Any], name: str) -> int:
    return int.from_bytes(decode(jwk[name]), "big")
