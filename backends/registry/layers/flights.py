"""Work that several wait for, and that goes on without them.

Who asks for what is being worked on waits for that: it is done once in this process. Who waits no longer, for whatever
reason, leaves it going on. What has failed is not tried again for a minute.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Hashable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Generic, TypeVar

from typing_extensions import override

from backends.model.cache import Cache
from backends.registry.layers.errors import UnreadableLayer
from backends.registry.still_working import StillWorking
from backends.storage.locks import LockHeld
from backends.storage.storage import Storage

T = TypeVar("T")

WAITING = 1000
"""So many pieces of work are taken on; for more, callers come again."""

REFUSED_SECONDS = 1.0
"""So long does it take to be told that nothing more is taken on."""

WAIT_SECONDS = 24 * 3600.0
"""So long is another process waited for that reads the same layer; its end, of whatever kind, ends the wait."""

FAILED_SECONDS = 60.0
FAILURES = 1000

_log = logging.getLogger("portside.layers")


@dataclass(slots=True)
class Progress:
    """How far a piece of work is.

    Attributes:
        what: names it in a sentence.
        is_elsewhere: whether another process is at it.
        total: how many bytes it reads; 0 while it has not begun.
        done: how many it has read.
        waiting: how many callers wait for it now.
        hurried: how many of them are in a hurry.
    """

    what: str
    is_elsewhere: bool = False
    total: int = 0
    done: int = 0
    waiting: int = 0
    hurried: int = 0

    def is_hurried(self) -> bool:
        """Whether somebody is in a hurry."""
        return self.hurried > 0

    @override
    def __str__(self) -> str:
        if self.is_elsewhere:
            return f"{self.what} is being read by another process"
        if not self.total:
            return f"{self.what} waits for its turn"
        return f"{self.what} is being read, {_size(self.done)} of {_size(self.total)} so far"


@dataclass(slots=True)
class _Flight(Generic[T]):
    progress: Progress
    left: asyncio.Future[None]
    task: asyncio.Task[T] = field(init=False)


class Flights:
    """All such work of a process."""

    def __init__(self) -> None:
        self._flying: dict[Hashable, _Flight[object]] = {}
        self._failed: Cache[Hashable, tuple[float, UnreadableLayer]] = Cache(bound=FAILURES)
        self._are_left = False
        self._is_closed = False

    async def join(
        self,
        key: Hashable,
        what: str,
        work: Callable[[Progress], Awaitable[T]],
        *,
        patience: float | None,
        hurried: bool = True,
    ) -> T:
        """Returns what work results in; begins it unless it is being done.

        Args:
            key: what the work is for.
            what: names it in a sentence.
            work: does it, and says how far it is.
            patience: seconds to wait; None for as long as it takes.
            hurried: whether the caller is in a hurry.

        Raises:
            StillWorking: it takes longer, or those who wait were told to leave.
            UnreadableLayer: it has failed, now or within the last minute.
            StorageError, RegistryError: it has failed.
        """
        loop = asyncio.get_running_loop()
        leaves = self._are_left and patience is not None
        flight = None if leaves else self._flying.get(key)
        if flight is None:
            self._refuse_what_has_failed(key, loop.time())
            if leaves or self._is_closed or len(self._flying) >= WAITING:
                # Who asks again at once would keep the loop busy.
                await asyncio.sleep(REFUSED_SECONDS if patience is None else min(patience, REFUSED_SECONDS))
                raise StillWorking(f"{what} waits for its turn")
            flight = _Flight(Progress(what), loop.create_future())
            flight.task = loop.create_task(self._fly(key, work, flight.progress), name=what)
            flight.task.add_done_callback(partial(_tell_if_nobody_waits, flight.progress))
            self._flying[key] = flight
        flight.progress.waiting += 1
        flight.progress.hurried += hurried
        try:
            ends: list[asyncio.Future[Any]] = [flight.task] if patience is None else [flight.task, flight.left]
            await asyncio.wait(ends, timeout=patience, return_when=asyncio.FIRST_COMPLETED)
        finally:
            flight.progress.waiting -= 1
            flight.progress.hurried -= hurried
        if not flight.task.done() or flight.task.cancelled():
            raise StillWorking(str(flight.progress))
        return flight.task.result()  # type: ignore[return-value]  # a key is for one kind of work

    async def _fly(self, key: Hashable, work: Callable[[Progress], Awaitable[T]], progress: Progress) -> T:
        try:
            return await work(progress)
        except UnreadableLayer as error:
            self._failed.put(key, (asyncio.get_running_loop().time() + FAILED_SECONDS, error))
            raise
        finally:
            del self._flying[key]

    def _refuse_what_has_failed(self, key: Hashable, now: float) -> None:
        try:
            until, error = self._failed[key]
        except KeyError:
            return
        if now < until:
            raise UnreadableLayer(str(error), damaged=error.damaged)
        self._failed.forget(key)

    def leave(self) -> None:
        """Tells those who wait only for a while that it is not done; it goes on."""
        self._are_left = True
        for flight in self._flying.values():
            if not flight.left.done():
                flight.left.set_result(None)

    async def close(self) -> None:
        """Ends all of it, as soon as each piece can; who waits is told that it is not done."""
        self._is_closed = True
        tasks = [flight.task for flight in self._flying.values()]
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, Exception):
                _log.debug("ended at the end of the process: %r", result)


@asynccontextmanager
async def alone(storage: Storage, lock: str, progress: Progress) -> AsyncIterator[None]:
    """Waits while another process does the same."""
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(storage.locks.hold(lock))
        except LockHeld:
            progress.is_elsewhere = True
            await stack.enter_async_context(storage.locks.hold(lock, patience=WAIT_SECONDS))
            progress.is_elsewhere = False
        yield


def _tell_if_nobody_waits(progress: Progress, task: asyncio.Task[object]) -> None:
    if task.cancelled() or (error := task.exception()) is None or progress.waiting:
        return
    _log.warning("%s was read for nothing: %s", progress.what, error)


def _size(count: int) -> str:
    for unit, least in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if count >= least:
            return f"{count / least:.1f} {unit}"
    return f"{count} bytes"
