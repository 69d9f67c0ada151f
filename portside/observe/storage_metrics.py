"""How long storage takes, by distribution's name, labels and actions (`registry/storage/driver/base`)."""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter

from typing_extensions import override

from backends.dependencies import NOTED
from backends.storage.capabilities import clear, write_several
from backends.storage.driver import FileInfo, StorageDriver
from backends.storage.forwarding_driver import ForwardingDriver
from portside.observe.metrics import Metrics, Times

ACTIONS = ("GetContent", "PutContent", "Stat", "List", "Move", "Delete")


class MeteredDriver(ForwardingDriver):
    """Measures what a driver is asked for; failures count too, as in distribution.

    Large files are left out, as there: reading and writing them takes as long as the client does.

    Args:
        driver: does the work.
        name: `filesystem` or `inmemory`.
        metrics: where the figures go.
    """

    def __init__(self, driver: StorageDriver, name: str, metrics: Metrics) -> None:
        super().__init__(driver)
        self._read, self._write, self._stat, self._list, self._move, self._delete = (
            metrics.time_storage(name, action) for action in ACTIONS
        )

    @override
    async def read(self, path: str) -> bytes:
        began = perf_counter()
        try:
            return await self.driver.read(path)
        finally:
            self._read.add(began)
            _time_again(self._read)

    @override
    async def write(self, path: str, content: bytes, *, durable: bool = True) -> None:
        began = perf_counter()
        try:
            await self.driver.write(path, content, durable=durable)
        finally:
            self._write.add(began)

    @override
    async def stat(self, path: str) -> FileInfo:
        began = perf_counter()
        try:
            return await self.driver.stat(path)
        finally:
            self._stat.add(began)
            _time_again(self._stat)

    @override
    async def list(self, path: str) -> Sequence[str]:
        began = perf_counter()
        try:
            return await self.driver.list(path)
        finally:
            self._list.add(began)

    @override
    async def move(self, source: str, target: str) -> None:
        began = perf_counter()
        try:
            await self.driver.move(source, target)
        finally:
            self._move.add(began)

    @override
    async def delete(self, path: str, *, durable: bool = True) -> None:
        began = perf_counter()
        try:
            await self.driver.delete(path, durable=durable)
        finally:
            self._delete.add(began)

    @override
    async def write_several(self, files: Sequence[tuple[str, bytes]], *, durable: bool = True) -> None:
        began = perf_counter()
        try:
            await write_several(self.driver, files, durable=durable)
        finally:
            self._write.add(began)

    @override
    async def clear(self, folder: str, names: Sequence[str]) -> None:
        began = perf_counter()
        try:
            await clear(self.driver, folder, names)
        finally:
            self._delete.add(began)


def _time_again(times: Times) -> None:
    """Has what storage was just asked be measured too whenever it is asked again for an answer that is kept."""
    noted = NOTED.get()
    if noted is None or noted.is_refused or not noted.questions:
        return
    question = noted.questions.pop()

    def ask() -> bool:
        began = perf_counter()
        try:
            return question()
        finally:
            times.add(began)

    noted.questions.append(ask)
