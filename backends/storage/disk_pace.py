"""Whether a disk keeps up with what is written to it, so that the event loop may write without a thread.

write(2) copies into the kernel's memory, which takes less time than a thread is told of it. But where a disk falls
behind, the kernel makes whoever writes wait, up to 200 ms at a time, and in the loop everybody else with it. Where that
begins is a limit of the machine, a cgroup or a device, which no one place tells. So a disk is believed only after it
has shown its pace: the last fsync of some megabytes was fast, and no write has taken long for a while.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

TELLING_BYTES: Final = 4 * 1024 * 1024
"""An fsync of fewer bytes tells how long a disk takes to answer, not how much it takes."""
FAST: Final = 400e6
"""Bytes a second, of all that is synced at once: about what a machine of two cores can receive."""
RECENT_SECONDS: Final = 1.0
"""What was written in this span and the one before counts; what is older may be on the disk already."""
SLOW_SECONDS: Final = 0.01
"""A write to memory takes a hundredth of that, and some milliseconds now and then while others sync."""
ONCE_SECONDS: Final = 1.0
"""A disk is not believed for so long after a slow write, whatever its fsyncs are like: any disk has its moments."""
CALM_SECONDS: Final = 10.0
"""For so long after a slow write that had another one before it, not longer ago than that."""


@dataclass(slots=True)
class Sync:
    """An fsync that goes on.

    Attributes:
        recent: bytes that were written shortly before it.
        at_once: so many went on at most while it did, itself included.
    """

    recent: int
    at_once: int


class DiskPace:
    """What one process has seen of a disk; for one thread.

    Args:
        clock: seconds, from any beginning.

    Attributes:
        keeps_up: whether the event loop may write to it.
    """

    __slots__ = (
        "_calm",
        "_clock",
        "_earlier_bytes",
        "_not_before",
        "_since",
        "_slow",
        "_syncs",
        "_written_bytes",
        "keeps_up",
    )

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._not_before = self._since = self._slow = float("-inf")
        self._calm = ONCE_SECONDS
        self._written_bytes = self._earlier_bytes = 0  # in this span, and in the one before
        self._syncs: list[Sync] = []
        self.keeps_up = False

    def wrote(self, size: int, seconds: float) -> None:
        """Says that bytes were written, in the event loop or in a thread.

        What a throttled disk has taken by then makes its fsync look fast; its writes are slow.

        Args:
            size: how many, a megabyte at most.
            seconds: what that took.
        """
        now = self._clock()
        self._recent(now)
        self._written_bytes += size
        if seconds > SLOW_SECONDS:
            self.keeps_up = False
            since = now - self._slow
            if since > ONCE_SECONDS:  # several writes at once are slow for the same reason
                self._calm = CALM_SECONDS if since < CALM_SECONDS else ONCE_SECONDS
                self._slow = now
            self._not_before = now + self._calm

    def sync_began(self) -> Sync:
        """Says that an fsync begins; returns what is to be given back at its end."""
        at_once = len(self._syncs) + 1
        for other in self._syncs:
            other.at_once = max(other.at_once, at_once)
        sync = Sync(self._recent(self._clock()), at_once)
        self._syncs.append(sync)
        return sync

    def sync_ended(self, sync: Sync, size: int, seconds: float | None) -> None:
        """Says that one has ended.

        Those that went on with it had their share of the disk, whichever of them ends first.

        Args:
            sync: which one.
            size: of the file in bytes.
            seconds: what it took; None where it failed.
        """
        self._syncs = [each for each in self._syncs if each is not sync]
        now = self._clock()
        told = min(size * sync.at_once, max(sync.recent, self._recent(now)))
        if seconds is not None and told >= TELLING_BYTES:
            self.keeps_up = told >= FAST * seconds and now >= self._not_before

    def _recent(self, now: float) -> int:
        """Bytes that were written lately."""
        passed = now - self._since
        if passed >= RECENT_SECONDS:
            self._earlier_bytes = self._written_bytes if passed < 2 * RECENT_SECONDS else 0
            self._written_bytes = 0
            self._since = now
        return self._earlier_bytes + self._written_bytes
