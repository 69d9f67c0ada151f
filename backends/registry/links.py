"""Links: small files that hold a digest, by which a repository has a blob or a manifest and a tag names one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Sequence

from backends.model.cache import Cache
from backends.model.digest import Digest, parse_digest
from backends.model.errors import RegistryError
from backends.registry.yielding import yielding
from backends.storage.driver import InvalidPath, PathNotFound, StorageDriver

PAUSES = (0.005, 0.02)
"""Seconds to wait for a program that writes in place (distribution up to 2.8, docker-registry), and has just emptied a
link or a tag."""


LONGEST_KEPT = 200
"""A link is shorter; what is longer is another program's doing, and is not remembered."""

_log = logging.getLogger("portside.registry")


async def read_link(driver: StorageDriver, path: str, *, likely: Digest | None = None) -> Digest:
    """Returns the digest that a link holds.

    Args:
        driver: where.
        path: the link.
        likely: the digest that it holds unless it is a strange one, which spares reading that.

    Raises:
        PathNotFound: there is no link, or it stays empty or damaged, as a crash of another program left it.
    """
    text = await driver.read(path)
    if likely is not None and text == str(likely).encode():
        return likely
    if not text:
        text = await read_filled(driver, path)
    try:
        return parse_link(text)
    except RegistryError:
        raise PathNotFound(path) from None


async def is_linked(driver: StorageDriver, path: str) -> bool:
    """Whether there is a link, and it holds a digest."""
    try:
        await read_link(driver, path)
    except PathNotFound:
        return False
    return True


def parse_link(text: bytes) -> Digest:
    """Returns the digest that a link's content is.

    Raises:
        RegistryError: it is none.
    """
    return _digests[text] if len(text) <= LONGEST_KEPT else _parse(text)


def _parse(text: bytes) -> Digest:
    return parse_digest(text.decode("ascii", "replace").strip())


_digests = Cache(_parse, bound=8192)


async def write_link(driver: StorageDriver, path: str, digest: Digest) -> None:
    """Makes a link, or makes it hold another digest; durable when this returns."""
    await driver.write(path, str(digest).encode())


async def linked_digests(driver: StorageDriver, folder: str) -> AsyncIterator[Digest]:
    """Yields what a folder has links for, of each algorithm; names of other programs are left out."""
    for algorithm in await names_in(driver, folder):
        async for entry in yielding(await names_in(driver, f"{folder}/{algorithm}")):
            try:
                digest = parse_digest(f"{algorithm}:{entry}")
            except RegistryError:
                continue
            yield digest


async def names_in(driver: StorageDriver, folder: str) -> Sequence[str]:
    """Returns the names in a folder; none where there is no folder, or a symbolic link that leads out of the volume."""
    try:
        return await driver.list(folder)
    except PathNotFound:
        return ()
    except InvalidPath as error:
        _log.warning("%s is skipped: %s", folder, error)
        return ()


async def read_filled(driver: StorageDriver, path: str) -> bytes:
    """Returns what a file holds that is never empty for long; b"" where it stays so.

    Raises:
        PathNotFound: there is no such file.
    """
    text = await driver.read(path)
    if text:
        return text
    for pause in PAUSES:
        await asyncio.sleep(pause)
        text = await driver.read(path)
        if text:
            break
    return text
