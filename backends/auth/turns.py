"""So many at once, and those that wait take turns, fairly among those who ask (`check_queue`)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from backends.auth.check_queue import FairQueue


class FairTurns:
    """Like a semaphore, but one that asks for much waits behind itself.

    Args:
        at_once: how many may go on at the same time.
    """

    def __init__(self, at_once: int) -> None:
        self._free = at_once
        self._waiting: FairQueue[asyncio.Future[None]] = FairQueue()

    @asynccontextmanager
    async def turn(self, asker: str) -> AsyncIterator[None]:
        """Waits for a turn, which lasts for the block."""
        if self._free:
            self._free -= 1
        else:
            mine = asyncio.get_running_loop().create_future()
            self._waiting.add(asker, mine)
            try:
                await mine
            except asyncio.CancelledError:
                self._waiting.remove(asker, mine)
                if not mine.cancelled():  # it came in this very moment, and is another one's
                    self._pass_on()
                raise
        try:
            yield
        finally:
            self._pass_on()

    def _pass_on(self) -> None:
        while self._waiting:
            following = self._waiting.take()
            if not following.done():  # else it was cancelled, and is about to say so
                following.set_result(None)
                return
        self._free += 1
