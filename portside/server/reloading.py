"""What changes while serving: tried in the parent, sent to each worker by a pipe, applied whole or not at all."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import pickle
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from portside.server.proposals import Change

_LENGTH = 4
_PIECE = 65536

_log = logging.getLogger("portside.serving")


def send_change(descriptor: int, change: Change) -> bool:
    """Sends a change to a worker, without waiting; False when the worker does not read any more."""
    data = pickle.dumps(change)
    data = len(data).to_bytes(_LENGTH, "big") + data
    try:
        return os.write(descriptor, data) == len(data)
    except (BlockingIOError, BrokenPipeError):
        return False


class ChangeReader:
    """A worker's end of the pipe.

    Args:
        descriptor: the pipe's reading end.
        apply: takes a change over; they come one after another.
    """

    def __init__(self, descriptor: int, apply: Callable[[Change], Awaitable[None]]) -> None:
        self._descriptor = descriptor
        self._apply = apply
        self._loop = asyncio.get_running_loop()
        self._received = bytearray()
        self._changes: asyncio.Queue[Change] = asyncio.Queue()
        os.set_blocking(descriptor, False)
        self._loop.add_reader(descriptor, self._read)
        self._task = self._loop.create_task(self._take_over())

    def _read(self) -> None:
        with contextlib.suppress(BlockingIOError):
            data = os.read(self._descriptor, _PIECE)
            if not data:  # the parent has gone; `serve_here` looks for that itself
                self._loop.remove_reader(self._descriptor)
            self._received += data
        while len(self._received) >= _LENGTH:
            end = _LENGTH + int.from_bytes(self._received[:_LENGTH], "big")
            if len(self._received) < end:
                return
            # Only our parent writes to the pipe.
            self._changes.put_nowait(pickle.loads(bytes(self._received[_LENGTH:end])))  # noqa: S301
            del self._received[:end]

    async def _take_over(self) -> None:
        while True:
            change = await self._changes.get()
            try:
                await self._apply(change)
            except Exception:  # noqa: BLE001 - the last net: later changes are still to come
                _log.exception("a change of the settings could not be applied")

    async def stop(self) -> None:
        """Takes no more."""
        self._loop.remove_reader(self._descriptor)
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
