"""How long the event loop of a test serves nobody else."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import time
from collections.abc import AsyncIterator

CPU_SECONDS = 0.03
"""What the event loop's own thread may work at one go; the client of the test is in it too."""


@contextlib.asynccontextmanager
async def pauses() -> AsyncIterator[list[tuple[float, float]]]:
    """Notes how long the event loop serves nobody else: in the CPU time of its own thread, and in all."""
    seen: list[tuple[float, float]] = []

    async def tick() -> None:
        while True:
            cpu, wall = time.thread_time(), time.perf_counter()
            await asyncio.sleep(0)
            seen.append((time.thread_time() - cpu, time.perf_counter() - wall))

    gc.collect()
    gc.freeze()  # as a worker does when it has started: what the tests hold is not to be looked through meanwhile
    ticking = asyncio.create_task(tick())
    await asyncio.sleep(0)
    try:
        yield seen
        await asyncio.sleep(0)  # it may not have given way once
    finally:
        ticking.cancel()
        gc.unfreeze()
