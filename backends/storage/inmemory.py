"""Files in this process's memory: a driver for trying things out. They are gone when the process ends."""

from __future__ import annotations

import secrets
import time
from collections.abc import AsyncGenerator, Sequence

from backends.storage.driver import Chunk, FileInfo, PathNotFound, StorageError, Tee

READ_SIZE = 512 * 1024


class InMemoryDriver:
    """A `StorageDriver` (and `LinksFiles`) over a dictionary; only one worker can use it."""

    def __init__(self) -> None:
        self.boot_id = secrets.token_hex(16)
        self._files: dict[str, _File] = {}

    def _file(self, path: str) -> _File:
        try:
            return self._files[path]
        except KeyError:
            raise PathNotFound(path) from None

    async def read(self, path: str) -> bytes:
        return bytes(self._file(path).content)

    async def write(self, path: str, content: bytes, *, durable: bool = True) -> None:  # noqa: ARG002 - memory is as durable as it can be
        self._refuse_folder(path)
        self._files[path] = _File(bytearray(content))

    async def open(self, path: str) -> MemoryReader:
        return MemoryReader(self._file(path).content, path)

    async def writer(
        self,
        path: str,
        *,
        append: bool = False,
        durable: bool = True,  # noqa: ARG002 - as above
        tee: Tee | None = None,
    ) -> MemoryWriter:
        if append:
            return MemoryWriter(self._file(path), tee)
        self._refuse_folder(path)
        file = self._files[path] = _File(bytearray())
        return MemoryWriter(file, tee)

    async def append(self, path: str, line: bytes) -> int:
        file = self._file(path)
        file.content += line
        file.modified = time.time()
        return len(file.content)

    async def stat(self, path: str) -> FileInfo:
        file = self._files.get(path)
        if file is not None:
            return FileInfo(len(file.content), file.modified, is_directory=False)
        if any(other.startswith(_below(path)) for other in self._files):
            return FileInfo(0, 0.0, is_directory=True)
        raise PathNotFound(path)

    async def list(self, path: str) -> Sequence[str]:
        prefix = _below(path)
        names = {other[len(prefix) :].partition("/")[0] for other in self._files if other.startswith(prefix)}
        if not names:
            raise PathNotFound(path)
        return sorted(names)

    async def move(self, source: str, target: str) -> None:
        file = self._file(source)
        self._refuse_folder(target)
        del self._files[source]
        self._files[target] = file

    async def link(self, source: str, target: str) -> bool:
        file = self._file(source)
        self._refuse_folder(target)
        self._files[target] = file
        return True

    async def repair(self, source: str, target: str) -> int | None:
        content = self._file(source).content
        file = self._files.get(target)
        if file is None or sum(other is file for other in self._files.values()) == 1:
            return None
        del self._files[source]
        if file.content == content:
            return 0
        file.content[:] = content
        return len(content)

    async def ensure_durable(self, *paths: str) -> None:
        """Memory is as durable as it can be."""

    async def delete(self, path: str, *, durable: bool = True) -> None:  # noqa: ARG002 - as above
        gone = [other for other in self._files if other == path or other.startswith(_below(path))]
        if not gone:
            raise PathNotFound(path)
        for other in gone:
            del self._files[other]

    def _refuse_folder(self, path: str) -> None:
        if any(other.startswith(_below(path)) for other in self._files):
            raise StorageError(f"{path} is a folder")

    async def close(self) -> None:
        self._files.clear()


class _File:
    __slots__ = ("content", "modified")

    def __init__(self, content: bytearray) -> None:
        self.content = content
        self.modified = time.time()


class MemoryReader:
    """A `Reader` of one file's content."""

    def __init__(self, content: bytearray, path: str) -> None:
        self._content = content
        self._size = len(content)
        self._path = path

    @property
    def size(self) -> int:
        return self._size

    async def chunks(self, offset: int, length: int) -> AsyncGenerator[Chunk, None]:
        end = offset + length
        if end > len(self._content):
            raise StorageError(f"{self._path} ends at {len(self._content)} bytes where {end} were expected")
        for start in range(offset, end, READ_SIZE):
            yield bytes(self._content[start : min(start + READ_SIZE, end)])

    def close(self) -> None:
        """There is nothing to release."""


class MemoryWriter:
    """A `Writer` that appends to one file."""

    def __init__(self, file: _File, tee: Tee | None) -> None:
        self._file = file
        self._tee = tee

    @property
    def size(self) -> int:
        return len(self._file.content)

    async def write(self, chunk: Chunk) -> None:
        self._file.content += chunk
        self._file.modified = time.time()
        if self._tee is not None:
            self._tee([chunk])

    async def flush(self) -> None:
        """Nothing is buffered."""

    async def sync(self) -> None:
        """Memory is as durable as it can be."""

    async def close(self) -> None:
        """There is nothing to release."""


def _below(path: str) -> str:
    return path.rstrip("/") + "/"
