"""A storage driver over another one that counts the bytes which pass through a hash or are read to be hashed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from typing_extensions import override

from backends.model.digest import Hash
from backends.storage.driver import Chunk, Reader, StorageDriver, Writer
from tests.support.drivers import ForwardingDriver, ForwardingReader


class CountingDriver(ForwardingDriver):
    """Counts.

    Attributes:
        hashed: bytes written with hashes running along.
        reread: bytes of open files that were read.
    """

    def __init__(self, driver: StorageDriver) -> None:
        super().__init__(driver)
        self.hashed = 0
        self.reread = 0

    @override
    async def open(self, path: str) -> Reader:
        return _Reader(await super().open(path), self)

    @override
    async def writer(self, path: str, *, append: bool = False, hashes: Sequence[Hash] = ()) -> Writer:
        counted = [_Hash(each, self) for each in hashes]
        return await super().writer(path, append=append, hashes=counted)


class _Reader(ForwardingReader):
    def __init__(self, reader: Reader, counter: CountingDriver) -> None:
        super().__init__(reader)
        self._counter = counter

    @override
    async def chunks(self, offset: int, length: int) -> AsyncGenerator[Chunk, None]:
        async for chunk in super().chunks(offset, length):
            self._counter.reread += len(chunk)
            yield chunk


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
