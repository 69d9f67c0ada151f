"""A server that dies: both registries in one process that ends by SIGKILL, at a moment that the test chooses.

Run as a program it is a nursery. It imports everything and binds the ports once, and for each line on its standard
input, `<operation> <before|after>` (operation 0: live until killed from outside), forks a child that serves from a
storage driver which counts what changes files and kills its own process at that operation. It answers with the child's
pid.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import select
import signal
import socket
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from backends.model.digest import Hash
from backends.storage.driver import Chunk, FileInfo, Reader, Writer
from backends.storage.filesystem import FilesystemDriver
from backends.v1.registry import Registry as V1Registry
from backends.v1.settings import V1Settings
from backends.v2.registry import Registry as V2Registry
from backends.v2.settings import V2Settings
from portside.server.listening import BoundListener, Listener, TcpAddress
from portside.server.serving import Handler, serve_here


class KillingDriver:
    """A storage driver that kills its process at the n-th operation that changes files."""

    def __init__(self, driver: FilesystemDriver, fatal: int, *, before: bool, log: int) -> None:
        self._driver = driver
        self._fatal = fatal
        self._before = before
        self._count = 0
        self._log = log
        self.boot_id = driver.boot_id

    def enter(self, what: str) -> None:
        self._count += 1
        if self._count == self._fatal:
            os.write(self._log, f"{'before' if self._before else 'after'} {what}\n".encode())
        if self._count == self._fatal and self._before:
            os.kill(os.getpid(), signal.SIGKILL)

    def leave(self) -> None:
        if self._count == self._fatal and not self._before:
            os.kill(os.getpid(), signal.SIGKILL)

    async def read(self, path: str) -> bytes:
        return await self._driver.read(path)

    async def write(self, path: str, content: bytes, *, durable: bool = True) -> None:
        self.enter(f"write {_kind(path)}")
        try:
            await self._driver.write(path, content, durable=durable)
        finally:
            self.leave()

    async def open(self, path: str) -> Reader:
        return await self._driver.open(path)

    async def writer(self, path: str, *, append: bool = False, hashes: Sequence[Hash] = ()) -> Writer:
        self.enter(f"writer {_kind(path)}")
        try:
            return KillingWriter(await self._driver.writer(path, append=append, hashes=hashes), self, _kind(path))
        finally:
            self.leave()

    async def stat(self, path: str) -> FileInfo:
        return await self._driver.stat(path)

    async def list(self, path: str) -> Sequence[str]:
        return await self._driver.list(path)

    async def move(self, source: str, target: str) -> None:
        self.enter(f"move to {_kind(target)}")
        try:
            await self._driver.move(source, target)
        finally:
            self.leave()

    async def link(self, source: str, target: str) -> bool:
        self.enter(f"link to {_kind(target)}")
        try:
            return await self._driver.link(source, target)
        finally:
            self.leave()

    async def delete(self, path: str) -> None:
        self.enter(f"delete {_kind(path)}")
        try:
            await self._driver.delete(path)
        finally:
            self.leave()

    async def close(self) -> None:
        await self._driver.close()


class KillingWriter:
    """A writer whose syncs count."""

    def __init__(self, writer: Writer, driver: KillingDriver, kind: str) -> None:
        self._writer = writer
        self._driver = driver
        self._kind = kind

    @property
    def size(self) -> int:
        return self._writer.size

    async def write(self, chunk: Chunk) -> None:
        await self._writer.write(chunk)

    async def flush(self) -> None:
        await self._writer.flush()

    async def sync(self) -> None:
        self._driver.enter(f"sync {self._kind}")
        await self._writer.sync()
        self._driver.leave()

    async def close(self) -> None:
        await self._writer.close()


def _kind(path: str) -> str:
    """What a path is, without names and digests: the stage of a push that it belongs to."""
    if "/_uploads/" in path:
        return "upload " + path.rpartition("/")[2].partition("-")[0]
    for mark in ("/_layers/", "/_manifests/revisions/", "/current/", "/index/", "/blobs/", "/staging/", "/schema1/"):
        if mark in path:
            return mark.strip("/") + ("" if mark != "/staging/" else " " + path.rpartition("/")[2][:6])
    return path.rpartition("/")[2] if path.startswith("/images/") else "v1 " + path.rpartition("/")[2].partition("_")[0]


@dataclass(slots=True)
class _Services:
    handlers: dict[str, Handler]
    driver: KillingDriver

    async def close(self) -> None:
        await self.driver.close()


def _serve(root: Path, bound: Sequence[BoundListener], fatal: int, *, before: bool, ready: int, alive: int) -> None:
    async def build() -> _Services:
        driver = KillingDriver(FilesystemDriver(root), fatal, before=before, log=ready)
        handlers = {
            "v1": V1Registry(driver, V1Settings()).handle,
            "v2": V2Registry(driver, V2Settings()).handle,
        }
        return _Services(handlers, driver)

    def tell() -> None:
        os.write(ready, f"{os.getpid()}\n".encode())

    asyncio.run(serve_here(bound, [None] * len(bound), build, drain_seconds=0.1, ready=tell, parent=alive))


def main(root: Path) -> None:
    """The nursery."""
    bound: list[BoundListener] = []
    for name in ("v1", "v2"):
        listening = socket.create_server(("127.0.0.1", 0), backlog=128)
        listening.setblocking(False)
        bound.append(BoundListener(Listener(name, TcpAddress("127.0.0.1", 0)), (listening,)))
    sys.stdout.write(" ".join(str(each.port) for each in bound) + "\n")
    sys.stdout.flush()
    alive, _held = os.pipe()
    sockets = [each for listener in bound for each in listener.sockets]
    while line := _next_line(sockets):
        fatal, when = line.split()
        pid = os.fork()
        if pid == 0:
            _serve(root, bound, int(fatal), before=when == "before", ready=1, alive=alive)
            os._exit(0)
        os.waitpid(pid, 0)
        sys.stdout.write("dead\n")
        sys.stdout.flush()


def _next_line(sockets: Sequence[socket.socket]) -> str:
    """Waits for the next line; whoever connects while no server lives is turned away, rather than left waiting."""
    while True:
        ready, _, _ = select.select([sys.stdin, *sockets], [], [])
        for each in sockets:
            if each in ready:
                with contextlib.suppress(OSError):
                    each.accept()[0].close()
        if sys.stdin in ready:
            return sys.stdin.readline()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
