"""Hints where a blob is: the repository that was last seen to get it, for a mount that names no source.

A hint proves nothing: who follows it asks for the repository's link at that moment. So hints may be lost, overwritten
or out of date, and the whole folder may be deleted: pushes, mounts and the pass over what is stored (`index_pass`)
write them anew. What they take is bounded by their number, one for each first four hex digits of a digest (65 536 small
files at most): a blob whose hint another one has overwritten is uploaded again. A push pays for it with one small file
that nobody syncs.
"""

from __future__ import annotations

import logging
from contextlib import suppress

from backends.model.digest import Digest, parse_digest
from backends.model.errors import RegistryError
from backends.model.names import RepositoryName, parse_repository_name
from backends.registry.no_room import exists
from backends.storage import layout
from backends.storage.driver import PathNotFound, StorageDriver, StorageError

_HINTS = 16**4

_log = logging.getLogger("portside.registry")


async def note_holder(driver: StorageDriver, digest: Digest, name: RepositoryName) -> None:
    """Notes that a repository has a blob, after it has got its link."""
    try:
        await _write(driver, digest, name)
    except StorageError as error:  # the blob is stored all the same: this only spares another client an upload
        _log.debug("no hint that %s has blob %s: %s", name, digest, error)


async def forget_holder(driver: StorageDriver, digest: Digest, name: RepositoryName) -> None:
    """Removes the note that a repository has a blob, after it has lost its link."""
    path = layout.holder_hint(digest)
    with suppress(PathNotFound):
        if await driver.read(path) == f"{digest} {name}".encode():
            await driver.delete(path, durable=False)


async def find_holder(driver: StorageDriver, digest: Digest) -> RepositoryName | None:
    """Returns a repository that may have a blob; None when none is known."""
    noted = await _read(driver, digest)
    return noted[1] if noted is not None and noted[0] == digest else None


class MissingHints:
    """Notes who has a blob where no hint that holds stands in the way; looks at each hint once."""

    def __init__(self, driver: StorageDriver) -> None:
        self._driver = driver
        self._seen = bytearray(_HINTS)

    async def offer(self, digest: Digest, name: RepositoryName) -> bool:
        """Takes notice that a repository has a blob; whether it was noted.

        Raises:
            StorageError: it could not be.
        """
        place = int(digest.hex[:4], 16)
        if self._seen[place]:
            return False
        self._seen[place] = 1
        noted = await _read(self._driver, digest)
        if noted is not None and await exists(self._driver, layout.layer_link(noted[1], noted[0])):
            return False
        await _write(self._driver, digest, name)
        return True


async def _write(driver: StorageDriver, digest: Digest, name: RepositoryName) -> None:
    await driver.write(layout.holder_hint(digest), f"{digest} {name}".encode(), durable=False)


async def _read(driver: StorageDriver, digest: Digest) -> tuple[Digest, RepositoryName] | None:
    """Returns what stands where the hint of a blob is: a blob whose digest begins alike, and a repository."""
    try:
        text = await driver.read(layout.holder_hint(digest))
        noted, _, name = text.decode("ascii", "replace").partition(" ")
        return parse_digest(noted), parse_repository_name(name)
    except (PathNotFound, RegistryError):  # a power cut may have left half a hint
        return None
