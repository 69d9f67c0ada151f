"""Writing what comes from elsewhere: where both sides can, in the moment that it is received.

A coroutine that is woken for each piece finds it in a slower cache: with eight clients, after those of seven others.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from typing import Protocol, runtime_checkable

from backends.storage.driver import Chunk, Writer

Take = Callable[[Sequence[Chunk]], bool]
"""Takes pieces, at once and all of them; returns whether it can take more before it has been waited for."""


@runtime_checkable
class Pours(Protocol):
    """A source that calls somebody with each piece."""

    async def pour(self, take: Take) -> bool:
        """Calls `take` with what has come, and with what comes, until it wants to be waited for or nothing more comes.

        What `take` raises is raised here.

        Returns:
            whether that was all.
        """
        ...


@runtime_checkable
class TakesAtOnce(Protocol):
    """A `Writer` that can write without being awaited, as long as that is quick."""

    def take(self, chunks: Sequence[Chunk]) -> bool:
        """Appends chunks; returns False when `catch_up` is to be awaited before the next ones."""
        ...

    async def catch_up(self) -> None:
        """Waits until it can take more."""
        ...


async def write_from(chunks: AsyncIterator[Chunk], writer: Writer) -> None:
    """Writes all that comes; what the writer keeps back is for its `flush`.

    Args:
        chunks: where it comes from.
        writer: where it goes.
    """
    if isinstance(chunks, Pours) and isinstance(writer, TakesAtOnce):
        while not await chunks.pour(writer.take):
            await writer.catch_up()
    else:
        async for chunk in chunks:
            await writer.write(chunk)
