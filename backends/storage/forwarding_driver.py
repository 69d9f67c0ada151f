"""A driver around another one, which it asks for everything; others derive from it and differ in something."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from backends.storage.capabilities import remove_empty
from backends.storage.driver import FileInfo, PathNotFound, Reader, StorageDriver, Tee, Writer


class ForwardingDriver:
    """A `StorageDriver` that asks another one, whose capabilities are found through it (`capabilities`)."""

    def __init__(self, driver: StorageDriver) -> None:
        self.driver = driver
        self.boot_id = driver.boot_id

    def unwrap(self) -> StorageDriver:
        return self.driver

    async def read(self, path: str) -> bytes:
        return await self.driver.read(path)

    async def write(self, path: str, content: bytes, *, durable: bool = True) -> None:
        await self.driver.write(path, content, durable=durable)

    async def open(self, path: str) -> Reader:
        return await self.driver.open(path)

    async def writer(self, path: str, *, append: bool = False, durable: bool = True, tee: Tee | None = None) -> Writer:
        return await self.driver.writer(path, append=append, durable=durable, tee=tee)

    async def stat(self, path: str) -> FileInfo:
        return await self.driver.stat(path)

    async def list(self, path: str) -> Sequence[str]:
        return await self.driver.list(path)

    async def move(self, source: str, target: str) -> None:
        await self.driver.move(source, target)

    async def delete(self, path: str, *, durable: bool = True) -> None:
        await self.driver.delete(path, durable=durable)

    async def ensure_durable(self, *paths: str) -> None:
        await self.driver.ensure_durable(*paths)

    async def close(self) -> None:
        await self.driver.close()

    # a capability that every wrapper has, so that what it changes of `write` and `delete` holds here, too

    async def write_several(self, files: Sequence[tuple[str, bytes]], *, durable: bool = True) -> None:
        for path, content in files:
            await self.write(path, content, durable=durable)

    async def clear(self, folder: str, names: Sequence[str]) -> None:
        for name in names:
            with suppress(PathNotFound):
                await self.delete(f"{folder}/{name}", durable=False)
        await remove_empty(self, folder)
