"""The conversions that a process is making; each goes on when those who wait for it leave."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from backends.model.conversion.derived import DerivedManifest
from backends.registry.derived.making import Conversion
from backends.registry.still_working import StillWorking

if TYPE_CHECKING:
    from backends.registry.derived.images import Progress

AT_ONCE = 1000
"""So many conversions are taken on by a process; for more, clients come again."""

Make = Callable[["Progress"], Coroutine[Any, Any, DerivedManifest]]
"""Makes a conversion, and tells how far it is."""


@dataclass(frozen=True, slots=True)
class _Running:
    """A conversion that is being made."""

    task: asyncio.Task[DerivedManifest]
    progress: Progress


class Running:
    """All of them; each is made once, whoever else asks for it."""

    def __init__(self) -> None:
        self._running: dict[Conversion, _Running] = {}
        self._is_closed = False

    async def wait(self, wanted: Conversion, make: Make, *, patience: float | None) -> DerivedManifest:
        """Returns what a conversion gives; begins it unless it is being made.

        Args:
            wanted: the conversion.
            make: makes it.
            patience: seconds to wait; None for as long as it takes.

        Raises:
            StillWorking: it takes longer; the work goes on.
            Exception: what `make` raised.
        """
        running = self._running.get(wanted)
        if running is None:
            if self._is_closed:
                raise StillWorking("the conversion has not begun")
            if len(self._running) >= AT_ONCE:
                raise StillWorking(f"{AT_ONCE} other conversions are being made")
            running = self._begin(wanted, make)
        # The work goes on when its client leaves: another one asks for the same soon.
        await asyncio.wait([running.task], timeout=patience)
        if not running.task.done() or running.task.cancelled():
            raise StillWorking(running.progress.text)
        return running.task.result()

    def _begin(self, wanted: Conversion, make: Make) -> _Running:
        from backends.registry.derived.images import Progress  # noqa: PLC0415 - only conversion needs it

        progress = Progress()
        running = _Running(asyncio.create_task(make(progress)), progress)
        self._running[wanted] = running
        running.task.add_done_callback(lambda task: self._end(wanted, task))
        return running

    def _end(self, wanted: Conversion, task: asyncio.Task[DerivedManifest]) -> None:
        del self._running[wanted]
        if not task.cancelled():
            task.exception()  # whoever waits for it gets it; perhaps nobody does any more

    async def close(self) -> None:
        """Stops what is being made, and begins no more; what is stored of it is used when it is next asked for.

        Who waits for it is told that it is not done.
        """
        self._is_closed = True
        tasks = [running.task for running in self._running.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
