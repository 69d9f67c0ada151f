"""The log on disk, shared by all processes of the installation."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn, TypeVar

from backends.notify.appending import Appender
from backends.notify.file_queue import FileQueue
from backends.notify.group_commit import Entry, GroupCommit
from backends.notify.log import UNKNOWN, Place, QueueReport
from backends.notify.places import Places
from backends.notify.reporting import report_queues
from backends.notify.segments import Segments
from backends.notify.settings import NotifySettings
from backends.notify.trimming import Trimmed, Trimmer
from backends.storage import layout
from backends.storage.completion import run_to_completion
from backends.storage.driver import StorageError
from backends.storage.os_errors import map_os_errors
from backends.thread_pool import ThreadPool

T = TypeVar("T")

TEND_SECONDS = 60.0
"""How often it is looked at what may be deleted, beside each new file of the log."""

FORGET_SECONDS = 24 * 3600.0
"""An endpoint to which nobody has sent for so long, all that time in which this process ran, loses its place."""

NEAR = 0.9
"""With so much of its bound left, the log counts as being at it still."""

THREADS = 2

_log = logging.getLogger("portside.notifications")


class FileLog:
    """`EventLog` below the root of a storage on a file system.

    Args:
        root: the folder of the storage; it exists.
        settings: endpoints and bounds.
    """

    def __init__(self, root: Path, settings: NotifySettings) -> None:
        with map_os_errors(str(root)):
            self._root = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        self._keys = tuple(endpoint.key for endpoint in settings.endpoints)
        self._places = Places(self._root)
        self._appender = Appender(self._root, segment_bytes=settings.segment_bytes, floor=self._places.highest)
        self._commits = GroupCommit(self._write, self._wake)
        self._trimmer = Trimmer(settings.disk_bytes)
        self._threads = ThreadPool(THREADS, thread_name_prefix="event queues")
        self._is_prepared = False
        self._is_well = False  # whether it could be written when it was tried last
        self._files = 0
        self._wakers: set[asyncio.Event] = set()
        self._tending = asyncio.Event()
        self._opened_at = time.monotonic()
        self._dropping = False
        self._is_closed = False

    async def prepare(self) -> None:
        await self._commits.run(self._prepare)

    async def probe(self) -> None:
        if not self._is_well:
            await self._commits.run(self._prepare)

    async def append(self, events: Sequence[bytes]) -> None:
        await self._commits.append(events)

    def note(self, event: bytes) -> None:
        self._commits.note(event)

    async def open_queue(self, key: str) -> FileQueue | None:
        if not self._is_prepared:
            await self.prepare()
        path = layout.event_endpoint(key)
        lock = await run_to_completion(self.submit(path, self._places.lock, key))
        if lock is None:
            return None
        try:
            place = await self.submit(path, self._places.read, key)
            state = await self.submit(path, self._places.read_state, key)
        except BaseException:
            os.close(lock)
            raise
        waker = asyncio.Event()
        self._wakers.add(waker)
        # Without a place it was removed since this process started: then everything that is there is sent.
        place = place or Place(UNKNOWN)
        return FileQueue(self._root, self._places, key, place, self, state=state, waker=waker, lock=lock)

    async def watch(self) -> NoReturn:
        while True:
            try:
                await self.tend()
            except StorageError as error:
                _log.warning("the log of events cannot be trimmed: %s", error)
            except Exception:  # noqa: BLE001 - the last net: what fails once must not end it for good
                _log.exception("trimming the log of events failed")
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(TEND_SECONDS):
                    await self._tending.wait()
            self._tending.clear()

    async def tend(self) -> None:
        """Deletes what may and what must go, unless another process is at it."""
        trimmed = await run_to_completion(self.submit(layout.EVENT_LOG, self._trim))
        if trimmed is not None:
            self._tell(trimmed)

    async def report(self) -> Sequence[QueueReport]:
        return await self.submit(layout.EVENTS, report_queues, self._root)

    async def close(self) -> None:
        if self._is_closed:
            return
        self._is_closed = True
        await self._commits.close()
        await asyncio.get_running_loop().run_in_executor(None, self._close)

    def _close(self) -> None:
        self._threads.shutdown()
        self._appender.close()
        os.close(self._root)

    # for queues

    def submit(self, path: str, work: Callable[..., T], *arguments: object) -> asyncio.Future[T]:
        """Starts work in a thread; what it raises of OSError becomes a StorageError about the path."""

        def mapped() -> T:
            with map_os_errors(path):
                return work(*arguments)

        return asyncio.get_running_loop().run_in_executor(self._threads, mapped)

    def forget_waker(self, waker: asyncio.Event) -> None:
        """Says that nobody waits for it any more."""
        self._wakers.discard(waker)

    def file_taken(self) -> None:
        """Says that an endpoint has taken all of a file."""
        self._tending.set()

    # in threads

    def _prepare(self) -> None:
        with map_os_errors(layout.EVENTS):
            self._appender.at_end(self._create_places)
        self._is_prepared = self._is_well = True

    def _create_places(self, end: int) -> None:
        for key in self._keys:
            if self._places.read(key) is None:
                self._places.create(key, Place(end))

    def _write(self, entries: Sequence[Entry], durable: bool) -> None:  # noqa: FBT001 - run_in_executor passes by position
        if not self._is_prepared:
            self._prepare()
        self._is_well = False
        with map_os_errors(layout.EVENT_LOG):
            self._appender.append(entries, durable=durable)
        self._is_well = True

    def _trim(self) -> Trimmed | None:
        try:
            segments = Segments(self._root, make=False)
        except FileNotFoundError:
            return None
        lock = None
        try:
            lock = segments.lock()
            if lock is None:
                return None
            self._forget()
            return self._trimmer.trim(segments, self._places)
        finally:
            if lock is not None:
                os.close(lock)
            segments.close()

    def _forget(self) -> None:
        """Removes endpoints that are not configured any more."""
        if time.monotonic() - self._opened_at < FORGET_SECONDS:
            return
        for key in self._places.keys():  # noqa: SIM118 - a method of ours
            if key not in self._keys and time.time() - self._places.last_used(key) > FORGET_SECONDS:
                self._places.forget(key)
                _log.info("the queue of endpoint %s is removed: nobody has sent to it for a day", key)

    # in the event loop

    def _wake(self) -> None:
        for waker in self._wakers:
            waker.set()
        if self._appender.files_begun != self._files:
            self._files = self._appender.files_begun
            self._tending.set()

    def _tell(self, trimmed: Trimmed) -> None:
        is_dropping = bool(trimmed.events or trimmed.pulls)
        if is_dropping and not self._dropping:
            _log.warning(
                "the log of events has reached its bound (gateway.notifications.disk), so the oldest are dropped before"
                " every endpoint has taken them: `portside notifications` shows which endpoint is behind"
            )
        self._dropping = is_dropping or (self._dropping and trimmed.size > NEAR * self._trimmer.disk_bytes)
