"""README holds what tests show: its commands are run, its table is the tested one, its chart is drawn of figures."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Final

import pytest

from bench.chart import draw
from tests.support.bridge_cells import COLUMNS, documented_rows
from tests.support.bridge_pushes import PUSHES
from tests.support.pages import FENCE, TOP
from tests.support.readme import PAGE, RUN_BY, inline_code, named_blocks, steps

TEXT: Final = (TOP / PAGE).read_text()
PROGRAMS: Final = ("make ", "portside ", "docker ", "docker-compose ", "podman ", "ctr ", "curl ", "sudo ", ".venv/")

# -- commands -------------------------------------------------------------------------------------------------------


def test_every_block_is_run_by_a_test() -> None:
    assert sorted(named_blocks()) == sorted(RUN_BY)
    drawings = [text for words, text in FENCE.findall(TEXT) if not words]
    assert len(drawings) == 1
    assert not re.search(r"^\s*(\$ |sudo |portside |docker |make )", drawings[0].partition("\n")[0])


@pytest.mark.parametrize("name", RUN_BY)
def test_the_test_that_runs_a_block_takes_it_from_the_readme(name: str) -> None:
    file, _, function = RUN_BY[name].partition("::")
    source = (TOP / file).read_text()
    assert f"def {function}(" in source
    assert f'steps("{name}")' in source
    assert steps(name)


def test_no_command_stands_outside_of_a_block() -> None:
    commands = [step.command for name in RUN_BY for step in steps(name)]
    outside = [each for each in inline_code() if each.startswith(PROGRAMS)]
    assert [each for each in outside if not any(each in command for command in commands)] == []


# -- the table ------------------------------------------------------------------------------------------------------

ROWS: Final[Mapping[str, Sequence[str]]] = {
    "v1 (Docker up to 1.5)": [kind for kind in PUSHES if kind.startswith("v1 ")],
    "schema 1 (1.6 to 1.9)": [kind for kind in PUSHES if kind.startswith("schema 1 ")],
    "schema 2 (since 1.10)": [
        "schema 2 by Docker 1.10.3", "schema 2 by Docker 1.13.1", "schema 2 by Docker 20.10.24",
        "schema 2 with plain layers",
    ],
    "manifest list": ["manifest list of amd64 and arm64"],
    "OCI manifest": [
        "OCI manifest", "OCI manifest, gzip in members", "OCI manifest with plain layers",
        "OCI manifest without history, with annotations",
    ],
    "OCI manifest, zstd": ["OCI manifest, zstd", "OCI manifest, zstd with skippable frames, several frames"],
    "OCI index, attestations": ["OCI index of amd64 and arm64", "OCI index with attestations"],
    "OCI index, zstd": ["OCI index with attestations, zstd"],
    "more than 120 layers, foreign layers, Windows": [
        "schema 2 of 124 layers", "schema 2 with a foreign layer", "manifest list of windows/amd64",
    ],
    "artifacts, charts, encrypted layers": ["artifact", "Helm chart", "OCI manifest with encrypted layers"],
}  # fmt: skip
ONLY_IN_THE_WHOLE_TABLE: Final = {"OCI index of schema 2 images", "file by python-dxf", "build cache of BuildKit"}
"""What nobody looks for in README: clients get it in ways of its own."""

LATER: Final = ("23 to 28", "29", "containerd", "podman, skopeo", "crane, oras")


def columns_of(heading: str) -> Sequence[str]:
    """The columns of the whole table that one of README's stands for."""
    return LATER if heading.startswith("23 and later") else (heading,)


def test_the_table_is_the_whole_one_put_together() -> None:
    (_, *headings), *rows = documented_rows(TEXT, "Who gets what")
    whole_headings, *whole = documented_rows((TOP / "docs/conversions.md").read_text(), "What each client gets")
    cells = {row[0]: dict(zip(whole_headings, row, strict=True)) for row in whole}
    assert [row[0] for row in rows] == [*ROWS]
    assert [each for heading in headings for each in columns_of(heading)] == [*COLUMNS]
    assert {kind for kinds in ROWS.values() for kind in kinds} | ONLY_IN_THE_WHOLE_TABLE == {*PUSHES}
    for name, *shown in rows:
        for heading, cell in zip(headings, shown, strict=True):
            found = {cells[kind][column] for kind in ROWS[name] for column in columns_of(heading)}
            assert found == {cell} or (cell == "=" and all(each.endswith(" =") for each in found)), (name, heading)


def test_the_readme_counts_what_is_in_the_whole_table() -> None:
    clients = sum(map(len, COLUMNS.values()))
    assert f"{len(PUSHES)} kinds of push by {clients} clients" in TEXT


# -- the chart ------------------------------------------------------------------------------------------------------


def test_the_chart_is_drawn_of_the_figures_that_the_bench_wrote() -> None:
    result = json.loads((TOP / "bench/measured.json").read_text())
    assert (TOP / "docs/cpu-of-a-pull.svg").read_text() == draw(result, "pull.eight.cpu")


def test_a_line_that_was_not_measured_is_not_drawn() -> None:
    with pytest.raises(LookupError, match=r"no line pull\.one\.cpu, only pull\.eight\.cpu"):
        draw({"lines": [{"key": "pull.eight.cpu"}]}, "pull.one.cpu")
