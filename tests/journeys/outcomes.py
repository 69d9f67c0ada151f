"""How each release of Docker is to end on Portside: as it ended on the real registries behind one address.

The cells come from the table of WIRE section 9, kept in ``tests/data/wire/outcomes.txt``; some clients failed in
reality too, and are to fail here in the same way. The column of 20.10 is added from its own captures.
"""

from __future__ import annotations

from typing import Final

from tests.support.captures import read_outcomes

OLD: Final = ("1.0.1", "1.3.3", "1.5.0")
"""Releases that are kept on v1."""

MODERN: Final = "20.10.24"

_MODERN: Final = {
    "push": "ok v2",
    "push again": "ok v2",
    "push all tags": "ok v2",
    "push without namespace": "ok v2",
    "pull": "ok v2",
    "pull without namespace": "ok v2",
    "pull again": "ok v2",
    "pull all tags": "ok v2",
    "pull missing tag": "ERR v2",
    "pull missing repository": "ERR v2",
    "login": "ok",
    "search": "ok v1",
}

# Scenario → the row for releases kept on v1, and the row for those that speak v2.
_ROWS: Final = {
    "push": ("real_push", "real_push"),
    "push again": ("push_both_again", "push_both_again"),
    "push all tags": ("real_push_all", "real_push_all"),
    "push without namespace": ("push_v1_nons", "real_push"),
    "pull": ("real_pull", "real_pull"),
    "pull without namespace": ("pull_v1_nons", "real_pull"),
    "pull again": ("pull_v1_uptodate", "pull_both_uptodate"),
    "pull all tags": ("real_pull_all", "real_pull_all"),
    "pull missing tag": ("real_pull_missing_tag", "real_pull_missing_tag"),
    "pull missing repository": ("pull_v1_missing_repo", "pull_both_missing_repo"),
    "login": ("real_login", "real_login"),
    "search": ("search_v1", "real_search"),
}


def _expected() -> dict[tuple[str, str], str]:
    table = read_outcomes()
    cells: dict[tuple[str, str], str] = {}
    for scenario, (old_row, row) in _ROWS.items():
        for version in table[row]:
            cells[scenario, version] = table[old_row if version in OLD else row][version]
        # The real search of 1.0.1 was not run: it cannot name a private registry at all.
        for version in OLD:
            cells.setdefault((scenario, version), table[old_row][version])
        cells[scenario, MODERN] = _MODERN[scenario]
    # "both" showed v2 to 1.5.0, which then failed; Portside hides v2 from it, as the real route did.
    cells["push again", "1.5.0"] = table["real_push"]["1.5.0"]
    # It cannot read v2's list of tags, and turns to v1, which in reality did not have what v2 clients had pushed.
    cells["pull all tags", "1.6.2"] = "ok v2+v1"
    return cells


EXPECTED: Final = _expected()
"""(scenario, version) → ``ok v1``, ``ERR v2+v1``, …"""
