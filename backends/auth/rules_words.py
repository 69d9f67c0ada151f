"""What people write in a file of rules in place of what is meant, and what they are told. PURE."""

from __future__ import annotations

import re
from collections.abc import Sequence
from difflib import get_close_matches

from backends.auth.yaml_lines import Text, Value
from backends.model.actions import Action

MAX_USER = 1024

RULE = ("allow", "deny", "to", "on", "claims")
GROUP = ("group", "members")
ACTIONS = {each.value: each for each in (Action.PULL, Action.PUSH, Action.DELETE)}

_OTHER_KEYS = {
    "action": "allow` or `deny",
    "actions": "allow` or `deny",
    "permit": "allow",
    "grant": "allow",
    "forbid": "deny",
    "refuse": "deny",
    "user": "to",
    "users": "to",
    "who": "to",
    "for": "to",
    "groups": "to",
    "from": "to",
    "name": "on",
    "names": "on",
    "repo": "on",
    "repos": "on",
    "repository": "on",
    "repositories": "on",
    "path": "on",
    "claim": "claims",
    "if": "claims",
    "when": "claims",
    "member": "members",
}
_OTHER_ACTIONS = {
    "read": "write `pull`",
    "write": "write `push`, which includes to pull",
    "*": "write `[push, delete]` for all",
    "all": "write `[push, delete]` for all",
    "catalog": "a catalog shows what the caller may pull: there is no rule for it",
    "search": "a search shows what the caller may pull: there is no rule for it",
    "list": "a catalog shows what the caller may pull: there is no rule for it",
}
_EVERYBODY = frozenset({"all", "any", "everybody", "everyone", "anonymous", "public", "nobody", "guest"})
_SOMEBODY = frozenset({"user", "authenticated", "logged-in", "loggedin"})
_LIKE_GROUP = re.compile(r"(?:groups?[:=/ ]|@|group$)", re.ASCII)


def not_an_action(text: Text) -> str:
    """Returns what is said about a word that is no action."""
    word = text.value.lower()
    instead = _OTHER_ACTIONS.get(word) or nearest(word, tuple(ACTIONS)) or "write `pull`, `push` or `delete`"
    if text.is_plain and re.search(r"[\s,|+]", text.value):
        instead = "write several in a list, such as `[push, delete]`"
    return f"{quoted(text.value)} is not an action; {instead}"


def trouble_with_user(text: Text) -> str:
    """Returns what is said about a text that is probably not meant as the name of a user; "" for nothing."""
    user, shown = text.value, quoted(text.value)
    if not user.strip("*"):
        return "a `*` alone is everybody; write `users` for who has logged in, `anyone` for everybody"
    if user != user.strip() or not user.isprintable() or len(user) > MAX_USER:
        return f"{shown} is no user's name: these have no spaces around them and at most {MAX_USER} characters"
    if not text.is_plain:
        return ""
    if "," in user:
        return f"{shown} has a comma; write several in a list, such as `[alice, bob]`, and one user's name in quotes"
    if _LIKE_GROUP.match(user):
        return f"{shown} looks like a group; write `group devs` for the group `devs`, and a user's name in quotes"
    word = user.lower()
    if word in _EVERYBODY:
        return f"{shown} has no meaning of its own; write `anyone` for everybody, and a user's name in quotes"
    if word in _SOMEBODY:
        return f"{shown} has no meaning of its own; write `users` for who has logged in, and a user's name in quotes"
    near = get_close_matches(word, ("anyone", "users"), 1, 0.8) if word.isalpha() else ()
    if near:
        return f"{shown} looks like `{near[0]}`; write that, and a user's name in quotes"
    return ""


def not_a_key(key: Text, value: Value, keys: Sequence[str]) -> str:
    """Returns what is said about a key that there is not."""
    if isinstance(value, Text) and not value.value:  # {allow: pull, to: alice, bob}
        return f"{quoted(key.value)} has no value; write several values in a list, such as `[alice, bob]`"
    other = _OTHER_KEYS.get(key.value.lower())
    if other is not None and other.partition("`")[0] in keys:
        instead = f"write `{other}`"
    else:
        instead = nearest(key.value.lower(), keys) or f"there are {', '.join(f'`{each}`' for each in keys)}"
    return f"{quoted(key.value)} is not a key here; {instead}"


def nearest(word: str, words: Sequence[str]) -> str:
    """Returns which word to write in place of one that is like it; "" where none is."""
    near = get_close_matches(word, words, 1, 0.5)
    return f"write `{near[0]}`" if near else ""


def quoted(text: str) -> str:
    """Returns a text as it is shown in a sentence."""
    shown = text if len(text) <= 80 else f"{text[:77]}..."  # noqa: PLR2004 - as much as one takes in
    return f"`{shown}`" if shown.isprintable() and "`" not in shown else ascii(shown)
