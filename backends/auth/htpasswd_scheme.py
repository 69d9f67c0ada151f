"""The scheme `htpasswd`: Basic credentials, checked against a file of users."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from backends.auth.credentials import Basic, Credentials
from backends.auth.htpasswd import basic_challenge
from backends.auth.identity import Caller, Identity
from backends.auth.passwords import Passwords
from backends.auth.schemes import Wanted, WrongCredentials
from backends.model.cache import Cache

IDENTITIES = 10_000


class HtpasswdScheme:
    """Everybody whom the file names, by its password (`auth.htpasswd`).

    Args:
        realm: what clients are told to ask their user for.
        passwords: checks them.
    """

    name = "htpasswd"

    def __init__(self, realm: str, passwords: Passwords) -> None:
        self._challenge = basic_challenge(realm)
        self._passwords = passwords
        self._identities: Cache[str, Identity] = Cache(lambda user: Identity(user, self.name), bound=IDENTITIES)

    async def identify(self, credentials: Credentials | None, caller: Caller) -> Identity | None:
        """Returns the user whose password this is; None for what is neither user nor password.

        Raises:
            WrongCredentials: it is not, or there is no such user: nobody is told which.
            Busy: it cannot be checked now.
        """
        if not isinstance(credentials, Basic):
            return None
        if await self._passwords.check(credentials.user, credentials.password, caller.address):
            return self._identities[credentials.user]
        raise WrongCredentials("wrong user or password")

    def recall(self, authorization: str) -> Identity | None:
        """Returns the user whose credentials these are, where they were right before and are remembered."""
        user = self._passwords.recall(authorization)
        return None if user is None else self._identities[user]

    def recalling(self, authorization: str) -> Callable[[], Identity | None]:
        """Returns the same question without these credentials."""
        recall, identities = self._passwords.recalling(authorization), self._identities

        def ask() -> Identity | None:
            user = recall()
            return None if user is None else identities[user]

        return ask

    def challenge(self, caller: Caller, wanted: Sequence[Wanted], error: str = "") -> str | None:  # noqa: ARG002 - a scheme
        """Returns what asks for user and password, as distribution writes it."""
        return self._challenge
