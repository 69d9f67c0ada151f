"""libtrust's JSON signatures, as schema 1 manifests carry them (FORMATS section 4.2).

A document is a payload with `signatures` spliced in before its last brace. Each signature's protected header says
where (`formatLength`) and what followed there (`formatTail`), so the payload can be rebuilt to the byte. Any key is
accepted: a signature proves that the document is whole, not who made it.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature
from cryptography.x509 import InvalidVersion, load_der_x509_certificate

from backends.model.base64url import decode, encode
from backends.model.strict_json import parse_json

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey
PrivateKey = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey

CURVES: dict[str, type[ec.EllipticCurve]] = {"P-256": ec.SECP256R1, "P-384": ec.SECP384R1, "P-521": ec.SECP521R1}
_ES = {"ES256": (hashes.SHA256, 32), "ES384": (hashes.SHA384, 48), "ES512": (hashes.SHA512, 66)}
_RS: dict[str, type[hashes.HashAlgorithm]] = {
    "RS256": hashes.SHA256,
    "RS384": hashes.SHA384,
    "RS512": hashes.SHA512,
}
MAX_SIGNATURES = 16
_BLANK = b" \t\r\n"
_SPLICE = re.compile(rb'[ \t\r\n]*,[ \t\r\n]*"signatures"[ \t\r\n]*:')


class Unverified(Exception):  # noqa: N818 - a finding, not a fault
    """The signatures do not verify; the message says why."""


def verify(document: bytes, parsed: Mapping[str, Any] | None = None) -> bytes:
    """Checks every signature of a document.

    Args:
        document: the bytes.
        parsed: the same, where it has been parsed (by `strict_json`) already.

    Returns:
        the payload, to the byte.

    Raises:
        Unverified: a signature is missing, malformed or wrong.
    """
    try:
        if parsed is None:
            parsed = parse_json(document)
        signatures = parsed["signatures"]
        if not isinstance(signatures, list) or not 1 <= len(signatures) <= MAX_SIGNATURES:
            raise Unverified(f"there must be 1 to {MAX_SIGNATURES} signatures")
        protected = [_protected(signature) for signature in signatures]
        length, tail = protected[0]
        if any(other != protected[0] for other in protected):
            raise Unverified("the signatures disagree about formatLength or formatTail")
        if not 0 < length <= len(document):
            raise Unverified("formatLength lies outside the document")
        payload = document[:length] + tail
        if not _is_spliced(document[length:], tail):
            _require_same_content(parsed, payload)
        signed = encode(payload)
        for signature in signatures:
            _check(signature, signed)
    except (LookupError, TypeError, ValueError, binascii.Error, UnsupportedAlgorithm, InvalidVersion) as error:
        raise Unverified(f"a signature is malformed: {error}") from None
    return payload


def sign(payload: bytes, key: PrivateKey) -> bytes:
    """Signs a payload, in the form distribution writes: the same bytes for the same key and payload.

    Args:
        payload: a JSON object in text form.
        key: the registry's own: RSA, or EC on one of the curves in `CURVES`.

    Raises:
        ValueError: the payload is not a JSON object.
    """
    text = payload.rstrip()
    if not text.endswith(b"}"):
        raise ValueError("only a JSON object can be signed")
    length = len(text[:-1].rstrip())
    protected = encode(
        b'{"formatLength":%d,"formatTail":"%s","time":"1970-01-01T00:00:00Z"}'
        % (length, encode(payload[length:]).encode())
    )
    algorithm, signature = _sign(f"{protected}.{encode(payload)}".encode(), key)
    entry = {
        "header": {"jwk": _public_jwk(key.public_key()), "alg": algorithm},
        "signature": encode(signature),
        "protected": protected,
    }
    indent = _indent(payload)
    if not indent:
        return payload[:length] + b',"signatures":' + json.dumps([entry], separators=(",", ":")).encode() + b"}"
    lines = json.dumps([entry], indent=len(indent)).replace("\n", "\n" + " " * len(indent))
    return payload[:length] + b",\n" + indent + b'"signatures": ' + lines.encode() + b"\n}"


def _sign(message: bytes, key: PrivateKey) -> tuple[str, bytes]:
    """Returns libtrust's choice of an algorithm for a key, and the signature."""
    if isinstance(key, rsa.RSAPrivateKey):
        return "RS256", key.sign(message, padding.PKCS1v15(), hashes.SHA256())
    algorithm = next(name for name, (_, size) in _ES.items() if size == _coordinate_size(key.curve))
    algorithm_hash, size = _ES[algorithm]
    der = key.sign(message, ec.ECDSA(algorithm_hash(), deterministic_signing=True))
    return algorithm, b"".join(number.to_bytes(size, "big") for number in decode_dss_signature(der))


