"""Waiting to the end even when cancelled.

A client that hangs up cancels its handler. What is under way then, a thread that works on a descriptor, a commit that
has moved a blob and not yet linked it, must come to its end first: afterwards the cancellation goes on its way.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


async def run_to_completion(work: Awaitable[T]) -> T:
    """Awaits `work` to its end, whatever cancels the caller meanwhile.

    Raises:
        asyncio.CancelledError: the caller was cancelled; `work` has ended all the same.
    """
    future = asyncio.ensure_future(work)
    cancelled = False
    while not future.done():
        try:
            await asyncio.wait([future])
        except asyncio.CancelledError:
            cancelled = True
    if cancelled:
        if not future.cancelled():
            future.exception()  # marked as seen; the cancellation is what the caller hears of
        raise asyncio.CancelledError
    return future.result()
