"""Exclusive locks among all processes that share a storage: the interface, and locks in memory.

A lock is a name (`layout` makes them). It is held while a context is entered, and released when its process ends in any
way; it has no file of its own, no recorded owner and no expiry.

Locks are not reentrant: acquiring one that the same task holds waits for `patience` and fails.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Protocol

from backends.storage.driver import StorageError


class LockHeld(StorageError):  # noqa: N818 - a finding, not a fault; reads as a sentence where caught
    """Another task or process holds this lock."""

    transient = True


class Locks(Protocol):
    """The locks of one storage."""

    def hold(self, name: str, *, patience: float = 0.0) -> AbstractAsyncContextManager[None]:
        """Holds a lock while the context is entered.

        A task that is cancelled while it waits stops waiting at once.

        Args:
            name: any text, of any length.
            patience: seconds to wait while another holds it; 0 tries once.

        Raises:
            LockHeld: another held it all that time.
            StorageError: this storage cannot lock; the message says why.
        """
        ...

    async def close(self) -> None:
        """Releases resources; no lock may be held any more."""
        ...


class MemoryLocks:
    """`Locks` among the tasks of one process, in the order in which they asked."""

    def __init__(self) -> None:
        self._known: dict[str, _Lock] = {}

    @asynccontextmanager
    async def hold(self, name: str, *, patience: float = 0.0) -> AsyncIterator[None]:
        lock = self._known.setdefault(name, _Lock())
        lock.wanted += 1
        try:
            await _acquire(lock.mutex, name, patience)
            try:
                yield
            finally:
                lock.mutex.release()
        finally:
            lock.wanted -= 1
            if not lock.wanted:
                del self._known[name]

    async def close(self) -> None:
        """There is nothing to release."""


@dataclass(slots=True)
class _Lock:
    mutex: asyncio.Lock = field(default_factory=asyncio.Lock)
    wanted: int = 0


async def _acquire(mutex: asyncio.Lock, name: str, patience: float) -> None:
    try:
        async with asyncio.timeout(patience):
            await mutex.acquire()
    except TimeoutError:
        raise LockHeld(name) from None
