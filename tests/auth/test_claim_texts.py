"""Claims as rules compare them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.auth.claim_texts import MAX_CLAIMS, MAX_DEPTH, flatten, only_text
from backends.auth.signed_token import WrongToken


@pytest.mark.parametrize(
    ("claims", "texts"),
    [
        ({}, {}),
        ({"sub": "a"}, {"sub": {"a"}}),
        ({"n": 72, "t": True, "f": False}, {"n": {"72"}, "t": {"true"}, "f": {"false"}}),
        ({"aud": ["a", "b", "a"]}, {"aud": {"a", "b"}}),
        ({"none": None, "part": 0.5, "empty": [], "nothing": {}}, {}),
        ({"mixed": ["a", None, {"b": 1}, ["c"], 3]}, {"mixed": {"a", "3"}}),
        (
            {"kubernetes.io": {"namespace": "ci", "serviceaccount": {"name": "builder", "uid": "u"}}},
            {
                "kubernetes.io.namespace": {"ci"},
                "kubernetes.io.serviceaccount.name": {"builder"},
                "kubernetes.io.serviceaccount.uid": {"u"},
            },
        ),
        ({"": "nameless"}, {"": {"nameless"}}),
    ],
)
def test_claims_become_sets_of_texts(claims: dict[str, Any], texts: dict[str, set[str]]) -> None:
    assert flatten(claims) == texts


def nested(levels: int) -> dict[str, Any]:
    return {"a": nested(levels - 1)} if levels > 1 else {"a": "x"}


@pytest.mark.parametrize(
    ("claims", "reason"),
    [
        ({"a.b": "1", "a": {"b": "2"}}, "two of its claims are called 'a.b'"),
        ({f"c{n}": "x" for n in range(MAX_CLAIMS + 1)}, f"more than {MAX_CLAIMS} claims"),
        (nested(MAX_DEPTH + 1), f"deeper than {MAX_DEPTH} levels"),
    ],
)
def test_what_could_be_read_in_two_ways_or_takes_too_much_is_refused(claims: dict[str, Any], reason: str) -> None:
    with pytest.raises(WrongToken, match=reason):
        flatten(claims)


def test_as_many_and_as_deep_as_allowed_are_read() -> None:
    assert len(flatten({f"c{n}": "x" for n in range(MAX_CLAIMS)})) == MAX_CLAIMS
    assert flatten(nested(MAX_DEPTH)) == {".".join("a" * MAX_DEPTH): {"x"}}


def test_a_claim_that_names_somebody_has_one_value() -> None:
    texts = flatten({"sub": "alice", "both": ["a", "b"]})
    assert only_text(texts, "sub") == "alice"
    assert only_text(texts, "other") == ""
    with pytest.raises(WrongToken, match="its both has several values"):
        only_text(texts, "both")


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("ab.", max_size=3), inner, max_size=4),
    max_leaves=20,
)


@given(st.dictionaries(st.text("ab.", max_size=3), JSON, max_size=5))
def test_whatever_a_token_says_is_sets_of_texts_or_refused(claims: dict[str, Any]) -> None:
    try:
        found = flatten(claims)
    except WrongToken:
        return
    assert all(values and all(isinstance(each, str) for each in values) for values in found.values())
