"""The blob store that both generations share: content under its digest, once, for ever the same."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass

from backends.model.digest import Digest
from backends.storage import layout
from backends.storage.driver import InvalidPath, PathNotFound, Reader, StorageDriver


@dataclass(frozen=True, slots=True)
class Blob:
    """Open content; whoever has it closes `reader`."""

    digest: Digest
    reader: Reader

    @property
    def size(self) -> int:
        return self.reader.size


class Blobs:
    """Content by digest. Whether a repository may serve it is the repository's question, not asked here."""

    def __init__(self, driver: StorageDriver) -> None:
        self._driver = driver

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
        """Stores a small blob whose digest was computed from `content`."""
        if await self.size(digest) != len(content):
            await self._driver.write(layout.blob_data(digest), content)

    async def commit_file(self, path: str, digest: Digest, size: int) -> None:
        """Takes in a synced file whose digest was verified. What is here already stays; the file is left then.

        A blob of another size is a ruin, left by a crash of a program that does not sync: it is replaced.
        """
        if await self.size(digest) != size:
            await self._driver.move(path, layout.blob_data(digest))

    async def take_back(self, digest: Digest) -> None:
        """Removes a blob that was put in just now and that nobody is linked to, while `layout.blob_lock` is held."""
        with suppress(PathNotFound):
            await self._driver.delete(layout.blob_data(digest).rpartition("/")[0])


def _absent(error: InvalidPath) -> PathNotFound:
    """Takes a blob behind a symbolic link that leads nowhere for absent: a digest's path is always a valid one.

    So it can be pushed again, which puts a file in the place of the link.
    """
    return PathNotFound(str(error))
