"""Work that must complete although its caller is cancelled.

A client that hangs up cancels its handler. A thread that works on a descriptor then, or a commit that has moved a blob
and not yet linked it, must complete first; after that the cancellation is raised.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def run_to_completion(work: Awaitable[T]) -> T:
    """Awaits `work` until it is done, even if the caller is cancelled meanwhile.

    Raises:
        asyncio.CancelledError: the caller was cancelled; `work` is done all the same, and its failure is the cause.
    """
    future = asyncio.ensure_future(work)
    cancelled = False
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        raise asyncio.CancelledError from (None if future.cancelled() else future.exception())
    return future.result()
