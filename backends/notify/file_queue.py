"""An endpoint's place in the log on disk, held by the process that sends to it."""

from __future__ import annotations

import asyncio
import contextlib
import os
from collections.abc import Callable
from typing import Protocol, TypeVar

from backends.notify.log import Batch, Place, SenderState
from backends.notify.places import Places
from backends.notify.reading import LogReader
from backends.storage import layout
from backends.storage.completion import run_to_completion

T = TypeVar("T")

POLL_SECONDS = 0.2
"""How soon the events of other processes are found."""


class Threads(Protocol):
    """What a queue needs of its log."""

    def submit(self, path: str, work: Callable[..., T], *arguments: object) -> asyncio.Future[T]:
        """Starts work in a thread; what it raises of OSError becomes a StorageError about the path."""
        ...

    def forget_waker(self, waker: asyncio.Event) -> None:
        """Says that nobody waits for it any more."""
        ...

    def file_taken(self) -> None:
        """Says that an endpoint has taken all of a file, so that it may be deleted."""
        ...


class FileQueue:
    """`Queue` of the log on disk.

    Args:
        root: an open descriptor of the root, which the log closes.
        places: of all endpoints.
        key: of this one.
        place: where it is.
        state: what its sender last said.
        threads: the log.
        waker: set when this process has appended something.
        lock: a descriptor that keeps other processes out as long as it is open.
    """

    def __init__(
        self,
        root: int,
        places: Places,
        key: str,
        place: Place,
        threads: Threads,
        *,
        state: SenderState,
        waker: asyncio.Event,
        lock: int,
    ) -> None:
        self._places = places
        self._key = key
        self._threads = threads
        self._waker = waker
        self._lock = lock
        self._reader = LogReader(root, place.sequence)
        self._file = 0
        self.place = place
        self.state = state

    async def read(self) -> Batch:
        self._waker.clear()
        return await run_to_completion(self._threads.submit(layout.EVENT_LOG, self._read))

    def _read(self) -> Batch:
        self._places.require_lock(self._key, self._lock)  # another process may send already
        return self._reader.read()

    def _has_more(self) -> bool:
        return not self._places.is_locked(self._key, self._lock) or self._reader.has_more()

    async def advance(self, place: Place) -> None:
        await run_to_completion(self._threads.submit(layout.event_endpoint(self._key), self._advance, place))
        self.place = place
        if self._reader.first != self._file:
            self._file = self._reader.first
            self._threads.file_taken()

    def _advance(self, place: Place) -> None:
        self._reader.sync()
        self._places.write(self._key, place, lock=self._lock)

    async def tell(self, state: SenderState) -> None:
        path = layout.event_endpoint(self._key)
        await run_to_completion(self._threads.submit(path, self._tell, state))

    def _tell(self, state: SenderState) -> None:
        self._places.write_state(self._key, state, lock=self._lock)

    async def wait(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while (left := deadline - loop.time()) > 0:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(min(left, POLL_SECONDS)):
                    await self._waker.wait()
                    return
            if await run_to_completion(self._threads.submit(layout.EVENT_LOG, self._has_more)):
                return

    async def close(self) -> None:
        self._threads.forget_waker(self._waker)
        await run_to_completion(self._threads.submit(layout.EVENT_LOG, self._close))

    def _close(self) -> None:
        self._reader.close()
        os.close(self._lock)
