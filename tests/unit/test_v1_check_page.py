"""docs/v1-check.md explains every kind of finding, under the heading that says whether it is wrong."""

from __future__ import annotations

import re
from pathlib import Path

from portside.v1_check.findings import Kind

PAGE = Path(__file__).parents[2] / "docs" / "v1-check.md"


def _kinds(section: str) -> list[str]:
    rows = re.findall(
        r"^\| (`[^|]*) \|", PAGE.read_text().partition(f"## {section}\n")[2].partition("\n## ")[0], re.MULTILINE
    )
    return [kind for row in rows for kind in re.findall(r"`([a-z-]+)`", row)]


def test_every_kind_has_its_row() -> None:
    assert sorted(_kinds("What is wrong")) == sorted(kind.text for kind in Kind if kind.is_wrong)
    assert sorted(_kinds("What is only noted")) == sorted(kind.text for kind in Kind if not kind.is_wrong)


def test_no_two_kinds_share_a_name() -> None:
    assert len({kind.text for kind in Kind}) == len(Kind)
