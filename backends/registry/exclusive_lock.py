"""Being alone at something among all processes that share a storage; who waits too long gets the protocol's answer."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from backends.model.errors import ErrorCode, RegistryError
from backends.storage.locks import LockHeld, Locks

PATIENCE_SECONDS = 300.0


@asynccontextmanager
async def exclusive_lock(locks: Locks, name: str, *, patience: float = PATIENCE_SECONDS) -> AsyncIterator[None]:
    """Waits until nobody else holds this lock, and holds it.

    The wait ends when the task is cancelled, so enter this before `run_to_completion`, never within it: a client that
    has gone must not keep waiting.

    Raises:
        RegistryError: UNAVAILABLE: somebody else held it for longer than `patience` seconds.
    """
    async with AsyncExitStack() as stack:
        try:
            await stack.enter_async_context(locks.hold(name, patience=patience))
        except LockHeld:
            raise RegistryError(
                ErrorCode.UNAVAILABLE,
                "another request has been busy with the same thing for a long time; send this one again later",
            ) from None
        yield
