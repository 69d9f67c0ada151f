"""Laws of rules: what a rule that is added, taken away or narrowed can change, and what decides."""

from __future__ import annotations

import itertools
import json
import time
import tracemalloc
from functools import lru_cache
from typing import Any

import pytest
import yaml
from hypothesis import assume, example, given
from hypothesis import strategies as st

from backends.auth.globs import can_fit_v2, parse_glob, parse_name_glob
from backends.auth.identity import ANONYMOUS, Identity
from backends.auth.rules import REMEMBERED, USERS_ALL, FileRules
from backends.auth.rules_text import parse_rules
from backends.model.actions import Action
from backends.model.errors import RegistryError
from backends.model.names import parse_repository_name
from backends.model.v1names import parse_v1_name

ACTIONS = (Action.PULL, Action.PUSH, Action.DELETE)
Entry = dict[str, Any]

# Few names, so that rules meet.
USERS = ["alice", "bob", "k8s:ci:builder", "k8s:ci:tester"]
NAMES = ["base", "team/app", "team/app/cache", "team", "acme/a", "acme/a/b", "Team/app", "app-", "library/a/b"]
PATTERNS = ["base", "team/*", "team/**", "*", "**/app", "*/a", "acme/*/b", "acme/**", "t*/a*", "**/a/*", "te*/**/c*"]
GROUPS: list[Entry] = [
    {"group": "devs", "members": ["alice", "k8s:ci:*"]},
    {"group": "ops", "members": ["bob", "group k8s:admins"]},
]
identities = st.builds(
    Identity,
    st.sampled_from(["", *USERS]),
    st.just("htpasswd"),
    st.sets(st.sampled_from(["k8s:admins", "devs", "k8s:others"])).map(frozenset),
    st.dictionaries(st.sampled_from(["owner", "ref"]), st.sets(st.sampled_from(["acme", "main"])).map(frozenset)),
)
subjects = st.lists(
    st.sampled_from(["anyone", "users", "group devs", "group ops", "group k8s:admins", "k8s:*", *USERS]),
    min_size=1,
    max_size=3,
    unique=True,
)
claims = st.dictionaries(
    st.sampled_from(["owner", "ref"]),
    st.lists(st.sampled_from(["acme", "m*", "*"]), min_size=1, max_size=2),
    min_size=1,
    max_size=2,
)


@st.composite
def entries(draw: st.DrawFn, *, verbs: tuple[str, ...] = ("allow", "deny")) -> Entry:
    entry: Entry = {
        draw(st.sampled_from(verbs)): draw(
            st.lists(st.sampled_from(["pull", "push", "delete"]), min_size=1, max_size=3, unique=True)
        ),
        "to": draw(subjects),
    }
    if draw(st.booleans()):
        entry["on"] = draw(st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=3, unique=True))
    if "anyone" not in entry["to"] and draw(st.booleans()):
        entry["claims"] = draw(claims)
    return entry


files = st.lists(entries(), min_size=1, max_size=6)
questions = st.tuples(identities, st.sampled_from(ACTIONS), st.sampled_from(NAMES))


def parsed(file: list[Entry]) -> FileRules:
    return parse_rules("\n".join(f"- {json.dumps(entry)}" for entry in [*GROUPS, *file]))


def allowed(file: list[Entry], question: tuple[Identity, Action, str]) -> bool:
    return parsed(file).decide(*question).is_allowed if file else False


# The reference: as the rules are described, one after the other.


@lru_cache(maxsize=100_000)
def fits(pattern: str, text: str, *, stops: str) -> bool:
    if not pattern:
        return not text
    if pattern.startswith("**"):
        return fits(pattern[2:], text, stops=stops) or (text != "" and fits(pattern, text[1:], stops=stops))
    if pattern.startswith("*"):
        goes_on = text != "" and text[0] not in stops
        return fits(pattern[1:], text, stops=stops) or (goes_on and fits(pattern, text[1:], stops=stops))
    return text.startswith(pattern[0]) and fits(pattern[1:], text[1:], stops=stops)


def is_meant(subject: str, identity: Identity) -> bool:
    if subject == "anyone":
        return True
    if not identity.user:
        return False
    if subject == "users":
        return True
    if subject.startswith("group "):
        group = subject.removeprefix("group ")
        if ":" in group:
            return group in identity.groups
        members = next(entry["members"] for entry in GROUPS if entry["group"] == group)
        return any(is_meant(member, identity) for member in members)
    return fits(subject, identity.user, stops="")


