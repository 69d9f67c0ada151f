"""Patterns with wildcards, for names of repositories, users and claims. PURE.

In a repository's name `*` fits within one component and `**` across them: `team/*` fits `team/app` and not
`team/app/cache`. Users and claims have no components that all issuers agree on, so there `*` fits anything.

What only v1 allows in a name stands there as in an address, by `%` and two digits: `team/a%20b`, and `%2A` is a star.

However many wildcards a pattern has, a match takes time in proportion to the text: callers choose the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from backends.model.names import LIBRARY, canonical_name
from backends.model.v1names import is_plain

MAX_PATTERN = 511
"""So long is the longest name that v1 can ask for."""

_WILD = re.compile(r"(\*+)")
_COMPONENT_CHARACTERS = re.compile(r"(?:[A-Za-z0-9._*-]|%[0-9A-Fa-f]{2})+", re.ASCII)
_ESCAPED = re.compile(r"%(..)")
_STAR = "\0"
"""Stands in a pattern for a star that is no wildcard."""
_WILD_LETTERS = {"*": "a._-", "**": "a._-/"}
_V2_COMPONENT = re.compile(r"[a-z0-9]")


@dataclass(frozen=True, slots=True)
class Glob:
    """A pattern.

    Attributes:
        text: as it was written.
        pattern: the same without escapes.
        head: what stands before the first wildcard; all of it where there is none.
        fits: whether a text fits; None where the pattern is a text, the `head`, which fits only itself.
    """

    text: str
    pattern: str
    head: str
    fits: Callable[[str], bool] | None


def parse_glob(text: str) -> Glob:
    """Parses a pattern of users or of a claim's values, in which `*` fits any text.

    Raises:
        ValueError: it has `**`.
    """
    if "**" in text:
        raise ValueError(f"`{text}` has `**`; write one `*`, which fits any text here")
    return _compile(text, "*", ".")


def parse_name_glob(text: str) -> Glob:
    """Parses a pattern of repositories' names.

    Raises:
        ValueError: no repository can have such a name; the sentence says how to mend it.
    """
    _require_written(text)
    pattern = _ESCAPED.sub(_unescaped, text)
    _require_possible(text, pattern)
    return replace(compile_names(pattern), text=text)


def compile_names(pattern: str) -> Glob:
    """Makes a pattern of repositories' names of one without escapes, such as a component of `Glob.pattern`."""
    runs = set(_WILD.findall(pattern))
    if len(runs) <= 1:
        return _compile(pattern, "**" if "**" in runs else "*", "." if "**" in runs else "[^/]")
    return Glob(pattern, pattern, _literal(pattern.partition("*")[0]), _Mixed(pattern))


def _unescaped(escape: re.Match[str]) -> str:
    letter = chr(int(escape[1], 16))
    return _STAR if letter == "*" else letter


def _literal(pattern: str) -> str:
    return pattern.replace(_STAR, "*")


def _require_written(text: str) -> None:
    if not text:
        raise ValueError("an empty name fits no repository; leave out `on` for every repository")
    if len(_ESCAPED.sub("x", text)) > MAX_PATTERN:
        raise ValueError(f"a pattern has at most {MAX_PATTERN} characters, this one has {len(text)}")
    if "://" in text:
        raise ValueError(f"`{text}` is an address; write only the repository's name, such as `team/app`")
    if ":" in text or "@" in text:
        raise ValueError(
            f"`{text}` names more than a repository; leave out the registry's address, and the tag or digest:"
            " a rule is for whole repositories"
        )
    if text.startswith("/") or text.endswith("/") or "//" in text:
        raise ValueError(f"`{text}` fits no name: write a `/` only between two components, and `/**` for all below one")
    if "***" in text:
        raise ValueError(f"`{text}` has too many `*`; write `*` within a component, `**` across components")
    for component in text.split("/"):
        if component in {".", ".."} or _COMPONENT_CHARACTERS.fullmatch(component) is None:
            raise ValueError(
                f"`{text}` fits no name: it has letters, digits, `.`, `_`, `-` and `/`, and as wildcards `*` (within a"
                " component) and `**` (across them); what else v1 allows is written as in an address, `%20` for a space"
            )


