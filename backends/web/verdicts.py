"""What becomes of what a request touches: decided by who asks, never by what is there. PURE."""

from __future__ import annotations

from enum import Enum

from backends.auth.identity import Identity
from backends.auth.schemes import Failure
from backends.model.actions import Action


class Verdict(Enum):
    """What becomes of one access."""

    ALLOWED = "allowed"
    UNKNOWN_CALLER = "it needs credentials"
    OUT_OF_SCOPE = "the token does not reach so far"
    HIDDEN = "it is to look like what is not there"
    DENIED = "the rules do not allow it"

    @property
    def failure(self) -> Failure:
        """Returns as what a refusal is counted."""
        match self:
            case Verdict.UNKNOWN_CALLER:
                return Failure.ANONYMOUS
            case Verdict.OUT_OF_SCOPE:
                return Failure.SCOPE
            case _:
                return Failure.DENIED


def judge(identity: Identity, action: Action, *, is_granted: bool, is_allowed: bool, may_pull: bool) -> Verdict:
    """Returns what becomes of an access.

    Args:
        identity: who asks.
        action: what for.
        is_granted: whether its credentials reach so far.
        is_allowed: whether the rules allow it.
        may_pull: whether it may know that the thing is there.
    """
    if is_granted and is_allowed:
        return Verdict.ALLOWED
    if not identity.user and identity.grants is None:
        return Verdict.UNKNOWN_CALLER
    if not is_granted:
        return Verdict.OUT_OF_SCOPE
    # That a push is refused says nothing of what is there; that a deletion is, does.
    if action is Action.PUSH or (action is Action.DELETE and may_pull):
        return Verdict.DENIED
    return Verdict.HIDDEN
