"""Rules as they stand in a file: what is understood, and what is said about each mistake."""

from __future__ import annotations

from unittest import mock

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from backends.auth import yaml_lines
from backends.auth.identity import ANONYMOUS, Identity
from backends.auth.rules_text import RulesError, parse_rules
from backends.model.actions import Action

EXAMPLE = """\
# who may do what
- {allow: pull, to: anyone}
- {allow: push, to: users}
- {group: devs, members: [alice, bob, "k8s:system:serviceaccount:ci:*"]}
- {allow: [push, delete], to: [group devs, carol], on: [team/*, base]}
- {deny: delete, to: anyone, on: base}
- allow: delete
  to: users     # with a token of
  on: acme/**
  claims:
    repository_owner: acme
"""


def test_the_example_means_what_it_says() -> None:
    rules = parse_rules(EXAMPLE)
    builder = Identity("k8s:system:serviceaccount:ci:builder", "openid")
    assert rules.decide(ANONYMOUS, Action.PULL, "anything").line == 2
    assert not rules.decide(ANONYMOUS, Action.PUSH, "anything").is_allowed
    assert rules.decide(builder, Action.DELETE, "team/app").line == 5
    assert not rules.decide(builder, Action.DELETE, "team/app/cache").is_allowed
    denied = rules.decide(Identity("carol", "htpasswd"), Action.DELETE, "base")
    assert (denied.is_allowed, denied.line, denied.rule) == (False, 6, "{deny: delete, to: anyone, on: base}")
    robot = Identity("robot", "openid", claims={"repository_owner": frozenset({"acme"})})
    allowed = rules.decide(robot, Action.DELETE, "acme/a/b")
    assert allowed.line == 7
    assert allowed.rule == (
        "allow: delete\nto: users     # with a token of\non: acme/**\nclaims:\n  repository_owner: acme"
    )


