"""Rules that nobody can meet as things are."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from backends.auth.password_file import PasswordFileError, read_password_file
from backends.auth.rules_text import parse_rules
from backends.auth.unmet_rules import unmet_rules

NAMES = "names {}, who {} not in the file of users and cannot log in"
CLAIMS = "asks for claims, and only tokens of gateway.auth.openid have some"


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("{allow: pull, to: anyone}", None),
        ("{allow: pull, to: users}", None),
        ("{allow: pull, to: alice}", None),
        ('{allow: pull, to: "bo*"}', None),
        ("{allow: pull, to: group devs}", NAMES.format("bob, carol", "are")),
        ("{allow: pull, to: [alice, bob]}", NAMES.format("bob", "is")),
        ("{deny: pull, to: [users, bob]}", NAMES.format("bob", "is")),
        ("{allow: pull, to: alice, claims: {iss: x}}", CLAIMS),
    ],
)
def test_what_is_said_of_a_rule(rule: str, said: str | None) -> None:
    rules = parse_rules(f"- {{group: devs, members: [alice, carol, bob]}}\n- {rule}\n- {{allow: pull, to: group devs}}")
    found = dict(unmet_rules(rules, users={"alice"}, has_claims=False))
    assert found.get(2) == said
    assert not [*unmet_rules(rules, users=None, has_claims=True)]


def test_a_file_that_may_not_be_read_says_who_must(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can become somebody else: run the tests as root")
    file = tmp_path / "users"
    file.write_text("")
    file.chmod(0o600)
    os.seteuid(65534)
    try:
        with pytest.raises(PasswordFileError, match=r"cannot be read \(Permission denied\); let uid 65534 read it"):
            read_password_file(str(file))
    finally:
        os.seteuid(0)
