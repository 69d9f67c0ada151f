"""The keys that tokens are verified with: of certificates and public keys (PEM), of JSON Web Keys.

Invariant: a key verifies only what it is for. What a token says of its algorithm is compared with that; it never
chooses how a key is used. A key that a token brings along verifies nothing; at most it names one of these.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import Algorithm, get_default_algorithms
from jwt.exceptions import PyJWTError

from backends.auth.signed_token import SignedToken, WrongToken
from backends.model.base64url import decode, encode
from backends.model.jws import CURVES, key_id
from backends.model.strict_json import parse_json

PublicKey = ec.EllipticCurvePublicKey | rsa.RSAPublicKey | ed25519.Ed25519PublicKey

_RSA = frozenset({"RS256", "RS384", "RS512", "PS256", "PS384", "PS512"})
_HMAC = frozenset({"HS256", "HS384", "HS512"})
_CURVE_ALGORITHMS = {"secp256r1": "ES256", "secp384r1": "ES384", "secp521r1": "ES512"}
_CURVE_NAMES = {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}
MIN_RSA_BITS = 1024
"""Go's programs verify nothing that is shorter."""

MIN_OCTETS = 16
"""A secret that is shorter can be guessed from one token."""

_PEM = re.compile(rb"-----BEGIN ([A-Z0-9 ]+)-----.+?-----END \1-----", re.DOTALL)


@dataclass(frozen=True, slots=True)
class Key:
    """One key.

    Attributes:
        algorithms: those that it verifies.
        material: the public key, or the octets of a symmetric one.
    """

    algorithms: frozenset[str]
    material: PublicKey | bytes = field(repr=False)

    def verify(self, token: SignedToken) -> bool:
        """Whether a token was signed with this key."""
        if token.algorithm not in self.algorithms:
            return False
        algorithm: Algorithm = get_default_algorithms()[token.algorithm]
        try:
            return algorithm.verify(token.signed, algorithm.prepare_key(self.material), token.signature)
        except (PyJWTError, ValueError, TypeError):
            return False


@dataclass(frozen=True, slots=True)
class KeySet:
    """Keys by their names, and the certificates that chains may end at.

    Attributes:
        by_id: several keys may share a name.
        roots: what `x5c` is verified against.
        warnings: what of the file cannot be used, and why; sentences.
    """

    by_id: Mapping[str, tuple[Key, ...]]
    roots: tuple[x509.Certificate, ...] = ()
    warnings: tuple[str, ...] = ()

    def verify(self, token: SignedToken) -> None:
        """Requires that a token was signed with a key of the name that it says.

        Raises:
            WrongToken: there is no such key, or its signature is not this one.
        """
        name = token.key_id or _name_of(token.named_key)
        if not name:
            raise WrongToken("it names no key")
        keys = self.by_id.get(name, ())
        if not keys:
            raise WrongToken(f"the key {name[:200]!r} is not one of those configured")
        if not any(key.verify(token) for key in keys):
            raise WrongToken(f"its signature is not one by the key {name[:200]!r} with {token.algorithm[:20]!r}")


def join(sets: Iterable[KeySet]) -> KeySet:
    """Returns all keys of several sets."""
    by_id: dict[str, tuple[Key, ...]] = {}
    several = list(sets)
    for one in several:
        for name, keys in one.by_id.items():
            by_id[name] = (*by_id.get(name, ()), *keys)
    roots = tuple(root for one in several for root in one.roots)
    return KeySet(by_id, roots, tuple(warning for one in several for warning in one.warnings))


