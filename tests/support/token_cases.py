"""Tokens, and which registries take them: distribution 2.8.2, distribution 3.1.2, Portside."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from backends.auth.keys import key_ids
from tests.support.tokens import (
    ISSUER,
    SERVICE,
    Keys,
    access,
    certify,
    libtrust_id,
    make_claims,
    make_token,
    pem,
    public_jwk,
    thumbprint,
    x5c,
)

ALL = "2 3 ours"
SECRET = b"a secret of a token server's, 64 octets long, as HS512 wants it."


@dataclass(frozen=True, slots=True)
class Case:
    """One token.

    Attributes:
        name: what is odd about it.
        taken: by whom: `2`, `3`, `ours`.
        token: its text.
        asked: only these are asked; "2 3 ours" for all.
        target: what is asked for with it.
        method: of the request.
    """

    name: str
    taken: str
    token: str
    asked: str = ALL
    target: str = "/v2/team/app/tags/list"
    method: str = "GET"


@dataclass(frozen=True, slots=True)
class Files:
    """What the registries are given."""

    bundle: Path
    jwks: Path


def write_files(folder: Path, keys: Keys) -> Files:
    """Write the bundle of certificates, and the key set (which distribution 3 alone reads)."""
    files = Files(folder / "bundle.pem", folder / "jwks.json")
    certificates = [
        certify("rsa", keys.by_rsa, ca=True),
        certify("ec", keys.by_ec),
        certify("zeros", keys.zeros),
        certify("ca", keys.ca, ca=True),
    ]
    files.bundle.write_bytes(pem(*certificates))
    (folder / "rsa.pem").write_bytes(pem(certificates[0]))
    files.jwks.write_text(
        json.dumps(
            {
                "keys": [
                    public_jwk(SECRET, kid="octets"),
                    public_jwk(keys.edwards, kid="edwards"),
                    public_jwk(keys.p384, kid="p384"),
                    public_jwk(keys.jwk_rsa, kid="rsa"),
                ]
            }
        )
    )
    return files


def make_cases(keys: Keys, folder: Path, now: float) -> list[Case]:
    """Every token, made now."""
    rsa_id, ec_id = thumbprint(keys.by_rsa), thumbprint(keys.by_ec)

    def token(header: Mapping[str, Any] | None = None, key: Any = keys.by_rsa, **changes: Any) -> str:
        said = {"typ": "JWT", "alg": "RS256", "kid": rsa_id, **(header or {})}
        return make_token({k: v for k, v in said.items() if v is not ...}, make_claims(now, **changes), key)

    def by_zeros(kid: str) -> str:
        return token({"alg": "ES256", "kid": kid}, keys.zeros)

    def both(**changes: Any) -> str:
        """By a certificate that is in the bundle, which both editions take."""
        header = {"typ": "JWT", "alg": "RS256", "x5c": x5c(itself)}
        return make_token(header, make_claims(now, **changes), keys.by_rsa)

    itself = x509.load_pem_x509_certificate((folder / "rsa.pem").read_bytes())
    leaf = certify("leaf", keys.leaf, by=("ca", keys.ca))
    between = ec.generate_private_key(ec.SECP256R1())
    intermediate = certify("between", between, by=("ca", keys.ca), ca=True)
    no_ca = certify("between", between, by=("ca", keys.ca))
    basic = (x509.BasicConstraints(ca=False, path_length=None), True)
    says_no = certify("between", between, by=("ca", keys.ca), extensions=[basic])
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=False,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    signs_no = certify("between", between, by=("ca", keys.ca), ca=True, extensions=[(usage, True)])
    namesake = certify("between", keys.stranger, by=("ca", keys.ca), ca=True)
    below = certify("below", keys.leaf, by=("between", between))
    expired = certify("leaf", keys.leaf, by=("ca", keys.ca), ends=-dt.timedelta(days=1))
    stranger = certify("leaf", keys.leaf, by=("ca", keys.leaf), ca=True)

    def chained(*chain: x509.Certificate, key: Any = keys.leaf, **header: Any) -> str:
        said = {"typ": "JWT", "alg": "ES256", "x5c": x5c(*chain), **header}
        return make_token(said, make_claims(now), key)

    def listed(*entries: Any) -> str:
        return both(access=list(entries))

    def push(name: str, taken: str, *entries: Any) -> Case:
        return Case(name, taken, listed(*entries), target="/v2/team/app/blobs/uploads/", method="POST")

    def mount(name: str, taken: str, *entries: Any) -> Case:
        return Case(name, taken, listed(*entries), target=f"/v2/team/app/blobs/uploads/?{_MOUNT}", method="POST")

    pushed = access("team/app", "pull", "push")
    far = int(now) + 3600
    return [
        Case("valid, by a certificate in the bundle", ALL, both()),
        Case("kid: RFC 7638 thumbprint", "3 ours", token()),
        Case("kid: libtrust id", "2 ours", token({"kid": libtrust_id(keys.by_rsa)})),
        Case("ES256, kid: thumbprint", "3 ours", token({"alg": "ES256", "kid": ec_id}, keys.by_ec)),
        Case("ES256, kid: libtrust id", "2 ours", token({"alg": "ES256", "kid": libtrust_id(keys.by_ec)}, keys.by_ec)),
        Case("kid: thumbprint of a key with zeros in front", "ours", by_zeros(key_ids(keys.zeros.public_key())[1])),
        Case("kid: the same, without the zeros", "3 ours", by_zeros(thumbprint(keys.zeros))),
        Case("RS512", "3 ours", token({"alg": "RS512"})),
        Case("PS256", "3 ours", token({"alg": "PS256"})),
        Case("no kid, no x5c", "", token({"kid": ...})),
        Case("kid of no key", "", token({"kid": "nobody"})),
        Case("another's signature under a kid that is known", "", token(key=keys.stranger)),
        Case("no typ", ALL, make_token({"alg": "RS256", "x5c": x5c(itself)}, make_claims(now), keys.by_rsa)),
        Case("expired, 30 s ago", ALL, both(exp=int(now) - 30)),
        Case("expired, 90 s ago", "", both(exp=int(now) - 90)),
        Case("no exp", "", both(exp=...)),
        Case("exp: null", "", both(exp=None)),
        Case("exp with a fraction", "", both(exp=far + 0.5)),
        Case("exp as a text", "", both(exp=str(far))),
        Case("nbf in 30 s", ALL, both(nbf=int(now) + 30)),
        Case("nbf in 120 s", "", both(nbf=int(now) + 120)),
        Case("no nbf", ALL, both(nbf=...)),
        Case("iat in an hour", ALL, both(iat=far)),
        Case("no iat", ALL, both(iat=...)),
        Case("iat as a text", "ours", both(iat="now")),
        Case("aud as a list of one", "3 ours", both(aud=[SERVICE])),
        Case("aud as a list, among others", "3 ours", both(aud=["other", SERVICE])),
        Case("aud as a list of others", "", both(aud=["other"])),
        Case("aud of another", "", both(aud="other")),
        Case("no aud", "", both(aud=...)),
        Case("aud in other letters", "", both(aud=SERVICE.upper())),
        Case("aud as a number", "", both(aud=1)),
        Case("iss of another", "", both(iss="https://other.example")),
        Case("no iss", "", both(iss=...)),
        Case("iss with a slash more", "", both(iss=ISSUER + "/")),
        Case("sub: null", ALL, both(sub=None)),
        Case("no sub", ALL, both(sub=...)),
        Case("sub as a number", "", both(sub=7)),
        Case("jti as a number", "ours", both(jti=7)),
        Case("access: [], at /v2/", ALL, both(access=[]), target="/v2/"),
        Case("no access, at /v2/", ALL, both(access=...), target="/v2/"),
        Case("no access", "", both(access=...)),
        Case("access: null", "", both(access=None)),
        Case("access as an object", "", both(access=access("team/app", "pull"))),
        Case("access as an object, at /v2/", "", both(access=access("team/app", "pull")), target="/v2/"),
        Case("pull", ALL, listed(access("team/app", "pull"))),
        Case("push without pull, to read", "", listed(access("team/app", "push"))),
        Case("*", ALL, listed(access("team/app", "*"))),
        push("*, to push", ALL, access("team/app", "*")),
        mount("mount, and pull of its source", ALL, pushed, access("team/source", "pull")),
        mount("mount, without pull of its source", "ours", pushed),
        mount("mount, without push to its target", "", access("team/source", "pull")),
        Case("HEAD", ALL, listed(access("team/app", "pull")), target=_MANIFEST, method="HEAD"),
        Case("PATCH, by pull alone", "", listed(access("team/app", "pull")), target=_UPLOAD, method="PATCH"),
        Case("PUT, by pull alone", "", listed(access("team/app", "pull")), target=_MANIFEST, method="PUT"),
        push("push without pull", "", access("team/app", "push")),
        push("pull, to push", "", access("team/app", "pull")),
        push("pull and push in two entries", ALL, access("team/app", "pull"), access("team/app", "push")),
        Case("another repository's", "", listed(access("team/other", "pull"))),
        Case("a pattern for a name", "", listed(access("team/*", "pull"))),
        Case("library/x for x", "ours", listed(access("library/x", "pull")), target="/v2/x/tags/list"),
        Case("x for library/x", "ours", listed(access("x", "pull")), target="/v2/library/x/tags/list"),
        Case("a class", ALL, listed({**access("team/app", "pull"), "class": "plugin"})),
        Case("a class in the type", "ours", listed(access("team/app", "pull", kind="repository(plugin)"))),
        Case("another type", "", listed(access("team/app", "pull", kind="image"))),
        Case("actions as a text", "", listed({"type": "repository", "name": "team/app", "actions": "pull"})),
        Case("catalog: *", ALL, listed(access("catalog", "*", kind="registry")), target="/v2/_catalog"),
        Case("catalog: pull", "", listed(access("catalog", "pull", kind="registry")), target="/v2/_catalog"),
        Case("no catalog", "", listed(access("team/app", "*")), target="/v2/_catalog"),
        Case("delete", ALL, listed(access("team/app", "delete")), target=_MANIFEST, method="DELETE"),
        Case("pull and push, to delete", "", both(), target=_MANIFEST, method="DELETE"),
        Case("claims in other letters", "2", _respelled(keys, itself, now)),
        Case("chain: one below a CA", ALL, chained(leaf)),
        Case("chain: through another", ALL, chained(below, intermediate)),
        Case("chain: the one between is missing", "", chained(below)),
        Case("chain: the one between is no CA", "", chained(below, no_ca)),
        Case("chain: the one between says that it is no CA", "", chained(below, says_no)),
        Case("chain: the one between is not for signing certificates", "", chained(below, signs_no)),
        Case("chain: two of one subject, the first is the right one", ALL, chained(below, intermediate, namesake)),
        Case("chain: two of one subject, the second is the right one", "2 3", chained(below, namesake, intermediate)),
        Case("chain: expired", "", chained(expired)),
        Case("chain: a stranger's", "", chained(stranger)),
        Case("chain: a stranger's, beside a kid that is known", "", chained(stranger, kid=ec_id)),
        Case("chain: good, signed by another key", "", chained(leaf, key=keys.by_ec)),
        Case("chain: empty, and kid", "3 ours", token({"x5c": []})),
        Case("jwk of a stranger", "", _jwk(keys.stranger, now), asked="ours"),
        Case("jwk of a stranger, called as one that is known", "", _jwk(keys.stranger, now, kid=rsa_id), asked="ours"),
        Case("jwk of a key that is known", "2 ours", _jwk(keys.by_rsa, now)),
        Case("jwk of a key that is known, with its kid", "3 ours", _jwk(keys.by_rsa, now, kid=rsa_id), asked="3 ours"),
        Case("jku, and kid", "3 ours", token({"jku": "https://tokens.example/keys"})),
        Case("crit, understood by nobody", "2", _crit(keys, itself, now)),
        Case("alg: none", "", token({"alg": "none"}), asked="ours"),
        Case("HS256 where the key is RSA's", "", token({"alg": "HS256"}, SECRET), asked="ours"),
        Case("a member twice", "2", _twice(keys, itself, now)),
        Case("JWKS: octets", "ours", token({"alg": "HS256", "kid": "octets"}, SECRET), asked="3 ours"),
        Case("JWKS: octets, HS512", "ours", token({"alg": "HS512", "kid": "octets"}, SECRET), asked="3 ours"),
        Case("JWKS: EdDSA", "3 ours", token({"alg": "EdDSA", "kid": "edwards"}, keys.edwards), asked="3 ours"),
        Case("JWKS: ES384", "3 ours", token({"alg": "ES384", "kid": "p384"}, keys.p384), asked="3 ours"),
        Case("JWKS: RSA", "3 ours", token({"kid": "rsa"}, keys.jwk_rsa), asked="3 ours"),
        Case("JWKS: RSA by its thumbprint", "", token({"kid": thumbprint(keys.jwk_rsa)}, keys.jwk_rsa), asked="3 ours"),
        Case("two parts", "", ".".join(both().split(".")[:2])),
        Case("four parts", "", both() + ".e30"),
        Case("padding", "", _padded(both())),
    ]  # fmt: skip


_MOUNT = f"mount=sha256:{'0' * 64}&from=team/source"
_UPLOAD = "/v2/team/app/blobs/uploads/0ff71b58-9f1e-4a5c-8a9d-0123456789ab"
_MANIFEST = "/v2/team/app/manifests/sha256:" + "0" * 64


def _respelled(keys: Keys, itself: x509.Certificate, now: float) -> str:
    claims = {name.upper(): value for name, value in make_claims(now).items()}
    return make_token({"alg": "RS256", "x5c": x5c(itself)}, claims, keys.by_rsa)


def _crit(keys: Keys, itself: x509.Certificate, now: float) -> str:
    header = {"alg": "RS256", "x5c": x5c(itself), "crit": ["ours"], "ours": True}
    return make_token(header, make_claims(now), keys.by_rsa)


def _jwk(key: rsa.RSAPrivateKey, now: float, **members: str) -> str:
    return make_token({"alg": "RS256", "jwk": public_jwk(key, **members)}, make_claims(now), key)


def _twice(keys: Keys, itself: x509.Certificate, now: float) -> str:
    payload = json.dumps(make_claims(now))[:-1] + ', "sub": "alice"}'
    return make_token({"alg": "RS256", "x5c": x5c(itself)}, payload, keys.by_rsa)


def _padded(token: str) -> str:
    return ".".join(part + "=" * (-len(part) % 4) for part in token.split("."))
