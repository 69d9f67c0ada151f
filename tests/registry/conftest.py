"""Both places for bytes, opened as often as a test has processes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from backends.storage.driver import StorageDriver
from backends.storage.filesystem import FilesystemDriver
from backends.storage.inmemory import InMemoryDriver


@pytest.fixture(params=["filesystem", "inmemory"])
async def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Callable[[], StorageDriver]]:
    """Each call opens the same place, as another worker would (memory is one worker's)."""
    memory = InMemoryDriver()
    opened: list[StorageDriver] = [memory]

    def again() -> StorageDriver:
        if request.param == "inmemory":
            return memory
        opened.append(FilesystemDriver(tmp_path / "root"))
        return opened[-1]

    yield again
    for driver in opened:
        await driver.close()
