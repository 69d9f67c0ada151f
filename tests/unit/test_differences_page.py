"""`docs/differences.md` explains each difference that the requests show, and no other."""

from __future__ import annotations

import re
from pathlib import Path

from tests.support.differences import load_rules, load_tables, named_differences

PAGE = Path(__file__).parents[2] / "docs" / "differences.md"
EDITIONS = (2, 3)


def rows() -> list[list[str]]:
    lines = [line for line in PAGE.read_text().splitlines() if line.startswith("| `")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]


def test_each_difference_has_its_row_and_each_row_its_difference() -> None:
    names = [row[0].strip("`") for row in rows()]
    shown = {*named_differences(load_tables())}.union(*(load_rules(edition).values() for edition in EDITIONS))
    assert sorted(names) == sorted(shown)


def test_each_row_says_what_each_registry_does_and_why() -> None:
    for row in rows():
        assert len(row) == 5, row
        assert all(len(cell) > 1 for cell in row), row


def test_there_are_more_than_three_hundred_requests() -> None:
    steps = [step for table in load_tables() for group in table.groups for step in group.steps]
    assert len({(step.method, step.target, step.headers, step.body) for step in steps}) > 600
    said = re.search(r"([\d,]+) requests", PAGE.read_text())
    assert said is not None
    assert int(said[1].replace(",", "")) == len(steps)
