"""Rules that nobody can meet as things are, such as one for a user whom no file has. PURE.

They are no mistakes: the user may be added tomorrow. But who misspelt a name looks for it in vain.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from backends.auth.rules import FileRules, Rule


def unmet_rules(rules: FileRules, *, users: Collection[str] | None, has_claims: bool) -> Iterator[tuple[int, str]]:
    """Yields the lines of rules that nobody meets, or that name nobody, each with the end of a sentence.

    Args:
        rules: the file's.
        users: all that can log in; None where nobody knows, as with a token server.
        has_claims: whether some scheme tells claims.
    """
    for rule in rules.rules:
        if rule.claims and not has_claims:
            yield rule.line, "asks for claims, and only tokens of gateway.auth.openid have some"
        elif users is not None and (missing := _missing(rule, users)):
            is_are, names = "is" if len(missing) == 1 else "are", ", ".join(missing)
            yield rule.line, f"names {names}, who {is_are} not in the file of users and cannot log in"


def _missing(rule: Rule, users: Collection[str]) -> Sequence[str]:
    return sorted({user for members in rule.members for user in members.users if user not in users})