def _public_jwk(key: PublicKey) -> dict[str, str]:
    if isinstance(key, rsa.RSAPublicKey):
        whole = key.public_numbers()
        n, e = (number.to_bytes((number.bit_length() + 7) // 8, "big") for number in (whole.n, whole.e))
        return {"e": encode(e), "kid": key_id(key), "kty": "RSA", "n": encode(n)}
    numbers, size = key.public_numbers(), _coordinate_size(key.curve)
    x, y = (encode(number.to_bytes(size, "big")) for number in (numbers.x, numbers.y))
    name = next(name for name, curve in CURVES.items() if isinstance(key.curve, curve))
    return {"crv": name, "kid": key_id(key), "kty": "EC", "x": x, "y": y}


def _coordinate_size(curve: ec.EllipticCurve) -> int:
    return (curve.key_size + 7) // 8


def key_id(key: PublicKey) -> str:
    """Returns libtrust's name of a key: twelve groups of four base 32 digits."""
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    text = base64.b32encode(hashlib.sha256(der).digest()[:30]).decode("ascii")
    return ":".join(text[start : start + 4] for start in range(0, len(text), 4))


def _protected(signature: Mapping[str, Any]) -> tuple[int, bytes]:
    header = parse_json(decode(signature["protected"]))
    length = header["formatLength"]
    if isinstance(length, bool) or not isinstance(length, int):
        raise Unverified("formatLength is not a number")
    return length, decode(header["formatTail"])


def _is_spliced(rest: bytes, tail: bytes) -> bool:
    """Whether the document is the payload with `signatures` before its last brace, as libtrust writes it.

    Then what is signed is what is read, and the payload need not be parsed to know it: the whole document is JSON, and
    the piece that was spliced in stands between two members of its outermost object. Had the cut been inside a string
    or deeper inside, either the name `signatures` would stand outside a string or a brace would be missing at the end.

    Args:
        rest: the document from the cut on.
        tail: what the payload has there instead.
    """
    if tail.strip(_BLANK) != b"}" or _SPLICE.match(rest) is None:
        return False
    try:
        return list(parse_json(b'{"":0' + rest)) == ["", "signatures"]
    except ValueError:
        return False


def _require_same_content(parsed: Mapping[str, Any], payload: bytes) -> None:
    """Requires that what is signed is what is read: the document is the payload plus `signatures`, and nothing else."""
    read = {key: value for key, value in parsed.items() if key != "signatures"}
    if _spelled(parse_json(payload)) != _spelled(read):
        raise Unverified("the signed payload says something else than the document")


def _spelled(value: Any) -> str:
    """Returns JSON that differs where Python's `==` sees no difference: true, 1 and 1.0."""
    return json.dumps(value, sort_keys=True)


def _check(signature: Mapping[str, Any], payload: str) -> None:
    header = signature["header"]
    key, algorithm = _key(header), header["alg"]
    signed = f"{signature['protected']}.{payload}".encode()
    value = decode(signature["signature"])
    try:
        if isinstance(key, ec.EllipticCurvePublicKey):
            algorithm_hash, size = _ES[algorithm]
            if len(value) != 2 * size:
                raise Unverified(f"an {algorithm} signature has {2 * size} bytes, not {len(value)}")
            r, s = int.from_bytes(value[:size], "big"), int.from_bytes(value[size:], "big")
            key.verify(encode_dss_signature(r, s), signed, ec.ECDSA(algorithm_hash()))
        else:
            key.verify(value, signed, padding.PKCS1v15(), _RS[algorithm]())
    except InvalidSignature:
        raise Unverified("a signature does not match the manifest: it was changed after it was signed") from None


def _key(header: Mapping[str, Any]) -> PublicKey:
    if "jwk" in header:
        jwk = header["jwk"]
        key = _jwk(jwk)
        if "kid" in jwk and jwk["kid"] != key_id(key):
            raise Unverified("a key's `kid` is not its own")
        return key
    leaf = load_der_x509_certificate(base64.b64decode(header["x5c"][0], validate=True)).public_key()
    if not isinstance(leaf, ec.EllipticCurvePublicKey | rsa.RSAPublicKey):
        raise Unverified("a certificate's key is neither EC nor RSA")
    return leaf


def _jwk(jwk: Mapping[str, Any]) -> PublicKey:
    match jwk["kty"]:
        case "EC":
            x, y = (int.from_bytes(decode(jwk[name]), "big") for name in ("x", "y"))
            return ec.EllipticCurvePublicNumbers(x, y, CURVES[jwk["crv"]]()).public_key()
        case "RSA":
            n, e = (int.from_bytes(decode(jwk[name]), "big") for name in ("n", "e"))
            return rsa.RSAPublicNumbers(e, n).public_key()
        case other:
            raise Unverified(f"keys of type {str(other)[:20]!r} are not known")


def _indent(payload: bytes) -> bytes:
    if not payload.startswith(b"{\n"):
        return b""
    indent = payload[2 : payload.find(b'"')]
    return indent if not indent.strip() else b""
