"""Whether a disk keeps up with what is written to it, so that the event loop may write without a thread.

write(2) copies into the kernel's memory, which takes less time than a thread is told of it. But where a disk falls
behind, the kernel makes whoever writes wait, up to 200 ms at a time, and in the loop everybody else with it. Where that
begins is a limit of the machine, a cgroup or a device, which no one place tells. So a disk is believed only after it
has shown its pace: the last fsync of some megabytes was fast, and no write has taken long since.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

TELLING_BYTES: Final = 4 * 1024 * 1024
"""An fsync of fewer bytes tells how long a disk takes to answer, not how much it takes."""
FAST: Final = 400e6
"""Bytes a second, of all that is synced at once: about what a machine of two cores can receive."""
RECENT_SECONDS: Final = 2.0
"""What was written longer ago may be on the disk already, and tells nothing."""
SLOW_SECONDS: Final = 0.01
"""A write to memory takes a hundredth of that, and some milliseconds now and then while others sync."""
CALM_SECONDS: Final = 10.0
"""A disk on which a write was slow is not believed for so long, whatever its fsyncs are like."""


class DiskPace:
    """What one process has seen of a disk; for one thread.

    Args:
        clock: seconds, from any beginning.

    Attributes:
        keeps_up: whether the event loop may write to it.
    """

    __slots__ = ("_clock", "_not_before", "_recent", "_since", "_syncing", "keeps_up")

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._not_before = self._since = float("-inf")
        self._recent = 0
        self._syncing = 0
        self.keeps_up = False

    def wrote(self, size: int, seconds: float) -> None:
        """Says that bytes were written, in the event loop or in a thread.

        What a throttled disk has taken by then makes its fsync look fast; its writes are slow.

        Args:
            size: how many, a megabyte at most.
            seconds: what that took.
        """
        now = self._clock()
        if now - self._since > RECENT_SECONDS:
            self._since, self._recent = now, 0
        self._recent += size
        if seconds > SLOW_SECONDS:
            self.keeps_up = False
            self._not_before = now + CALM_SECONDS

    def sync_began(self) -> None:
        """Says that an fsync begins."""
        self._syncing += 1

    def sync_ended(self, size: int, seconds: float | None) -> None:
        """Says that one has ended.

        Args:
            size: of the file in bytes.
            seconds: what it took; None where it failed.
        """
        at_once, self._syncing = self._syncing, self._syncing - 1
        now = self._clock()
        told = min(size * at_once, self._recent) if now - self._since <= 2 * RECENT_SECONDS else 0
        if seconds is not None and told >= TELLING_BYTES:
            self.keeps_up = told >= FAST * seconds and now >= self._not_before
