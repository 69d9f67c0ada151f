"""Who is told of logins and refusals, for the metrics."""

from __future__ import annotations

from typing import Protocol

from backends.auth.schemes import Failure


class AuthObserver(Protocol):
    """Counts what it is told."""

    def logged_in(self, scheme: str) -> None:
        """Somebody has asked whether credentials are good, and they are."""
        ...

    def failed(self, scheme: str, failure: Failure) -> None:
        """Somebody was refused; the scheme is "" where none takes the credentials."""
        ...


class NobodyCounts:
    """Nobody counts."""

    def logged_in(self, scheme: str) -> None:
        """Does nothing."""

    def failed(self, scheme: str, failure: Failure) -> None:
        """Does nothing."""