def parse_bundle(content: bytes) -> KeySet:
    """Returns the keys of a PEM file: certificates, which are roots as well, and public keys.

    Each key has three names: libtrust's (distribution 2), its thumbprint by RFC 7638 (distribution 3), and the
    thumbprint as distribution 3 calculates it where a coordinate of the key begins with zeros.

    Raises:
        ValueError: a certificate cannot be read, or there is no key that verifies anything.
    """
    by_id: dict[str, tuple[Key, ...]] = {}
    roots: list[x509.Certificate] = []
    warnings: list[str] = []
    for number, block in enumerate(_PEM.finditer(content), 1):
        try:
            public: object
            if block[1] == b"CERTIFICATE":
                certificate = x509.load_pem_x509_certificate(block[0])
                public = certificate.public_key()
                roots.append(certificate)
            elif block[1] in {b"PUBLIC KEY", b"RSA PUBLIC KEY"}:
                public = serialization.load_pem_public_key(block[0])
            else:
                continue
            key = make_key(public)
        except UnsupportedAlgorithm:
            warnings.append(f"block {number} has a key of a kind that is not supported")
        except _UnusableKeyError as error:
            warnings.append(f"block {number} {error}")
        except ValueError as error:
            raise ValueError(f"block {number} cannot be read as a {block[1].decode().lower()} ({error})") from None
        else:
            for name in key_ids(public):
                by_id[name] = (key,)
    if not by_id:
        raise ValueError("there is no certificate and no public key in it that could verify a token")
    return KeySet(by_id, tuple(roots), tuple(warnings))


def parse_jwks(content: bytes) -> KeySet:
    """Returns the keys of a JSON Web Key Set (RFC 7517), public or symmetric; those without a `kid` by thumbprint.

    Keys that cannot verify tokens here are passed over with a warning, as RFC 7517 section 5 asks for.

    Raises:
        ValueError: it is no such set, or has no key that verifies anything.
    """
    document = parse_json(content)
    entries = document.get("keys") if isinstance(document, dict) else None
    if not isinstance(entries, list):
        raise ValueError('it is not a JSON object with a list "keys"')
    by_id: dict[str, tuple[Key, ...]] = {}
    warnings: list[str] = []
    for number, entry in enumerate(entries, 1):
        try:
            key, names = parse_jwk(entry)
        except _UnusableKeyError as error:
            warnings.append(f"key {number} {error}")
        else:
            for name in names:
                by_id[name] = (*by_id.get(name, ()), key)
    if not by_id:
        raise ValueError("; ".join(["there is no key in it that could verify a token", *warnings]))
    return KeySet(by_id, (), tuple(warnings))


def parse_jwk(jwk: Any) -> tuple[Key, Sequence[str]]:
    """Returns a JSON Web Key and its names.

    Raises:
        ValueError: it cannot verify tokens; the rest of a sentence that begins with the key, without any part of it.
    """
    if not isinstance(jwk, dict):
        raise _UnusableKeyError("is not a JSON object")
    if jwk.get("use", "sig") != "sig":
        raise _UnusableKeyError("is not for signatures (use)")
    operations = jwk.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        raise _UnusableKeyError("is not for verifying (key_ops)")
    name, names = jwk.get("kid", ""), ()  # type: tuple[str, Sequence[str]]
    if not isinstance(name, str):
        raise _UnusableKeyError("has a kid that is not a text")
    try:
        if jwk.get("kty") == "oct":
            octets = decode(jwk["k"])
            if len(octets) < MIN_OCTETS:
                raise _UnusableKeyError(f"has {len(octets)} octets; {MIN_OCTETS} is the least")
            key = Key(_HMAC, octets)
        else:
            public = _public_of(jwk)
            key, names = make_key(public), key_ids(public)
    except _UnusableKeyError:
        raise
    except (LookupError, TypeError, ValueError, AttributeError):
        raise _UnusableKeyError("is incomplete or damaged") from None
    only = jwk.get("alg")
    if only is not None:
        key = Key(key.algorithms & {only} if isinstance(only, str) else frozenset(), key.material)
    if not key.algorithms:
        raise _UnusableKeyError("is for an algorithm that such keys do not have (alg)")
    if not name and not names:
        raise _UnusableKeyError("is symmetric and has no kid")
    return key, (name,) if name else names


