"""Whether Portside starts where distribution does: small files and variables, each difference with its reason."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from portside.settings.checking import check
from portside.settings.files import SettingsProblem
from portside.settings.loading import Role
from tests.support.config_verdicts import Case, read_cases

CASES = read_cases()
PAGE = Path(__file__).parents[2] / "docs" / "in-place-of-registry.md"


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_it_starts_or_refuses_as_the_table_says(tmp_path: Path, case: Case) -> None:
    text, environment = case.placed(tmp_path, 5000)
    path = tmp_path / "config.yml"
    path.write_text(text)
    try:
        starts = check(Role.V2, path, environment).starts
    except SettingsProblem:
        starts = False
    assert starts == case.starts["portside"]


def test_there_are_enough_and_their_names_are_their_own() -> None:
    assert len(CASES) > 200
    assert len({case.name for case in CASES}) == len(CASES)


def test_every_difference_is_explained_on_the_page_and_nothing_else_is() -> None:
    rows = re.findall(r"^\| \*\*(.+?)\*\* \|", PAGE.read_text(), re.MULTILINE)
    assert [case.name for case in CASES if bool(case.why) != (len(set(case.starts.values())) > 1)] == []
    assert {case.why for case in CASES if case.why} == set(rows)
