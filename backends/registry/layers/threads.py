"""Threads that read layers: below what serves requests in the kernel's eyes, and gone within a piece at the end."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Callable
from typing import TypeVar

from backends.storage.completion import run_to_completion
from backends.thread_pool import ThreadPool

T = TypeVar("T")

LOWEST = 19


class Threads:
    """A few threads.

    Args:
        count: how many.
        below: by how much the kernel prefers the process's other threads, 0 to 19.
    """

    def __init__(self, count: int, *, below: int) -> None:
        self._count = count
        self._below = below
        self._pool: ThreadPool | None = None
        self._ending = threading.Event()

    def is_ending(self) -> bool:
        """Whether what runs should end."""
        return self._ending.is_set()

    async def run(self, work: Callable[[], T]) -> T:
        """Runs work in one of them, to its end even if the caller is cancelled."""
        if self._pool is None:
            self._pool = ThreadPool(self._count, thread_name_prefix="layers", initializer=self._lower)
        return await run_to_completion(asyncio.get_running_loop().run_in_executor(self._pool, work))

    def _lower(self) -> None:
        thread = threading.get_native_id()
        now = os.getpriority(os.PRIO_PROCESS, thread)
        os.setpriority(os.PRIO_PROCESS, thread, min(LOWEST, now + self._below))  # Linux: of a thread

    def end(self) -> None:
        """Tells what runs to end."""
        self._ending.set()

    async def close(self) -> None:
        """Ends them; the work in them was told to end."""
        self.end()
        if self._pool is not None:
            await asyncio.to_thread(self._pool.shutdown)
