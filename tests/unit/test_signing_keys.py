"""Keys that an operator names for schema 1 documents: every kind and form, and what is not one."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519

from backends.model import jws
from backends.model.signing_keys import parse_signing_key
from portside.settings.loading import Role
from tests.support.settings_files import Load, mistakes_of
from tests.support.signing_keys import as_json, as_libtrust_pem, as_pem, jwk_of, new_keys

KEYS = new_keys()
EC, RSA = KEYS["P-256"], KEYS["RSA"]
FORMS: dict[str, Callable[[jws.PrivateKey], bytes]] = {
    "json": as_json,
    "pem": as_pem,
    "libtrust's pem": as_libtrust_pem,
    "pem of Windows": lambda key: as_libtrust_pem(key).replace(b"\n", b"\r\n"),
}
PAYLOAD = b'{\n   "schemaVersion": 1\n}'


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("kind", KEYS)
def test_a_key_of_any_kind_and_form_signs(kind: str, form: str) -> None:
    key = parse_signing_key(FORMS[form](KEYS[kind]))
    signed = jws.sign(PAYLOAD, key)
    assert jws.verify(signed) == PAYLOAD
    header = json.loads(signed)["signatures"][0]["header"]
    assert header["jwk"]["kid"] == jws.key_id(KEYS[kind].public_key())
    assert header["alg"] == {"P-256": "ES256", "P-384": "ES384", "P-521": "ES512", "RSA": "RS256"}[kind]
    assert list(header["jwk"]) == sorted(header["jwk"]), "libtrust sorts them"
    assert signed == jws.sign(PAYLOAD, parse_signing_key(FORMS[form](KEYS[kind]))), "not the same each time"


def test_an_rsa_key_needs_no_primes() -> None:
    jwk = {name: value for name, value in jwk_of(RSA).items() if name not in {"p", "q", "dp", "dq", "qi"}}
    assert jws.verify(jws.sign(PAYLOAD, parse_signing_key(json.dumps(jwk).encode()))) == PAYLOAD


def changed(key: Any, **fields: Any) -> bytes:
    return json.dumps({name: value for name, value in {**jwk_of(key), **fields}.items() if value is not None}).encode()


NOT_KEYS = {
    "nothing": (b"", "libtrust's JSON, or PEM"),
    "a list": (b"[]", "libtrust's JSON, or PEM"),
    "broken JSON": (b"{", "damaged"),
    "no kind": (b"{}", "kty must be EC or RSA"),
    "another kind": (b'{"kty": "oct", "k": "AA"}', "kty must be EC or RSA"),
    "a public EC key": (changed(EC, d=None), "it has no d"),
    "a public RSA key": (changed(RSA, d=None), "it has no d"),
    "an unknown curve": (changed(EC, crv="secp256k1"), "curve must be"),
    "another key's point": (changed(EC, kid=None, x=jwk_of(ec.generate_private_key(ec.SECP256R1()))["x"]), "damaged"),
    "another key's name": (changed(EC, kid="AAAA:BBBB"), "kid is that of another key"),
    "a number that is none": (changed(EC, d="!!"), "damaged"),
    "a number of another type": (changed(EC, d=5), "damaged"),
    "more than two primes": (changed(RSA, oth=[]), "two primes"),
    "an encrypted key": (
        EC.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(b"x")
        ),
        "encrypted",
    ),
    "a key that signs otherwise": (
        ed25519.Ed25519PrivateKey.generate().private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ),
        "neither an EC key nor an RSA key",
    ),
    "a certificate": (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "damaged"),
    "a curve that libtrust has not": (as_pem(ec.generate_private_key(ec.SECP256K1())), "curve must be"),
}


@pytest.mark.parametrize("what", NOT_KEYS)
def test_what_is_not_such_a_key_is_refused_without_a_word_of_its_content(what: str) -> None:
    content, words = NOT_KEYS[what]
    with pytest.raises(ValueError, match=words) as caught:
        parse_signing_key(content)
    assert jwk_of(EC)["d"] not in str(caught.value)


@pytest.mark.parametrize("role", [Role.SERVE, Role.V2])
def test_a_key_that_cannot_be_used_keeps_it_from_starting(load: Load, tmp_path: Any, role: Role) -> None:
    path = tmp_path / "key.json"
    text = f"compatibility: {{schema1: {{signingkeyfile: {path}}}}}"
    (mistake,) = mistakes_of(load, role, text)
    assert mistake.startswith("compatibility.schema1.signingkeyfile: ")
    assert "No such file" in mistake
    path.write_bytes(b"{}")
    (mistake,) = mistakes_of(load, role, text)
    assert "kty must be EC or RSA" in mistake
    path.write_bytes(as_json(EC))
    settings = load(role, text)
    assert (settings.signing_key, settings.notes) == (path, ())
    assert load(role).signing_key is None