MISTAKES = [
    ("{permit: pull, to: anyone}", "`permit` is not a key here; write `allow`"),
    ("{alow: pull, to: anyone}", "`alow` is not a key here; write `allow`"),
    ("{allow: pull, to: anyone, repositories: a}", "`repositories` is not a key here; write `on`"),
    ("{group: a, members: b, memebrs: c}", "`memebrs` is not a key here; write `members`"),
    ("{allow: pull, to: alice, bob}", "`bob` has no value; write several values in a list, such as `[alice, bob]`"),
    ("{allow: read, to: users}", "`read` is not an action; write `pull`"),
    ("{allow: psuh, to: users}", "`psuh` is not an action; write `push`"),
    ("{allow: catalog, to: users}", "a catalog shows what the caller may pull: there is no rule for it"),
    ("{allow: pull push, to: users}", "write several in a list, such as `[push, delete]`"),
    ("{allow: [], to: users}", "the list of `allow` is empty; write `allow: pull`, `push` or `delete`"),
    ("{allow: , to: users}", "`allow` is empty"),
    ("{allow: {a: b}, to: users}", "`allow` is a text or a list of texts"),
    ("{allow: [[pull]], to: users}", "the list of `allow` holds only texts"),
    ("{allow: pull}", "the rule does not say for whom"),
    ("{to: users}", "the rule says neither `allow` nor `deny`"),
    ("{allow: pull, deny: push, to: users}", "a rule has `allow` or `deny`, not both"),
    ("{allow: pull, to: users, members: [a]}", "`members` is not a key of a rule"),
    ("{group: a, members: b, on: c}", "`on` is not a key of a group"),
    ("{allow: pull, allow: push, to: users}", "the key `allow` stands twice in one entry"),
    ("{[a]: pull, to: users}", "a key is a word"),
    ("text", "this is neither a rule"),
    ("[allow, pull]", "this is neither a rule"),
    ("{allow: pull, to: []}", "the list of `to` is empty"),
    ("{allow: pull, to: ['']}", "the list of `to` has an empty text"),
    ("{allow: pull, to: '*'}", "write `users` for who has logged in, `anyone` for everybody"),
    ("{allow: pull, to: everyone}", "write `anyone` for everybody"),
    ("{allow: pull, to: authenticated}", "write `users` for who has logged in"),
    ("{allow: pull, to: anyon}", "looks like `anyone`"),
    ("{allow: pull, to: user}", "write `users`"),
    ("{allow: pull, to: '@devs '}", "is no user's name"),
    ("{allow: pull, to: group:devs}", "looks like a group"),
    ("{allow: pull, to: groups devs}", "looks like a group"),
    ("{allow: pull, to: al**}", "write one `*`, which fits any text here"),
    ('{allow: pull, to: "a\\u0007"}', "'a\\x07' has characters that nobody can see; take them out"),
    ('{allow: pull, to: users, on: ["a\\nb://c"]}', "has characters that nobody can see"),
    ("{allow: pull, to: group devs}", "there is no group 'devs'; add `- {group: devs, members: [alice]}`"),
    ("{allow: pull, to: 'group k8s:*'}", "has a `*`; write the name of each group"),
    ("{group: devs, members: []}", "the list of `members` is empty"),
    ("{group: devs}", "add `members: [alice, bob]`"),
    ("{members: [a]}", "add `group: devs`"),
    ("{group: 'k8s:x', members: [a]}", "it is a group that tokens name"),
    ("{group: a b, members: [a]}", "a group has a name of at most 128 letters"),
    ("{group: users, members: [a]}", "`users` has a meaning of its own"),
    ("{group: a, members: [users]}", "a group cannot hold `users`"),
    ("{allow: pull, to: users, on: []}", "the list of `on` is empty"),
    ("{allow: pull, to: users, on: library/x}", "`library/x` is the repository `x` here, for every client; write `x`"),
    ("{allow: pull, to: users, on: library/*}", "`library/*` is the repository `*` here"),
    ("{allow: pull, to: users, on: library/**}", "write `*` for all names without a `/`"),
    ("{allow: pull, to: users, on: /a}", "fits no name: write a `/` only between two components"),
    ("{allow: pull, to: users, on: a/}", "fits no name: write a `/` only between two components"),
    ("{allow: pull, to: users, on: a//b}", "fits no name: write a `/` only between two components"),
    ("{allow: pull, to: users, on: a/../b}", "fits no name"),
    ("{allow: pull, to: users, on: a b}", "`%20` for a space"),
    ("{allow: pull, to: users, on: a%2}", "`%20` for a space"),
    ("{allow: pull, to: users, on: 'a%0A'}", "these are printable ASCII"),
    ("{allow: pull, to: users, on: a/%C3%A4}", "these are printable ASCII"),
    ("{allow: pull, to: users, on: a%2F}", "neither begin nor end with a slash"),
    ("{allow: pull, to: users, on: library%2Fx}", "is the repository `x` here"),
    ("{allow: pull, to: users, on: '%252E%252E/r'}", "docker-registry takes %2E%2E for dots"),
    ("{allow: pull, to: users, on: 'a[bc]'}", "fits no name"),
    ("{allow: pull, to: users, on: a***}", "too many `*`"),
    ("{allow: pull, to: users, on: 'a:latest'}", "a rule is for whole repositories"),
    ("{allow: pull, to: users, on: 'https://registry.example/a'}", "write only the repository's name"),
    ("{allow: pull, to: users, on: [" + "a" * 512 + "]}", "a pattern has at most 511 characters"),
    ("{allow: pull, to: anyone, claims: {a: b}}", "who has not logged in has no claims"),
    ("{allow: pull, to: [alice, anyone], claims: {a: b}}", "who has not logged in has no claims"),
    ("{allow: pull, to: users, claims: {}}", "`claims` names what a token must say"),
    ("{allow: pull, to: users, claims: acme}", "`claims` names what a token must say"),
    ("{allow: pull, to: users, claims: {a: []}}", "the list of `a` is empty"),
    ("{allow: pull, to: users, claims: {a: {b: c}}}", "`a` is a text or a list of texts"),
    ("{allow: pull, to: users, claims: {a: 'b**'}}", "write one `*`"),
    ("{allow: pull, to: users, claims: {a: b, a: c}}", "the claim `a` stands twice"),
    ("{allow: pull, to: *a}", "`*a` stands for nothing before it"),
    ("{allow: pull, to: !x users}", "the tag '!x' has no meaning here"),
    ("{allow: pull, to: users", "an entry in { } is not closed"),
    ("{allow: pull, to: [users}", "a list in [ ] is not closed"),
    ("{allow: pull, to: 'users}", "a quotation mark is not closed"),
    ("{allow: pull, to: @users}", "must be in quotes"),
    ("&a [*a]", "`*a` stands for nothing before it"),
    ("[" * 17, "nested too deeply"),
]


