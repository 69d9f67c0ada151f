"""Every test of this folder runs with the registry on TCP and on a unix socket."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import AbstractAsyncContextManager
from pathlib import Path

import pytest

from tests.support.upstreams import Conversation, Registry, RunningUpstream, spoken_by_hand


@pytest.fixture(params=["tcp", "unix"])
def registry(request: pytest.FixtureRequest) -> Iterator[Registry]:
    """Starts registries that speak by hand; the folder's path is short enough for a unix socket."""
    with tempfile.TemporaryDirectory(prefix="ps-") as folder:
        started = 0

        def start(converse: Conversation) -> AbstractAsyncContextManager[RunningUpstream]:
            nonlocal started
            started += 1
            unix = Path(folder) / f"{started}.sock" if request.param == "unix" else None
            return spoken_by_hand(converse, unix=unix)

        yield start
