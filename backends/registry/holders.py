"""Hints where a blob is: the repository that was last seen to get it, for a mount that names no source.

A hint proves nothing: who follows it asks for the repository's link at that moment. So hints may be lost, overwritten
or out of date, and the whole folder may be deleted: pushes and mounts write them anew. What they take is bounded by
their number, one for each first four hex digits of a digest (65 536 small files at most): a blob whose hint another one
has overwritten is uploaded again. A push pays for it with one small file that nobody syncs.
"""

from __future__ import annotations

import logging

from backends.model.digest import Digest
from backends.model.errors import RegistryError
from backends.model.names import RepositoryName, parse_repository_name
from backends.storage import layout
from backends.storage.driver import PathNotFound, StorageDriver, StorageError

_log = logging.getLogger("portside.registry")


async def note_holder(driver: StorageDriver, digest: Digest, name: RepositoryName) -> None:
    """Notes that a repository has a blob, after it has got its link."""
    try:
        await driver.write(layout.holder_hint(digest), f"{digest} {name}".encode(), durable=False)
    except StorageError as error:  # the blob is stored all the same: this only spares another client an upload
        _log.debug("no hint that %s has blob %s: %s", name, digest, error)


async def find_holder(driver: StorageDriver, digest: Digest) -> RepositoryName | None:
    """Returns a repository that may have a blob; None when none is known."""
    try:
        text = await driver.read(layout.holder_hint(digest))
        noted, _, name = text.decode("ascii", "replace").partition(" ")
        return parse_repository_name(name) if noted == str(digest) else None
    except (PathNotFound, RegistryError):  # a power cut may have left half a hint
        return None
