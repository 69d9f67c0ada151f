"""`portside access`, as people run it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.support.commands import portside

RULES = """\
- {allow: pull, to: anyone}
- allow: [push, delete]
  to: group devs
  on: [team/*, base]
- {group: devs, members: [alice, "k8s:system:serviceaccount:ci:*"]}
- {deny: delete, to: users, on: base}
- {allow: push, to: users, on: acme/**, claims: {owner: acme}}
- {allow: delete, to: group k8s:admins}
- {allow: delete, to: bob, on: Team/app}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "access.yml").write_text(RULES)
    return tmp_path


def test_check_says_what_a_file_grants_and_what_is_worth_a_look(folder: Path) -> None:
    done = portside("access", "check", "access.yml", folder=folder)
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.splitlines() == [
        "access.yml: 6 rules, 1 group, 1 remark",
        "anyone: may pull every repository (line 1)",
        "users: may not delete base (line 6)",
        "users: may push acme/** with some tokens (line 7)",
        (
            "access.yml:9: remark: `Team/app` fits no name that v2 allows, only such as v1 does;"
            " v2 has no capital letters"
        ),
    ]
    facts = json.loads(portside("access", "check", "--json", "access.yml", folder=folder).stdout)
    assert (facts["usable"], facts["rules"], facts["groups"], facts["mistakes"]) == (True, 6, ["devs"], [])
    assert facts["remarks"][0]["line"] == 9


def test_check_says_where_anyone_may_do_nothing(folder: Path) -> None:
    (folder / "access.yml").write_text("- {allow: push, to: alice}")
    done = portside("access", "check", "access.yml", folder=folder)
    assert done.stdout.splitlines() == ["access.yml: 1 rule", "anyone: nothing without logging in"]


def test_check_names_every_mistake_with_file_and_line(folder: Path) -> None:
    (folder / "access.yml").write_text("- {allow: psuh, to: users}\n- {permit: pull, to: anyone}\n- {allow: pull}\n")
    done = portside("access", "check", "access.yml", folder=folder)
    assert done.returncode == 1
    assert done.stdout.splitlines() == [
        "access.yml:1: `psuh` is not an action; write `push`",
        "access.yml:2: `permit` is not a key here; write `allow`",
        "access.yml:3: the rule does not say for whom; add `to: users`, `to: anyone`, or names",
    ]
    done = portside("access", "check", "--json", "access.yml", folder=folder)
    assert done.returncode == 1
    assert [each["line"] for each in json.loads(done.stdout)["mistakes"]] == [1, 2, 3]
    done = portside("access", "check", "gone.yml", folder=folder)
    assert (done.returncode, done.stdout) == (
        1,
        "gone.yml cannot be read (No such file or directory); check the path\n",
    )


@pytest.mark.parametrize(
    ("arguments", "status", "line"),
    [
        (("-", "pull", "base"), 0, 1),
        (("anyone", "push", "base"), 1, None),
        (("alice", "push", "team/app"), 0, 2),
        (("alice", "push", "library/base"), 0, 2),
        (("k8s:system:serviceaccount:ci:builder", "delete", "team/app"), 0, 2),
        (("alice", "delete", "base"), 1, 6),
        (("carol", "push", "acme/a/b"), 1, None),
        (("--claim", "owner=acme", "carol", "push", "acme/a/b"), 0, 7),
        (("--claim", "owner=other", "--claim", "owner=acme", "carol", "push", "acme/a/b"), 0, 7),
        (("--group", "k8s:admins", "carol", "delete", "x"), 0, 8),
        (("bob", "delete", "Team/app"), 0, 9),
    ],
)
def test_explain_says_what_is_decided_and_by_which_line(
    folder: Path, arguments: tuple[str, ...], status: int, line: int | None
) -> None:
    done = portside("access", "explain", "--rules", "access.yml", "--json", *arguments, folder=folder)
    assert (done.returncode, done.stderr) == (status, "")
    facts = json.loads(done.stdout)
    assert facts["answer"] == ("denied" if status else "allowed")
    assert facts["line"] == line


def test_explain_shows_the_rule_and_the_name_it_used(folder: Path) -> None:
    done = portside("access", "explain", "--rules", "access.yml", "alice", "pull", "library/base", folder=folder)
    assert done.stdout.splitlines() == [
        "answer:      allowed",
        "why:         line 1 allows pull to alice on base",
        "user:        alice",
        "action:      pull",
        "repository:  base",
        "line:        1",
        "rule:        {allow: pull, to: anyone}",
    ]
    done = portside("access", "explain", "--rules", "access.yml", "alice", "push", "base", folder=folder)
    assert done.stdout.splitlines()[-4:] == [
        "line:        2",
        "rule:        allow: [push, delete]",
        "             to: group devs",
        "             on: [team/*, base]",
    ]


def test_explain_asks_the_rules_that_the_settings_name(folder: Path) -> None:
    def asked(*arguments: str, settings: str) -> tuple[int, str]:
        (folder / "portside.yml").write_text(settings)
        done = portside("access", "explain", "--config", "portside.yml", *arguments, folder=folder)
        assert done.stderr == ""
        return done.returncode, done.stdout.splitlines()[1]

    named = "gateway: {access: access.yml}"
    assert asked("alice", "push", "base", settings=named) == (0, "why:         line 2 allows push to alice on base")
    users = "auth: {silly: {realm: 'https://r.example/token', service: s}}"
    assert asked("alice", "push", "base", settings=users)[0] == 0
    assert asked("-", "pull", "base", settings=users) == (
        1,
        "why:         without a rules file nobody may do anything without credentials",
    )
    assert asked("-", "push", "base", settings="version: 0.1") == (
        0,
        "why:         no access control is configured, so everybody may do everything",
    )


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--rules", "gone.yml", "alice", "pull", "base"), "gone.yml cannot be read"),
        (("--rules", "broken.yml", "alice", "pull", "base"), "line 1: `psuh` is not an action"),
        (("--rules", "access.yml", "--config", "x.yml", "alice", "pull", "base"), "give --rules or --config"),
        (("alice", "pull", "base"), "no settings file was found, and no variable sets access control; name the server"),
        (("--config", "gone.yml", "alice", "pull", "base"), "the settings file gone.yml cannot be read"),
        (("--rules", "access.yml", "alice", "pull", "base:latest"), "is more than a repository's name"),
        (("--rules", "access.yml", "alice", "pull", "/base"), "is not a valid repository name"),
        (("--rules", "access.yml", "--claim", "owner", "alice", "pull", "base"), "is not a claim"),
        (("--rules", "access.yml", "--group", "a:b", "-", "pull", "base"), "has no groups and no claims"),
        (("--rules", "access.yml", "alice", "read", "base"), "'read' is not one of 'pull', 'push', 'delete'"),
    ],
)
def test_explain_tells_mistakes_by_a_status_of_their_own(folder: Path, arguments: tuple[str, ...], said: str) -> None:
    (folder / "broken.yml").write_text("- {allow: psuh, to: users}")
    done = portside("access", "explain", *arguments, folder=folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert said in done.stderr
    assert "Traceback" not in done.stderr
