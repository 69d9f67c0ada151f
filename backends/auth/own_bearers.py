"""Bearer tokens of Portside's own, for clients that ask without a password where some may and others need one.

Docker never sends a password to a registry whose `/v2/` says 200, and never asks on where it says `Basic`. So where
rules let anyone do something, the challenge names a token endpoint, as those of the large public registries do: who has
a password shows it there, everybody else asks without, and both get a token. It says who they are and no more; the
rules decide at each request.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

from backends.auth.challenges import bearer
from backends.auth.credentials import Bearer, Credentials
from backends.auth.identity import ANONYMOUS, Caller, Identity
from backends.auth.own_tokens import OwnToken, is_own, issue, verify
from backends.auth.rules import Rules
from backends.auth.schemes import Busy, Failure, Wanted, WrongCredentials
from backends.auth.signed_token import WrongToken
from backends.model.cache import Cache
from backends.storage.driver import StorageError

TOKEN_PATH = "/v2/_portside/token"  # noqa: S105 - a path
"""No repository has a component that begins with `_`."""

TOKEN_SECONDS = 300
"""As long as a password that was found right is remembered: who is struck from the file is out as soon."""

REMEMBERED = 4096
_RETRY_SECONDS = 5


@dataclass(frozen=True, slots=True)
class Issued:
    """A token for a client.

    Attributes:
        text: as the client shows it.
        seconds: how long it holds.
        at: since when, in seconds since the epoch.
    """

    text: str
    seconds: int
    at: float


class OwnBearers:
    """The scheme of these tokens; issues them too.

    Args:
        key: returns the installation's key.
        rules: returns the rules that hold now.
        prefix: what stands before `/v2/` in every path.
        now: seconds since the epoch.
    """

    name = "portside-token"

    def __init__(
        self,
        key: Callable[[], Awaitable[bytes]],
        rules: Callable[[], Rules],
        *,
        prefix: str = "",
        now: Callable[[], float] = time.time,
    ) -> None:
        self._key = key
        self._rules = rules
        self._path = prefix + TOKEN_PATH
        self._now = now
        self._known: Cache[bytes, OwnToken] = Cache(bound=REMEMBERED)

    async def issue(self, identity: Identity, caller: Caller) -> Issued:
        """Returns a token that says who a caller is; ANONYMOUS is somebody, too.

        Raises:
            ValueError: its groups and claims are more than a token has room for.
            Busy: there is no key, and none can be made now.
        """
        now = self._now()
        token = OwnToken(
            "bearer",
            identity.user,
            identity.scheme,
            groups=identity.groups,
            claims=identity.claims,
            audience=_audience(caller),
            expires=int(now) + TOKEN_SECONDS,
        )
        return Issued(issue(await self._get_key(), token), TOKEN_SECONDS, now)

    async def identify(self, credentials: Credentials | None, caller: Caller) -> Identity | None:
        """Returns whom a token of Portside's names; None for all other credentials.

        Raises:
            WrongCredentials: it is one, and not good now and here.
            Busy: there is no key, and none can be made now.
        """
        if not isinstance(credentials, Bearer) or not is_own(credentials.token):
            return None
        text, audience, now = credentials.token, _audience(caller), self._now()
        name = hashlib.sha256(text.encode()).digest()
        try:
            token = self._known[name]
            if token.audience != audience or not now < token.expires:
                raise KeyError
        except KeyError:
            try:
                token = verify(await self._get_key(), text, kind="bearer", audience=audience, now=now)
            except WrongToken as wrong:
                failure = Failure.EXPIRED if wrong.has_expired else Failure.TOKEN
                reason = f"the token is not good: {wrong}"
                raise WrongCredentials(reason, failure=failure, error="invalid_token") from None
            self._known.put(name, token)
        if not token.user and token.scheme == ANONYMOUS.scheme:
            return ANONYMOUS
        return Identity(token.user, token.scheme, groups=token.groups, claims=token.claims)

    def challenge(self, caller: Caller, wanted: Sequence[Wanted], error: str = "") -> str | None:
        """Returns where to get a token; None where everybody needs a password, and for v1, which has its own."""
        if caller.protocol != "v2" or not self._rules().allows_anonymous:
            return None
        return bearer(caller.origin + self._path, _audience(caller), [one.scope for one in wanted], error)

    async def _get_key(self) -> bytes:
        try:
            return await self._key()
        except StorageError as error:
            raise Busy(_RETRY_SECONDS, f"there is no key for tokens ({error})", failure=Failure.UNAVAILABLE) from None


def _audience(caller: Caller) -> str:
    """Returns where a token is good: the host and port that the client asked."""
    return caller.origin.partition("://")[2]
