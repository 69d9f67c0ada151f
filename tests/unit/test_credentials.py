"""What an `Authorization` header is taken for."""

from __future__ import annotations

from base64 import b64encode

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.auth.credentials import MAX_HEADER, MAX_TOKEN, Basic, Bearer, V1Token, parse_authorization

SECRET = "s3cret"


def _basic(text: str | bytes) -> str:
    return "Basic " + b64encode(text.encode() if isinstance(text, str) else text).decode()


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, None),
        ("", None),
        ("  ", None),
        # docker 1.0 to 1.5 without a login: nobody, and no wrong password
        ("Basic Og==", None),
        (_basic("alice:pw"), Basic("alice", "pw")),
        (_basic("alice:a:b"), Basic("alice", "a:b")),
        (_basic("alice:"), Basic("alice", "")),
        (_basic(":token"), Basic("", "token")),
        (_basic("jürgen:grüße"), Basic("jürgen", "grüße")),
        (_basic(b"alice:\xff"), Basic("alice", "\udcff")),
        ("basic " + _basic("a:b")[6:], Basic("a", "b")),
        ("BASIC   " + _basic("a:b")[6:] + " ", Basic("a", "b")),
        ("Bearer abc.def-_~+/==", Bearer("abc.def-_~+/==")),
        ("bearer abc", Bearer("abc")),
        # as docker sends it: the word of the header's value after its own
        (
            'Token Token signature=abc,repository="team/app",access=write',
            V1Token("abc", "team/app", "write"),
        ),
        ('Token signature=abc,repository="team/app",access=write', V1Token("abc", "team/app", "write")),
        ('Token access=read, repository="app", signature=a.b', V1Token("a.b", "app", "read")),
    ],
)
def test_what_is_well_formed_is_read(value: str | None, expected: object) -> None:
    assert parse_authorization(value) == expected


@pytest.mark.parametrize(
    ("value", "sentence"),
    [
        ("Basic", "no colon"),
        (f"Basic {SECRET}", "not valid base64"),
        ("Basic " + b64encode(SECRET.encode()).decode(), "no colon"),
        ("Basic Zm9v Zm9v", "not valid base64"),
        ("Basic Zm9v\u00e4", "not valid base64"),
        (_basic(b"\xff:" + SECRET.encode()), "not UTF-8"),
        (_basic(f"a\nb:{SECRET}"), "cannot be printed"),
        (_basic("a" * 256 + f":{SECRET}"), "longer than 255"),
        ("Bearer", "has characters"),
        (f"Bearer {SECRET} {SECRET}", "has characters"),
        (f"Bearer {SECRET}\u00e4", "has characters"),
        pytest.param("Bearer " + SECRET * 1400, f"longer than {MAX_TOKEN}", id="long token"),
        (f"Token {SECRET}", "is not signature"),
        (f"Token signature={SECRET}", "is not signature"),
        (f'Token signature={SECRET},repository="a",access=read,more=1', "is not signature"),
        (f'Token signature={SECRET},repository="a",repository="b"', "two values"),
        (f"Digest {SECRET}", "neither Basic nor Bearer"),
        (SECRET, "neither Basic nor Bearer"),
        pytest.param("Basic " + "A" * MAX_HEADER, "longer than 16384", id="long header"),
    ],
)
def test_what_is_not_gets_a_sentence_without_the_secret(value: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence) as refused:
        parse_authorization(value)
    assert SECRET not in str(refused.value)


def test_a_secret_is_in_no_repr() -> None:
    for value in (
        _basic(f"alice:{SECRET}"),
        f"Bearer {SECRET}",
        f'Token signature={SECRET},repository="team/app",access=read',
    ):
        assert SECRET not in repr(parse_authorization(value))


@given(
    st.text(st.characters(categories=["L", "N", "P", "S"], exclude_characters=":"), max_size=100),
    st.binary(max_size=100),
)
def test_user_and_password_come_out_as_they_were_sent(user: str, password: bytes) -> None:
    found = parse_authorization(_basic(user.encode() + b":" + password))
    if not user and not password:
        assert found is None
    else:
        assert isinstance(found, Basic)
        assert (found.user, found.password.encode("utf-8", "surrogateescape")) == (user, password)


@given(st.text(max_size=300))
def test_whatever_is_sent_is_read_or_refused_with_a_sentence(text: str) -> None:
    for value in (text, f"Basic {text}", f"Bearer {text}", f"Token {text}"):
        try:
            parse_authorization(value)
        except ValueError as refused:
            assert str(refused)  # noqa: PT017 - whether it is raised depends on the text
