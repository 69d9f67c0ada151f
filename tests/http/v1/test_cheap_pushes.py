"""How often a push asks storage, counted in the driver: each ask is a look at the disk, or a wait for a thread."""

from __future__ import annotations

import asyncio
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from backends.storage import layout
from backends.storage.factory import open_folder
from backends.storage.filesystem import FilesystemDriver
from tests.support.v1server import RunningRegistry, make_pushed, running_v1

ASKS = (
    "read", "open", "stat", "list", "list_page", "list_pages", "write", "writer", "write_several", "move", "link",
    "repair", "delete", "clear", "remove_empty", "ensure_durable",
)  # fmt: skip
WAITS = frozenset(ASKS) - {"read", "open", "stat"}
"""Those that take a thread even when the kernel has everything in memory."""

WARM_PUSHES = 20
KNOWN_SECONDS = 2.2
"""By then it is known what is absent (`backends/storage/absences.py`)."""


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Counter[str]:
    """How often each method of a driver was called."""
    counted: Counter[str] = Counter()
    for name in ASKS:
        method = getattr(FilesystemDriver, name)

        def ask(driver: FilesystemDriver, *arguments: Any, name: str = name, method: Any = method, **more: Any) -> Any:
            counted[name] += 1
            return method(driver, *arguments, **more)

        monkeypatch.setattr(FilesystemDriver, name, ask)
    return counted


async def push_like_docker(registry: RunningRegistry, letter: str, parent: str | None = None) -> str:
    image = make_pushed(letter, parent=parent, layer=b"layer of " + letter.encode())
    assert (await registry.ask("GET", f"/v1/images/{image.id}/json")).status == 404
    await registry.push_images([image])
    return image.id


@pytest.mark.parametrize(
    ("made_of_manifests", "base_at_most", "child_at_most"), [(False, 24, 30), (True, 28, 35)], ids=["v1 alone", "both"]
)
async def test_an_image_asks_storage_half_as_often_as_it_used_to(
    tmp_path: Path, asked: Counter[str], *, made_of_manifests: bool, base_at_most: int, child_at_most: int
) -> None:
    """It was 47 and 57 times, of which 21 and 23 waited for a thread."""
    storage = open_folder(tmp_path)
    if made_of_manifests:
        for folder in (layout.DERIVED_V1_IMAGES, layout.DERIVED_V1_CLAIMS, layout.DERIVED_V1_SOURCES):
            await storage.driver.write(f"{folder}/other", b"")
    async with running_v1(storage) as registry:
        for number in range(WARM_PUSHES):
            await push_like_docker(registry, f"{number:064x}")
        await asyncio.sleep(KNOWN_SECONDS)
        await push_like_docker(registry, f"{99:064x}")
        asked.clear()
        base = await push_like_docker(registry, "a")
        assert asked.total() <= base_at_most, asked
        assert sum(asked[each] for each in WAITS) <= 13, asked
        asked.clear()
        await push_like_docker(registry, "b", parent=base)
        assert asked.total() <= child_at_most, asked
        assert sum(asked[each] for each in WAITS) <= 13, asked
    await storage.close()
