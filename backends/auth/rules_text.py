"""A text of rules becomes `FileRules`; every mistake in it is told, each with its line and how to mend it. PURE.

An entry of the list is a rule (`allow` or `deny`, `to`, `on`, `claims`) or a group (`group`, `members`). What is not
understood is never passed over: a rule that does not mean what somebody thinks lets somebody in.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from typing import TypeVar

from backends.auth.globs import Glob, can_fit_v2, parse_glob, parse_name_glob
from backends.auth.rules import FileRules, Members, Rule
from backends.auth.rules_words import ACTIONS, GROUP, RULE, not_a_key, not_an_action, quoted, trouble_with_user
from backends.auth.yaml_lines import Items, Keys, Text, Value, YamlError, read_lines
from backends.model.actions import Action

MAX_SIZE = 1024 * 1024
"""Bytes of a file."""

MAX_ENTRIES = 10_000
MAX_VALUES = 100_000
"""Values in all entries together, those behind aliases counted each time: what a text of a few lines can expand to."""

_SHOWN = 20

_GROUP_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,127}", re.ASCII)
_GROUPED = re.compile(r"group +(.*)", re.DOTALL)

_Parsed = TypeVar("_Parsed")


class RulesError(Exception):
    """Mistakes in a text of rules.

    Attributes:
        mistakes: lines (from 1) and sentences, in the order of lines.
    """

    def __init__(self, mistakes: Sequence[tuple[int, str]]) -> None:
        self.mistakes = tuple(sorted(mistakes))
        shown = "; ".join(f"line {line}: {sentence}" for line, sentence in self.mistakes[:_SHOWN])
        more = len(self.mistakes) - _SHOWN
        super().__init__(f"{shown}; and {more} more" if more > 0 else shown)


def parse_rules(text: str) -> FileRules:
    """Parses the rules of a file.

    Raises:
        RulesError: it has mistakes; all of them are named, as far as it is valid YAML.
    """
    if len(text.encode("utf-8", "surrogatepass")) > MAX_SIZE:
        raise RulesError(
            [(1, f"a file of rules has at most {MAX_SIZE} bytes; name groups and patterns instead of each")]
        )
    try:
        root = read_lines(text)
    except YamlError as error:
        raise RulesError([(error.line, error.sentence)]) from None
    return _Reader().read(root)


class _TooMuch(Exception):  # noqa: N818 - it ends the reading
    """There are more values than anybody needs."""


class _Reader:
    """Reads one text, and takes note of mistakes."""

    def __init__(self) -> None:
        self._mistakes: list[tuple[int, str]] = []
        self._remarks: list[tuple[int, str]] = []
        self._groups: dict[str, Members] = {}
        self._lines: dict[str, int] = {}
        self._declared: set[str] = set()
        self._named: set[str] = set()
        self._left = MAX_VALUES

    def read(self, root: Value | None) -> FileRules:
        try:
            rules = self._read(root)
        except _TooMuch:
            raise RulesError(
                [(1, f"there are more than {MAX_VALUES} values, with those that `*` repeats; use groups and patterns")]
            ) from None
        if self._mistakes:
            raise RulesError(list(dict.fromkeys(self._mistakes)))
        for name, line in self._lines.items():
            if name not in self._named:
                self._remarks.append((line, f"no rule names the group {name!r}"))
        return FileRules(rules, groups=tuple(self._groups), remarks=sorted(self._remarks))

    def _read(self, root: Value | None) -> list[Rule]:
        if not isinstance(root, Items):
            line = 1 if root is None else root.line
            self._mistake(line, "write a list of rules, each like `- {allow: pull, to: anyone}`")
            return []
        if not root.values:
            self._mistake(
                root.line, "there is no rule, so nobody could do anything; write one, or take out the setting"
            )
        if len(root.values) > MAX_ENTRIES:
            self._mistake(
                root.values[MAX_ENTRIES].line,
                f"a file has at most {MAX_ENTRIES} rules and groups; use groups and patterns",
            )
            return []
        entries = [self._entry(each) for each in root.values]
        groups = [entry for entry in entries if entry is not None and _is_group(entry[1])]
        self._declared = {name.value for _, found in groups if isinstance(name := found.get("group"), Text)}
        for group in groups:
            self._read_group(*group)
        rules = (self._read_rule(*entry) for entry in entries if entry is not None and not _is_group(entry[1]))
        found = [rule for rule in rules if rule is not None]
        if not found and not self._mistakes:
            self._mistake(root.line, "there are groups but no rule, so nobody could do anything; write a rule")
        return found

    # What entries are made of.

    def _mistake(self, line: int, sentence: str) -> None:
        self._mistakes.append((line, sentence))

    def _entry(self, value: Value) -> tuple[Keys, dict[str, Value]] | None:
        """Returns an entry and its values by their keys."""
        if not isinstance(value, Keys):
            self._mistake(
                value.line,
                "this is neither a rule, like `{allow: pull, to: anyone}`,"
                " nor a group, like `{group: devs, members: [alice]}`",
            )
            return None
        found: dict[str, Value] = {}
        unknown: list[tuple[Text, Value]] = []
        for key, part in value.pairs:
            if not isinstance(key, Text):
                self._mistake(key.line, "a key is a word, such as `allow`; look at the brackets")
                return None
            if key.value in found:
                self._mistake(
                    key.line, f"the key `{key.value}` stands twice in one entry; put several values in a list"
                )
            elif key.value in RULE + GROUP:
                found[key.value] = part
            else:
                unknown.append((key, part))
        keys = GROUP if _is_group(found) else RULE if "allow" in found or "deny" in found else RULE + GROUP
        for other, part in unknown:
            self._mistake(other.line, not_a_key(other, part, keys))
        for name in found.keys() - set(keys):
            where = "a group, which has `group` and `members`" if keys is GROUP else "a rule"
            self._mistake(found[name].line, f"`{name}` is not a key of {where}")
        return None if unknown else (value, found)

    def _texts(self, value: Value, what: str, *, example: str) -> Iterator[Text]:
        """The texts that a key has, one or a list."""
        self._spend()
        if isinstance(value, Text):
            if not value.value:
                self._mistake(value.line, f"`{what}` is empty; write {example}")
            elif self._is_readable(value):
                yield value
            return
        if isinstance(value, Keys):
            self._mistake(value.line, f"`{what}` is a text or a list of texts; write {example}")
            return
        if not value.values:
            self._mistake(value.line, f"the list of `{what}` is empty; write {example}")
        for each in value.values:
            self._spend()
            if not isinstance(each, Text):
                self._mistake(each.line, f"the list of `{what}` holds only texts; write {example}")
            elif not each.value:
                self._mistake(each.line, f"the list of `{what}` has an empty text; take it out")
            elif self._is_readable(each):
                yield each

    def _is_readable(self, text: Text) -> bool:
        if not text.value.isprintable():
            self._mistake(text.line, f"{quoted(text.value)} has characters that nobody can see; take them out")
        return text.value.isprintable()

    def _spend(self) -> None:
        self._left -= 1
        if self._left < 0:
            raise _TooMuch

    def _parsed(self, parse: Callable[[str], _Parsed], text: Text) -> _Parsed | None:
        try:
            return parse(text.value)
        except ValueError as error:
            self._mistake(text.line, str(error))
            return None

    # Groups.

    def _read_group(self, entry: Keys, found: Mapping[str, Value]) -> None:
        if "group" not in found or "members" not in found:
            missing = "members: [alice, bob]" if "group" in found else "group: devs"
            self._mistake(entry.line, f"a group has a name and members; add `{missing}`")
            return
        name = self._group_name(found["group"])
        members = self._members(found["members"], name or "")
        if name is None:
            return
        if name in self._groups:
            self._mistake(
                entry.line,
                f"the group {name!r} is in line {self._lines[name]} already; put all of its members there",
            )
            return
        self._groups[name] = members
        self._lines[name] = entry.line

    def _group_name(self, value: Value) -> str | None:
        if isinstance(value, Text) and ":" in value.value:
            self._mistake(
                value.line,
                f"{quoted(value.value)} has a `:`, so it is a group that tokens name, whose members stand in these;"
                " a group of this file has letters, digits, `.`, `_` and `-`",
            )
        elif not isinstance(value, Text) or _GROUP_NAME.fullmatch(value.value) is None:
            self._mistake(
                value.line,
                "a group has a name of at most 128 letters, digits, `.`, `_` and `-`, such as `group: devs`",
            )
        elif value.value in {"anyone", "users"}:
            self._mistake(value.line, f"`{value.value}` has a meaning of its own; give the group another name")
        else:
            return value.value
        return None

    def _members(self, value: Value, own: str) -> Members:
        users: list[Text] = []
        claimed: set[str] = set()
        for each in self._texts(value, "members", example="`members: [alice, bob]`"):
            grouped = _GROUPED.fullmatch(each.value)
            if each.value in {"anyone", "users"}:
                self._mistake(each.line, f"a group cannot hold `{each.value}`; name that beside the group in `to`")
            elif grouped is None:
                users.append(each)
            elif (name := grouped[1].strip()) != own and name in self._declared:
                self._mistake(
                    each.line,
                    f"a group cannot hold another group of this file; name {quoted(each.value)} in `to`, too",
                )
            else:
                claimed.add(self._claimed(each, name))
                if name != own and ":" not in name:  # it may be misspelt
                    outside = (
                        f"{quoted(each.value)} is for who is in it by a token or certificate: it is not in this file"
                    )
                    self._remarks.append((each.line, outside))
        return self._with_users(users, claimed)

    def _claimed(self, text: Text, name: str) -> str:
        if "*" in name:
            self._mistake(text.line, f"{quoted(text.value)} has a `*`; write the name of each group that tokens name")
        return name.strip()

    def _with_users(self, texts: Sequence[Text], claimed: set[str]) -> Members:
        names: set[str] = set()
        patterns: list[Glob] = []
        for text in texts:
            trouble = trouble_with_user(text)
            if trouble:
                self._mistake(text.line, trouble)
            elif "*" not in text.value:
                names.add(text.value)
            elif (glob := self._parsed(parse_glob, text)) is not None:
                patterns.append(glob)
        return Members(frozenset(names), tuple(patterns), frozenset(claimed))

    # Rules.

    def _read_rule(self, entry: Keys, found: Mapping[str, Value]) -> Rule | None:
        before = len(self._mistakes)
        if "allow" in found and "deny" in found:
            self._mistake(entry.line, "a rule has `allow` or `deny`, not both; make two of it")
        elif "allow" not in found and "deny" not in found:
            self._mistake(entry.line, "the rule says neither `allow` nor `deny`; add `allow: pull`, for example")
        if "to" not in found:
            self._mistake(entry.line, "the rule does not say for whom; add `to: users`, `to: anyone`, or names")
        actions = {action for key in ("allow", "deny") if key in found for action in self._actions(found[key], key)}
        anyone, users, members = self._subjects(found["to"]) if "to" in found else (False, False, ())
        on = self._names(found["on"]) if "on" in found else None
        claims = self._claims(found["claims"]) if "claims" in found else None
        if anyone and claims is not None:
            self._mistake(
                found["claims"].line, "who has not logged in has no claims; with `claims` write `to: users`, or names"
            )
        if len(self._mistakes) > before:
            return None
        return Rule(
            entry.line,
            entry.source,
            "allow" in found,
            frozenset(actions),
            anyone,
            users,
            members,
            on,
            claims,
        )

    def _actions(self, value: Value, key: str) -> Iterator[Action]:
        for each in self._texts(value, key, example=f"`{key}: pull`, `push` or `delete`"):
            if each.value in ACTIONS:
                yield ACTIONS[each.value]
                continue
            self._mistake(each.line, not_an_action(each))

    def _subjects(self, value: Value) -> tuple[bool, bool, tuple[Members, ...]]:
        """Returns whether anyone, and whether every user, is meant, and who else."""
        words: set[str] = set()
        users: list[Text] = []
        claimed: set[str] = set()
        groups: dict[str, Members] = {}
        for each in self._texts(value, "to", example="`to: users`, `to: anyone`, `to: alice` or `to: group devs`"):
            grouped = _GROUPED.fullmatch(each.value)
            if each.value in {"anyone", "users"}:
                words.add(each.value)
            elif grouped is None:
                users.append(each)
            elif ":" in grouped[1]:
                claimed.add(self._claimed(each, grouped[1]))
            elif (name := grouped[1].strip()) in self._groups:
                groups[name] = self._groups[name]
                self._named.add(name)
            else:
                self._mistake(each.line, self._unknown_group(name))
        own = self._with_users(users, claimed)
        members = (own, *groups.values()) if own != Members() else tuple(groups.values())
        return "anyone" in words, "users" in words, members

    def _unknown_group(self, name: str) -> str:
        near = get_close_matches(name, self._groups, 1)
        if near:
            return f"there is no group {name!r}; write `group {near[0]}`"
        mend = f"add `- {{group: {name}, members: [alice]}}`"
        return (
            f"there is no group {name!r}; {mend}, with `group {name}` as a member where tokens or certificates name it"
        )

    def _names(self, value: Value) -> tuple[Glob, ...]:
        globs: dict[str, Glob] = {}
        for each in self._texts(value, "on", example="`on: team/*`, or leave out `on` for every repository"):
            if each.is_plain and "," in each.value:
                self._mistake(each.line, f"{quoted(each.value)} has a comma; write several in a list, such as `[a, b]`")
                continue
            glob = self._parsed(parse_name_glob, each)
            if glob is None:
                continue
            if not can_fit_v2(glob.pattern):
                why = "; v2 has no capital letters" if can_fit_v2(glob.pattern.lower()) else ""
                only = f"`{each.value}` fits no name that v2 allows, only such as v1 does{why}"
                self._remarks.append((each.line, only))
            globs[each.value] = glob
        return tuple(globs.values())

    def _claims(self, value: Value) -> Mapping[str, tuple[Glob, ...]]:
        if not isinstance(value, Keys) or not value.pairs:
            self._mistake(
                value.line,
                "`claims` names what a token must say, such as `{repository_owner: acme}`; leave it out else",
            )
            return {}
        found: dict[str, tuple[Glob, ...]] = {}
        for key, wanted in value.pairs:
            if not isinstance(key, Text) or not key.value or not key.value.isprintable():
                self._mistake(key.line, "a claim has a name, such as `repository_owner`")
            elif key.value in found:
                self._mistake(key.line, f"the claim `{key.value}` stands twice; put the values it may have in a list")
            else:
                texts = self._texts(wanted, key.value, example=f"`{key.value}: a value, or a list of values`")
                globs = [self._parsed(parse_glob, _as_json(each)) for each in texts]
                found[key.value] = tuple(glob for glob in globs if glob is not None)
        return found


def _is_group(found: Mapping[str, Value]) -> bool:
    return ("group" in found or "members" in found) and not {"allow", "deny"} & found.keys()


def _as_json(text: Text) -> Text:
    """A claim that is true or false is compared as JSON writes it."""
    is_bool = text.is_plain and text.value.lower() in {"true", "false"}
    return Text(text.line, text.value.lower(), is_plain=True) if is_bool else text
