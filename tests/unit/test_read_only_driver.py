"""A driver that only reads: whatever would change something is refused, its capabilities too."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

import pytest

from backends.storage.capabilities import ChangesSeveral, LinksFiles, RemovesEmptyFolders, SweepsTemporary, capability
from backends.storage.driver import StorageReadOnly
from backends.storage.inmemory import InMemoryDriver
from backends.storage.read_only_driver import ReadOnlyDriver

CHANGES: dict[str, Callable[[ReadOnlyDriver], Awaitable[object]]] = {
    "write": lambda driver: driver.write("/a/b", b"new"),
    "writer": lambda driver: driver.writer("/a/c"),
    "append": lambda driver: driver.writer("/a/b", append=True),
    "move": lambda driver: driver.move("/a/b", "/a/c"),
    "delete": lambda driver: driver.delete("/a/b"),
    "link": lambda driver: driver.link("/a/b", "/a/c"),
    "repair": lambda driver: driver.repair("/a/b", "/a/c"),
    "sweep": lambda driver: driver.sweep_temporary(older_than=0, dry_run=True),
    "remove": lambda driver: driver.remove_empty("/a"),
    "write several": lambda driver: driver.write_several([("/a/b", b"new"), ("/a/c", b"")]),
    "clear": lambda driver: driver.clear("/a", ["b"]),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES.keys())
async def test_whatever_changes_something_is_refused(change: Callable[[ReadOnlyDriver], Awaitable[object]]) -> None:
    below = InMemoryDriver()
    await below.write("/a/b", b"old")
    driver = ReadOnlyDriver(below)
    with pytest.raises(StorageReadOnly):
        await change(driver)
    await driver.ensure_durable("/a/b")
    assert await driver.read("/a/b") == b"old"
    assert await driver.list("/a") == ["b"]


@pytest.mark.parametrize("kind", [ChangesSeveral, LinksFiles, RemovesEmptyFolders, SweepsTemporary])
def test_no_capability_goes_past_it(kind: type[object]) -> None:
    driver = ReadOnlyDriver(InMemoryDriver())
    assert capability(driver, kind) is driver
