"""The scheme `silly`, for development: whoever sends any credentials is let in, as by distribution's. PURE."""

from __future__ import annotations

from collections.abc import Sequence

from backends.auth.challenges import bearer
from backends.auth.credentials import Credentials
from backends.auth.identity import Caller, Identity
from backends.auth.schemes import Wanted


class Silly:
    """Lets everybody in who sends anything.

    Args:
        realm: where clients are told to get a token.
        service: for which they are to ask.
    """

    name = "silly"

    def __init__(self, realm: str, service: str) -> None:
        self._realm = realm
        self._service = service

    async def identify(self, credentials: Credentials | None, caller: Caller) -> Identity | None:  # noqa: ARG002 - a scheme
        """Returns the user `silly` for whatever was sent."""
        return None if credentials is None else Identity("silly", self.name)

    def challenge(self, caller: Caller, wanted: Sequence[Wanted], error: str = "") -> str:  # noqa: ARG002 - a scheme
        """Returns distribution's challenge, which has a scope for each action."""
        scopes = [f"{each.kind}:{each.name}:{action}" for each in wanted for action in each.actions]
        return bearer(self._realm, self._service, scopes)
