"""A JSON Web Token in its parts, before anybody vouches for it (RFC 7515, 7519). PURE.

JSON is read as two readers cannot read it differently, and base64url in its one spelling: what was signed is what is
read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from backends.auth.credentials import MAX_TOKEN
from backends.model.base64url import decode, encode
from backends.model.strict_json import parse_json

_PARTS = 3


class WrongToken(Exception):  # noqa: N818 - a finding, not a fault
    """A token that is not good; the message says why, for the log, and holds nothing that is secret.

    Attributes:
        has_expired: that alone is wrong with it.
    """

    def __init__(self, reason: str, *, has_expired: bool = False) -> None:
        super().__init__(reason)
        self.has_expired = has_expired


@dataclass(frozen=True, slots=True)
class SignedToken:
    """What a token says, and what proves it.

    Attributes:
        algorithm: `alg` of its header.
        key_id: `kid`; "" without one.
        chain: `x5c`, certificates in DER and base 64, the signer's first; () without.
        named_key: `jwk`, a public key by which a configured one may be found, and nothing else; None without.
        claims: its payload.
        signed: the bytes that the signature is of.
    """

    algorithm: str
    key_id: str
    chain: tuple[str, ...]
    named_key: Any = field(repr=False)
    claims: Mapping[str, Any] = field(repr=False)
    signed: bytes = field(repr=False)
    signature: bytes = field(repr=False)


def is_signed_token(text: str) -> bool:
    """Whether this has a token's three parts."""
    return text.count(".") == _PARTS - 1


def parse_token(text: str) -> SignedToken:
    """Returns the parts of a token. Where it says that keys can be had (`jku`, `x5u`) is not even looked at.

    Raises:
        WrongToken: it is malformed, or has an extension that must be understood (`crit`).
    """
    if len(text) > MAX_TOKEN:
        raise WrongToken(f"it is longer than {MAX_TOKEN} characters")
    parts = text.split(".")
    if len(parts) != _PARTS or not text.isascii():
        raise WrongToken("it is not three parts with dots between")
    header, claims = _object(parts[0], "header"), _object(parts[1], "payload")
    if "crit" in header or "b64" in header:
        # Extensions change what the rest means, and none is understood here.
        raise WrongToken("its header has an extension that must be understood")
    algorithm, key_id, chain = header.get("alg"), header.get("kid", ""), header.get("x5c", [])
    if not isinstance(algorithm, str) or not isinstance(key_id, str):
        raise WrongToken("its header's alg or kid is not a text")
    if not isinstance(chain, list) or not all(isinstance(certificate, str) for certificate in chain):
        raise WrongToken("its header's x5c is not a list of texts")
    signature = _bytes(parts[2], "signature")
    signed = f"{parts[0]}.{parts[1]}".encode()
    return SignedToken(algorithm, key_id, tuple(chain), header.get("jwk"), claims, signed, signature)


def _bytes(text: str, what: str) -> bytes:
    try:
        content = decode(text)
    except ValueError:
        raise WrongToken(f"its {what} is not base64url") from None
    if encode(content) != text:
        raise WrongToken(f"its {what} is not base64url as it is written in one way")
    return content


def _object(text: str, what: str) -> Mapping[str, Any]:
    try:
        value = parse_json(_bytes(text, what))
    except ValueError:
        raise WrongToken(f"its {what} is not valid JSON") from None
    if not isinstance(value, dict):
        raise WrongToken(f"its {what} is not a JSON object")
    return value