def applies(entry: Entry, question: tuple[Identity, Action, str]) -> bool:
    identity, action, name = question
    words = set(entry["allow"] if "allow" in entry else entry["deny"])
    if "allow" in entry and "push" in words:
        words.add("pull")
    if "deny" in entry and "pull" in words:
        words.add("push")
    return (
        action.value in words
        and any(is_meant(subject, identity) for subject in entry["to"])
        and ("on" not in entry or any(fits(each, name, stops="/") for each in entry["on"]))
        and all(
            any(fits(wanted, value, stops="") for wanted in values for value in identity.claims.get(claim, ()))
            for claim, values in entry.get("claims", {}).items()
        )
    )


EVERYBODY = [
    Identity(user, "openid", frozenset(groups), {"owner": frozenset({owner})} if owner else {})
    for user in ("", *USERS)
    for groups in ((), ("k8s:admins", "devs"))
    for owner in ("", "acme", "main")
]


@given(files)
def test_a_decision_is_what_the_rules_say_one_by_one(file: list[Entry]) -> None:
    rules = parsed(file)
    for question in itertools.product(EVERYBODY, ACTIONS, NAMES):
        fitting = [number for number, entry in enumerate(file) if applies(entry, question)]
        deciding = [number for number in fitting if "deny" in file[number]] or fitting
        decision = rules.decide(*question)
        assert decision.is_allowed is (bool(fitting) and "allow" in file[deciding[0]])
        assert decision.line == (deciding[0] + 1 + len(GROUPS) if fitting else None), "the first that decides is named"


@given(files, entries(verbs=("deny",)), questions)
def test_a_deny_that_is_added_grants_nothing(
    file: list[Entry], deny: Entry, question: tuple[Identity, Action, str]
) -> None:
    assert not allowed([*file, deny], question) or allowed(file, question)


@given(files, entries(verbs=("allow",)), questions)
def test_an_allow_that_is_added_takes_nothing_away(
    file: list[Entry], allow: Entry, question: tuple[Identity, Action, str]
) -> None:
    assert allowed([*file, allow], question) or not allowed(file, question)


@given(st.lists(entries(), max_size=4), entries(verbs=("allow",)), st.data(), questions)
def test_an_allow_that_is_narrowed_grants_nothing(
    file: list[Entry], allow: Entry, data: st.DataObject, question: tuple[Identity, Action, str]
) -> None:
    narrow = dict(allow)
    match data.draw(st.sampled_from(["allow", "to", "on", "claims", "users"])):
        case "on" if "on" not in narrow:
            narrow["on"] = data.draw(st.lists(st.sampled_from(PATTERNS), min_size=1, max_size=2))
        case "claims":
            more = data.draw(claims)
            kept = {name: [each for each in values if each in more.get(name, values)] for name, values in more.items()}
            narrow["claims"] = {
                **narrow.get("claims", {}),
                **{k: v for k, v in kept.items() if k not in narrow.get("claims", {})},
            }
            narrow["to"] = ["users" if each == "anyone" else each for each in narrow["to"]]
            assume(narrow["claims"])
        case "users":
            narrow["to"] = ["users" if each == "anyone" else each for each in narrow["to"]]
        case key:
            assume(len(narrow[key]) > 1)
            narrow[key] = narrow[key][1:]
    assert not allowed([*file, narrow], question) or allowed([*file, allow], question)


@given(files, st.randoms(use_true_random=False), questions)
def test_the_order_of_entries_means_nothing(
    file: list[Entry], random: Any, question: tuple[Identity, Action, str]
) -> None:
    shuffled = [*GROUPS, *file]
    random.shuffle(shuffled)
    rules = parse_rules("\n".join(f"- {json.dumps(entry)}" for entry in shuffled))
    assert rules.decide(*question).is_allowed is allowed(file, question)


@given(files, identities, st.sampled_from(NAMES))
def test_who_may_push_may_pull(file: list[Entry], identity: Identity, name: str) -> None:
    assert not allowed(file, (identity, Action.PUSH, name)) or allowed(file, (identity, Action.PULL, name))


