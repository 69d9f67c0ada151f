"""What identities may do. PURE.

Something is allowed where an `allow` fits and no `deny` does, so the order of rules means nothing, and no rule that is
added allows more than it says itself. To push includes to pull, for every client asks for both; who may not pull may
not push either.

A decision looks at the rules once, and is remembered by all that it depends on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

from backends.auth.folders import Folders, is_whole_folder
from backends.auth.globs import Glob
from backends.auth.identity import Identity
from backends.model.actions import Action
from backends.model.names import LIBRARY, canonical_name

REMEMBERED = 16384
"""At least so many decisions are remembered, and as many again that were asked for less lately."""

_SCOPES = 2048
_IN_SCOPES = 100_000
"""So many rules are in all scopes together that are kept; what many identities have in common is there once."""
_ON_REPOSITORIES = frozenset({Action.PULL, Action.PUSH, Action.DELETE})


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether something is allowed, and why.

    Attributes:
        is_allowed: whether it is.
        line: the line of the rules file that decided; None where none did.
        reason: a sentence.
        rule: what stands there.
    """

    is_allowed: bool
    line: int | None
    reason: str
    rule: str = ""


class Rules(Protocol):
    """What decides."""

    def decide(self, identity: Identity, action: Action, name: str) -> Decision:
        """Returns whether an identity may do something, its credentials' own limits aside.

        Args:
            identity: who.
            action: PULL, PUSH or DELETE; LOGIN, CATALOG and SEARCH with the name "": a listing is allowed to who may
                pull something, and is to be filtered by that.
            name: the repository by its canonical name.
        """
        ...

    def scope(self, identity: Identity, action: Action) -> Scope:
        """Returns what decides about many names at once, such as a catalog's; it remembers none of them."""
        ...

    @property
    def allows_anonymous(self) -> bool:
        """Whether some rule allows something to who does not say who it is."""
        ...


class Scope(Protocol):
    """What one identity may do in one way.

    Attributes:
        is_nothing: it is denied for every name.
        is_everything: it is allowed for every name.
    """

    @property
    def is_nothing(self) -> bool: ...

    @property
    def is_everything(self) -> bool: ...

    def allows(self, name: str) -> bool:
        """Whether a name is in it."""
        ...

    def below(self, above: Sequence[str]) -> frozenset[str] | None:
        """Returns the components that may follow those of a folder in a name that is in it; None: any may.

        What is not among them need not be looked at; what is may still not be in it.
        """
        ...


def is_somebody(identity: Identity) -> bool:
    """Whether an identity has logged in.

    A token server gives tokens without a name to who has no password: what they may do stands in the token.
    """
    return bool(identity.user) or identity.scheme == "token"


class UsersAll:
    """Rules without a file: whoever is authenticated may do everything, and nobody else anything."""

    allows_anonymous = False

    def decide(self, identity: Identity, action: Action, name: str) -> Decision:  # noqa: ARG002 - a file's rules look at them
        return _SOMEBODY if is_somebody(identity) or action is Action.NONE else _NOBODY

    def scope(self, identity: Identity, action: Action) -> Scope:
        return _Uniform(self.decide(identity, action, "").is_allowed)


_SOMEBODY = Decision(True, None, "without a rules file everybody with credentials may do everything")
_NOBODY = Decision(False, None, "without a rules file nobody may do anything without credentials")
USERS_ALL = UsersAll()


@dataclass(frozen=True, slots=True)
class _Uniform:
    is_everything: bool

    @property
    def is_nothing(self) -> bool:
        return not self.is_everything

    def allows(self, name: str) -> bool:  # noqa: ARG002 - as every scope
        return self.is_everything

    def below(self, above: Sequence[str]) -> frozenset[str] | None:  # noqa: ARG002 - as every scope
        return None if self.is_everything else frozenset()


@dataclass(frozen=True, slots=True)
class Members:
    """Users: of a group of the file, or named by a rule itself.

    Attributes:
        users: by their names.
        patterns: of users' names.
        claimed: groups that schemes say a user is in.
    """

    users: frozenset[str] = frozenset()
    patterns: tuple[Glob, ...] = ()
    claimed: frozenset[str] = frozenset()

    def hold(self, identity: Identity) -> bool:
        """Whether an identity is one of them."""
        return bool(identity.user) and (
            identity.user in self.users
            or not self.claimed.isdisjoint(identity.groups)
            or any(each.fits is not None and each.fits(identity.user) for each in self.patterns)
        )


