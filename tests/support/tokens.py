"""Tokens as token servers sign them, keys and certificates for it, and ones that are wrong in one way each."""

from __future__ import annotations

import base64
import datetime as dt
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from backends.auth.keys import key_ids
from backends.model.base64url import encode

SERVICE, ISSUER = "registry.example", "https://tokens.example"

PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey | ed25519.Ed25519PrivateKey

_HASHES: Mapping[str, type[hashes.HashAlgorithm]] = {
    "256": hashes.SHA256,
    "384": hashes.SHA384,
    "512": hashes.SHA512,
}


def sign(message: bytes, algorithm: str, key: PrivateKey | bytes) -> bytes:
    """A signature as RFC 7518 writes it; none for `none`."""
    if algorithm == "none":
        return b""
    if isinstance(key, bytes):
        return hmac.digest(key, message, f"sha{algorithm[2:]}")
    if isinstance(key, ed25519.Ed25519PrivateKey):
        return key.sign(message)
    chosen = _HASHES.get(algorithm[2:], hashes.SHA256)()
    if isinstance(key, rsa.RSAPrivateKey):
        if algorithm.startswith("PS"):
            return key.sign(message, padding.PSS(padding.MGF1(chosen), chosen.digest_size), chosen)
        return key.sign(message, padding.PKCS1v15(), chosen)
    size = (key.curve.key_size + 7) // 8
    return b"".join(n.to_bytes(size, "big") for n in decode_dss_signature(key.sign(message, ec.ECDSA(chosen))))


def make_token(header: Mapping[str, Any], claims: Mapping[str, Any] | str, key: PrivateKey | bytes) -> str:
    """A signed token; claims that are a text are its payload as they are."""
    payload = claims if isinstance(claims, str) else json.dumps(claims)
    signed = f"{encode(json.dumps(header).encode())}.{encode(payload.encode())}"
    return f"{signed}.{encode(sign(signed.encode(), header['alg'], key))}"


def access(name: str, *actions: str, kind: str = "repository") -> dict[str, Any]:
    """An entry of an access list."""
    return {"type": kind, "name": name, "actions": list(actions)}


def make_claims(now: float, **changes: Any) -> dict[str, Any]:
    """Claims of a good token of alice's, with changes; those that are `...` are left out."""
    claims = {
        "iss": ISSUER,
        "sub": "alice",
        "aud": SERVICE,
        "exp": int(now) + 300,
        "nbf": int(now) - 10,
        "iat": int(now),
        "jti": "a-token",
        "access": [access("team/app", "pull", "push")],
    }
    return {name: value for name, value in {**claims, **changes}.items() if value is not ...}


def thumbprint(key: PrivateKey) -> str:
    """A key's name for distribution 3 (RFC 7638)."""
    return key_ids(key.public_key())[-1]


def libtrust_id(key: PrivateKey) -> str:
    """A key's name for distribution 2."""
    return key_ids(key.public_key())[0]


def certify(
    subject: str,
    key: PrivateKey,
    *,
    by: tuple[str, PrivateKey] | None = None,
    ca: bool = False,
    ends: dt.timedelta = dt.timedelta(days=30),
    extensions: Sequence[tuple[x509.ExtensionType, bool]] = (),
) -> x509.Certificate:
    """A certificate, signed by itself or by another."""
    issuer, issuer_key = by or (subject, key)
    now = dt.datetime.now(dt.UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(x509.Name.from_rfc4514_string(f"CN={subject}"))
        .issuer_name(x509.Name.from_rfc4514_string(f"CN={issuer}"))
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=30))
        .not_valid_after(now + ends)
    )
    if ca:
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    return builder.sign(issuer_key, None if isinstance(issuer_key, ed25519.Ed25519PrivateKey) else hashes.SHA256())


def x5c(*certificates: x509.Certificate) -> list[str]:
    """Certificates as a token's header has them."""
    return [base64.b64encode(one.public_bytes(serialization.Encoding.DER)).decode() for one in certificates]


def pem(*certificates: x509.Certificate) -> bytes:
    return b"".join(one.public_bytes(serialization.Encoding.PEM) for one in certificates)


def public_pem(key: PrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)


def private_pem(key: PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def public_jwk(key: PrivateKey | bytes, **members: str) -> dict[str, str]:
    """A JSON Web Key of a public or a symmetric key."""
    if isinstance(key, bytes):
        return {"kty": "oct", "k": encode(key), **members}
    public = key.public_key()
    match public:
        case rsa.RSAPublicKey():
            whole = public.public_numbers()
            n, e = (encode(i.to_bytes((i.bit_length() + 7) // 8, "big")) for i in (whole.n, whole.e))
            return {"kty": "RSA", "n": n, "e": e, **members}
        case ec.EllipticCurvePublicKey():
            point, size = public.public_numbers(), (public.curve.key_size + 7) // 8
            curve = {256: "P-256", 384: "P-384", 521: "P-521"}[public.curve.key_size]
            x, y = (encode(i.to_bytes(size, "big")) for i in (point.x, point.y))
            return {"kty": "EC", "crv": curve, "x": x, "y": y, **members}
        case ed25519.Ed25519PublicKey():
            raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
            return {"kty": "OKP", "crv": "Ed25519", "x": encode(raw), **members}


def make_rsa() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(65537, 2048)


def make_ec() -> ec.EllipticCurvePrivateKey:
    return ec.generate_private_key(ec.SECP256R1())


def make_ec_with_zeros() -> ec.EllipticCurvePrivateKey:
    """One of the 128th part of all keys: a coordinate of it begins with eight zero bits."""
    number = 1
    while (key := ec.derive_private_key(number, ec.SECP256R1())).public_key().public_numbers().x >> 248:
        number += 1
    return key


@dataclass(frozen=True, slots=True)
class Keys:
    """Keys of a token server, and of strangers."""

    by_rsa: rsa.RSAPrivateKey = field(default_factory=make_rsa)
    by_ec: ec.EllipticCurvePrivateKey = field(default_factory=make_ec)
    zeros: ec.EllipticCurvePrivateKey = field(default_factory=make_ec_with_zeros)
    ca: ec.EllipticCurvePrivateKey = field(default_factory=make_ec)
    leaf: ec.EllipticCurvePrivateKey = field(default_factory=make_ec)
    stranger: rsa.RSAPrivateKey = field(default_factory=make_rsa)
    jwk_rsa: rsa.RSAPrivateKey = field(default_factory=make_rsa)
    edwards: ed25519.Ed25519PrivateKey = field(default_factory=ed25519.Ed25519PrivateKey.generate)
    p384: ec.EllipticCurvePrivateKey = field(default_factory=lambda: ec.generate_private_key(ec.SECP384R1()))
