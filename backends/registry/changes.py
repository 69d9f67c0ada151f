"""What changed and who did it: every change of the store is carried out, noted and told here."""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from enum import Enum
from typing import TypeVar

from backends.model.actor import Actor
from backends.registry.events import Telling
from backends.storage.completion import run_to_completion

T = TypeVar("T")

_log = logging.getLogger("portside.registry")


class Change(Enum):
    """What happens to something in the store, how much a log of its own minds it, and the name of its `EventAction`."""

    PUSHED = ("pushed", logging.DEBUG, "PUSH")
    MOUNTED = ("mounted", logging.DEBUG, "MOUNT")
    DELETED = ("deleted", logging.INFO, "DELETE")

    def __init__(self, word: str, level: int, action: str) -> None:
        self.word = word
        self.level = level
        self.action = action


async def carry_out(
    work: Awaitable[T],
    change: Change,
    what: str,
    repository: str,
    *,
    actor: Actor,
    telling: Telling | None = None,
) -> T:
    """Carries out a change to its end, whatever cancels the caller meanwhile, and tells that it is done.

    A change that cannot be told, since the disk is full, has happened all the same: its request fails, and a client
    that repeats it has it told then.

    Args:
        work: changes something; what it did is durable when it returns.
        change: what happens.
        what: to what, with its kind: `tag latest`, `blob sha256:...`.
        repository: where; "" for what belongs to none (a v1 image).
        actor: by whom.
        telling: what is told of it (`events`), durable when this returns; None where nobody wants events, or they have
            no word for it.

    Raises:
        StorageError: it happened and cannot be told; or what `work` raises, then nothing is told.
    """

    async def noted() -> T:
        result = await work
        if _log.isEnabledFor(change.level):
            where = f" of {repository}" if repository else ""
            _log.log(change.level, "%s %s%s by %s", change.word, what, where, actor)
        if telling is not None:
            await telling.record(change.action, actor=actor)
        return result

    return await run_to_completion(noted())
