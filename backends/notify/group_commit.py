"""What is appended at the same time is one write and one sync, in a thread; what may be lost waits a second for it."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from backends.notify.records import Kind
from backends.storage.completion import run_to_completion
from backends.storage.driver import StorageError
from backends.thread_pool import ThreadPool

Entry = tuple[Kind, bytes]

NOTE_SECONDS = 1.0
"""An event that was noted is written within so long."""

MOST_NOTED = 10_000
MOST_NOTED_BYTES = 16 * 1024 * 1024
"""So many, and so large together, are kept in memory while they cannot be written; then the oldest are lost."""

_log = logging.getLogger("portside.notifications")


@dataclass(frozen=True, slots=True)
class _Waiting:
    entries: Sequence[Entry]
    done: asyncio.Future[None]


class GroupCommit:
    """Collects what several tasks append.

    Args:
        write: writes entries in the order given, durably if the second argument is true. It is called in a thread,
            never twice at once, and raises StorageError.
        on_written: called in the event loop afterwards.
    """

    def __init__(self, write: Callable[[Sequence[Entry], bool], object], on_written: Callable[[], None]) -> None:
        self._write = write
        self._on_written = on_written
        self._executor = ThreadPool(1, thread_name_prefix="events")
        self._waiting: list[_Waiting] = []
        self._noted: deque[Entry] = deque()
        self._noted_bytes = 0
        self._committing: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._lost = 0

    async def append(self, contents: Sequence[bytes]) -> None:
        """Returns when all of them are durable; raises StorageError when they are not."""
        done = asyncio.get_running_loop().create_future()
        self._waiting.append(_Waiting([(Kind.EVENT, content) for content in contents], done))
        self._start()
        await done

    def note(self, content: bytes) -> None:
        """Has it written with what is appended next, or within a second."""
        self._noted.append((Kind.PULL, content))
        self._noted_bytes += len(content)
        self._lose_oldest()
        self._set_timer()

    async def run(self, work: Callable[[], object]) -> None:
        """Calls something in the thread that writes."""
        await run_to_completion(asyncio.get_running_loop().run_in_executor(self._executor, work))

    async def close(self) -> None:
        """Writes what was noted, if it can be."""
        if self._timer is not None:
            self._timer.cancel()
        if self._noted:
            self._start()
        if self._committing is not None:
            await self._committing
        if self._timer is not None:  # it could not
            self._timer.cancel()
        await asyncio.get_running_loop().run_in_executor(None, self._executor.shutdown)

    def _set_timer(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(NOTE_SECONDS, self._start)

    def _start(self) -> None:
        if self._committing is None:
            self._committing = asyncio.get_running_loop().create_task(self._commit())

    async def _commit(self) -> None:
        try:
            while self._waiting or self._noted:
                if self._timer is not None:
                    self._timer.cancel()
                    self._timer = None
                if not await self._commit_once() and not self._waiting:
                    break
        finally:
            self._committing = None

    async def _commit_once(self) -> bool:
        waiting, self._waiting = self._waiting, []
        noted, self._noted, self._noted_bytes = self._noted, deque(), 0
        entries = [*noted, *(entry for each in waiting for entry in each.entries)]
        try:
            await asyncio.get_running_loop().run_in_executor(self._executor, self._write, entries, bool(waiting))
        except Exception as error:  # noqa: BLE001 - whoever waits gets it
            for each in waiting:
                if not each.done.done():
                    each.done.set_exception(error)
            self._keep(noted, error)
            return False
        for each in waiting:
            if not each.done.done():
                each.done.set_result(None)
        if self._lost:
            _log.warning("%d pull events were lost while the log of events could not be written", self._lost)
            self._lost = 0
        self._on_written()
        return True

    def _keep(self, noted: deque[Entry], error: Exception) -> None:
        """Keeps what was noted for the next attempt."""
        if not isinstance(error, StorageError):
            _log.error("events cannot be written", exc_info=error)
        if noted:
            noted.extend(self._noted)
            self._noted, self._noted_bytes = noted, sum(len(content) for _, content in noted)
            self._lose_oldest()
            self._set_timer()

    def _lose_oldest(self) -> None:
        while len(self._noted) > MOST_NOTED or self._noted_bytes > MOST_NOTED_BYTES:
            self._noted_bytes -= len(self._noted.popleft()[1])
            self._lost += 1
