"""A storage driver over another one that counts the bytes which pass through a hash or are read to be hashed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from typing_extensions import override

from backends.model.digest import Hash
from backends.storage.driver import Chunk, FileInfo, Reader, StorageDriver, Writer


class CountingDriver:
    """Everything goes to `driver`.

    Attributes:
        hashed: bytes written with hashes running along.
        reread: bytes of open files that were read.
    """

    def __init__(self, driver: StorageDriver) -> None:
        self._driver = driver
        self.boot_id = driver.boot_id
        self.hashed = 0
        self.reread = 0

    async def read(self, path: str) -> bytes:
        return await self._driver.read(path)

    async def write(self, path: str, content: bytes, *, durable: bool = True) -> None:
        await self._driver.write(path, content, durable=durable)

    async def open(self, path: str) -> Reader:
        return _Reader(await self._driver.open(path), self)

    async def writer(self, path: str, *, append: bool = False, hashes: Sequence[Hash] = ()) -> Writer:
        counted = [_Hash(each, self) for each in hashes]
        return await self._driver.writer(path, append=append, hashes=counted)

    async def stat(self, path: str) -> FileInfo:
        return await self._driver.stat(path)

    async def list(self, path: str) -> Sequence[str]:
        return await self._driver.list(path)

    async def move(self, source: str, target: str) -> None:
        await self._driver.move(source, target)

    async def delete(self, path: str) -> None:
        await self._driver.delete(path)

    async def close(self) -> None:
        await self._driver.close()


class _Reader:
    def __init__(self, reader: Reader, counter: CountingDriver) -> None:
        self._reader = reader
        self._counter = counter

    @property
    def size(self) -> int:
        return self._reader.size

    async def chunks(self, offset: int, length: int) -> AsyncGenerator[Chunk, None]:
        async for chunk in self._reader.chunks(offset, length):
            self._counter.reread += len(chunk)
            yield chunk

    def close(self) -> None:
        self._reader.close()


class _Hash(Hash):
    def __init__(self, inner: Hash, counter: CountingDriver) -> None:
        self._inner = inner
        self._counter = counter

    @override
    def update(self, data: Chunk, /) -> None:
        self._counter.hashed += len(data)
        self._inner.update(data)

    @override
    def hexdigest(self) -> str:
        return self._inner.hexdigest()

    @override
    def copy(self) -> Hash:
        return self._inner.copy()
