"""The same requests to Portside and to distribution: answers differ as `docs/differences.md` says, and not otherwise.

Who changes an answer finds here whether it is still distribution's; who adds a request to `tests/data/differences`
finds in what it differs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.support.differences import Group, Table, load_rules, load_tables
from tests.support.two_registries import PROGRAMS, Asked, Pair, running_pair

pytestmark = [pytest.mark.real, pytest.mark.timeout(180)]

TABLES = {table.name: table for table in load_tables()}


class Pairs:
    """The pair of an edition and a table: one at a time, for all groups of the table."""

    def __init__(self, folders: pytest.TempPathFactory) -> None:
        self._folders = folders
        self._running = ExitStack()
        self._which: tuple[int, str] | None = None
        self._pair: tuple[Pair, list[Asked]] | None = None

    def of(self, edition: int, table: Table) -> tuple[Pair, list[Asked]]:
        """Returns the pair, and what both said to the starting state."""
        if self._pair is None or self._which != (edition, table.name):
            self.close()
            self._pair = self._running.enter_context(running_pair(edition, table, self._folders.mktemp("both")))
            self._which = (edition, table.name)
        return self._pair

    def close(self) -> None:
        self._running.close()
        self._pair = None


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pairs]:
    opened = Pairs(tmp_path_factory)
    yield opened
    opened.close()


def every_group() -> Iterator[object]:
    for edition in PROGRAMS:
        for table in TABLES.values():
            at_once = pytest.mark.xdist_group(f"differences {edition} {table.name}")
            for group in table.groups:
                name = f"{PROGRAMS[edition]}-{table.name}-{group.title}"
                yield pytest.param(edition, table, group, id=name, marks=at_once)


@pytest.mark.parametrize(("edition", "table", "group"), list(every_group()))
def test_answers_differ_only_as_the_page_says(pairs: Pairs, edition: int, table: Table, group: Group) -> None:
    pair, state = pairs.of(edition, table)
    asked = state if table.name == "state" else pair.ask(group.steps)
    rules = load_rules(edition)
    surprises = []
    for each in asked:
        known = frozenset().union(*each.step.known[edition].values())
        found = each.facets - rules.keys()
        if found != known:
            new, gone = sorted(found - known), sorted(known - found)
            request = f"{each.step.method} {each.step.target} {dict(each.step.headers)}"
            surprises.append(f"{request}: not on the page {new}; no longer so {gone}\n  {each.theirs}\n  {each.ours}")
    assert not surprises, "\n".join(surprises)


@pytest.mark.parametrize("edition", PROGRAMS)
def test_what_any_answer_may_show_some_do(edition: int, tmp_path: Path) -> None:
    with running_pair(edition, TABLES["listings"], tmp_path) as (pair, state):
        asked = state + [each for group in TABLES["listings"].groups for each in pair.ask(group.steps)]
    shown = frozenset().union(*(each.facets for each in asked))
    assert load_rules(edition).keys() <= shown
