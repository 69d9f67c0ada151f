"""Abandoned uploads: ours, and those that distribution left on the volume."""

from __future__ import annotations

import logging
from collections.abc import AsyncGenerator
from contextlib import aclosing

from backends.model.errors import RegistryError
from backends.model.names import RepositoryName, UploadId, parse_repository_name, parse_upload_id
from backends.registry.purging import Abandoned
from backends.registry.yielding import yielding
from backends.storage import layout
from backends.storage.completion import run_to_completion
from backends.storage.driver import InvalidPath, PathNotFound, StorageDriver, StorageError
from backends.storage.locks import LockHeld
from backends.storage.storage import Storage

_log = logging.getLogger("portside.purging")


class AbandonedUploads:
    """A `Source` (`purging`) of v2 uploads."""

    kind = "v2 upload"

    def __init__(self, storage: Storage) -> None:
        self._driver = storage.driver
        self._locks = storage.locks

    async def find(self) -> AsyncGenerator[Abandoned, None]:
        async with aclosing(_walk(self._driver, "")) as repositories:
            async for name in repositories:
                async for upload_id in yielding(await self._ids(name)):
                    try:
                        touched, size = await self._look(name, upload_id)
                    except PathNotFound:
                        continue
                    except StorageError as error:
                        _log.warning("%s is skipped: %s", layout.upload(name, upload_id), error)
                        continue
                    yield Abandoned(self.kind, (name, upload_id), size, touched)

    async def _ids(self, name: RepositoryName) -> list[UploadId]:
        found: list[UploadId] = []
        for entry in await _entries(self._driver, layout.uploads(name)):
            try:
                found.append(parse_upload_id(entry))
            except RegistryError:
                _log.debug("%s is not an upload", layout.uploads(name) + "/" + entry)
        return found

    async def _look(self, name: RepositoryName, upload_id: UploadId) -> tuple[float, int]:
        """Returns when an upload was last touched, and its size: its folder changes with each note on it."""
        folder = await self._driver.stat(layout.upload(name, upload_id))
        try:
            data = await self._driver.stat(layout.upload_data(name, upload_id))
        except (PathNotFound, InvalidPath):  # or a link that leads out: it goes, and what it leads to stays
            return folder.modified, 0
        return max(folder.modified, data.modified), data.size

    async def remove(self, found: Abandoned, *, before: float) -> bool:
        name, upload_id = RepositoryName(found.what[0]), UploadId(found.what[1])
        try:
            async with self._locks.hold(layout.upload_lock(name, upload_id)):
                touched, _ = await self._look(name, upload_id)
                if touched >= before:
                    return False
                await run_to_completion(self._driver.delete(layout.upload(name, upload_id)))
                return True
        except (LockHeld, PathNotFound):
            return False  # a request has it, or has finished it


async def _walk(driver: StorageDriver, above: str) -> AsyncGenerator[RepositoryName, None]:
    """Yields the repositories that have a folder of uploads, whether anything else is in them or not."""
    entries = await _entries(driver, layout.REPOSITORIES + (f"/{above}" if above else ""))
    if above and "_uploads" in entries:
        yield RepositoryName(above)
    for entry in entries:
        try:
            name = parse_repository_name(f"{above}/{entry}" if above else entry)
        except RegistryError:
            continue  # a folder of a repository, or none of ours
        async with aclosing(_walk(driver, name)) as below:
            async for found in below:
                yield found


async def _entries(driver: StorageDriver, folder: str) -> list[str]:
    try:
        return list(await driver.list(folder))
    except PathNotFound:
        return []
    except StorageError as error:
        _log.warning("%s is skipped: %s", folder, error)
        return []
