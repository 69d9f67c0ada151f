"""How many passwords all workers check at once: bcrypt leaves some cores to those who are logged in."""

from __future__ import annotations

import contextlib
import fcntl
import os
from collections.abc import Iterator

SHARE = 2
"""One core of so many checks passwords, where there are several."""


class CheckSlots:
    """Slots that the workers share; each is asked from one thread of a process only.

    They are locks of a file without a name, which the kernel takes back from a process that ends.

    Args:
        count: how many there are.
    """

    def __init__(self, count: int | None = None) -> None:
        self.count = count if count is not None else max(1, len(os.sched_getaffinity(0)) // SHARE)
        self._file = os.memfd_create("portside-checks", os.MFD_CLOEXEC)

    @contextlib.contextmanager
    def slot(self) -> Iterator[None]:
        """Waits for one, and holds it in the block."""
        taken = self._take()
        try:
            yield
        finally:
            fcntl.lockf(self._file, fcntl.LOCK_UN, 1, taken)

    def _take(self) -> int:
        for number in range(self.count):
            with contextlib.suppress(BlockingIOError):
                fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, number)
                return number
        # The same one is always waited for by a process, so that its waiters are served in their order.
        number = os.getpid() % self.count
        fcntl.lockf(self._file, fcntl.LOCK_EX, 1, number)
        return number
