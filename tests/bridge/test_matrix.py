"""Every kind of push by every client, over TLS: what `docs/conversions.md` says each one gets, it gets, whole."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import Final

import pytest

from tests.bridge.conftest import Elsewhere
from tests.support.bridge_cells import (
    COLUMNS,
    cell,
    check_answers,
    check_image,
    documented_rows,
    general,
    pull_by,
    sentence_rows,
    table_row,
)
from tests.support.bridge_pushes import PUSHES, Place
from tests.support.portside import RunningPortside

pytestmark = [pytest.mark.timeout(300)]

PAGE: Final = (Path(__file__).parents[2] / "docs" / "conversions.md").read_text()
HEADER, *ROWS = documented_rows(PAGE, "What each client gets")
TABLE: Final = {kind: cells for kind, *cells in ROWS}
_, *REFUSALS = documented_rows(PAGE, "What cannot be converted")
NEVER_FROM_ELSEWHERE: Final = "schema 2 with a foreign layer"
"""Docker on Linux never fetches a layer from where its descriptor says; it asks the registry, and gives up."""


def test_the_page_has_every_push_and_every_client() -> None:
    assert ["pushed", *COLUMNS] == HEADER
    assert [row[0] for row in ROWS] == [*PUSHES]


@pytest.mark.parametrize("kind", PUSHES)
def test_every_client_gets_it(kind: str, portside: RunningPortside, elsewhere: Elsewhere) -> None:
    name = f"team/{uuid.uuid4().hex[:12]}"
    place = Place(portside.address, name, "b", elsewhere.url, elsewhere.files)
    pushed = PUSHES[kind](place)
    cells: list[str] = []
    refusals: dict[str, str] = {}
    for column, clients in COLUMNS.items():
        gots = {client: pull_by(client, portside.address, name, "b") for client in clients}
        cells.append(" / ".join(sorted({cell(got, pushed) for got in gots.values()})))
        refused = {general(got.refusal, name) for got in gots.values() if not got.form}
        if refused:
            refusals[column] = " / ".join(sorted(refused))
        for client, got in gots.items():
            if not (kind == NEVER_FROM_ELSEWHERE and got.pulled is None and client[0].isdigit()):
                check_image(client, got, pushed)
            check_answers(client, got, pushed, portside.address, name, "b")
    assert table_row(kind, cells) == table_row(kind, TABLE[kind])
    documented = [table_row(row[0], row[1:]) for row in REFUSALS if row[0] == kind]
    assert sentence_rows(kind, refusals) == documented