@pytest.mark.parametrize("parser", ["CSafeLoader", "SafeLoader"])
@pytest.mark.parametrize(("entry", "sentence"), MISTAKES)
def test_a_mistake_is_told_with_its_line(
    entry: str, sentence: str, parser: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(yaml_lines, "_Parser", getattr(yaml, parser))
    with pytest.raises(RulesError) as caught:
        parse_rules(f"- {{allow: pull, to: anyone}}\n# more\n- {entry}\n")
    assert [line for line, _ in caught.value.mistakes if line not in {3, 4}] == []
    assert sentence in "\n".join(said for _, said in caught.value.mistakes)
    assert len(caught.value.mistakes) == 1, "one mistake, one sentence"


@pytest.mark.parametrize(
    ("text", "line", "sentence"),
    [
        ("", 1, "write a list of rules"),
        ("# nothing\n", 1, "write a list of rules"),
        ("{allow: pull, to: anyone}", 1, "write a list of rules"),
        ("[]", 1, "there is no rule, so nobody could do anything"),
        ("- {group: a, members: [b]}", 1, "there are groups but no rule"),
        ("---\n- {allow: pull, to: users}\n---\n- {allow: push, to: users}\n", 3, "only one list"),
        ("- {allow: pull, to: users}\n\t- {allow: pull, to: users}", 2, "YAML allows only spaces"),
        ("- {group: a, members: [b]}\n- {group: a, members: [c]}", 2, "the group 'a' is in line 1 already"),
        (
            "- {group: a, members: [b, group c]}\n- {group: c, members: [d]}",
            1,
            "a group cannot hold another group of this file; name `group c` in `to`, too",
        ),
        ("- allow: pull\n   to: users", 2, "look at the indentation"),
        ("- allow: pull\n  to: users\n  on: [a,\n    'b:c']", 4, "a rule is for whole repositories"),
    ],
)
def test_a_text_that_is_no_list_of_rules(text: str, line: int, sentence: str) -> None:
    with pytest.raises(RulesError) as caught:
        parse_rules(text)
    assert [(found, sentence in said) for found, said in caught.value.mistakes] == [(line, True)]


@given(
    st.one_of(
        st.text(st.characters(codec="utf-8"), max_size=60),
        st.text("-{}[]:,&*!|>'\"# \n\tab", max_size=60),
        st.tuples(st.integers(0, len(EXAMPLE)), st.integers(0, 30), st.text("-{}[]:,*'\" \nax", max_size=3)).map(
            lambda cut: EXAMPLE[: cut[0]] + cut[2] + EXAMPLE[cut[0] + cut[1] :]
        ),
    ),
    st.sampled_from([yaml.CSafeLoader, yaml.SafeLoader]),
)
def test_any_text_is_rules_or_has_mistakes_with_lines(text: str, parser: type) -> None:
    with mock.patch.object(yaml_lines, "_Parser", parser):
        mistakes = _mistakes(text)
    assert all(1 <= line <= len(text.splitlines()) + 1 for line, _ in mistakes)
    assert all(sentence.isprintable() for _, sentence in mistakes)


def _mistakes(text: str) -> tuple[tuple[int, str], ...]:
    try:
        assert parse_rules(text).rules
    except RulesError as error:
        return error.mistakes or ((0, "none"),)
    return ()


def test_all_mistakes_are_told_at_once_in_the_order_of_lines() -> None:
    text = "\n".join(f"- {entry}" for entry, _ in MISTAKES[:20])
    with pytest.raises(RulesError) as caught:
        parse_rules(text)
    lines = [line for line, _ in caught.value.mistakes]
    assert lines == sorted(lines)
    assert set(lines) == set(range(1, 21))
