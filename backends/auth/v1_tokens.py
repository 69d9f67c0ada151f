"""The `X-Docker-Token` of v1: who has begun to push, pull or delete in a repository shows it with all that follows.

Clients of v1 know no other way to say for which repository they ask for an image. So a token says who somebody is, and
limits them to one repository and to what they have begun there, for a while. What the rules allow is decided at each
request all the same.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote_plus

from backends.auth.credentials import Credentials, V1Token
from backends.auth.identity import Caller, Identity
from backends.auth.own_tokens import OwnToken, issue, verify
from backends.auth.schemes import Busy, Failure, Wanted, WrongCredentials
from backends.auth.signed_token import WrongToken
from backends.model.actions import Action
from backends.model.errors import RegistryError
from backends.model.names import canonical_name
from backends.model.v1names import V1Name, parse_v1_name, quote_v1
from backends.storage.driver import StorageError

V1Access = Literal["read", "write", "delete"]

V1_TOKEN_SECONDS = 6 * 3600
"""As long as the longest push may take over a slow line: no client of v1 asks for another token in the middle."""

CHALLENGE = "Token"
"""As docker-registry 0.9.1; Docker itself does not read it."""

_ACTIONS = {
    "read": frozenset({Action.PULL}),
    # Whoever pushes asks first for each image whether it is there.
    "write": frozenset({Action.PULL, Action.PUSH}),
    "delete": frozenset({Action.DELETE}),
}
_RETRY_SECONDS = 5


@dataclass(frozen=True, slots=True)
class V1Grants:
    """What a token is limited to.

    Attributes:
        repository: the canonical name of the only repository.
        access: what its holder has begun there.
        expires: until when, in seconds since the epoch; another token for it ends no later.
        knows_others: whether the rules alone say what its holder may do elsewhere. A token server says that for one
            repository at a time, so who has shown a token of one may do nothing anywhere else.
    """

    repository: str
    access: str
    expires: int
    knows_others: bool = False

    def allow(self, action: Action, name: str) -> bool:
        """Whether they reach an action on a repository."""
        if action is Action.LOGIN:
            return True
        return name == self.repository and action in _ACTIONS.get(self.access, ())


class V1Tokens:
    """The scheme of these tokens; issues them too.

    Args:
        key: returns the installation's key.
        now: seconds since the epoch.
    """

    name = "v1-token"

    def __init__(self, key: Callable[[], Awaitable[bytes]], *, now: Callable[[], float] = time.time) -> None:
        self._key = key
        self._now = now

    async def issue(self, identity: Identity, name: V1Name, access: V1Access) -> str:
        """Returns the value of `X-Docker-Token` for somebody who begins something in a repository.

        Who shows a token for it gets one that ends when that does.

        Raises:
            ValueError: its groups and claims are more than a token has room for.
            StorageError: there is no key, and none can be made.
        """
        expires = int(self._now()) + V1_TOKEN_SECONDS
        if isinstance(identity.grants, V1Grants):
            expires = min(expires, identity.grants.expires)
        token = OwnToken(
            "v1",
            identity.user,
            identity.scheme,
            groups=identity.groups,
            claims=identity.claims,
            repository=canonical_name(name.canonical),
            access=access,
            expires=expires,
        )
        return token_header(issue(await self._key(), token), name, access)

    async def identify(self, credentials: Credentials | None, caller: Caller) -> Identity | None:  # noqa: ARG002 - as every scheme
        """Returns who holds a token.

        Raises:
            WrongCredentials: it is not one that was issued here, or not any more, or says what was not issued.
            Busy: the key cannot be read.
        """
        if not isinstance(credentials, V1Token):
            return None
        try:
            key = await self._key()
        except StorageError as error:
            raise Busy(_RETRY_SECONDS, f"tokens cannot be checked: {error}", failure=Failure.UNAVAILABLE) from None
        try:
            # Images may be sent to another address of the installation (`X-Docker-Endpoints`), so it has no audience.
            token = verify(key, credentials.signature, kind="v1", audience="", now=self._now())
        except WrongToken as wrong:
            raise WrongCredentials(str(wrong), failure=Failure.TOKEN) from None
        if (token.repository, token.access) != (_canonical(credentials.repository), credentials.access):
            raise WrongCredentials("it says another repository or access than it was issued for", failure=Failure.TOKEN)
        grants = V1Grants(token.repository, token.access, token.expires, knows_others=token.scheme != "token")
        return Identity(token.user, token.scheme, token.groups, token.claims, grants)

    def challenge(self, caller: Caller, wanted: Sequence[Wanted], error: str = "") -> str | None:  # noqa: ARG002 - as every scheme
        """Returns docker-registry's challenge, for clients of v1 alone."""
        return CHALLENGE if caller.protocol == "v1" else None


def token_header(signature: str, name: V1Name, access: str) -> str:
    """Returns a token as docker-registry 0.9.1 writes it: with the word `Token`, before which clients put another."""
    return f'Token signature={signature},repository="{quote_v1(name.namespace)}/{name.stored}",access={access}'


def _canonical(text: str) -> str:
    """Returns the canonical name of the repository that a token names; "" for none."""
    try:
        return canonical_name(parse_v1_name(unquote_plus(text)).canonical)
    except RegistryError:
        return ""
