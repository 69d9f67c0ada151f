"""Where patterns lead: no name that fits is passed over, and what cannot lead to one is not looked into."""

from __future__ import annotations

import json

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from backends.auth.folders import Folders
from backends.auth.globs import parse_name_glob
from backends.auth.identity import Identity
from backends.auth.rules import Scope
from backends.auth.rules_text import parse_rules
from backends.model.actions import Action

PATTERNS = ["a", "a/b", "*", "a/*", "*/a", "**", "a/**", "*/**", "**/b", "a*/b", "a/*/b/**", "a/**/b/**", "library/b/*"]
names = st.lists(st.sampled_from(["a", "b", "ab", "library"]), min_size=1, max_size=4).map("/".join)
patterns = st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=3)
files = st.lists(st.tuples(st.sampled_from(["allow", "deny"]), st.none() | patterns), min_size=1, max_size=4)


def scope_of(*rules: tuple[str, list[str] | None]) -> Scope:
    lines = [json.dumps({verb: "pull", "to": "u"} | ({"on": on} if on else {})) for verb, on in rules]
    lines.append('{"allow": "pull", "to": "nobody-else"}')
    return parse_rules("\n".join(f"- {line}" for line in lines)).scope(Identity("u", "htpasswd"), Action.PULL)


@given(files, names)
@example([("allow", ["a"])], "library/a")
@example([("allow", None), ("deny", ["*/**"])], "library/a")
@example([("allow", None), ("deny", ["a/**/b/**"])], "a/b")
@example([("allow", ["library/b/*"])], "library/b/a")
def test_a_walk_comes_to_every_name_that_fits(rules: list[tuple[str, list[str] | None]], name: str) -> None:
    scope, parts = scope_of(*rules), tuple(name.split("/"))
    if scope.allows(name):
        for depth, component in enumerate(parts):
            known = scope.below(parts[:depth])
            assert known is None or component in known, parts[:depth]


@pytest.mark.parametrize(
    ("on", "above", "known"),
    [
        (["a/b", "a/c/d", "e"], "", {"a", "e", "library"}),
        (["a/b", "a/c/d", "e"], "a", {"b", "c"}),
        (["a/b", "a/c/d", "e"], "a/c", {"d"}),
        (["a/b", "a/c/d", "e"], "a/b", set()),
        (["a/b", "a/c/d", "e"], "x", set()),
        (["a/b", "e"], "library", {"a", "e"}),
        (["a*/b", "*/c"], "ax", {"b", "c"}),
        (["a*/b", "*/c"], "x", {"c"}),
        (["a*/b", "*/c"], "", None),
        (["a/**"], "", {"a", "library"}),
        (["a/**"], "a/b/c", None),
        (["**/b"], "x/y", None),
        ([], "", set()),
    ],
)
def test_what_may_follow_is_as_little_as_patterns_say(on: list[str], above: str, known: set[str] | None) -> None:
    scope = scope_of(("allow", on)) if on else scope_of()
    found = scope.below(tuple(above.split("/")) if above else ())
    assert (None if found is None else set(found)) == known


def test_what_is_denied_as_a_whole_is_not_looked_into() -> None:
    scope = scope_of(("allow", None), ("deny", ["secret/**", "*/old/**"]))
    assert scope.below(("secret",)) == scope.below(("secret", "x")) == scope.below(("team", "old")) == frozenset()
    assert scope.below(("team",)) is scope.below(()) is scope.below(("secrets",)) is None


def test_many_names_cost_no_more_to_follow_than_few() -> None:
    folders = Folders(parse_name_glob(f"team{number}/app") for number in range(10_000))
    assert folders.below(("team77",)) == frozenset(["app"])
