"""What identities may do. PURE."""

from __future__ import annotations

from dataclasses import dataclass

from backends.auth.identity import Identity
from backends.model.actions import Action


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether something is allowed, and why.

    Attributes:
        is_allowed: whether it is.
        line: the line of the rules file that decided; None where none did.
        reason: a sentence.
    """

    is_allowed: bool
    line: int | None
    reason: str


class Rules:
    """Rules without a file: whoever is authenticated may do everything, and nobody else anything."""

    def decide(self, identity: Identity, action: Action, name: str) -> Decision:  # noqa: ARG002 - a file's rules look at them
        """Returns whether an identity may do something, its credentials' own limits aside.

        Args:
            identity: who.
            action: what; LOGIN, CATALOG and SEARCH with the name "".
            name: the repository by its canonical name.
        """
        if identity.is_anonymous:
            return Decision(False, None, "without a rules file nobody may do anything without credentials")
        return Decision(True, None, "without a rules file everybody with credentials may do everything")


USERS_ALL = Rules()
