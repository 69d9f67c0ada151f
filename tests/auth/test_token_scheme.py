"""`auth: token` by itself: keys and their names, files that change, what is remembered, what a parser meets."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import json
import logging
import os
import time
from pathlib import Path
from typing import Any, NoReturn

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from hypothesis import given
from hypothesis import strategies as st

from backends.auth import followed_file
from backends.auth.access_list import AccessList
from backends.auth.certificate_chains import find_key
from backends.auth.credentials import Basic, Bearer
from backends.auth.followed_file import FollowedFile, UnusableFile
from backends.auth.identity import Caller
from backends.auth.keys import key_ids, parse_bundle, parse_jwks
from backends.auth.schemes import Failure, Wanted, WrongCredentials
from backends.auth.signed_token import WrongToken, parse_token
from backends.auth.token import TokenScheme
from backends.auth.token_settings import TokenSettings
from backends.model.actions import Action
from backends.model.base64url import decode, encode
from tests.support.held import texts_held_by
from tests.support.tokens import (
    ISSUER,
    SERVICE,
    access,
    certify,
    libtrust_id,
    make_claims,
    make_ec,
    make_ec_with_zeros,
    make_rsa,
    make_token,
    pem,
    public_jwk,
    public_pem,
    thumbprint,
    x5c,
)

CALLER = Caller("192.0.2.1", "", "v2", "https://registry.example:5000")
FIRST, SECOND = make_ec(), make_ec()


class Clock:
    def __init__(self) -> None:
        self.now = float(int(time.time()))

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    path = tmp_path / "bundle.pem"
    path.write_bytes(pem(certify("first", FIRST)))
    return path


@pytest.fixture
def scheme(bundle: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> TokenScheme:
    monkeypatch.setattr(followed_file, "LOOK_SECONDS", 0.0)
    return TokenScheme(TokenSettings("https://tokens.example/token", SERVICE, ISSUER, bundle), clock=clock)


def token_by(key: ec.EllipticCurvePrivateKey, now: float, **changes: Any) -> Bearer:
    header = {"alg": "ES256", "kid": thumbprint(key)}
    return Bearer(make_token(header, make_claims(now, **changes), key))


def write(path: Path, content: bytes | None) -> None:
    """Write a file in place; None takes it away."""
    if content is None:
        path.unlink()
    else:
        path.write_bytes(content)


def replace(path: Path, content: bytes) -> None:
    """Put another file in a file's place."""
    fresh = path.with_name("fresh")
    fresh.write_bytes(content)
    fresh.rename(path)


async def test_it_says_who_and_what_the_token_reaches(scheme: TokenScheme, clock: Clock) -> None:
    identity = await scheme.identify(token_by(FIRST, clock.now), CALLER)
    assert identity is not None
    assert (identity.user, identity.scheme) == ("alice", "token")
    assert identity.grants is not None
    assert identity.grants.allow(Action.PUSH, "team/app")
    assert not identity.grants.allow(Action.DELETE, "team/app")
    assert not identity.grants.allow(Action.CATALOG, "")


async def test_other_credentials_are_not_its_business(scheme: TokenScheme) -> None:
    assert await scheme.identify(None, CALLER) is None
    assert await scheme.identify(Basic("alice", "secret"), CALLER) is None


async def test_a_token_that_is_shown_again_is_not_verified_again_and_ends_all_the_same(
    scheme: TokenScheme, clock: Clock
) -> None:
    token = token_by(FIRST, clock.now, exp=int(clock.now) + 10)
    identity = await scheme.identify(token, CALLER)
    assert await scheme.identify(token, CALLER) is identity
    clock.now += 70
    assert await scheme.identify(token, CALLER) is identity
    clock.now += 1
    with pytest.raises(WrongCredentials) as caught:
        await scheme.identify(token, CALLER)
    assert (caught.value.failure, caught.value.error) == (Failure.EXPIRED, "invalid_token")


async def test_a_key_that_is_replaced_ends_its_tokens_and_the_new_ones_are_good(
    scheme: TokenScheme, bundle: Path, clock: Clock
) -> None:
    old, new = token_by(FIRST, clock.now), token_by(SECOND, clock.now)
    await scheme.identify(old, CALLER)
    with pytest.raises(WrongCredentials):
        await scheme.identify(new, CALLER)
    replace(bundle, public_pem(SECOND))
    assert await scheme.identify(new, CALLER) is not None
    with pytest.raises(WrongCredentials):
        await scheme.identify(old, CALLER)


