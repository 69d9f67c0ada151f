"""Manifests of version 2, schema 1, and their libtrust signature ("pretty JWS").

Signs with a throw-away P-256 key as docker 1.6 to 1.9 do, and verifies as docker 1.6 and 1.7 do on pull
(FORMATS sections 4.1 and 4.2). Independent of Portside's own code.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature, encode_dss_signature

_COORDINATE_BYTES = 32


class SignatureError(Exception):
    """The document is not signed, or not by the key that it names."""


@dataclass(frozen=True, slots=True)
class Entry:
    """One step of a schema 1 image: the blob's digest and the v1 JSON of the image, as text."""

    blob: str
    v1_json: str


@dataclass(frozen=True, slots=True)
class Manifest:
    """A verified schema 1 manifest; `entries` run from the top to the base, as in the document."""

    payload: bytes
    name: str
    tag: str
    entries: tuple[Entry, ...]

    @property
    def digest(self) -> str:
        return "sha256:" + sha256(self.payload).hexdigest()


def go_json(value: Any, *, indent: int | None = None) -> str:
    """JSON as Go's encoder writes it: HTML characters escaped, no blanks unless indented."""
    separators = (",", ": ") if indent else (",", ":")
    text = json.dumps(value, ensure_ascii=False, separators=separators, indent=indent)
    for char in "<>&\u2028\u2029":
        text = text.replace(char, f"\\u{ord(char):04x}")
    return text


def payload(name: str, tag: str, entries: Sequence[Entry], *, version_first: bool) -> bytes:
    """The unsigned document, `entries` from the top to the base.

    Docker 1.6 and 1.7 write ``schemaVersion`` last (WIRE section 12), 1.8 and later first.
    """
    version = {"schemaVersion": 1}
    document = {
        **(version if version_first else {}),
        "name": name,
        "tag": tag,
        "architecture": "amd64",
        "fsLayers": [{"blobSum": entry.blob} for entry in entries],
        "history": [{"v1Compatibility": entry.v1_json} for entry in entries],
        **version,
    }
    return go_json(document, indent=3).encode()


def new_key() -> ec.EllipticCurvePrivateKey:
    """A throw-away key, such as each daemon made for itself."""
    return ec.generate_private_key(ec.SECP256R1())


def sign(
    document: bytes,
    key: ec.EllipticCurvePrivateKey,
    *,
    time: str = "2026-01-01T00:00:00Z",
    indented: bool = True,
) -> bytes:
    """Add a signature to a document, the way libtrust does: indented as the document is."""
    length = len(document[: document.rindex(b"}")].rstrip())
    tail = document[length:]
    protected = _encode(
        go_json({"formatLength": length, "formatTail": _encode(tail), "time": time}).encode(),
    )
    der = key.sign(f"{protected}.{_encode(document)}".encode(), ec.ECDSA(hashes.SHA256()))
    r, s = decode_dss_signature(der)
    raw = r.to_bytes(_COORDINATE_BYTES, "big") + s.to_bytes(_COORDINATE_BYTES, "big")
    block = {
        "header": {"jwk": _jwk(key.public_key()), "alg": "ES256"},
        "signature": _encode(raw),
        "protected": protected,
    }
    text = go_json({"signatures": [block]}, indent=3 if indented else None)
    return document[:length] + b"," + text.removeprefix("{").encode()


def verify(document: bytes) -> Manifest:
    """Check every signature and return the manifest.

    Raises:
        SignatureError: There is no signature, or one does not fit the document.
        ValueError: The document is no schema 1 manifest.
    """
    parsed = json.loads(document)
    signatures = parsed.get("signatures")
    if not signatures:
        raise SignatureError("missing signature key")
    content = document
    for block in signatures:
        protected = json.loads(_decode(block["protected"]))
        content = document[: protected["formatLength"]] + _decode(protected["formatTail"])
        jwk = block["header"]["jwk"]
        numbers = ec.EllipticCurvePublicNumbers(
            int.from_bytes(_decode(jwk["x"]), "big"),
            int.from_bytes(_decode(jwk["y"]), "big"),
            ec.SECP256R1(),
        )
        key = numbers.public_key()
        if jwk["kid"] != key_id(key):
            raise SignatureError(f"key id {jwk['kid']} does not belong to its key")
        raw = _decode(block["signature"])
        half = len(raw) // 2
        der = encode_dss_signature(int.from_bytes(raw[:half], "big"), int.from_bytes(raw[half:], "big"))
        try:
            key.verify(der, f"{block['protected']}.{_encode(content)}".encode(), ec.ECDSA(hashes.SHA256()))
        except InvalidSignature as error:
            raise SignatureError("the signature does not match the manifest") from error
        parsed = json.loads(content)
    return _manifest(content, parsed)


def read_unverified(document: bytes) -> Manifest:
    """The manifest without checking signatures, as docker 1.8 and later read it; they must be there though."""
    parsed = json.loads(document)
    if not parsed.get("signatures"):
        raise SignatureError("missing signature key")
    protected = json.loads(_decode(parsed["signatures"][0]["protected"]))
    content = document[: protected["formatLength"]] + _decode(protected["formatTail"])
    return _manifest(content, json.loads(content))


def _manifest(content: bytes, parsed: dict[str, Any]) -> Manifest:
    if parsed.get("schemaVersion") != 1 or len(parsed["fsLayers"]) != len(parsed["history"]):
        raise ValueError("not a manifest of schema 1 with as many layers as history entries")
    entries = tuple(
        Entry(layer["blobSum"], item["v1Compatibility"])
        for layer, item in zip(parsed["fsLayers"], parsed["history"], strict=True)
    )
    return Manifest(content, parsed["name"], parsed["tag"], entries)


def key_id(key: ec.EllipticCurvePublicKey) -> str:
    """Libtrust's key id: base32 of a truncated hash, in groups of four."""
    der = key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    text = base64.b32encode(sha256(der).digest()[:30]).decode()
    return ":".join(text[at : at + 4] for at in range(0, len(text), 4))


def _jwk(key: ec.EllipticCurvePublicKey) -> dict[str, str]:
    numbers = key.public_numbers()
    return {
        "crv": "P-256",
        "kid": key_id(key),
        "kty": "EC",
        "x": _encode(numbers.x.to_bytes(_COORDINATE_BYTES, "big")),
        "y": _encode(numbers.y.to_bytes(_COORDINATE_BYTES, "big")),
    }


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))
