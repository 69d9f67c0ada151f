"""A v1 registry over a folder, on a real socket."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from backends.registry.store import Store
from backends.storage.factory import open_folder
from backends.web.settings import GateSettings
from tests.support.v1server import RunningRegistry, running_v1


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The folder; a test may put something there first."""
    return tmp_path / "root"


@pytest.fixture
def gates() -> GateSettings:
    """A module that needs others has its own."""
    return GateSettings(delete_enabled=True)


@pytest.fixture
async def registry(root: Path, gates: GateSettings) -> AsyncIterator[RunningRegistry]:
    storage = open_folder(root)
    async with running_v1(storage, gates=gates) as running:
        yield running
    await storage.close()


@pytest.fixture
async def store(root: Path) -> AsyncIterator[Store]:
    """The store of another process over the same folder."""
    storage = open_folder(root)
    opened = Store(storage)
    yield opened
    await opened.close()
    await storage.close()
