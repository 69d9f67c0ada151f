"""Tokens that Portside issues and reads again."""

from __future__ import annotations

import hmac
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.auth.credentials import MAX_TOKEN
from backends.auth.own_tokens import OwnToken, is_own, issue, verify
from backends.auth.signed_token import WrongToken
from backends.model.base64url import decode, encode

KEY = b"k" * 32
NOW = 1_800_000_000.0
TOKEN = OwnToken(
    "bearer",
    "alice",
    "htpasswd",
    groups=frozenset({"devs", "ops"}),
    claims={"ref": frozenset({"refs/heads/main"})},
    audience="registry.example:5000",
    expires=int(NOW) + 300,
)
HERE = "registry.example:5000"


def read(text: str, *, key: bytes = KEY, now: float = NOW) -> OwnToken:
    return verify(key, text, kind="bearer", audience=HERE, now=now)


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
tokens = st.builds(
    OwnToken,
    kind=st.sampled_from(("bearer", "v1")),
    user=texts,
    scheme=texts,
    groups=st.frozensets(texts, max_size=3),
    claims=st.dictionaries(texts, st.frozensets(texts, max_size=3), max_size=3),
    repository=texts,
    access=texts,
    audience=texts,
    expires=st.integers(int(NOW) + 1, int(NOW) + 10_000),
)


@given(tokens)
def test_what_was_issued_is_read_again(token: OwnToken) -> None:
    text = issue(KEY, token)
    assert verify(KEY, text, kind=token.kind, audience=token.audience, now=NOW) == token
    assert is_own(text)


@given(tokens, st.data())
def test_no_change_of_one_character_passes(token: OwnToken, data: st.DataObject) -> None:
    text = issue(KEY, token)
    place = data.draw(st.integers(0, len(text) - 1))
    other = data.draw(st.characters(codec="ascii").filter(lambda character: character != text[place]))
    with pytest.raises(WrongToken):
        verify(KEY, text[:place] + other + text[place + 1 :], kind=token.kind, audience=token.audience, now=NOW)


@given(st.text(max_size=200))
def test_any_text_is_wrong_and_never_a_fault(text: str) -> None:
    with pytest.raises(WrongToken):
        read(text)


def test_it_is_good_to_the_second_in_which_it_expires() -> None:
    text = issue(KEY, TOKEN)
    assert read(text, now=NOW + 299.9) == TOKEN
    with pytest.raises(WrongToken, match="expired"):
        read(text, now=NOW + 300)


@pytest.mark.parametrize(
    ("token", "reason"),
    [
        (replace(TOKEN, kind="v1"), "kind 'v1'"),
        (replace(TOKEN, audience="registry.example"), "issued for 'registry.example'"),
        (replace(TOKEN, audience=""), "issued for ''"),
    ],
)
def test_it_is_good_only_for_what_it_was_issued_for(token: OwnToken, reason: str) -> None:
    with pytest.raises(WrongToken, match=reason):
        read(issue(KEY, token))


def test_a_token_is_not_good_at_a_host_that_is_not_text() -> None:
    with pytest.raises(WrongToken, match="it was issued for"):
        verify(KEY, issue(KEY, TOKEN), kind="bearer", audience="\udcff", now=NOW)


def test_another_installations_token_is_not_good() -> None:
    with pytest.raises(WrongToken, match="not issued by this registry"):
        read(issue(b"other" * 8, TOKEN))


def test_no_token_is_made_that_would_be_too_long_to_be_read() -> None:
    with pytest.raises(ValueError, match="characters would be needed"):
        issue(KEY, replace(TOKEN, user="a" * MAX_TOKEN))


def test_what_a_later_version_may_say_is_refused_rather_than_half_understood() -> None:
    says = json.loads(decode(issue(KEY, TOKEN).partition(".")[0]))
    for change in ({"v": 2}, {"only": "pull"}):
        payload = encode(json.dumps(says | change).encode())
        mac = encode(hmac.digest(KEY, b"portside token\n" + payload.encode(), "sha256"))
        with pytest.raises(WrongToken, match="another version"):
            read(f"{payload}.{mac}")


def test_a_missing_key_is_a_fault_of_ours_and_never_signs() -> None:
    with pytest.raises(ValueError, match="need a key"):
        issue(b"", TOKEN)
