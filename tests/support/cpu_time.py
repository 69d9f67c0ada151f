"""How much CPU a piece of work takes, whatever else this process does."""

from __future__ import annotations

import time
from collections.abc import Callable


def cpu_seconds(work: Callable[[], object], *, times: int = 3) -> float:
    """The least of a few runs: garbage of earlier tests, collected in the middle of one, is not the work's own."""
    least = float("inf")
    for _ in range(times):
        began = time.thread_time()
        work()
        least = min(least, time.thread_time() - began)
    return least
