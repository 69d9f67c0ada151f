"""Locks among all processes that share a storage: the interface, and locks in memory.

A lock is a name (`layout` makes them). It is held while a context is entered, and released when its process ends in any
way; it has no file of its own, no recorded owner and no expiry. One holds it alone, or any number share it.

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

    def hold(self, name: str, *, patience: float = 0.0, shared: bool = False) -> AbstractAsyncContextManager[None]:
        """Holds a lock while the context is entered.

        A task that is cancelled while it waits stops waiting at once.

        Args:
            name: any text, of any length.
            patience: seconds to wait while another holds it; 0 tries once.
            shared: with all others that share it; otherwise alone. Within a process nobody is overtaken; among
                processes, those who share it may keep one who wants it alone waiting.

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
    async def hold(self, name: str, *, patience: float = 0.0, shared: bool = False) -> AsyncIterator[None]:
        lock = self._known.setdefault(name, _Lock())
        lock.wanted += 1
        try:
            try:
                async with asyncio.timeout(patience):
                    await (lock.share() if shared else lock.take())
            except TimeoutError:
                raise LockHeld(name) from None
            try:
                yield
            finally:
                if shared:
                    lock.leave()
                else:
                    lock.mutex.release()
        finally:
            lock.wanted -= 1
            if not lock.wanted:
                del self._known[name]

    async def close(self) -> None:
        """There is nothing to release."""


@dataclass(slots=True)
class _Lock:
    """A lock that somebody holds or waits for.

    Attributes:
        mutex: held by who has the lock alone, or waits for those who share it to leave; everybody passes through it.
        nobody_shares: not set while somebody does.
        sharing: how many do.
        wanted: how many hold the lock or wait for it.
    """

    mutex: asyncio.Lock = field(default_factory=asyncio.Lock)
    nobody_shares: asyncio.Event | None = None
    sharing: int = 0
    wanted: int = 0

    async def take(self) -> None:
        await self.mutex.acquire()
        if not self.sharing:
            return
        self.nobody_shares = asyncio.Event()
        try:
            await self.nobody_shares.wait()
        except BaseException:
            self.mutex.release()
            raise
        finally:
            self.nobody_shares = None

    async def share(self) -> None:
        async with self.mutex:
            self.sharing += 1

    def leave(self) -> None:
        self.sharing -= 1
        if not self.sharing and self.nobody_shares is not None:
            self.nobody_shares.set()
