"""What changed and who did it: every service says it here, once it has happened."""

from __future__ import annotations

import logging
from enum import Enum

from backends.model.actor import Actor

_log = logging.getLogger("portside.registry")


class Change(Enum):
    """What happens to something in the store, and how much a log of its own minds it."""

    PUSHED = ("pushed", logging.DEBUG)
    MOUNTED = ("mounted", logging.DEBUG)
    DELETED = ("deleted", logging.INFO)

    def __init__(self, word: str, level: int) -> None:
        self.word = word
        self.level = level


def note_change(change: Change, what: str, repository: str, *, actor: Actor) -> None:
    """Notes a change that is done and durable.

    Args:
        change: what happened.
        what: to what, with its kind: `tag latest`, `blob sha256:...`.
        repository: where; "" for what belongs to none (a v1 image).
        actor: by whom.
    """
    if _log.isEnabledFor(change.level):
        _log.log(change.level, "%s %s%s by %s", change.word, what, f" of {repository}" if repository else "", actor)
