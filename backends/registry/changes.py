"""What changed and who did it: every change of the store is carried out and noted here."""

from __future__ import annotations

import logging
from collections.abc import Awaitable
from enum import Enum
from typing import TypeVar

from backends.model.actor import Actor
from backends.storage.completion import run_to_completion

T = TypeVar("T")

_log = logging.getLogger("portside.registry")


class Change(Enum):
    """What happens to something in the store, and how much a log of its own minds it."""

    PUSHED = ("pushed", logging.DEBUG)
    MOUNTED = ("mounted", logging.DEBUG)
    DELETED = ("deleted", logging.INFO)

    def __init__(self, word: str, level: int) -> None:
        self.word = word
        self.level = level


async def carry_out(work: Awaitable[T], change: Change, what: str, repository: str, *, actor: Actor) -> T:
    """Carries out a change to its end, whatever cancels the caller meanwhile, and notes that it is done.

    Args:
        work: changes something; what it did is durable when it returns.
        change: what happens.
        what: to what, with its kind: `tag latest`, `blob sha256:...`.
        repository: where; "" for what belongs to none (a v1 image).
        actor: by whom.
    """

    async def noted() -> T:
        result = await work
        if _log.isEnabledFor(change.level):
            where = f" of {repository}" if repository else ""
            _log.log(change.level, "%s %s%s by %s", change.word, what, where, actor)
        return result

    return await run_to_completion(noted())