@given(files, questions)
def test_the_line_that_is_named_decides(file: list[Entry], question: tuple[Identity, Action, str]) -> None:
    before = parsed(file).decide(*question)
    if before.line is None:
        assert not before.is_allowed
        assert not any("allow" in each and applies(each, question) for each in file)
        return
    at = before.line - 1 - len(GROUPS)
    assert json.loads(before.rule) == file[at]
    assert applies(file[at], question)
    without = [*file]
    without[at] = {"deny": "delete", "to": "nobody-at-all", "on": "nothing"}  # the other lines stay where they are
    after = parsed(without).decide(*question)
    assert (after.is_allowed, after.line) != (before.is_allowed, before.line)


@given(files, identities, st.sampled_from(ACTIONS))
def test_a_scope_says_of_each_name_what_a_decision_says(file: list[Entry], identity: Identity, action: Action) -> None:
    rules = parsed(file)
    scope = rules.scope(identity, action)
    found = [rules.decide(identity, action, name).is_allowed for name in NAMES]
    assert [scope.allows(name) for name in NAMES] == found
    assert not (scope.is_nothing and any(found))
    assert not (scope.is_everything and not all(found))
    assert rules.allows_anonymous or identity.user or not any(found)
    assert rules.decide(identity, Action.CATALOG, "").is_allowed is not rules.scope(identity, Action.PULL).is_nothing


@given(files, st.lists(questions, min_size=1, max_size=8))
def test_what_is_remembered_is_what_was_asked(file: list[Entry], asked: list[tuple[Identity, Action, str]]) -> None:
    rules = parsed(file)
    for question in [*asked, *reversed(asked)]:
        assert rules.decide(*question) == parsed(file).decide(*question)


@given(files)
def test_the_same_rules_in_another_style_are_the_same(file: list[Entry]) -> None:
    one = parsed(file)
    other = parse_rules(yaml.safe_dump([*GROUPS, *file], default_flow_style=False))
    again = parse_rules(
        "\n".join(f"- {json.dumps(each)}" for each in GROUPS) + "".join(f"\n- {r.text}" for r in one.rules)
    )
    fields = [
        [(r.allows, r.actions, r.anyone, r.users, r.members, _texts(r.on)) for r in rules.rules]
        for rules in (one, other, again)
    ]
    assert [[(*each[:4], len(each[4]), each[5]) for each in found] for found in fields[1:]] == [
        [(*each[:4], len(each[4]), each[5]) for each in fields[0]]
    ] * 2


def _texts(globs: Any) -> Any:
    return globs and tuple(each.text for each in globs)


def test_a_repository_has_one_name() -> None:
    rules = parse_rules("- {allow: push, to: users}\n- {deny: pull, to: anyone, on: secret}")
    alice = Identity("alice", "htpasswd")
    for name in ("secret", "library/secret"):
        assert rules.decide(alice, Action.PULL, name).line == 2
        assert not rules.scope(alice, Action.PULL).allows(name)


def test_users_have_logged_in() -> None:
    rules = parse_rules("- {allow: push, to: users}\n- {allow: pull, to: '*:ci'}")
    assert not rules.decide(ANONYMOUS, Action.PUSH, "a").is_allowed
    assert not rules.decide(Identity("", "portside-token"), Action.PULL, "a").is_allowed
    assert rules.decide(Identity("alice", "htpasswd"), Action.PUSH, "a").is_allowed


def test_a_decision_is_remembered_with_the_claims_that_it_depends_on() -> None:
    rules = parse_rules("- {allow: pull, to: users, claims: {owner: acme}}")
    acme = Identity("ci", "openid", claims={"owner": frozenset({"acme"}), "run": frozenset({"1"})})
    assert rules.decide(acme, Action.PULL, "a").is_allowed
    assert not rules.decide(Identity("ci", "openid", claims={"owner": frozenset({"b"})}), Action.PULL, "a").is_allowed
    assert not rules.decide(Identity("ci", "openid"), Action.PULL, "a").is_allowed
    later = Identity("ci", "openid", claims={"owner": frozenset({"acme"}), "run": frozenset({"2"})})
    assert rules.decide(later, Action.PULL, "a") is rules.decide(acme, Action.PULL, "a"), "no rule looks at the run"


