"""Both places for bytes, opened as often as a test has processes."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from backends.storage.factory import open_folder, open_memory
from backends.storage.storage import Storage


@pytest.fixture(params=["filesystem", "inmemory"])
async def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Callable[[], Storage]]:
    """Each call opens the same place, as another worker would (memory is one worker's)."""
    memory = open_memory()
    opened: list[Storage] = [memory]

    def again() -> Storage:
        if request.param == "inmemory":
            return memory
        opened.append(open_folder(tmp_path / "root"))
        return opened[-1]

    yield again
    for storage in opened:
        await storage.close()
