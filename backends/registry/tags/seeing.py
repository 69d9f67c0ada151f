"""A tag's file with the time at which it was written, read as one, whoever writes to it meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from backends.model.tag_records import Seen
from backends.model.targets import Target
from backends.registry.links import PAUSES
from backends.storage.driver import InvalidPath, PathNotFound, StorageDriver

LAST = 0.0


async def see(driver: StorageDriver, path: str, parse: Callable[[bytes], Target | None]) -> Seen | None:
    """Returns what a file names, and when it was written; None when there is none, or it names nothing.

    Programs that write in place (distribution up to 2.8) leave it empty for a moment, and change content and time one
    after the other; it is read again then, and again after a pause.

    Args:
        driver: where it is.
        path: the file.
        parse: what its content names; None for nothing.
    """
    for pause in (*PAUSES, LAST):
        try:
            before = await driver.stat(path)
            target = parse(await driver.read(path))
            is_steady = target is not None and await driver.stat(path) == before
        except (PathNotFound, InvalidPath):
            return None
        # At the last look it is damaged; or it has been written to at each, and then the last is as right as any.
        if is_steady or pause == LAST:
            return None if target is None else Seen(target, before.modified)
        await asyncio.sleep(pause)
    raise AssertionError("unreachable: the last look returns")