def make_key(public: object) -> Key:
    """Returns a public key with the algorithms that it can verify.

    Raises:
        ValueError: none; the rest of a sentence that begins with the key.
    """
    match public:
        case rsa.RSAPublicKey():
            if public.key_size < MIN_RSA_BITS:
                raise _UnusableKeyError(f"has an RSA key of {public.key_size} bits; {MIN_RSA_BITS} is the least")
            return Key(_RSA, public)
        case ec.EllipticCurvePublicKey() if public.curve.name in _CURVE_ALGORITHMS:
            return Key(frozenset({_CURVE_ALGORITHMS[public.curve.name]}), public)
        case ed25519.Ed25519PublicKey():
            return Key(frozenset({"EdDSA"}), public)
        case _:
            raise _UnusableKeyError("has a key that is neither RSA nor ECDSA (P-256, P-384, P-521) nor Ed25519")


def key_ids(public: object) -> Sequence[str]:
    """Returns the names of a public key that token servers know it by."""
    match public:
        case rsa.RSAPublicKey():
            whole = public.public_numbers()
            return key_id(public), _thumbprint({"e": _number(whole.e), "kty": "RSA", "n": _number(whole.n)})
        case ec.EllipticCurvePublicKey():
            point, size = public.public_numbers(), (public.curve.key_size + 7) // 8
            fixed = {"crv": _CURVE_NAMES[public.curve.name], "kty": "EC"}
            padded = _thumbprint({**fixed, "x": _number(point.x, size), "y": _number(point.y, size)})
            # distribution 3 leaves out leading zeros, against RFC 7518 section 6.2.1.2: one key in 128 has such a name.
            short = _thumbprint({**fixed, "x": _number(point.x), "y": _number(point.y)})
            return tuple(dict.fromkeys((key_id(public), padded, short)))
        case ed25519.Ed25519PublicKey():
            x = encode(public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw))
            return (_thumbprint({"crv": "Ed25519", "kty": "OKP", "x": x}),)
        case _:
            return ()


class _UnusableKeyError(ValueError):
    """A key that cannot be used; the rest of a sentence."""


def _name_of(jwk: Any) -> str:
    """Returns what a key in a token's header is called by what it is, whatever it says that it is called; "" for none.

    distribution's own token server (`contrib/token-server`) names its key in no other way. The configured key of this
    name is the one that verifies; this one never does.
    """
    if not isinstance(jwk, dict) or jwk.get("kty") == "oct":
        return ""
    try:
        return next(iter(key_ids(_public_of(jwk))), "")
    except (LookupError, TypeError, ValueError, AttributeError):
        return ""


def _public_of(jwk: Mapping[str, Any]) -> PublicKey:
    match jwk.get("kty"):
        case "RSA":
            return rsa.RSAPublicNumbers(_integer(jwk["e"]), _integer(jwk["n"])).public_key()
        case "EC":
            curve = CURVES.get(jwk["crv"])
            if curve is None:
                raise _UnusableKeyError("is on a curve that is not supported")
            return ec.EllipticCurvePublicNumbers(_integer(jwk["x"]), _integer(jwk["y"]), curve()).public_key()
        case "OKP" if jwk.get("crv") == "Ed25519":
            return ed25519.Ed25519PublicKey.from_public_bytes(decode(jwk["x"]))
        case _:
            raise _UnusableKeyError("is of a kind that is not supported (kty)")


def _integer(text: str) -> int:
    return int.from_bytes(decode(text), "big")


def _number(value: int, size: int = 0) -> str:
    return encode(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


def _thumbprint(members: Mapping[str, str]) -> str:
    """Returns a key's thumbprint by RFC 7638, whose members are in alphabetical order."""
    text = json.dumps(members, separators=(",", ":"), sort_keys=True)
    return encode(hashlib.sha256(text.encode()).digest())
