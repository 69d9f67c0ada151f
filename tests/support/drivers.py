"""Drivers around drivers: one that forwards everything, and those that differ from it in one thing."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from dataclasses import replace
from typing import TypeVar

from typing_extensions import override

from backends.storage.capabilities import LinksFiles, capability
from backends.storage.driver import Chunk, Reader, StorageDriver, StorageFull, Tee, Writer
from backends.storage.forwarding_driver import ForwardingDriver
from backends.storage.storage import Storage

__all__ = ["ForwardingDriver", "ForwardingReader", "ForwardingWriter"]

Wrapper = TypeVar("Wrapper", bound=StorageDriver)


def wrapped(storage: Storage, wrap: Callable[[StorageDriver], Wrapper]) -> tuple[Storage, Wrapper]:
    """Puts a driver around a storage's; its locks stay what they are."""
    driver = wrap(storage.driver)
    return replace(storage, driver=driver), driver


class ForwardingWriter:
    """A `Writer` that asks another one."""

    def __init__(self, writer: Writer) -> None:
        self.writer = writer

    @property
    def size(self) -> int:
        return self.writer.size

    async def write(self, chunk: Chunk) -> None:
        await self.writer.write(chunk)

    async def flush(self) -> None:
        await self.writer.flush()

    async def sync(self) -> None:
        await self.writer.sync()

    async def close(self) -> None:
        await self.writer.close()


class ForwardingReader:
    """A `Reader` that asks another one."""

    def __init__(self, reader: Reader) -> None:
        self.reader = reader

    @property
    def size(self) -> int:
        return self.reader.size

    async def chunks(self, offset: int, length: int) -> AsyncGenerator[Chunk, None]:
        async for chunk in self.reader.chunks(offset, length):
            yield chunk

    def close(self) -> None:
        self.reader.close()


def links_of(driver: StorageDriver) -> LinksFiles:
    """A driver, as what gives files second names."""
    linker = capability(driver, LinksFiles)
    assert linker is not None
    return linker


class Unlinked(ForwardingDriver):
    """A driver whose file system gives no file a second name."""

    async def link(self, source: str, target: str) -> bool:  # noqa: ARG002 - it never does
        return False

    async def repair(self, source: str, target: str) -> int | None:  # noqa: ARG002 - no file has two
        return None


class Died(BaseException):
    """The process is no more: nothing catches this."""


class Failing(ForwardingDriver):
    """A driver (with links) that fails at its `steps`-th change.

    Args:
        driver: does the work.
        steps: so many changes succeed.
        dies: the process dies then, and nothing more is done; else the disk is full for that one change.
    """

    def __init__(self, driver: StorageDriver, steps: int, *, dies: bool) -> None:
        super().__init__(driver)
        self._left = steps
        self._dies = dies
        self.failed = False

    def step(self, *, frees: bool = False) -> None:
        """Counts a change; one that `frees` space works on a full disk too."""
        if self.failed and self._dies:
            raise Died
        if frees and not self._dies:
            return
        if self._left == 0 and not self.failed:
            self.failed = True
            if self._dies:
                raise Died
            raise StorageFull("no room")
        self._left -= 1

    @override
    async def write(self, path: str, content: bytes, *, durable: bool = True) -> None:
        self.step()
        await super().write(path, content, durable=durable)

    @override
    async def writer(self, path: str, *, append: bool = False, durable: bool = True, tee: Tee | None = None) -> Writer:
        self.step()
        return FailingWriter(await super().writer(path, append=append, durable=durable, tee=tee), self.step)

    @override
    async def move(self, source: str, target: str) -> None:
        self.step()
        await super().move(source, target)

    async def link(self, source: str, target: str) -> bool:
        self.step()
        return await links_of(self.driver).link(source, target)

    async def repair(self, source: str, target: str) -> int | None:
        self.step()
        return await links_of(self.driver).repair(source, target)

    @override
    async def delete(self, path: str, *, durable: bool = True) -> None:
        self.step(frees=True)
        await super().delete(path, durable=durable)


class FailingWriter(ForwardingWriter):
    """A writer of it."""

    def __init__(self, writer: Writer, step: Callable[[], None]) -> None:
        super().__init__(writer)
        self._step = step

    @override
    async def write(self, chunk: Chunk) -> None:
        self._step()
        await super().write(chunk)

    @override
    async def sync(self) -> None:
        self._step()
        await super().sync()
