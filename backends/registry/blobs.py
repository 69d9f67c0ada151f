"""The blob store that both protocols share: content under its digest, once."""

from __future__ import annotations

import logging
import secrets
from contextlib import suppress
from dataclasses import dataclass

from backends.model.digest import Digest
from backends.storage import layout
from backends.storage.capabilities import GivesUrls, LinksFiles, capability
from backends.storage.driver import InvalidPath, PathNotFound, Reader, StorageDriver, StorageError

_log = logging.getLogger("portside.blobs")


@dataclass(frozen=True, slots=True)
class Blob:
    """An open blob; the caller closes `reader`."""

    digest: Digest
    reader: Reader

    @property
    def size(self) -> int:
        return self.reader.size


class Blobs:
    """Content by digest. Whether a repository may serve it is the repository's question, not asked here."""

    def __init__(self, driver: StorageDriver) -> None:
        self._driver = driver
        self._addresses = capability(driver, GivesUrls)

    @property
    def have_urls(self) -> bool:
        """Whether others serve blobs too."""
        return self._addresses is not None

    async def open(self, digest: Digest) -> Reader:
        """Opens a blob.

        Raises:
            PathNotFound: it is not here.
        """
        try:
            return await self._driver.open(layout.blob_data(digest))
        except InvalidPath as error:
            raise _absent(error) from None

    async def size(self, digest: Digest) -> int | None:
        """Returns the size in bytes, or None when the blob is not here."""
        try:
            info = await self._driver.stat(layout.blob_data(digest))
        except (PathNotFound, InvalidPath):
            return None
        return None if info.is_directory else info.size

    async def url_of(self, digest: Digest) -> str | None:
        """Returns the address at which others serve a blob, which must be here; None when there is none.

        Raises:
            StorageError: an address cannot be made.
        """
        return None if self._addresses is None else await self._addresses.url_of(layout.blob_data(digest))

    async def read(self, digest: Digest) -> bytes:
        """Returns a small blob (a manifest) whole.

        Raises:
            PathNotFound: it is not here.
        """
        try:
            return await self._driver.read(layout.blob_data(digest))
        except InvalidPath as error:
            raise _absent(error) from None

    async def put(self, content: bytes, digest: Digest) -> None:
        """Stores a small blob whose digest was computed from `content`; repairs it if it is damaged."""
        path = layout.blob_data(digest)
        try:
            if await self.read(digest) == content:
                await self._driver.ensure_durable(path)
                return
        except PathNotFound:
            await self._driver.write(path, content)
            return
        except StorageError as error:  # too large, or the disk has lost some of it
            _log.warning("blob %s cannot be read: %s", digest, error)
        temporary = f"{layout.TEMPORARY}/{secrets.token_hex(12)}"
        await self._driver.write(temporary, content)
        try:
            await self.commit_file(temporary, digest, len(content))
        except StorageError:
            with suppress(StorageError):  # the first error is reported
                await self._driver.delete(temporary)
            raise

    async def commit_file(self, path: str, digest: Digest, size: int) -> None:
        """Moves a synced file whose digest was verified into the blob store.

        A blob that exists under this digest is either the same or damaged, so it is replaced. If it has other hard
        links (a v1 image's layer), replacing it would leave those as they are and take twice the space: then the two
        files are compared, and the existing one is repaired in place.

        Raises:
            PathNotFound: there is no such file, and no earlier attempt has moved it either.
        """
        target = layout.blob_data(digest)
        linker = capability(self._driver, LinksFiles)
        try:
            written = None if linker is None else await linker.repair(path, target)
            if written is None:
                await self._driver.move(path, target)
            elif written:
                _log.warning("blob %s was damaged on disk; it was pushed again, which has repaired it", digest)
        except PathNotFound:
            if await self.size(digest) != size:
                raise
            await self._driver.ensure_durable(target)

    async def take_back(self, digest: Digest) -> None:
        """Removes a blob that was just stored and that no repository links to, while `layout.blob_lock` is held."""
        with suppress(PathNotFound):
            await self._driver.delete(layout.blob_data(digest).rpartition("/")[0])


def _absent(error: InvalidPath) -> PathNotFound:
    """Treats a blob that is a broken symbolic link as absent, since a digest's path is always valid.

    So it can be pushed again, which replaces the link by a file.
    """
    return PathNotFound(str(error))
