"""All clients at once, for the first time, on two workers: each gets its form whole; what one was shown, all find."""

from __future__ import annotations

import contextlib
import tempfile
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest

from tests.support.bridge_cells import COLUMNS, asks, check_image, manifest_digest, pull_by
from tests.support.bridge_pushes import PUSHES, Place
from tests.support.http_calls import Caller
from tests.support.portside import Form, RunningPortside, running_portside

CLIENTS: Final = tuple(client for clients in COLUMNS.values() for client in clients)
KINDS: Final = (
    "v1 with plain, bzip2 and xz layers, gzip in members",
    "schema 1 by Docker 1.6.2 (top twice)",
    "OCI index with attestations, zstd",
)
LOOKS: Final = 8
"""So many connections meet both workers."""


@pytest.fixture(scope="module")
def portside() -> Iterator[RunningPortside]:
    with tempfile.TemporaryDirectory(prefix="portside-") as folder, contextlib.ExitStack() as stack:
        yield stack.enter_context(running_portside(Form.TWO, Path(folder)))


@pytest.mark.parametrize("kind", KINDS)
def test_the_first_pull_of_all_clients_at_once(kind: str, portside: RunningPortside) -> None:
    name = f"team/{uuid.uuid4().hex[:12]}"
    address = portside.address
    pushed = PUSHES[kind](Place(address, name, "b"))
    with ThreadPoolExecutor(len(CLIENTS)) as pool:
        gots = dict(zip(CLIENTS, pool.map(lambda client: pull_by(client, address, name, "b"), CLIENTS), strict=True))
    for client, got in gots.items():
        assert got.form, f"{client}: {got.said}: {got.refusal}"
        check_image(client, got, pushed)

    for client in CLIENTS:
        if (asked := asks(client)) is None:
            continue
        caller = Caller(address, asked[0])
        path = f"/v2/{name}/manifests"
        fields = [("Accept", line) for line in asked[1]]
        shown = {manifest_digest(caller.send("GET", f"{path}/b", fields)) for _ in range(LOOKS)}
        assert len(shown) == 1, f"{client} is shown {shown}"
        (digest,) = shown
        answers = [caller.send("GET", f"{path}/{digest}", [("Accept", "*/*")]) for _ in range(LOOKS)]
        assert {(answer.status, manifest_digest(answer)) for answer in answers} == {(200, digest)}, client
        assert len({answer.body for answer in answers}) == 1, f"{client}: workers differ about {digest}"
