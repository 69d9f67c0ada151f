"""A stored blob under a second name: one file by hard link where that can be, else a copy."""

from __future__ import annotations

import secrets
from contextlib import suppress

from backends.model.digest import Digest
from backends.registry.hashing import RunningHash
from backends.storage import layout
from backends.storage.capabilities import LinksFiles, capability
from backends.storage.driver import SlowTee, StorageDriver, StorageError


async def link_or_copy(source: StorageDriver, path: str, digest: Digest, driver: StorageDriver, target: str) -> None:
    """Gives a blob a second name, perhaps on another root; durable when this returns.

    Args:
        source: where it is.
        path: its file.
        digest: what a copy must be.
        driver: where the name is to be.
        target: the name.

    Raises:
        PathNotFound, InvalidPath: it is not there.
        StorageError: it is damaged.
    """
    linker = capability(driver, LinksFiles) if source is driver else None
    if linker is not None and await linker.link(path, target):
        return
    copy = f"{layout.TEMPORARY}/{secrets.token_hex(12)}"
    running = RunningHash(digest.algorithm)
    reader = await source.open(path)
    try:
        writer = await driver.writer(copy, durable=False, tee=SlowTee(running.take))
        try:
            async for chunk in reader.chunks(0, reader.size):
                await writer.write(chunk)
            await writer.sync()
        finally:
            await writer.close()
        if running.value.hexdigest() != digest.hex:
            raise StorageError(f"{path} is damaged on disk: it should be {digest}")
        await driver.move(copy, target)
    except BaseException:
        with suppress(StorageError):  # the first error is reported
            await driver.delete(copy)
        raise
    finally:
        reader.close()
