"""The access control of a process: its schemes and its rules, asked together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from backends.auth.credentials import Basic, Credentials, Unreadable, V1Token, parse_authorization
from backends.auth.identity import ANONYMOUS, Caller, Identity
from backends.auth.rules import Decision, Rules
from backends.auth.schemes import Busy, Failure, Recalling, Scheme, Wanted, WrongCredentials
from backends.model.actions import Action

if TYPE_CHECKING:
    from backends.auth.exchange import PasswordExchange
    from backends.auth.own_bearers import OwnBearers
    from backends.auth.v1_tokens import V1Tokens


class Unauthenticated(Exception):  # noqa: N818 - a finding, not a fault
    """Credentials that nobody vouches for.

    Attributes:
        scheme: the one that they are for; "" where none takes them.
        reason: a sentence for the log, never with a secret.
        failure: what is counted.
        error: what the challenge says of it; "" for nothing.
        user: who they say they are; "" where they do not, or it may be a secret in the wrong place.
    """

    def __init__(self, scheme: str, reason: str, *, failure: Failure, error: str = "", user: str = "") -> None:
        super().__init__(reason)
        self.user = user
        self.scheme = scheme
        self.reason = reason
        self.failure = failure
        self.error = error


class AccessControl:
    """Who may do what.

    Args:
        schemes: in the order in which they are asked; the first that takes the credentials decides.
        rules: returns the rules that hold now.
        tokens: Portside's own, for those who ask without a password where some may; None where there are none.
        v1_tokens: its own for clients of v1; None where there are none of these.
        exchange: asks the token server about their users and passwords; None where there is no such server.
        parse: returns the credentials in a header, as `parse_authorization`: an index's tokens are read otherwise.
    """

    def __init__(
        self,
        schemes: Sequence[Scheme],
        rules: Callable[[], Rules],
        *,
        tokens: OwnBearers | None = None,
        v1_tokens: V1Tokens | None = None,
        exchange: PasswordExchange | None = None,
        parse: Callable[[str | None], Credentials | None] = parse_authorization,
    ) -> None:
        self.schemes: Sequence[Scheme] = schemes if tokens is None else (tokens, *schemes)
        self.tokens = tokens
        self.v1_tokens = v1_tokens
        self.exchange = exchange
        self._recalling = [each.recall for each in self.schemes if isinstance(each, Recalling)]
        self.recall = self._recalling[0] if len(self._recalling) == 1 else self._recall
        """Returns who sent this very header before, where it is still good; None if that is not known."""
        self._rules = rules
        self._parse = parse

    @property
    def rules(self) -> Rules:
        """The rules that hold now; USERS_ALL where there is no file of them."""
        return self._rules()

    def _recall(self, authorization: str) -> Identity | None:
        for recall in self._recalling:
            known = recall(authorization)
            if known is not None:
                return known
        return None

    def recalling(self, authorization: str) -> Callable[[], Identity | None]:
        """Returns what asks the same as `recall` again and again, without holding these credentials."""
        asked = [each.recalling(authorization) for each in self.schemes if isinstance(each, Recalling)]

        def ask() -> Identity | None:
            for recall in asked:
                known = recall()
                if known is not None:
                    return known
            return None

        return asked[0] if len(asked) == 1 else ask

    async def identify(self, authorization: str | None, caller: Caller, wanted: Sequence[Wanted] = ()) -> Identity:
        """Returns who sends an `Authorization` header, which is None without one: ANONYMOUS if need be.

        Args:
            authorization: the header.
            caller: who sends it.
            wanted: what its request needs, by canonical names: a token server is asked for that.

        Raises:
            Unauthenticated: it is wrong, or no scheme takes it.
            Busy: it cannot be checked now.
        """
        credentials: Credentials | None
        try:
            credentials = self._parse(authorization)
        except ValueError as error:
            credentials = Unreadable(str(error))
        asks_server = self.exchange is not None and caller.protocol == "v1" and _is_for_exchange(credentials)
        for scheme in self._asked(credentials):
            try:
                identity = await scheme.identify(credentials, caller)
            except WrongCredentials as wrong:
                if asks_server and wrong.failure not in _OF_TOKENS:  # the password may be for the token server
                    continue
                raise _wrong(scheme.name, wrong, credentials) from None
            except Busy as busy:
                busy.scheme = scheme.name
                raise
            if identity is not None:
                return identity
        if asks_server and (identity := await self._exchanged(credentials, caller, wanted)) is not None:
            return identity
        match credentials:
            case None:
                return ANONYMOUS
            case Unreadable(reason):
                raise Unauthenticated("", reason, failure=Failure.MALFORMED)
            case _:
                raise Unauthenticated(
                    "",
                    f"no scheme here takes credentials of the kind {type(credentials).__name__}",
                    failure=Failure.NOT_TAKEN,
                    user=_claimed(credentials),
                )

    def _asked(self, credentials: Credentials | None) -> Sequence[Scheme]:
        """Returns the schemes that are asked, in this order."""
        if self.v1_tokens is not None and isinstance(credentials, V1Token):
            return (self.v1_tokens, *self.schemes)
        return self.schemes

    async def _exchanged(
        self, credentials: Credentials | None, caller: Caller, wanted: Sequence[Wanted]
    ) -> Identity | None:
        """Returns whom the token server knows by a user and a password; None for nobody in particular."""
        assert self.exchange is not None
        basic = credentials if isinstance(credentials, Basic) else None
        if basic is None and not wanted:
            return None
        try:
            return await self.exchange.identify(basic, caller, wanted)
        except WrongCredentials as wrong:
            if basic is None:  # it has no tokens for those who do not say who they are
                return None
            raise _wrong("token", wrong, basic) from None
        except Busy as busy:
            busy.scheme = "token"
            raise

    def may(self, identity: Identity, action: Action, name: str) -> bool:
        """Whether somebody may do something: its credentials reach it, and the rules allow it.

        Args:
            identity: who.
            action: what; LOGIN, CATALOG and SEARCH with the name "".
            name: the repository by its canonical name.
        """
        return self.grants(identity, action, name) and self.decide(identity, action, name).is_allowed

    def grants(self, identity: Identity, action: Action, name: str) -> bool:
        """Whether somebody's credentials reach an action, whatever the rules say."""
        return identity.grants is None or identity.grants.allow(action, name)

    def decide(self, identity: Identity, action: Action, name: str) -> Decision:
        """Returns what the rules say, whatever somebody's credentials reach."""
        return self._rules().decide(identity, action, name)

    def challenges(self, caller: Caller, wanted: Sequence[Wanted], error: str = "") -> Sequence[str]:
        """Returns a value of `WWW-Authenticate` for each scheme that has one.

        Where Portside's own tokens are offered, Basic is not: some clients take the one, some the other, and who has no
        password gets no farther by Basic. It is accepted all the same, and is what the tokens are asked for with.
        """
        own = None if self.tokens is None else self.tokens.challenge(caller, wanted, error)
        if own is not None:
            return (own,)
        schemes = self.schemes if self.v1_tokens is None or not self.schemes else (*self.schemes, self.v1_tokens)
        found = (scheme.challenge(caller, wanted, error) for scheme in schemes)
        return list(dict.fromkeys(value for value in found if value is not None))


_OF_TOKENS = frozenset({Failure.TOKEN, Failure.EXPIRED})
"""What is wrong with a token that stands in a password's place: it is nobody else's business."""


def _is_for_exchange(credentials: Credentials | None) -> bool:
    return credentials is None or isinstance(credentials, Basic)


def _wrong(scheme: str, wrong: WrongCredentials, credentials: Credentials | None) -> Unauthenticated:
    return Unauthenticated(scheme, wrong.reason, failure=wrong.failure, error=wrong.error, user=_claimed(credentials))


def _claimed(credentials: Credentials | None) -> str:
    """Returns whom credentials name; a name without a password may be a token, in the place where others want it."""
    return credentials.user if isinstance(credentials, Basic) and credentials.password else ""
