"""A server that dies: both registries in one process that ends by SIGKILL, at a moment that the test chooses.

Run as a program it is a nursery. It imports everything and binds the ports once, and for each line on its standard
input, `<number> <fault>`, forks a child that serves from a folder and has one fault (number 0: none, it lives until it
is killed from outside). It answers with the child's pid. The faults:
- `before`, `after`: it dies before or after the n-th operation of the storage driver that changes files;
- `unsynced`: it dies where it would have synced a folder for the n-th time;
- `error`: there the disk reports an error, and it lives.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import os
import select
import signal
import socket
import stat
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from typing_extensions import override

from backends.registry.store import Store
from backends.storage.driver import StorageDriver, Tee, Writer
from backends.storage.factory import open_folder
from backends.storage.storage import Storage
from backends.v1.registry import Registry as V1Registry
from backends.v1.settings import V1Settings
from backends.v2.registry import Registry as V2Registry
from backends.v2.settings import V2Settings
from portside.server.grammar import refuse
from portside.server.listening import BoundListener, Listener, TcpAddress
from portside.server.serving import Handler, serve_here
from tests.support.drivers import ForwardingDriver, ForwardingWriter, links_of

if TYPE_CHECKING:
    from _typeshed import HasFileno


class KillingDriver(ForwardingDriver):
    """A storage driver that kills its process at the n-th operation that changes files."""

    def __init__(self, driver: StorageDriver, fatal: int, *, before: bool, log: int) -> None:
        super().__init__(driver)
        self._fatal = fatal
        self._before = before
        self._count = 0
        self._log = log

    @contextlib.contextmanager
    def change(self, what: str) -> Iterator[None]:
        """Counts an operation; at the fatal one the process ends before it or after it."""
        self._count += 1
        fatal = self._count == self._fatal
        if fatal:
            os.write(self._log, f"{'before' if self._before else 'after'} {what}\n".encode())
        if fatal and self._before:
            os.kill(os.getpid(), signal.SIGKILL)
        try:
            yield
        finally:
            if fatal:
                os.kill(os.getpid(), signal.SIGKILL)

    @override
    async def write(self, path: str, content: bytes, *, durable: bool = True) -> None:
        with self.change(f"write {_kind(path)}"):
            await super().write(path, content, durable=durable)

    @override
    async def writer(self, path: str, *, append: bool = False, durable: bool = True, tee: Tee | None = None) -> Writer:
        with self.change(f"writer {_kind(path)}"):
            return KillingWriter(await super().writer(path, append=append, durable=durable, tee=tee), self, _kind(path))

    @override
    async def move(self, source: str, target: str) -> None:
        with self.change(f"move to {_kind(target)}"):
            await super().move(source, target)

    async def link(self, source: str, target: str) -> bool:
        with self.change(f"link to {_kind(target)}"):
            return await links_of(self.driver).link(source, target)

    async def repair(self, source: str, target: str) -> int | None:
        with self.change(f"repair {_kind(target)}"):
            return await links_of(self.driver).repair(source, target)

    @override
    async def delete(self, path: str, *, durable: bool = True) -> None:
        with self.change(f"delete {_kind(path)}"):
            await super().delete(path, durable=durable)


class KillingWriter(ForwardingWriter):
    """A writer whose syncs count."""

    def __init__(self, writer: Writer, driver: KillingDriver, kind: str) -> None:
        super().__init__(writer)
        self._driver = driver
        self._kind = kind

    @override
    async def sync(self) -> None:
        with self._driver.change(f"sync {self._kind}"):
            await super().sync()


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
    storage: Storage

    def change(self, values: object) -> None:
        raise NotImplementedError("nothing changes here")

    @property
    def refusals(self) -> dict[str, Handler]:
        return dict.fromkeys(self.handlers, refuse)

    async def drain(self) -> None:
        """Does nothing: nobody waits for anything here."""

    async def close(self) -> None:
        await self.storage.close()


def _break_folder_sync(number: int, *, dies: bool) -> None:
    """Has the n-th sync of a folder fail, or kill this process."""
    sync, count = os.fsync, 0

    def failing(fd: int | HasFileno) -> None:
        nonlocal count
        if isinstance(fd, int) and stat.S_ISDIR(os.fstat(fd).st_mode):
            count += 1
            if count == number and dies:
                os.kill(os.getpid(), signal.SIGKILL)
            if count == number:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
        sync(fd)

    os.fsync = failing


def _serve(root: Path, bound: Sequence[BoundListener], number: int, fault: str, *, ready: int, alive: int) -> None:
    fatal = number if fault in {"before", "after"} else 0

    async def build() -> _Services:
        opened = open_folder(root)
        storage = replace(opened, driver=KillingDriver(opened.driver, fatal, before=fault == "before", log=ready))
        store = Store(storage)
        handlers = {
            "v1": V1Registry(store, V1Settings()).handle,
            "v2": V2Registry(store, V2Settings()).handle,
        }
        return _Services(handlers, storage)

    def tell() -> None:
        if fault in {"unsynced", "error"}:
            _break_folder_sync(number, dies=fault == "unsynced")
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
        number, fault = line.split()
        pid = os.fork()
        if pid == 0:
            _serve(root, bound, int(number), fault, ready=1, alive=alive)
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
