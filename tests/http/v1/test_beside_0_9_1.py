"""docker-registry 0.9.1 and Portside are asked the same; they differ in what `docs/differences-v1.md` lists.

What 0.9.1 answers is recorded; where it runs, the recording is compared with what it says today.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.v1_differences import compare, load_rules, load_tables, send
from tests.support.v1_known import WHERE, load_known, serving
from tests.support.v1_recordings import ask_the_original, read_recording

TABLES = {table.name: table for table in load_tables()}


@pytest.mark.timeout(600)
@pytest.mark.parametrize("name", TABLES)
def test_0_9_1_answers_as_recorded(name: str, tmp_path: Path) -> None:
    table = TABLES[name]
    recorded, answers = read_recording(table), ask_the_original(table, tmp_path)
    pairs = zip(table.steps, recorded, answers, strict=True)
    assert [(step.title, was, now) for step, was, now in pairs if was != now] == []


@pytest.mark.parametrize("where", WHERE)
@pytest.mark.parametrize("name", TABLES)
def test_portside_answers_as_0_9_1_but_for_known_differences(name: str, where: str, tmp_path: Path) -> None:
    table, rules = TABLES[name], load_rules(where)
    with serving(where, table, tmp_path) as port:
        answers = [send(port, step) for step in table.steps]
    wrong = []
    triples = zip(table.steps, read_recording(table), answers, load_known(table, where), strict=True)
    for step, theirs, ours, known in triples:
        facets, expected = compare(theirs, ours) - rules.keys(), frozenset[str]().union(*known.values())
        if facets != expected:
            wrong.append(f"{step.title}: {sorted(facets)}, not {sorted(expected)}; {ours.status} {ours.message}")
    assert not wrong, "\n".join(["if that is right: python -m tests.support.v1_known", *wrong])
