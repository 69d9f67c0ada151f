"""Private keys in the files that operators of distribution have: libtrust's JSON, and PEM."""

from __future__ import annotations

import base64
import json

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from backends.model.jws import PrivateKey, key_id

CURVES: dict[str, ec.EllipticCurve] = {"P-256": ec.SECP256R1(), "P-384": ec.SECP384R1(), "P-521": ec.SECP521R1()}


def text_of(number: int, size: int) -> str:
    return base64.urlsafe_b64encode(number.to_bytes(size, "big")).rstrip(b"=").decode()


def jwk_of(key: PrivateKey) -> dict[str, str]:
    """A private key as libtrust writes it (RFC 7517 with a name of its own)."""
    kid = key_id(key.public_key())
    if isinstance(key, ec.EllipticCurvePrivateKey):
        numbers, size = key.private_numbers(), (key.curve.key_size + 7) // 8
        name = next(name for name, curve in CURVES.items() if curve.name == key.curve.name)
        point = {"x": text_of(numbers.public_numbers.x, size), "y": text_of(numbers.public_numbers.y, size)}
        return {"crv": name, "d": text_of(numbers.private_value, size), "kid": kid, "kty": "EC", **point}
    whole = key.private_numbers()
    n, e = whole.public_numbers.n, whole.public_numbers.e
    parts = {"n": n, "e": e, "d": whole.d, "p": whole.p, "q": whole.q}
    parts |= {"dp": whole.dmp1, "dq": whole.dmq1, "qi": whole.iqmp}
    shown = {name: text_of(value, (value.bit_length() + 7) // 8) for name, value in parts.items()}
    return {"kid": kid, "kty": "RSA", **shown}


def as_json(key: PrivateKey) -> bytes:
    return json.dumps(jwk_of(key), indent=3).encode()


def as_pem(key: PrivateKey, form: serialization.PrivateFormat = serialization.PrivateFormat.PKCS8) -> bytes:
    return key.private_bytes(serialization.Encoding.PEM, form, serialization.NoEncryption())


def as_libtrust_pem(key: PrivateKey) -> bytes:
    """The traditional form with libtrust's line about the key."""
    first, _, rest = as_pem(key, serialization.PrivateFormat.TraditionalOpenSSL).partition(b"\n")
    return first + b"\nkeyID: " + key_id(key.public_key()).encode() + b"\n\n" + rest


def new_keys() -> dict[str, PrivateKey]:
    """A key of each kind."""
    kinds: dict[str, PrivateKey] = {name: ec.generate_private_key(curve) for name, curve in CURVES.items()}
    return {**kinds, "RSA": rsa.generate_private_key(65537, 2048)}
