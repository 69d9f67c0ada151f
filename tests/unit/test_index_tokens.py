"""Tokens of an index: what is read of them, and which address of the index they lead to."""

from __future__ import annotations

from urllib.parse import unquote, urlsplit

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backends.auth.credentials import IndexToken
from backends.auth.index_tokens import (
    IndexGrants,
    fits_method,
    parse_index_authorization,
    path_at_index,
    repository_of,
)
from backends.model.actions import Action
from backends.model.v1names import V1Name, parse_v1_name

TEXT = st.text(alphabet=st.characters(min_codepoint=1, max_codepoint=0x2FF), max_size=60)


@pytest.mark.parametrize(
    ("value", "repository", "access"),
    [
        ('Token signature=X1,repository="ns/r",access=write', "ns/r", "write"),
        ('Token Token signature=X1,repository="ns/r",access=read', "ns/r", "read"),
        ('token  signature=X1, repository="ns/r" , access=delete', "ns/r", "delete"),
        ("Token signature=X1,repository=ns/r,access=read", "ns/r", "read"),
        ('Token repository="ns/r"', "ns/r", ""),
        ("Token signature=X1", "", ""),
        ('Token repository="ns/r",more="x y",access=all', "ns/r", "all"),
    ],
)
def test_what_it_says(value: str, repository: str, access: str) -> None:
    assert parse_index_authorization(value) == IndexToken(value, repository, access)
    assert "X1" not in repr(parse_index_authorization(value))


@pytest.mark.parametrize("value", [None, "", "  "])
def test_nothing_is_nothing(value: str | None) -> None:
    assert parse_index_authorization(value) is None


@pytest.mark.parametrize(
    "value",
    [
        "Basic Og==",
        "Bearer x",
        "Token",
        "Token x",
        "Token a=b,a=c",
        'Token repository="a/b",repository="a/c"',
        'Token repository="a/b',
        "Token a=b;c=d,",
        "Token a=b\tc",
        "Token a=é",
        "Token a=" + "x" * 9000,
    ],
)
def test_what_is_none(value: str) -> None:
    with pytest.raises(ValueError, match=r"token|Token"):
        parse_index_authorization(value)


@given(TEXT)
def test_whatever_is_sent_is_read_or_refused(text: str) -> None:
    try:
        token = parse_index_authorization(f"Token {text}")
        assert token is None or isinstance(repository_of(token), V1Name)
    except ValueError:
        pass


@given(TEXT, TEXT)
@example("a", "..")
@example("..", "a")
@example("a", "b%2F..")
@example("a%2f..", "b")
@example("%2E%2E", "users")
@example("a", "%2e.")
@example("a", "b%2F%2E%2e%2Fc")
@example("a", "b?c")
def test_it_leads_to_one_repository_of_the_index_and_nowhere_else(namespace: str, repository: str) -> None:
    token = IndexToken("", f"{namespace}/{repository}", "")
    try:
        path = path_at_index(token)
    except ValueError:
        return
    url = urlsplit(f"http://index{path}/images")
    assert (url.netloc, url.query, url.fragment) == ("index", "", "")
    parts = url.path.split("/")
    assert parts[:3] == ["", "v1", "repositories"]
    assert len(parts) == 6
    # Who normalises an address takes %2E for a dot, and many take %2F for a slash.
    assert not {"", ".", ".."}.intersection(unquote(url.path).split("/")[1:])
    assert [unquote(each) for each in parts[3:5]] == [unquote(namespace), unquote(repository)]


@pytest.mark.parametrize(
    ("repository", "name"),
    [("ns/r", "ns/r"), ("library/r", "r"), ("a/b%2Fc", "a/b/c"), ("n+s/r", "n+s/r"), ("ns/a+b", "ns/a b")],
)
def test_names_are_read_as_the_original_writes_them(repository: str, name: str) -> None:
    grants = IndexGrants(repository_of(IndexToken("", repository, "")), "read")
    assert grants.repository == parse_v1_name(name).canonical
    assert grants.allow(Action.PULL, parse_v1_name(name).canonical)


@pytest.mark.parametrize(
    "repository",
    ["", "r", "a/b/c", "/r", "ns/", "./r", "ns/..", "ns/...", "%2E%2e/r", "ns/r%2F..%2fx", "ns/r%2F", "n s/r", 'n"/r'],
)
def test_what_names_no_repository(repository: str) -> None:
    with pytest.raises(ValueError, match="repository"):
        repository_of(IndexToken("", repository, ""))


@pytest.mark.parametrize(
    ("access", "methods"),
    [
        ("read", {"GET", "HEAD"}),
        ("write", {"PUT", "POST"}),
        ("delete", {"DELETE"}),
        ("", {"GET", "HEAD", "PUT", "POST", "DELETE"}),
        ("all", {"GET", "HEAD", "PUT", "POST", "DELETE"}),
    ],
)
def test_methods(access: str, methods: set[str]) -> None:
    every = {"GET", "HEAD", "PUT", "POST", "DELETE"}
    assert {method for method in every if fits_method(access, method)} == methods


@pytest.mark.parametrize(
    ("access", "actions"),
    [
        ("read", {Action.PULL}),
        ("write", {Action.PULL, Action.PUSH}),
        ("delete", {Action.DELETE}),
        ("", {Action.PULL, Action.PUSH, Action.DELETE}),
    ],
)
def test_actions_in_its_repository_and_nowhere_else(access: str, actions: set[Action]) -> None:
    grants = IndexGrants(V1Name("ns", "r"), access)
    every = {Action.PULL, Action.PUSH, Action.DELETE}
    assert {action for action in every if grants.allow(action, "ns/r")} == actions
    assert not any(grants.allow(action, "ns/other") for action in every)
    assert not grants.allow(Action.CATALOG, "")
