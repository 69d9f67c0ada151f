"""Long loops on the event loop: what the kernel has in memory is answered without a pause, so nobody else is served."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterable
from typing import TypeVar

T = TypeVar("T")

IN_A_ROW = 64


async def yielding(items: Iterable[T]) -> AsyncGenerator[T, None]:
    """Yields items; after so many in a row it lets the event loop serve others too."""
    for number, item in enumerate(items, 1):
        yield item
        if number % IN_A_ROW == 0:
            await asyncio.sleep(0)