@dataclass(frozen=True, slots=True)
class Rule:
    """An entry of the file.

    Attributes:
        line: where it begins, from 1.
        text: as it stands there.
        allows: whether it is an `allow`; else a `deny`.
        actions: those that it names.
        anyone: whether it is for everybody.
        users: whether it is for everybody who has a name.
        members: whom else it is for, each group of the file as one.
        on: the names of repositories; None for all.
        claims: what a token must say, each claim by patterns of which one must fit one of its values.
    """

    line: int
    text: str
    allows: bool
    actions: frozenset[Action]
    anyone: bool
    users: bool
    members: tuple[Members, ...]
    on: tuple[Glob, ...] | None = None
    claims: Mapping[str, tuple[Glob, ...]] | None = None

    def is_about(self, action: Action) -> bool:
        """Whether it allows, or denies, an action."""
        if action in self.actions:
            return True
        if self.allows:
            return action is Action.PULL and Action.PUSH in self.actions
        return action is Action.PUSH and Action.PULL in self.actions

    def is_for(self, identity: Identity) -> bool:
        """Whether an identity is meant."""
        if not self.anyone and not (self.users and identity.user) and not any(m.hold(identity) for m in self.members):
            return False
        if not self.claims:
            return True
        return all(_one_fits(patterns, identity.claims.get(name, ())) for name, patterns in self.claims.items())


def _one_fits(patterns: Sequence[Glob], values: Sequence[str] | frozenset[str]) -> bool:
    return any(
        value == pattern.head if pattern.fits is None else pattern.fits(value)
        for pattern in patterns
        for value in values
    )


class FileRules:
    """The rules of a file.

    Args:
        rules: in any order.
        groups: the names of the groups in the file.
        remarks: lines and sentences about what is no mistake and worth a look.
    """

    def __init__(
        self, rules: Sequence[Rule], *, groups: Sequence[str] = (), remarks: Sequence[tuple[int, str]] = ()
    ) -> None:
        self.rules = tuple(sorted(rules, key=lambda rule: rule.line))
        self.groups = tuple(groups)
        self.remarks = tuple(remarks)
        self.allows_anonymous = any(rule.allows and rule.anyone for rule in rules)
        self._claims = tuple({name: None for rule in rules for name in rule.claims or ()})
        self._claimed = frozenset(group for rule in rules for each in rule.members for group in each.claimed)
        self._young: dict[tuple[object, ...], Decision] = {}
        self._old: dict[tuple[object, ...], Decision] = {}
        self._scopes: dict[tuple[object, ...], _Scope] = {}
        self._indexes: dict[tuple[int, ...], _Names] = {}
        self._indexed = 0

    def decide(self, identity: Identity, action: Action, name: str) -> Decision:
        claims = identity.claims
        key: tuple[object, ...] = (identity.user, identity.groups, action, name)
        if self._claims and claims:
            key += tuple([claims.get(each) for each in self._claims])
        found = self._young.get(key)
        return found if found is not None else self._decide(key, identity, action, name)

    def _decide(self, key: tuple[object, ...], identity: Identity, action: Action, name: str) -> Decision:
        if action not in _ON_REPOSITORIES:
            return self._decide_without_a_name(identity, action)
        found = self._old.get(key) or self.scope(identity, action).decide(name)
        if len(self._young) >= REMEMBERED:
            self._young, self._old = {}, self._young
        self._young[key] = found
        return found

    def _decide_without_a_name(self, identity: Identity, action: Action) -> Decision:
        if action is Action.NONE:
            return Decision(True, None, "everybody may do this")
        if action is Action.LOGIN:
            who = "has" if is_somebody(identity) else "has not"
            return Decision(is_somebody(identity), None, f"{_called(identity)} {who} logged in")
        something = not self.scope(identity, Action.PULL).is_nothing
        which = "a rule" if something else "no rule"
        return Decision(something, None, f"{which} allows {_called(identity)} to pull anything")

    def scope(self, identity: Identity, action: Action) -> _Scope:
        claims = identity.claims
        groups = identity.groups & self._claimed
        key = (identity.user, groups, action, *[claims.get(each) for each in self._claims])
        found = self._scopes.get(key)
        if found is None:
            meant = [rule for rule in self.rules if rule.is_about(action) and rule.is_for(identity)]
            if len(self._scopes) >= _SCOPES or self._indexed + len(meant) > _IN_SCOPES:
                self._scopes, self._indexes, self._indexed = {}, {}, 0
            allow = self._index([rule for rule in meant if rule.allows])
            deny = self._index([rule for rule in meant if not rule.allows])
            found = self._scopes[key] = _Scope(_called(identity), action, allow, deny)
        return found

    def _index(self, rules: Sequence[Rule]) -> _Names:
        key = tuple(map(id, rules))
        found = self._indexes.get(key)
        if found is None:
            self._indexed += len(rules)
            found = self._indexes[key] = _Names(rules)
        return found


