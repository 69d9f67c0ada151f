"""What a search finds among names and descriptions, against a slow and simple reading of the docs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typing_extensions import override

from backends.auth.identity import Identity
from backends.auth.rules_text import parse_rules
from backends.model.actions import Action
from backends.registry.search.matching import match
from backends.registry.search.texts import PIECE, SHORT, Texts
from backends.registry.visible import Visible

component = st.sampled_from(["a", "b", "ab", "a-b", "a.b", "library", "Team", "x_", "0"])
names = st.lists(component, min_size=1, max_size=3).map("/".join)
repositories = st.dictionaries(names, st.sampled_from(["", "ab", "of A", "İ", "b/a"]), max_size=12)
terms = st.sampled_from(["", "a", "A", "ab", "b/a", "library/", "library/a", "/", "%", "_", "x_", "İ", "i", "z" * 600])
patterns = st.sampled_from(["a", "a/b", "*", "**", "a/**", "**/b", "*/a", "a-*", "T*/x_"])


def slowly(found: dict[str, str], term: str, visible: Visible | None) -> list[str]:
    """As docs/search.md says it."""
    ranked: list[tuple[int, str]] = []
    for name, text in found.items():
        if visible is not None and not visible.allows(name):
            continue
        of_v1 = name if "/" in name or "/" not in term else f"library/{name}"
        low, wanted = of_v1.lower(), term.lower()
        if not term or wanted in low:
            rank = 0 if not term else 1 if low == wanted else 2 if low.startswith(wanted) else 3
            ranked.append((rank, name))
        elif wanted in text.lower():
            ranked.append((4, name))
    return [name for _, name in sorted(ranked)]


@given(repositories, terms, st.lists(st.tuples(st.booleans(), patterns), max_size=4) | st.none())
@settings(max_examples=400)
def test_a_search_finds_what_a_slow_one_finds(
    found: dict[str, str], term: str, rules: list[tuple[bool, str]] | None
) -> None:
    visible: Visible | None = None
    if rules is not None:
        lines = [
            f"- {{{'allow' if allows else 'deny'}: pull, to: anyone, on: '{pattern}'}}" for allows, pattern in rules
        ]
        visible = parse_rules("\n".join(["- {allow: pull, to: somebody}", *lines])).scope(
            Identity("", "none"), Action.PULL
        )
    sorted_names = sorted(found)
    places = match(sorted_names, ["=" + found[name] for name in sorted_names], term, visible=visible)
    assert [sorted_names[place] for place in places] == slowly(found, term, visible)


anything = st.text(st.characters(exclude_characters="\n\r", exclude_categories=["Cs"]), max_size=6)


@given(
    st.dictionaries(names | anything, st.sampled_from(["", "ab", "of A", "İ", "b/a"]) | anything, max_size=12),
    terms | anything | st.just("a\nb"),
)
@settings(max_examples=600)
def test_among_prepared_texts_the_same_is_found_in_the_same_order(found: dict[str, str], term: str) -> None:
    sorted_names = sorted(found)
    descriptions = ["=" + found[name] for name in sorted_names]
    texts = Texts(sorted_names, descriptions)
    expected = match(sorted_names, descriptions, term, visible=None)
    places = texts.match(term, most=len(found))
    assert places is not None
    assert list(places) == expected
    assert not term or (texts.match(term, most=0) is None) == bool(expected)


@pytest.mark.parametrize("length", [1, 7, SHORT, SHORT + 1])
@pytest.mark.parametrize("shift", range(-20, 21))
def test_what_lies_across_two_pieces_of_a_text_is_found_once(length: int, shift: int) -> None:
    term = "q" * length
    before = "a" * (PIECE + shift - 1)  # and the end of its line
    texts = Texts([before, term, "z" * 2 * PIECE, f"zz{term}"], ["="] * 4)
    assert texts.match(term, most=10) == [1, 3]


class _Ten:
    """Allows some names that it spells out, and counts what it is asked."""

    def __init__(self, names: set[str]) -> None:
        self.names = names
        self.asked = 0

    def allows(self, name: str) -> bool:
        self.asked += 1
        return name in self.names

    def below(self, above: Sequence[str]) -> frozenset[str]:
        start = "".join(f"{part}/" for part in above)
        return frozenset(name.removeprefix(start).partition("/")[0] for name in self.names if name.startswith(start))


@pytest.mark.parametrize("term", ["hidden", "app", ""])
def test_names_that_the_caller_may_not_pull_are_neither_judged_nor_compared(term: str) -> None:
    """So no time tells what they are called."""
    hidden = [f"hidden/app{number:05}" for number in range(10_000)]
    shown = _Ten({f"shown/app{number}" for number in range(10)})
    everything = sorted([*hidden, *shown.names])
    compared = _Counting(everything)
    found = match(compared, ["="] * len(everything), term, visible=shown)
    assert len(found) == (0 if term == "hidden" else 10)
    assert shown.asked == 10
    assert compared.read < 500  # bisections for ten names and two folders


class _Counting(list[str]):
    """Counts how often a name is looked at."""

    read = 0

    @override
    def __getitem__(self, place: Any) -> Any:
        self.read += 1
        return super().__getitem__(place)
