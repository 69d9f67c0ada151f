"""libtrust's signatures: the vectors, and everything that must not pass."""

from __future__ import annotations

import base64
import json
import re
from typing import Any

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.serialization import load_der_public_key, load_pem_private_key
from hypothesis import given, settings
from hypothesis import strategies as st

from backends.model import jws
from tests.support.formats import example, example_json

SHAPES = ["compact", "indent3", "trailing-newline"]


def read_key() -> ec.EllipticCurvePrivateKey:
    key = load_pem_private_key(example("jws/test-key.pem"), None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key


KEY = read_key()
PAYLOAD = example("jws/indent3.payload")


def read(shape: str) -> tuple[bytes, bytes]:
    return example(f"jws/{shape}.payload"), example(f"jws/{shape}.signed")


def encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def signature_of(document: bytes) -> dict[str, Any]:
    entry: dict[str, Any] = json.loads(document)["signatures"][0]
    return entry


def with_signatures(*entries: object, payload: bytes = PAYLOAD) -> bytes:
    """The payload with other signatures spliced in."""
    length = len(payload.rstrip()[:-1].rstrip())
    return payload[:length] + b',"signatures":' + json.dumps(list(entries)).encode() + b"}"


def changed(entry: dict[str, Any], **fields: object) -> dict[str, Any]:
    return {**entry, **fields}


@pytest.mark.parametrize("shape", SHAPES)
def test_what_libtrust_signed_is_verified_and_gives_its_payload_to_the_byte(shape: str) -> None:
    payload, signed = read(shape)
    assert jws.verify(signed) == payload


@pytest.mark.parametrize("shape", SHAPES)
def test_we_sign_in_the_same_form_but_for_time_and_signature(shape: str) -> None:
    payload, signed = read(shape)
    own = jws.sign(payload, KEY)
    varying = re.compile(rb'("(?:signature|protected)": ?")[^"]+')
    assert varying.sub(rb"\1", own) == varying.sub(rb"\1", signed)
    assert jws.verify(own) == payload


@pytest.mark.parametrize("shape", SHAPES)
def test_signing_again_gives_the_same_bytes(shape: str) -> None:
    payload, _ = read(shape)
    assert jws.sign(payload, KEY) == jws.sign(payload, KEY)
    assert jws.sign(payload, KEY) != jws.sign(payload, ec.generate_private_key(ec.SECP256R1()))


def test_a_key_is_named_as_libtrust_names_it() -> None:
    public = load_der_public_key(example("jws/public.der"))
    assert isinstance(public, ec.EllipticCurvePublicKey)
    assert jws.key_id(public) == example("jws/kid").decode() == example_json("jws/jwk.json")["kid"]
    signed = json.loads(jws.sign(PAYLOAD, KEY))
    assert signed["signatures"][0]["header"]["jwk"] == example_json("jws/jwk.json")


@pytest.mark.parametrize("payload", [b"", b"[]", b'"x"', b'{"a":1'])
def test_only_an_object_is_signed(payload: bytes) -> None:
    with pytest.raises(ValueError, match="JSON object"):
        jws.sign(payload, KEY)


@pytest.mark.parametrize(
    "payload", [b'{"a":1}', b'{"a":1}\n', b'{ "a":1 }', b'{\n"a":1\n}', b'{"a":{\n  "b":1}}', b'{\n\t"a":1\n}\n\n']
)
def test_objects_of_any_form_are_signed_so_that_they_verify(payload: bytes) -> None:
    signed = jws.sign(payload, KEY)
    assert jws.verify(signed) == payload


@given(
    st.dictionaries(st.text(min_size=1).filter(lambda key: key != "signatures"), st.text(), min_size=1, max_size=4),
    st.sampled_from([None, 1, 3]),
)
@settings(max_examples=30, deadline=None)
def test_any_object_signed_is_verified(fields: dict[str, str], indent: int | None) -> None:
    payload = json.dumps(fields, indent=indent).encode()
    assert jws.verify(jws.sign(payload, KEY)) == payload


@pytest.mark.parametrize("shape", SHAPES)
def test_no_single_changed_byte_passes_as_another_payload(shape: str) -> None:
    payload, signed = read(shape)
    for place in range(0, len(signed), 7):
        damaged = signed[:place] + bytes([signed[place] ^ 0x01]) + signed[place + 1 :]
        try:
            assert jws.verify(damaged) == payload  # a change in what nobody signs, such as blanks or the header's order
        except jws.Unverified:
            continue


@pytest.mark.parametrize(
    "document",
    [
        b"",
        b"[]",
        b"null",
        b"7",
        b"{}",
        b'{"signatures": null}',
        b'{"signatures": []}',
        b'{"signatures": {}}',
        b'{"signatures": [7]}',
        b'{"signatures": ["x"]}',
        b'{"signatures": [{}]}',
        b'{"signatures": [[]]}',
        b'{"a": 1, "a": 1, "signatures": []}',
    ],
)
def test_documents_without_signatures_are_not_verified(document: bytes) -> None:
    with pytest.raises(jws.Unverified):
        jws.verify(document)


ENTRY = signature_of(example("jws/indent3.signed"))
HEADER = ENTRY["header"]


def protected(length: object, tail: object, **more: object) -> str:
    return encode(json.dumps({"formatLength": length, "formatTail": tail, **more}).encode())


LENGTH = len(PAYLOAD.rstrip()[:-1].rstrip())
TAIL = encode(PAYLOAD[LENGTH:])


@pytest.mark.parametrize(
    "entry",
    [
        changed(ENTRY, protected=None),
        changed(ENTRY, protected=7),
        changed(ENTRY, protected="!"),
        changed(ENTRY, protected="é"),
        changed(ENTRY, protected=encode(b"[]")),
        changed(ENTRY, protected=encode(b"{}")),
        changed(ENTRY, protected=protected(True, TAIL)),
        changed(ENTRY, protected=protected(str(LENGTH), TAIL)),
        changed(ENTRY, protected=protected(LENGTH + 0.0, TAIL)),
        changed(ENTRY, protected=protected(-1, TAIL)),
        changed(ENTRY, protected=protected(0, encode(PAYLOAD))),
        changed(ENTRY, protected=protected(10**30, TAIL)),
        changed(ENTRY, protected=protected(LENGTH, None)),
        changed(ENTRY, protected=protected(LENGTH, encode(b"}} "))),
        changed(ENTRY, protected=protected(LENGTH, TAIL)),  # well-formed, but not what was signed
        changed(ENTRY, signature=None),
        changed(ENTRY, signature=""),
        changed(ENTRY, signature=encode(bytes(64))),
        changed(ENTRY, signature=encode(b"\xff" * 64)),
        changed(ENTRY, signature=encode(bytes(63))),
        changed(ENTRY, signature=encode(bytes(10_000))),
        changed(ENTRY, header=None),
        changed(ENTRY, header=[]),
        changed(ENTRY, header="jwk"),
        changed(ENTRY, header={}),
        changed(ENTRY, header={**HEADER, "alg": None}),
        changed(ENTRY, header={**HEADER, "alg": []}),
        changed(ENTRY, header={**HEADER, "alg": "none"}),
        changed(ENTRY, header={**HEADER, "alg": "HS256"}),
        changed(ENTRY, header={**HEADER, "alg": "RS256"}),
        changed(ENTRY, header={**HEADER, "alg": "ES512"}),
        changed(ENTRY, header={**HEADER, "jwk": None}),
        changed(ENTRY, header={**HEADER, "jwk": "kty"}),
        changed(ENTRY, header={**HEADER, "jwk": {}}),
        changed(ENTRY, header={**HEADER, "jwk": {**HEADER["jwk"], "kty": "oct"}}),
        changed(ENTRY, header={**HEADER, "jwk": {**HEADER["jwk"], "kty": []}}),
        changed(ENTRY, header={**HEADER, "jwk": {**HEADER["jwk"], "crv": "P-224"}}),
        changed(ENTRY, header={**HEADER, "jwk": {**HEADER["jwk"], "crv": {}}}),
        changed(ENTRY, header={**HEADER, "jwk": {**HEADER["jwk"], "kid": "x"}}),
        changed(ENTRY, header={**HEADER, "jwk": {**HEADER["jwk"], "x": encode(bytes(32))}}),
        changed(ENTRY, header={**HEADER, "jwk": {**HEADER["jwk"], "x": encode(b"\xff" * 5000)}}),
        changed(ENTRY, header={"alg": "ES256", "x5c": []}),
        changed(ENTRY, header={"alg": "ES256", "x5c": None}),
        changed(ENTRY, header={"alg": "ES256", "x5c": {}}),
        changed(ENTRY, header={"alg": "ES256", "x5c": [7]}),
        changed(ENTRY, header={"alg": "ES256", "x5c": ["!"]}),
        changed(ENTRY, header={"alg": "ES256", "x5c": [base64.b64encode(b"no certificate").decode()]}),
    ],
    ids=str,
)  # fmt: skip
def test_malformed_signatures_are_not_verified(entry: dict[str, Any]) -> None:
    with pytest.raises(jws.Unverified):
        jws.verify(with_signatures(entry))


def test_a_signature_over_other_content_is_not_verified() -> None:
    other = jws.sign(PAYLOAD.replace(b'"t"', b'"u"'), KEY)
    assert jws.verify(other) != PAYLOAD
    with pytest.raises(jws.Unverified):
        jws.verify(with_signatures(signature_of(other)))


@pytest.mark.parametrize("true", ["true", "1.0"])
def test_what_is_read_and_what_is_signed_may_not_differ_even_in_spelling(true: str) -> None:
    """`formatLength` 1 makes the whole payload the tail; the document around it could then say something else."""
    payload = b'{"schemaVersion":1}'
    entry = hand_signed(payload, length=1)
    document = b'{"schemaVersion":%s,"signatures":%s}' % (true.encode(), json.dumps([entry]).encode())
    with pytest.raises(jws.Unverified, match="something else"):
        jws.verify(document)


def test_a_payload_that_brings_its_own_signatures_is_not_verified() -> None:
    payload = b'{"schemaVersion":1,"signatures":[]}'
    document = b'{"schemaVersion":1,"signatures":%s}' % json.dumps([hand_signed(payload, length=18)]).encode()
    with pytest.raises(jws.Unverified):
        jws.verify(document)


def hand_signed(
    payload: bytes, *, length: int, key: Any = KEY, algorithm: str = "ES256", **header: Any
) -> dict[str, Any]:
    """A signature made step by step, of any algorithm."""
    text = protected(length, encode(payload[length:]))
    signed = f"{text}.{encode(payload)}".encode()
    kind = {"256": hashes.SHA256(), "384": hashes.SHA384(), "512": hashes.SHA512()}[algorithm[2:]]
    if algorithm.startswith("ES"):
        half = {"ES256": 32, "ES384": 48, "ES512": 66}[algorithm]
        r, s = decode_dss_signature(key.sign(signed, ec.ECDSA(kind)))
        value = r.to_bytes(half, "big") + s.to_bytes(half, "big")
        numbers = key.public_key().public_numbers()
        jwk = {"kty": "EC", "crv": {"secp256r1": "P-256", "secp384r1": "P-384", "secp521r1": "P-521"}[key.curve.name],
               "x": encode(numbers.x.to_bytes(half, "big")), "y": encode(numbers.y.to_bytes(half, "big"))}  # fmt: skip
    else:
        value = key.sign(signed, padding.PKCS1v15(), kind)
        numbers = key.public_key().public_numbers()
        jwk = {
            "kty": "RSA",
            "n": encode(numbers.n.to_bytes(key.key_size // 8, "big")),
            "e": encode(numbers.e.to_bytes(3, "big")),
        }
    return {"header": header or {"jwk": jwk, "alg": algorithm}, "signature": encode(value), "protected": text}


@pytest.mark.parametrize(
    ("algorithm", "curve"), [("ES256", ec.SECP256R1()), ("ES384", ec.SECP384R1()), ("ES512", ec.SECP521R1())]
)
def test_every_curve_that_libtrust_has_is_known(algorithm: str, curve: ec.EllipticCurve) -> None:
    entry = hand_signed(PAYLOAD, length=LENGTH, key=ec.generate_private_key(curve), algorithm=algorithm)
    assert jws.verify(with_signatures(entry)) == PAYLOAD


@pytest.mark.parametrize("algorithm", ["RS256", "RS384", "RS512"])
def test_rsa_keys_are_known_too(algorithm: str) -> None:
    key = rsa.generate_private_key(65537, 2048)
    entry = hand_signed(PAYLOAD, length=LENGTH, key=key, algorithm=algorithm)
    assert jws.verify(with_signatures(entry)) == PAYLOAD
    entry["header"]["alg"] = "ES256"
    with pytest.raises(jws.Unverified):
        jws.verify(with_signatures(entry))


@pytest.mark.parametrize(
    ("n", "e"),
    [
        (0, 3),
        (1, 1),
        (2**2048 - 1, 2),
        (2**2048 - 1, 0),
        (2**20_000 - 1, 3),
        (2**2_000_000 - 1, 65537),
        (2**4096 - 1, 2**3000 + 1),
    ],
    ids=range(7),
)
def test_absurd_rsa_keys_are_no_more_than_unverified(n: int, e: int) -> None:
    numbers = {
        "n": encode(n.to_bytes(n.bit_length() // 8 + 1, "big")),
        "e": encode(e.to_bytes(e.bit_length() // 8 + 1, "big")),
    }
    header = {"alg": "RS256", "jwk": {"kty": "RSA", **numbers}}
    with pytest.raises(jws.Unverified):
        jws.verify(with_signatures(changed(ENTRY, header=header, protected=protected(LENGTH, TAIL))))


def test_every_signature_must_hold_and_there_may_not_be_many() -> None:
    good = [hand_signed(PAYLOAD, length=LENGTH, key=ec.generate_private_key(ec.SECP256R1())) for _ in range(3)]
    assert jws.verify(with_signatures(*good)) == PAYLOAD
    with pytest.raises(jws.Unverified):
        jws.verify(with_signatures(*good, changed(good[0], signature=good[1]["signature"])))
    with pytest.raises(jws.Unverified, match="disagree"):
        jws.verify(with_signatures(good[0], hand_signed(PAYLOAD, length=1)))
    with pytest.raises(jws.Unverified, match="16"):
        jws.verify(with_signatures(*good * 6))


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(),
        lambda inner: (
            st.lists(inner, max_size=3)
            | st.dictionaries(
                st.sampled_from(["header", "jwk", "alg", "x5c", "kty", "signature", "protected", "kid", "x", "y"]),
                inner,
                max_size=5,
            )
        ),
        max_leaves=12,
    )
)
@settings(max_examples=200, deadline=None)
def test_no_nonsense_is_more_than_unverified(entry: object) -> None:
    for nonsense in (entry, {**ENTRY, "header": entry}, {**ENTRY, "header": {**HEADER, "jwk": entry}}):
        with pytest.raises(jws.Unverified):
            jws.verify(with_signatures(nonsense))


Members = st.lists(
    st.tuples(
        st.text('ab"\\,{}[]: \n', min_size=1, max_size=4),
        st.recursive(
            st.none() | st.integers(0, 99) | st.text('ab"\\,{}[]: ', max_size=5),
            lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.just("signatures") | st.text("ab"), inner),
            max_leaves=4,
        ),
    ),
    max_size=4,
)


@given(Members, st.integers(0, 4), st.sampled_from([None, 1, 3]), st.data())
@settings(max_examples=300, deadline=None)
def test_what_counts_as_spliced_has_the_same_content_wherever_the_cut_is(
    members: list[tuple[str, object]], place: int, indent: int | None, data: st.DataObject
) -> None:
    fields = dict(members)
    fields.pop("signatures", None)
    names = list(fields)
    names.insert(place, "signatures")
    document = json.dumps({name: fields.get(name, []) for name in names}, indent=indent).encode()
    mark = document.find(b'"signatures"')
    before = st.just(len(document[:mark].rstrip(b", \n")))  # where libtrust cuts, if nothing comes after
    near = st.integers(max(0, mark - 6), min(len(document), mark + 2))
    cut = data.draw(before | near | st.integers(0, len(document)))
    tail = data.draw(st.sampled_from([b"}", b"\n}", b"}\n", b"}}", b"", b'"}', b"]}"]))
    if jws._is_spliced(document[cut:], tail):
        assert json.loads(document[:cut] + tail) == fields


@pytest.mark.parametrize("indent", [None, 3])
def test_signatures_before_the_last_brace_count_as_spliced(indent: int | None) -> None:
    """Else the quick way is never taken, and large documents are parsed twice."""
    signed = jws.sign(json.dumps({"a": 1, "b": [{}]}, indent=indent).encode(), KEY)
    entry = json.loads(signed)["signatures"][0]
    header = json.loads(base64.urlsafe_b64decode(entry["protected"] + "=="))
    tail = base64.urlsafe_b64decode(header["formatTail"] + "==")
    assert jws._is_spliced(signed[header["formatLength"] :], tail)


def test_what_stands_behind_the_signatures_must_be_signed_too() -> None:
    signed = jws.sign(b'{"a":1}', KEY)
    assert jws.verify(signed) == b'{"a":1}'
    with pytest.raises(jws.Unverified, match="something else"):
        jws.verify(signed[:-1] + b',"b":2}')
