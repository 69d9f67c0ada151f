"""Layers as they are opened: counted, and held up until a test lets them go on."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from backends.storage.driver import Chunk, Reader, StorageDriver


class Source:
    """Opens a stored layer, and knows how often that was done.

    Args:
        driver: the storage.
        path: of the layer.
        held: whether its bytes wait for `let_go`.

    Attributes:
        opened: how often it was opened.
    """

    def __init__(self, driver: StorageDriver, path: str, *, held: bool = False) -> None:
        self._driver = driver
        self._path = path
        self.opened = 0
        self.began = asyncio.Event()
        self.free = asyncio.Event()
        if not held:
            self.free.set()

    async def __call__(self) -> Reader:
        self.opened += 1
        return _Held(await self._driver.open(self._path), self)


class _Held:
    def __init__(self, reader: Reader, source: Source) -> None:
        self._reader = reader
        self._source = source

    @property
    def size(self) -> int:
        return self._reader.size

    async def chunks(self, offset: int, length: int) -> AsyncGenerator[Chunk, None]:
        async for chunk in self._reader.chunks(offset, length):
            self._source.began.set()
            await self._source.free.wait()
            yield chunk

    def close(self) -> None:
        self._reader.close()