def test_without_a_file_who_is_authenticated_may_do_everything() -> None:
    for action in ACTIONS:
        assert USERS_ALL.decide(Identity("alice", "htpasswd"), action, "a").is_allowed
        assert USERS_ALL.decide(Identity("", "token"), action, "a").is_allowed, "the token says what it is for"
        assert not USERS_ALL.decide(ANONYMOUS, action, "a").is_allowed
        assert not USERS_ALL.decide(Identity("", "portside-token"), action, "a").is_allowed, (
            "nobody behind our own token"
        )
        assert USERS_ALL.scope(ANONYMOUS, action).is_nothing
    assert not USERS_ALL.allows_anonymous


def test_groups_of_tokens_are_not_those_of_the_file() -> None:
    rules = parse_rules("- {group: devs, members: [alice]}\n- {allow: push, to: [group devs, group k8s:devs]}")
    assert not rules.decide(Identity("x", "openid", frozenset({"devs"})), Action.PUSH, "a").is_allowed
    assert rules.decide(Identity("x", "openid", frozenset({"k8s:devs"})), Action.PUSH, "a").is_allowed
    assert not rules.decide(Identity("", "openid", frozenset({"k8s:devs"})), Action.PUSH, "a").is_allowed


def test_a_group_may_hold_one_that_certificates_name() -> None:
    """Without a prefix such a group has no `:`; that it counts is said where the group is."""
    rules = parse_rules("- {group: devs, members: [group devs, group ops, bob]}\n- {allow: push, to: group devs}")
    for groups, user, may in (
        (("devs",), "x", True),
        (("ops",), "x", True),
        ((), "bob", True),
        (("other",), "x", False),
    ):
        identity = Identity(user, "certificate", frozenset(groups))
        assert rules.decide(identity, Action.PUSH, "a").is_allowed is may
    assert rules.remarks == ((1, "`group ops` is for who is in it by a token or certificate: it is not in this file"),)


def test_rules_that_many_identities_have_in_common_are_in_memory_once() -> None:
    many = "".join(f"- {{allow: pull, to: users, on: team{n}/*}}\n" for n in range(4_000))
    rules = parse_rules(many + "".join(f"- {{allow: pull, to: own{n}, on: own/*}}\n" for n in range(60)))
    tracemalloc.start()
    rules.scope(Identity("first", "htpasswd"), Action.PULL)
    once = tracemalloc.get_traced_memory()[0]
    for number in range(200):
        scope = rules.scope(Identity(f"alice{number}", "htpasswd"), Action.PULL)
        assert scope.allows("team3999/app")
    assert tracemalloc.get_traced_memory()[0] < 2 * once
    for number in range(60):  # each with another set of rules
        scope = rules.scope(Identity(f"own{number}", "htpasswd"), Action.PULL)
        assert scope.allows("own/a")
        assert scope.allows("team3999/app")
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 40 * once


# Patterns.


def texts(alphabet: str) -> list[str]:
    return ["".join(letters) for size in range(1, 6) for letters in itertools.product(alphabet, repeat=size)]


NAMES_OF_PATTERNS = texts("ab/")
OTHER_TEXTS = texts("a:\n")
pieces = st.lists(st.sampled_from(["a", "b", "/", "*", "**"]), min_size=1, max_size=7).map("".join)


@given(pieces)
def test_a_pattern_fits_what_its_description_fits(pattern: str) -> None:
    try:
        glob = parse_name_glob(pattern)
    except ValueError:
        assume(False)
        raise
    found = [name for name in NAMES_OF_PATTERNS if (name == glob.head if glob.fits is None else glob.fits(name))]
    assert found == [name for name in NAMES_OF_PATTERNS if fits(pattern, name, stops="/")]


@given(st.text("a:*", max_size=6))
def test_a_star_fits_any_text_of_users_and_claims(pattern: str) -> None:
    assume("**" not in pattern)
    glob = parse_glob(pattern)
    found = [text for text in OTHER_TEXTS if (text == glob.head if glob.fits is None else glob.fits(text))]
    assert found == [text for text in OTHER_TEXTS if fits(pattern, text, stops="")]


@given(st.text("ab0._-/*A", min_size=1, max_size=8))
def test_whether_v2_can_have_such_a_name(pattern: str) -> None:
    try:
        glob = parse_name_glob(pattern)
    except ValueError:
        assume(False)
        raise
    assert can_fit_v2(glob.pattern) is _some_name_fits(pattern)


