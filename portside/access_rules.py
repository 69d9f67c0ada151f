"""`portside access`: what a file of rules grants, and what is decided about one question, by which line."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from backends.auth.identity import ANONYMOUS, Identity
from backends.auth.rules import USERS_ALL, Decision, FileRules, Rule, Rules
from backends.auth.rules_file import UnusableRules, read_rules, summary
from backends.model.actions import Action
from backends.model.errors import RegistryError
from backends.model.v1names import parse_v1_name
from portside.problems import Problem

NOBODY = ("-", "anyone")
"""What stands for a caller without credentials on the command line."""

_FREE = Decision(True, None, "no access control is configured, so everybody may do everything")
_ACTIONS = (Action.PULL, Action.PUSH, Action.DELETE)


@dataclass(frozen=True, slots=True)
class Checked:
    """What there is to say about a file of rules.

    Attributes:
        lines: for people.
        facts: for machines.
        is_usable: whether it can be used.
    """

    lines: tuple[str, ...]
    facts: Mapping[str, Any]
    is_usable: bool


def check(path: Path) -> Checked:
    """Reads a file of rules, and says what is wrong with it, or what it grants to everybody."""
    try:
        rules = read_rules(path)
    except UnusableRules as unusable:
        mistakes = unusable.mistakes
        lines = [f"{path}:{line}: {sentence}" for line, sentence in mistakes] or [str(unusable)]
        facts = {"file": str(path), "usable": False, "mistakes": _lines(mistakes)}
        if not mistakes:
            facts["mistakes"] = [{"line": None, "sentence": str(unusable)}]
        return Checked(tuple(lines), facts, is_usable=False)
    lines = [f"{path}: {summary(rules)}", *_granted(rules)]
    lines += [f"{path}:{line}: remark: {sentence}" for line, sentence in rules.remarks]
    facts = {
        "file": str(path),
        "usable": True,
        "mistakes": [],
        "remarks": _lines(rules.remarks),
        "rules": len(rules.rules),
        "groups": list(rules.groups),
        "anyone": list(_granted(rules)),
    }
    return Checked(tuple(lines), facts, is_usable=True)


def _lines(said: Iterable[tuple[int, str]]) -> list[dict[str, Any]]:
    return [{"line": line, "sentence": sentence} for line, sentence in said]


def _granted(rules: FileRules) -> Iterator[str]:
    """What everybody may do, and may not, with and without credentials."""
    if not rules.allows_anonymous:
        yield "anyone: nothing without logging in"
    for rule in rules.rules:
        if rule.anyone or rule.users:
            yield f"{'anyone' if rule.anyone else 'users'}: {_granted_by(rule)} (line {rule.line})"


def _granted_by(rule: Rule) -> str:
    named = [each.value for each in _ACTIONS if each in rule.actions]
    on = "every repository" if rule.on is None else ", ".join(glob.text for glob in rule.on)
    claims = " with some tokens" if rule.claims else ""
    return f"{'may' if rule.allows else 'may not'} {' and '.join(named)} {on}{claims}"


@dataclass(frozen=True, slots=True)
class Question:
    """Who wants to do what.

    Attributes:
        user: a name, or one of `NOBODY`.
        groups: those that its token names.
        claims: pairs of a claim of its token and a value, `name=value`.
        action: `pull`, `push` or `delete`.
        name: a repository, as any client calls it.
    """

    user: str
    groups: tuple[str, ...]
    claims: tuple[str, ...]
    action: str
    name: str


def load_rules(path: Path | None, config: Path | None, environment: Mapping[str, str]) -> Rules | None:
    """Returns the rules to ask.

    Args:
        path: a file of rules; None for the settings' own.
        config: the settings file; None for the one that a start would read.
        environment: the process's.

    Returns:
        None where the settings have no access control.

    Raises:
        Problem: the rules or the settings cannot be used, or there are none.
    """
    if path is None:
        from portside.settings.loading import Role, load_settings, settings_path  # noqa: PLC0415 - slow to import

        file = config or settings_path(environment)
        settings = load_settings(Role.SERVE, file, environment, {})
        if settings.access is None and file is None:
            # A server was most likely started with a file: what is said without one would be about another registry.
            raise Problem(
                "no settings file was found, and no variable sets access control; name the server's settings file"
                " (--config FILE), or a file of rules (--rules FILE)"
            )
        if settings.access is None or settings.access.rules is None:
            return None if settings.access is None else USERS_ALL
        path = settings.access.rules
    try:
        return read_rules(path)
    except UnusableRules as unusable:
        raise Problem(str(unusable)) from None


def explain(rules: Rules | None, question: Question) -> dict[str, Any]:
    """Returns facts by their names, in the order of reading; None where there is nothing to say.

    Args:
        rules: None where there is no access control.
        question: who wants to do what.

    Raises:
        Problem: the question has a mistake.
    """
    identity = _identity(question)
    name = _canonical(question.name)
    decision = _FREE if rules is None else rules.decide(identity, Action(question.action), name)
    return {
        "answer": "allowed" if decision.is_allowed else "denied",
        "why": decision.reason,
        "user": identity.user or None,
        "action": question.action,
        "repository": name,
        "line": decision.line,
        "rule": decision.rule or None,
    }


def _identity(question: Question) -> Identity:
    claims: dict[str, frozenset[str]] = {}
    for pair in question.claims:
        name, sign, value = pair.partition("=")
        if not name or not sign:
            raise Problem(f"--claim {pair!r} is not a claim; write a name and a value, such as repository_owner=acme")
        claims[name] = claims.get(name, frozenset()) | {value}
    if question.user not in NOBODY:
        return Identity(question.user, "openid", frozenset(question.groups), claims)
    if claims or question.groups:
        raise Problem("who has not logged in has no groups and no claims; name a user")
    return ANONYMOUS


def _canonical(name: str) -> str:
    if ":" in name or "@" in name:
        raise Problem(
            f"{name!r} is more than a repository's name; leave out the registry's address, the tag, the digest"
        )
    try:
        return parse_v1_name(name).canonical
    except RegistryError as error:
        raise Problem(str(error.detail)) from None
