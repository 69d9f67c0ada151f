"""A log in this process's memory, for a storage in memory and for registries that are read-only."""

from __future__ import annotations

import asyncio
import contextlib
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import replace
from typing import NoReturn

from backends.notify.log import Batch, Place, QueueReport, SenderState
from backends.notify.positions import Position
from backends.notify.records import Kind, Record
from backends.notify.settings import NotifySettings

AT_ONCE = 500
OVERHEAD = 128
"""Bytes that an event takes beside its content, about."""


class MemoryLog:
    """`EventLog` that lasts as long as this process."""

    def __init__(self, settings: NotifySettings) -> None:
        self._bound = settings.disk_bytes
        self._places = {endpoint.key: Place(0) for endpoint in settings.endpoints}
        self._states: dict[str, SenderState] = {}
        self._records: list[Record] = []
        self._bytes = 0
        self._last = 0
        self._wakers: set[asyncio.Event] = set()

    async def prepare(self) -> None:
        """Every endpoint has a place."""

    async def probe(self) -> None:
        """Memory can be written."""

    async def append(self, events: Sequence[bytes]) -> None:
        for event in events:
            self._add(Kind.EVENT, event)
        self._wake()

    def note(self, event: bytes) -> None:
        self._add(Kind.PULL, event)
        self._wake()

    async def open_queue(self, key: str) -> MemoryQueue:
        waker = asyncio.Event()
        self._wakers.add(waker)
        place = self._places.setdefault(key, Place(self._last))
        return MemoryQueue(self, key, place, self._states.get(key, SenderState()), waker)

    async def watch(self) -> NoReturn:
        while True:
            await asyncio.Event().wait()  # what is taken goes at once

    async def report(self) -> Sequence[QueueReport]:
        first = self._records[0].sequence if self._records else self._last + 1
        found = []
        for key, place in sorted(self._places.items()):
            losing = max(0, first - 1 - place.sequence)
            state = self._states.get(key, SenderState())
            found.append(QueueReport(key, self._last - place.sequence - losing, losing, place, state))
        return found

    async def close(self) -> None:
        """There is nothing to release."""

    # for queues

    def after(self, sequence: int) -> Sequence[Record]:
        """Returns the next records."""
        start = bisect_right(self._records, sequence, key=lambda record: record.sequence)
        return self._records[start : start + AT_ONCE]

    def advance(self, key: str, place: Place) -> None:
        """Takes note of an endpoint's place, and lets go of what all have taken."""
        self._places[key] = place
        taken = min(place.sequence for place in self._places.values())
        self._drop(bisect_right(self._records, taken, key=lambda record: record.sequence))

    def tell(self, key: str, state: SenderState) -> None:
        """Takes note of what a sender says."""
        self._states[key] = state

    def forget_waker(self, waker: asyncio.Event) -> None:
        """Says that nobody waits for it any more."""
        self._wakers.discard(waker)

    def _add(self, kind: Kind, content: bytes) -> None:
        self._last += 1
        self._records.append(Record(self._last, kind, content))
        self._bytes += len(content) + OVERHEAD
        if self._bytes > self._bound:
            self._make_room()

    def _make_room(self) -> None:
        """Drops the oldest pulls until a tenth is free again, then the oldest events."""
        wanted = self._bound - self._bound // 10
        kept: list[Record] = []
        for record in self._records:
            if self._bytes <= wanted or record.kind is Kind.EVENT:
                kept.append(record)
                continue
            number = int(record.payload) if record.kind is Kind.DROPPED else 1
            self._bytes -= _size(record)
            if kept and kept[-1].kind is Kind.DROPPED:
                number += int(kept[-1].payload)
                self._bytes -= _size(kept.pop())
            kept.append(Record(record.sequence, Kind.DROPPED, b"%d" % number))
            self._bytes += _size(kept[-1])
        self._records = kept
        count, size = 0, self._bytes
        while size > wanted and count < len(kept) - 1:
            size -= _size(kept[count])
            count += 1
        self._drop(count)

    def _drop(self, count: int) -> None:
        self._bytes -= sum(map(_size, self._records[:count]))
        del self._records[:count]

    def _wake(self) -> None:
        for waker in self._wakers:
            waker.set()


class MemoryQueue:
    """`Queue` of a log in memory."""

    def __init__(self, log: MemoryLog, key: str, place: Place, state: SenderState, waker: asyncio.Event) -> None:
        self._log = log
        self._key = key
        self._waker = waker
        self._position = Position(place.sequence)
        self.place = place
        self.state = state

    async def read(self) -> Batch:
        self._waker.clear()
        records = self._log.after(self._position.sequence)
        return replace(self._position.take(records), more=len(records) == AT_ONCE)

    async def advance(self, place: Place) -> None:
        self._log.advance(self._key, place)
        self.place = place

    async def tell(self, state: SenderState) -> None:
        self._log.tell(self._key, state)

    async def wait(self, seconds: float) -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._waker.wait()

    async def close(self) -> None:
        self._log.forget_waker(self._waker)


def _size(record: Record) -> int:
    return len(record.payload) + OVERHEAD
