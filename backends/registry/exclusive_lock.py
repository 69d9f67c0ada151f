"""Locks for requests: who waits too long is told to try again later."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager

from backends.model.errors import ErrorCode, RegistryError
from backends.storage.locks import LockHeld, Locks

PATIENCE_SECONDS = 300.0


@asynccontextmanager
async def exclusive_lock(locks: Locks, name: str, *, patience: float = PATIENCE_SECONDS) -> AsyncIterator[None]:
    """Acquires a lock and holds it alone while the context is entered.

    The wait ends when the task is cancelled, so enter this outside `run_to_completion`, not within it: a client that
    has hung up must not keep waiting.

    Raises:
        RegistryError: UNAVAILABLE: another request held it for longer than `patience` seconds.
    """
    async with _patiently(locks.hold(name, patience=patience)):
        yield


@asynccontextmanager
async def shared_lock(locks: Locks, name: str, *, patience: float = PATIENCE_SECONDS) -> AsyncIterator[None]:
    """Acquires a lock and shares it while the context is entered; as `exclusive_lock` otherwise."""
    async with _patiently(locks.hold(name, patience=patience, shared=True)):
        yield


@asynccontextmanager
async def _patiently(holding: AbstractAsyncContextManager[None]) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(holding)
        except LockHeld:
            raise RegistryError(
                ErrorCode.UNAVAILABLE,
                "another request has been busy with the same thing for a long time; send this one again later",
            ) from None
        yield
