"""The scheme of an index's tokens: who shows one may do what the index says, in one repository.

An index names no user. To the rules of this registry, its tokens' holders are the user `v1:index`: both must allow.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from backends.auth.credentials import Credentials, IndexToken
from backends.auth.identity import Caller, Identity
from backends.auth.index_server import IndexServer
from backends.auth.index_tokens import IndexGrants, fits_method, repository_of
from backends.auth.rules import USERS_ALL, Decision, Rules, Scope, is_somebody
from backends.auth.schemes import Failure, Wanted, WrongCredentials
from backends.model.actions import Action
from backends.model.names import ImageId

USER = "v1:index"
"""No password file, and nobody who logs in with a password, has a name with a colon."""

CHALLENGE = "Token"
"""As docker-registry 0.9.1; Docker itself does not read it."""


@dataclass(frozen=True, slots=True)
class _AskedFor:
    """The index, asked for the holder of one token."""

    server: IndexServer
    token: IndexToken = field(repr=False)
    address: str

    async def lets_have(self, image: ImageId) -> bool:
        return await self.server.lets_have(image, self.token, address=self.address)

    async def images(self) -> Sequence[str]:
        return await self.server.images_now(self.token, address=self.address)


class IndexScheme:
    """The scheme.

    Args:
        server: says whether a token is good.
    """

    name = "index"

    def __init__(self, server: IndexServer) -> None:
        self._server = server

    async def identify(self, credentials: Credentials | None, caller: Caller) -> Identity | None:
        """Returns who shows a token.

        Raises:
            WrongCredentials: the index refuses it, or it is not for such a request.
            Busy: the index cannot say now.
        """
        if not isinstance(credentials, IndexToken):
            return None
        if not fits_method(credentials.access, caller.method):
            why = f"a token with access={credentials.access[:20]} is not for {caller.method[:20]}"
            raise WrongCredentials(why, failure=Failure.SCOPE)
        try:
            name = repository_of(credentials)
            ids = await self._server.images(credentials, address=caller.address)
        except ValueError as error:
            raise WrongCredentials(str(error), failure=Failure.MALFORMED) from None
        if ids is None:
            raise WrongCredentials("the index refuses the token", failure=Failure.TOKEN)
        index = _AskedFor(self._server, credentials, caller.address)
        return Identity(USER, self.name, grants=IndexGrants(name, credentials.access, ids, index))

    def challenge(self, caller: Caller, wanted: Sequence[Wanted], error: str = "") -> str | None:  # noqa: ARG002 - as every scheme
        """Returns docker-registry's challenge."""
        return CHALLENGE


@dataclass(frozen=True, slots=True)
class OnlySomebody:
    """The rules of a registry whose index must allow everything, too: they allow nobody anything without a token.

    Attributes:
        rules: what decides about all others.
    """

    rules: Rules
    allows_anonymous: bool = field(default=False, init=False)

    def decide(self, identity: Identity, action: Action, name: str) -> Decision:
        """Returns what the rules say; of nobody, no."""
        rules = self.rules if is_somebody(identity) or action is Action.NONE else USERS_ALL
        return rules.decide(identity, action, name)

    def scope(self, identity: Identity, action: Action) -> Scope:
        """Returns what decides about many names; of nobody, nothing."""
        return (self.rules if is_somebody(identity) else USERS_ALL).scope(identity, action)


def beside_an_index(rules: Callable[[], Rules]) -> Callable[[], Rules]:
    """Returns the rules that hold beside an index; those that hold where there is no file need no change."""

    def current() -> Rules:
        found = rules()
        return found if found is USERS_ALL else OnlySomebody(found)

    return current