def _require_possible(text: str, pattern: str) -> None:
    if not is_plain(_literal(pattern)) or pattern.startswith("/") or pattern.endswith("/"):
        raise ValueError(f"`{text}` fits no name: these are printable ASCII, and neither begin nor end with a slash")
    namespace, slash, rest = pattern.partition("/")
    if slash and namespace in {"%2E", "%2E%2E"}:
        raise ValueError(f"`{text}` fits no name: docker-registry takes {namespace} for dots; write it with one % less")
    if namespace == LIBRARY and slash:
        if rest == "**":
            raise ValueError("`library/x` is the repository `x` here; write `*` for all names without a `/`")
        if canonical_name(pattern) != pattern:
            shown = text.partition("/")[2] or rest
            raise ValueError(f"`{text}` is the repository `{shown}` here, for every client; write `{shown}`")


def can_fit_v2(pattern: str) -> bool:
    """Whether a name of v2's grammar can fit a pattern without escapes; what does not is for names of v1 alone."""
    # The grammar as an automaton: where a component begins ("/"), in a word ("a"), and behind each separator.
    tokens = _tokens(pattern)
    reached, waiting = set[tuple[int, str]](), [(0, "/")]
    while waiting:
        place, state = waiting.pop()
        if (place, state) in reached:
            continue
        reached.add((place, state))
        if place == len(tokens):
            continue
        wanted = tokens[place]
        if wanted in _WILD_LETTERS:
            waiting.append((place + 1, state))
            waiting += [(place, after) for each in _WILD_LETTERS[wanted] if (after := _after(state, each)) is not None]
        elif (after := _after(state, wanted)) is not None:
            waiting.append((place + 1, after))
    return (len(tokens), "a") in reached


def _after(state: str, letter: str) -> str | None:
    """Returns the state of v2's grammar after one more letter; None where it cannot stand there."""
    if _V2_COMPONENT.fullmatch(letter):
        return "a"
    if state == "a" and letter in "._-/":
        return letter
    if (state, letter) == ("_", "_"):
        return "__"
    return "-" if (state, letter) == ("-", "-") else None


def _tokens(pattern: str) -> Sequence[str]:
    return [token for part in _WILD.split(pattern) for token in ([part] if part.startswith("*") else part)]


def _compile(text: str, wildcard: str, anything: str) -> Glob:
    # Of one kind of wildcard, the first place where a literal fits is as good as any later one: nothing is tried twice.
    head, *literals = map(_literal, text.split(wildcard))
    if not literals:
        return Glob(text, text, head, None)
    if literals == [""]:  # `team/*`, `team/**`: most patterns are like this
        if anything == ".":
            return Glob(text, text, head, lambda name: name.startswith(head))
        return Glob(text, text, head, lambda name: name.startswith(head) and name.find("/", len(head)) < 0)
    *middle, last = map(re.escape, literals)
    steps = "".join(f"(?>{anything}*?{each})" for each in middle)
    matches = re.compile(f"{re.escape(head)}{steps}{anything}*{last}", re.DOTALL).fullmatch
    return Glob(text, text, head, lambda name: matches(name) is not None)


class _Mixed:
    """A pattern with both wildcards: all its places that a name may have reached, as the bits of a number."""

    def __init__(self, pattern: str) -> None:
        tokens = _tokens(pattern)
        self._letters: dict[str, int] = {}
        self._within = self._across = 0
        for place, each in enumerate(tokens):
            if each == "*":
                self._within |= 1 << place
            elif each == "**":
                self._across |= 1 << place
            else:
                letter = _literal(each)
                self._letters[letter] = self._letters.get(letter, 0) | 1 << place
        self._wild = self._within | self._across
        self._end = 1 << len(tokens)

    def __call__(self, name: str) -> bool:
        wild, get = self._wild, self._letters.get
        places = 1 | (1 & wild) << 1
        for letter in name:
            stays = places & (self._across if letter == "/" else wild)
            places = (places & get(letter, 0)) << 1 | stays
            places |= (places & wild) << 1
            if not places:
                return False
        return bool(places & self._end)