def _some_name_fits(pattern: str) -> bool:
    """Tries what wildcards could stand for: something of each kind is enough, for the grammar looks one letter back."""
    if "*" not in pattern:
        try:
            parse_repository_name(pattern)
        except RegistryError:
            return False
        return True
    wild = "**" if "**" in pattern[pattern.index("*") : pattern.index("*") + 2] else "*"
    return any(
        _some_name_fits(pattern.replace(wild, each, 1)) for each in ("", "a", "-a", "a-", "_", "a_", "_a", "-a-", "a_a")
    )


@pytest.mark.parametrize(
    "pattern", ["a" + "*a" * 60, "**a" * 60 + "b", "**a*b" * 40 + "*/c", "*" + "a" * 100, "**/" * 60 + "*b"]
)
def test_the_time_of_a_match_grows_no_faster_than_the_name(pattern: str) -> None:
    glob = parse_name_glob(pattern)

    def took(size: int) -> float:
        name, best = ("a" * size), 1.0
        for _ in range(5):
            start = time.thread_time()
            for _ in range(10):
                assert glob.fits is not None
                glob.fits(name)
            best = min(best, time.thread_time() - start)
        return best

    assert took(16_000) < 24 * max(took(2_000), 20e-6)  # eight times the name: with backtracking at least 64 times


def test_a_decision_that_is_remembered_takes_less_than_a_microsecond() -> None:
    rules = parse_rules("\n".join(f"- {{allow: push, to: user{n}, on: team{n}/**}}" for n in range(5_000)))
    alice = Identity("user4999", "openid", frozenset({"a:b"}), {"owner": frozenset({"acme"})})
    rules.decide(alice, Action.PULL, "team4999/app")
    best = 1.0
    for _ in range(20):
        start = time.thread_time()
        for _ in range(1000):
            rules.decide(alice, Action.PULL, "team4999/app")
        best = min(best, time.thread_time() - start)
    assert best / 1000 < 1e-6


def test_what_is_remembered_is_bounded_and_what_is_hot_stays() -> None:
    rules = parse_rules("- {allow: pull, to: anyone}")
    first = rules.decide(ANONYMOUS, Action.PULL, "hot")
    for number in range(3 * REMEMBERED):
        rules.decide(ANONYMOUS, Action.PULL, f"n{number}")
        if number % 1000 == 0:
            assert rules.decide(ANONYMOUS, Action.PULL, "hot") is first
    assert len(rules._young) + len(rules._old) <= 2 * REMEMBERED


def written(name: str) -> str:
    """A name of v1 as a rule may have it: each character that is not a letter or a digit escaped."""
    return "".join(each if each.isalnum() else f"%{ord(each):02x}" for each in name)


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=30))
@example("a*b")
@example("a**b/c")
@example("../r")
@example("a//b")
def test_every_name_of_v1_can_be_named_by_a_rule(text: str) -> None:
    try:
        name = parse_v1_name(text).canonical
    except RegistryError:
        assume(False)
        raise
    glob = parse_name_glob(written(name))
    assert (glob.fits, glob.head) == (None, name)
    wild = parse_name_glob(f"{written(name)}/*")
    assert wild.fits is not None
    assert (wild.fits(f"{name}/x"), wild.fits(f"{name}/x/y"), wild.fits(name)) == (True, False, False)
    mixed = parse_name_glob(f"**{written(name)}*")
    assert mixed.fits is not None
    assert mixed.fits(f"{name}a")
    assert not mixed.fits(f"{name[:-1]}")


@given(st.lists(st.sampled_from(["a+b", "a b", "a%20b", "a%2Bb", "a*b", "a**b", "axb"]), min_size=1, unique=True))
def test_a_rule_for_one_of_several_names_that_look_alike_fits_no_other(denied: list[str]) -> None:
    lines = [
        "- {allow: push, to: users}",
        *(f"- {{deny: pull, to: users, on: 't/{written(each)}'}}" for each in denied),
    ]
    rules = parse_rules("\n".join(lines))
    for name in ("a+b", "a b", "a%20b", "a%2Bb", "a*b", "a**b", "axb", "axxb"):
        for action in (Action.PULL, Action.PUSH):
            assert rules.decide(Identity("alice", "htpasswd"), action, f"t/{name}").is_allowed == (name not in denied)