class _Scope:
    """The rules that are about one action of one identity."""

    def __init__(self, who: str, action: Action, allow: _Names, deny: _Names) -> None:
        self._who = who
        self._action = action
        self._allow = allow
        self._deny = deny

    @property
    def is_nothing(self) -> bool:
        return self._allow.is_empty or self._deny.for_all is not None

    @property
    def is_everything(self) -> bool:
        return self._allow.for_all is not None and self._deny.is_empty

    def allows(self, name: str) -> bool:
        name = canonical_name(name)
        return not self._deny.fits(name) and self._allow.fits(name)

    def below(self, above: Sequence[str]) -> frozenset[str] | None:
        place = tuple(above)
        is_library = place == (LIBRARY,)  # a volume may have `x` as `library/x`, and it is judged as `x`
        if not is_library and self._deny.whole_folders.are_above(place):
            return frozenset()
        if self._allow.for_all is not None:
            return None
        found = self._allow.folders.below(place)
        if found and not place:
            return found | {LIBRARY}
        if found is None or not is_library:
            return found
        names = self._allow.folders.below(())
        return None if names is None else found | names

    def decide(self, name: str) -> Decision:
        name, verb = canonical_name(name), self._action.value
        denies = self._deny.first(name)
        if denies is not None:
            what = verb if self._action in denies.actions else "pull, and so push"
            return Decision(
                False, denies.line, f"line {denies.line} denies {what} to {self._who} on {name}", denies.text
            )
        allows = self._allow.first(name)
        if allows is None:
            return Decision(False, None, f"no rule allows {self._who} to {verb} {name}")
        what = verb if self._action in allows.actions else "push, and so pull,"
        return Decision(True, allows.line, f"line {allows.line} allows {what} to {self._who} on {name}", allows.text)


class _Names:
    """Which rule comes first in the file that fits a name."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self.is_empty = not rules
        self.for_all = next((rule for rule in rules if rule.on is None), None)
        self._exact: dict[str, Rule] = {}
        self._below: dict[str, list[tuple[Glob, Rule]]] = {}
        self._globs = [glob for rule in rules for glob in rule.on or ()]
        for rule in rules:
            for glob in rule.on or ():
                if glob.fits is None:
                    self._exact.setdefault(glob.head, rule)
                else:  # by the first component, where it has no wildcard: few are in question for a name
                    head, slash, _ = glob.head.partition("/")
                    self._below.setdefault(head if slash else "", []).append((glob, rule))

    @cached_property
    def folders(self) -> Folders:
        return Folders(self._globs)

    @cached_property
    def whole_folders(self) -> Folders:
        return Folders(glob for glob in self._globs if is_whole_folder(glob))

    def fits(self, name: str) -> bool:
        return next(self._fitting(name), None) is not None

    def first(self, name: str) -> Rule | None:
        return min(self._fitting(name), key=_line, default=None)

    def _fitting(self, name: str) -> Iterator[Rule]:
        if self.for_all is not None:
            yield self.for_all
        if (exact := self._exact.get(name)) is not None:
            yield exact
        if self._below:
            for head in (name.partition("/")[0], ""):
                for glob, rule in self._below.get(head, ()):
                    if glob.fits is not None and glob.fits(name):
                        yield rule
                        break  # they are in the order of lines


def _line(rule: Rule) -> int:
    return rule.line


def _called(identity: Identity) -> str:
    return identity.user or "anyone"
