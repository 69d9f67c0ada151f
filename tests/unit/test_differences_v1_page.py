"""`docs/differences-v1.md` explains each difference that v1's requests show, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.v1_differences import load_rules, load_tables
from tests.support.v1_known import WHERE, named_differences

PAGE = Path(__file__).parents[2] / "docs" / "differences-v1.md"


def rows() -> list[list[str]]:
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_each_difference_has_its_row_and_each_row_its_difference() -> None:
    names = [row[0].strip("`") for row in rows()]
    tables = load_tables()
    shown = set[str]().union(*(named_differences(tables, where) | {*load_rules(where).values()} for where in WHERE))
    assert sorted(names) == sorted(shown)


def test_each_row_says_what_each_registry_does_and_why() -> None:
    for row in rows():
        assert len(row) == 5, row
        assert all(len(cell) > 2 for cell in row), row


def test_the_page_says_how_many_requests_there_are() -> None:
    steps = [step for table in load_tables() for step in table.steps]
    assert len(steps) > 1000
    said = re.search(r"([\d,]+) requests", PAGE.read_text())
    assert said is not None
    assert int(said[1].replace(",", "")) == len(steps)