@pytest.fixture
def lasting(bundle: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> TokenScheme:
    """One that need not look at its file."""
    monkeypatch.setattr(followed_file, "LOOK_SECONDS", 3600.0)
    return TokenScheme(TokenSettings("r", SERVICE, ISSUER, bundle), clock=clock)


async def test_a_header_is_known_again_while_its_token_holds(lasting: TokenScheme, clock: Clock) -> None:
    token = token_by(FIRST, clock.now, exp=int(clock.now) + 10)
    header = f"Bearer {token.token}"
    assert lasting.recall(header) is None
    identity = await lasting.identify(token, CALLER)
    assert lasting.recall(header) is identity is lasting.recalling(header)()
    assert lasting.recall(f"{header}x") is None
    clock.now += 70
    assert lasting.recall(header) is identity
    clock.now += 1
    assert lasting.recall(header) is None
    assert lasting.recalling(header)() is None


async def test_what_is_refused_is_not_known_again(lasting: TokenScheme, clock: Clock) -> None:
    for wrong in (token_by(SECOND, clock.now), token_by(FIRST, clock.now, aud="other")):
        with pytest.raises(WrongCredentials):
            await lasting.identify(wrong, CALLER)
        assert lasting.recall(f"Bearer {wrong.token}") is None


async def test_the_question_whether_a_header_is_known_holds_no_token(lasting: TokenScheme, clock: Clock) -> None:
    token = token_by(FIRST, clock.now)
    await lasting.identify(token, CALLER)
    held = texts_held_by(lasting.recalling(f"Bearer {token.token}"))
    assert "alice" in held
    assert not any(token.token.rpartition(".")[2] in each for each in held)


async def test_a_header_is_not_known_again_once_its_key_is_replaced(
    lasting: TokenScheme, bundle: Path, clock: Clock
) -> None:
    token = token_by(FIRST, clock.now)
    ask = lasting.recalling(f"Bearer {token.token}")
    await lasting.identify(token, CALLER)
    assert ask() is not None
    replace(bundle, public_pem(SECOND))
    (file,) = lasting._files  # it does so by itself an hour later
    file.look()
    assert ask() is None
    with pytest.raises(WrongCredentials):
        await lasting.identify(token, CALLER)
    assert ask() is None


async def test_who_asks_all_the_time_waits_for_no_look(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_bytes(b"one")
    now = 100.0
    followed = FollowedFile(path, bytes, what="keys", clock=lambda: now)
    replace(path, b"two")
    now += followed_file.LOOK_SECONDS - followed_file.AHEAD_SECONDS - 0.01
    assert followed.is_current()
    await asyncio.sleep(0)
    assert followed._looking is None  # nobody looks yet
    now += 0.02
    assert followed.is_current()
    deadline = time.monotonic() + 30
    while followed._looking is not None:
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    assert followed.value == b"two"
    now += followed_file.LOOK_SECONDS - followed_file.AHEAD_SECONDS - 0.01
    assert followed.is_current()
    now += followed_file.AHEAD_SECONDS + 0.02
    replace(path, b"three")
    assert not followed.is_current()
    assert await followed.get() == b"three"
    assert followed.is_current()


@pytest.mark.parametrize("broken", [b"", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", None])
async def test_a_broken_file_changes_nothing_and_is_said_once(
    scheme: TokenScheme, bundle: Path, clock: Clock, caplog: pytest.LogCaptureFixture, broken: bytes | None
) -> None:
    caplog.set_level(logging.ERROR)
    write(bundle, broken)
    for jti in ("a", "b", "c"):
        assert await scheme.identify(token_by(FIRST, clock.now, jti=jti), CALLER) is not None
    (record,) = caplog.records
    assert "auth.token.rootcertbundle has changed, but what was read before still holds" in record.getMessage()
    write(bundle, pem(certify("second", SECOND)))
    assert await scheme.identify(token_by(SECOND, clock.now), CALLER) is not None


async def test_a_file_that_was_written_in_the_middle_of_reading_is_read_again(
    scheme: TokenScheme, bundle: Path, clock: Clock
) -> None:
    whole = pem(certify("second", SECOND))
    write(bundle, whole[: len(whole) // 2])
    assert await scheme.identify(token_by(FIRST, clock.now), CALLER) is not None
    write(bundle, whole)
    assert await scheme.identify(token_by(SECOND, clock.now), CALLER) is not None


def test_a_change_that_bears_the_time_of_the_one_before_is_seen(tmp_path: Path) -> None:
    path = tmp_path / "keys"
    path.write_bytes(b"one")
    followed = FollowedFile(path, bytes, what="keys")
    seen = path.stat()
    path.write_bytes(b"two")
    os.utime(path, ns=(seen.st_atime_ns, seen.st_mtime_ns))
    followed.look()
    assert followed.value == b"two"


def test_what_could_not_be_read_for_a_moment_is_read_when_it_can_be(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "keys"
    path.write_bytes(b"one")
    followed = FollowedFile(path, bytes, what="keys")
    path.write_bytes(b"two")
    os.utime(path, (1e9, 1e9))
    with monkeypatch.context() as patched:
        patched.setattr(os, "open", lambda *_: _no_descriptor_is_left())
        followed.look()
        followed.look()
    assert followed.value == b"one"
    assert [each.getMessage() for each in caplog.records] == [
        f"keys has changed, but what was read before still holds: keys: {path} cannot be read (Too many open files)"
    ]
    followed.look()
    assert followed.value == b"two"


def _no_descriptor_is_left() -> NoReturn:
    raise OSError(errno.EMFILE, "Too many open files")


def test_a_pipe_in_the_place_of_keys_keeps_no_start_waiting(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    with pytest.raises(UnusableFile, match=r"pipe cannot be read \(it is not a file\)"):
        FollowedFile(path, bytes, what="keys")


def test_a_start_without_keys_says_which_file_and_why(tmp_path: Path) -> None:
    path = tmp_path / "none.pem"
    with pytest.raises(UnusableFile, match=r"rootcertbundle: .*none\.pem cannot be read \(No such file"):
        TokenScheme(TokenSettings("r", SERVICE, ISSUER, path))
    path.write_bytes(b"nothing")
    with pytest.raises(UnusableFile, match="is not valid: there is no certificate and no public key"):
        TokenScheme(TokenSettings("r", SERVICE, ISSUER, path))


async def test_only_algorithms_that_are_allowed_may_sign(bundle: Path, clock: Clock) -> None:
    settings = TokenSettings("r", SERVICE, ISSUER, bundle, algorithms=("RS256",))
    with pytest.raises(WrongCredentials, match="'ES256' is not one of those allowed"):
        await TokenScheme(settings, clock=clock).identify(token_by(FIRST, clock.now), CALLER)


@pytest.mark.parametrize(
    ("settings", "challenge"),
    [
        ({}, 'Bearer realm="https://tokens.example/token",service="registry.example"'),
        (
            {"auto_redirect": True},
            'Bearer realm="https://registry.example:5000/auth/token",service="registry.example"',
        ),
        (
            {"auto_redirect": True, "auto_redirect_path": "/own"},
            'Bearer realm="https://registry.example:5000/own",service="registry.example"',
        ),
        ({"service": 'the "one"'}, r'Bearer realm="https://tokens.example/token",service="the \"one\""'),
    ],
)
def test_the_challenge_names_realm_and_service(bundle: Path, settings: dict[str, Any], challenge: str) -> None:
    full = {"realm": "https://tokens.example/token", "service": SERVICE, "issuer": ISSUER, **settings}
    assert TokenScheme(TokenSettings(**full, root_cert_bundle=bundle)).challenge(CALLER, ()) == challenge


@pytest.mark.parametrize(
    ("origin", "told", "scheme"),
    [("http", "", "https"), ("https", "", "https"), ("http", "http", "http"), ("https", "https", "https")],
)
def test_a_realm_on_the_clients_host_is_https_unless_a_trusted_peer_says_otherwise(
    bundle: Path, origin: str, told: str, scheme: str
) -> None:
    settings = TokenSettings("r", SERVICE, ISSUER, bundle, auto_redirect=True)
    caller = CALLER._replace(origin=f"{origin}://registry.example", told_scheme=told)
    challenge = TokenScheme(settings).challenge(caller, ())
    assert challenge == f'Bearer realm="{scheme}://registry.example/auth/token",service="{SERVICE}"'


def test_what_is_too_long_is_refused_before_it_is_split() -> None:
    with pytest.raises(WrongToken, match="longer than 8192"):
        parse_token("." * 8193)


def test_the_challenge_of_a_mount_names_both_repositories(scheme: TokenScheme) -> None:
    wanted = (Wanted("repository", "a/b", ("pull", "push")), Wanted("repository", "c", ("pull",)))
    assert scheme.challenge(CALLER, wanted, "insufficient_scope").endswith(
        ',scope="repository:a/b:pull,push repository:c:pull",error="insufficient_scope"'
    )


def test_a_thumbprint_is_that_of_the_rfc() -> None:
    """RFC 7638 section 3.1."""
    n = (
        "0vx7agoebGcQSuuPiLJXZptN9nndrQmbXEps2aiAFbWhM78LhWx4cbbfAAtVT86zwu1RK7aPFFxuhDR1L6tSoc_BJECPebWKRXjBZCiFV4n3oknj"
        "hMstn64tZ_2W-5JsGY4Hc5n9yBXArwl93lqt7_RN5w6Cf0h4QyQ5v-65YGjQR0_FDW2QvzqY368QQMicAtaSqzs8KJZgnYb9c7d0zgdAZHzu6qMQ"
        "vRL5hajrn1n91CbOpbISD08qNLyrdkt-bFTWhAI4vMQFh6WeZu0fM4lFd2NcRwr3XPksINHaQ-G_xBniIqbw0Ls1jF44-csFCur-kEgU8awapJzK"
        "nqDKgw"
    )
    key = rsa.RSAPublicNumbers(65537, int.from_bytes(decode(n), "big")).public_key()
    assert key_ids(key)[1] == "NzbLsXh8uDCcd-6MNwXF4W_7noWXFZAfHkxZsRGC9Xs"


def test_a_key_whose_coordinate_begins_with_zeros_has_distributions_name_too() -> None:
    key = make_ec_with_zeros()
    libtrust, padded, short = key_ids(key.public_key())
    assert len({libtrust, padded, short}) == 3
    assert set(parse_bundle(public_pem(key)).by_id) == {libtrust, padded, short}
    assert libtrust == libtrust_id(key)


@pytest.mark.parametrize(
    ("jwk", "why"),
    [
        ({"kty": "oct", "k": encode(b"short"), "kid": "a"}, "has 5 octets; 16 is the least"),
        ({"kty": "oct", "k": encode(b"long enough for a key")}, "is symmetric and has no kid"),
        (public_jwk(FIRST, use="enc"), "is not for signatures (use)"),
        ({**public_jwk(FIRST), "key_ops": ["sign"]}, "is not for verifying (key_ops)"),
        (public_jwk(FIRST, alg="HS256"), "is for an algorithm that such keys do not have (alg)"),
        ({"kty": "EC", "crv": "P-256", "x": "AQ", "y": "AQ"}, "is incomplete or damaged"),
        ({"kty": "EC", "crv": "secp256k1", "x": "AQ", "y": "AQ"}, "is on a curve that is not supported"),
        ({"kty": "RSA", "e": "AQAB"}, "is incomplete or damaged"),
        ({"kty": "new"}, "is of a kind that is not supported (kty)"),
        ("text", "is not a JSON object"),
    ],
)
def test_a_key_that_cannot_be_used_is_passed_over_with_its_reason(jwk: Any, why: str) -> None:
    keys = parse_jwks(json.dumps({"keys": [jwk, public_jwk(SECOND, kid="good")]}).encode())
    assert set(keys.by_id) == {"good"}
    assert keys.warnings == (f"key 1 {why}",)
    with pytest.raises(ValueError, match="no key in it that could verify"):
        parse_jwks(json.dumps({"keys": [jwk]}).encode())


def test_a_private_key_in_a_set_is_used_for_its_public_half_alone() -> None:
    keys = parse_jwks(json.dumps({"keys": [{**public_jwk(FIRST, kid="a"), "d": "AQ"}]}).encode())
    assert isinstance(keys.by_id["a"][0].material, ec.EllipticCurvePublicKey)


def test_two_keys_of_one_name_are_both_tried() -> None:
    keys = parse_jwks(json.dumps({"keys": [public_jwk(one, kid="a") for one in (FIRST, SECOND)]}).encode())
    for key in (FIRST, SECOND):
        keys.verify(parse_token(make_token({"alg": "ES256", "kid": "a"}, {}, key)))
    with pytest.raises(WrongToken, match="its signature is not one by the key 'a'"):
        keys.verify(parse_token(make_token({"alg": "ES256", "kid": "a"}, {}, make_ec())))


def test_a_key_verifies_only_what_it_is_for_even_where_it_could_more() -> None:
    key = make_rsa()
    keys = parse_jwks(json.dumps({"keys": [public_jwk(key, kid="a", alg="RS256")]}).encode())
    keys.verify(parse_token(make_token({"alg": "RS256", "kid": "a"}, {}, key)))
    for other in ("PS256", "RS512"):
        with pytest.raises(WrongToken, match="its signature is not one by the key 'a'"):
            keys.verify(parse_token(make_token({"alg": other, "kid": "a"}, {}, key)))


def test_a_token_is_spelled_in_one_way() -> None:
    text = make_token({"alg": "ES256", "kid": "a"}, {}, FIRST)  # the last letter of 64 bytes has four bits to spare
    letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    other = text[:-1] + letters[letters.index(text[-1]) + 1]
    assert decode(other.rpartition(".")[2]) == decode(text.rpartition(".")[2])
    parse_token(text)
    with pytest.raises(WrongToken, match="not base64url as it is written in one way"):
        parse_token(other)


def test_a_strangers_chain_whose_certificates_all_sign_each_other_is_soon_at_its_end() -> None:
    roots, key = [certify("ca", SECOND, ca=True)], make_ec()
    lengths = {}
    for length in (1, 8):
        chain = x5c(*(certify("same", key, ca=True) for _ in range(length)))
        times = []
        for _ in range(20):
            began = time.process_time()
            with pytest.raises(WrongToken, match="not good"):
                find_key(chain, roots, time.time())
            times.append(time.process_time() - began)
        lengths[length] = min(times)
    assert lengths[8] < max(30 * lengths[1], 0.003)


def test_a_short_rsa_key_is_passed_over() -> None:
    short = rsa.RSAPublicNumbers(65537, (1 << 1000) + 453).public_key()
    jwk = {"kty": "RSA", "e": "AQAB", "n": encode(short.public_numbers().n.to_bytes(126, "big")), "kid": "a"}
    keys = parse_jwks(json.dumps({"keys": [jwk, public_jwk(make_rsa(), kid="b")]}).encode())
    assert keys.warnings == ("key 1 has an RSA key of 1001 bits; 1024 is the least",)


@given(st.text(max_size=60) | st.binary(max_size=60).map(lambda raw: ".".join([encode(raw)] * 3)))
def test_no_text_is_more_than_a_wrong_token(text: str) -> None:
    with pytest.raises(WrongToken):
        parse_token(text)


json_values: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
claim_names = st.sampled_from(["iss", "sub", "aud", "exp", "nbf", "iat", "access", "jti"])


@given(st.dictionaries(st.sampled_from(["alg", "kid", "x5c", "jwk", "jku", "crit", "b64"]), json_values))
def test_any_header_is_read_or_refused(header: dict[str, Any]) -> None:
    text = ".".join(encode(json.dumps(part).encode()) for part in (header, {}, {}))
    with contextlib.suppress(WrongToken):
        assert parse_token(text).algorithm == header["alg"]


@pytest.fixture(scope="module")
def lasting_scheme(tmp_path_factory: pytest.TempPathFactory) -> TokenScheme:
    path = tmp_path_factory.mktemp("keys") / "bundle.pem"
    path.write_bytes(pem(certify("first", FIRST)))
    return TokenScheme(TokenSettings("r", SERVICE, ISSUER, path))


@given(name=claim_names, value=json_values)
async def test_any_claim_under_a_good_signature_is_taken_or_refused(
    lasting_scheme: TokenScheme, name: str, value: Any
) -> None:
    try:
        identity = await lasting_scheme.identify(token_by(FIRST, time.time(), **{name: value}), CALLER)
    except WrongCredentials:
        return
    assert identity is not None
    assert identity.user.isprintable()


entries = st.lists(
    st.builds(
        access,
        st.sampled_from(["a", "b/c", "library/a"]),
        st.sampled_from(["pull", "push", "delete", "*"]),
    ),
    max_size=4,
)


@given(entries, entries)
def test_what_a_list_grants_grows_with_it_and_stays_with_its_names(some: list[Any], more: list[Any]) -> None:
    less, whole = AccessList(some), AccessList([*some, *more])
    for action in (Action.PULL, Action.PUSH, Action.DELETE):
        for name in ("a", "b/c", "library/a", "b", "c"):
            assert whole.allow(action, name) or not less.allow(action, name)
            if name in {"b", "c"}:
                assert not whole.allow(action, name)
        assert whole.allow(action, "a") == whole.allow(action, "library/a")
    assert not whole.allow(Action.CATALOG, "")
