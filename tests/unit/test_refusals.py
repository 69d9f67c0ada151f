"""The command in a refusal: pasted, it explains the decision, with what a token said of its holder."""

from __future__ import annotations

import shlex
from pathlib import Path

import pytest

from backends.auth.identity import Identity
from backends.model.actions import Action
from backends.web.operations import RepositoryAccess
from backends.web.refusals import MAX_SAID, denied
from tests.support.commands import portside

RULES = """
- {group: dev-team, members: [group dev-team]}
- {allow: push, to: users}
- {deny: push, to: group dev-team, on: team/*, claims: {ref: refs/heads/x y}}
"""


def command(identity: Identity) -> list[str]:
    sentence = denied(identity, RepositoryAccess(Action.PUSH, "team/app")).detail
    return shlex.split(sentence.partition(" with ")[2])


@pytest.mark.parametrize(
    ("groups", "claims", "line"),
    [
        ({"dev-team", "others x"}, {"ref": {"refs/heads/x y", "z"}, "sub": {"it's"}}, "line 4"),
        (set(), {}, "line 3"),
    ],
)
def test_it_explains_what_was_decided(tmp_path: Path, groups: set[str], claims: dict[str, set[str]], line: str) -> None:
    (tmp_path / "rules.yml").write_text(RULES)
    said = {name: frozenset(values) for name, values in claims.items()}
    words = command(Identity("al ice", "openid", frozenset(groups), said))
    assert words[:3] == ["portside", "access", "explain"]
    done = portside(*words[1:3], "--rules", "rules.yml", *words[3:], folder=tmp_path)
    assert line in done.stdout, (words, done)


def test_a_token_with_much_to_say_is_named_in_few_words() -> None:
    many = Identity("alice", "openid", frozenset(f"group-{number}" for number in range(1000)))
    sentence = denied(many, RepositoryAccess(Action.PUSH, "team/app")).detail
    assert len(sentence) < MAX_SAID + 300
    assert sentence.endswith("team/app and the groups and claims of its token (--group, --claim)")
