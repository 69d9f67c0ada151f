"""A storage driver over another one that counts the bytes which pass through a hash or are read to be hashed."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence

from typing_extensions import override

from backends.storage.driver import Chunk, Reader, StorageDriver, Tee, Writer
from tests.support.drivers import ForwardingDriver, ForwardingReader


class CountingDriver(ForwardingDriver):
    """Counts.

    Attributes:
        hashed: bytes that were shown to a `Tee`, which hashes them.
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
    async def writer(self, path: str, *, append: bool = False, durable: bool = True, tee: Tee | None = None) -> Writer:
        def counted(chunks: Sequence[Chunk]) -> None:
            if tee is not None:
                self.hashed += sum(len(chunk) for chunk in chunks)
                tee(chunks)

        return await super().writer(path, append=append, durable=durable, tee=counted)


class _Reader(ForwardingReader):
    def __init__(self, reader: Reader, counter: CountingDriver) -> None:
        super().__init__(reader)
        self._counter = counter

    @override
    async def chunks(self, offset: int, length: int) -> AsyncGenerator[Chunk, None]:
        async for chunk in super().chunks(offset, length):
            self._counter.reread += len(chunk)
            yield chunk
