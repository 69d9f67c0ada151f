"""What every way to say who one is has in common. PURE."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Literal, Protocol, runtime_checkable

from backends.auth.credentials import Credentials
from backends.auth.identity import Caller, Identity


class Failure(Enum):
    """Why a caller was refused: the closed set that metrics count by."""

    ANONYMOUS = "no_credentials"
    MALFORMED = "malformed"
    NOT_TAKEN = "not_taken"
    PASSWORD = "wrong_password"  # noqa: S105 - a label; of an unknown user too
    TOKEN = "invalid_token"  # noqa: S105 - a label
    EXPIRED = "expired_token"
    CERTIFICATE = "certificate"
    BUSY = "busy"
    UNAVAILABLE = "unavailable"
    SCOPE = "insufficient_scope"
    DENIED = "denied"


class WrongCredentials(Exception):  # noqa: N818 - a finding, not a fault
    """Credentials that are meant for a scheme, and wrong.

    Attributes:
        reason: a sentence for the log, never with a secret; it is not told to the client.
        failure: what is counted.
        error: what the challenge says of it (RFC 6750 section 3.1), such as `invalid_token`; "" for nothing.
    """

    def __init__(self, reason: str, *, failure: Failure = Failure.PASSWORD, error: str = "") -> None:
        super().__init__(reason)
        self.reason = reason
        self.failure = failure
        self.error = error


class Busy(Exception):  # noqa: N818
    """Credentials that cannot be checked now: the client is to ask again.

    Attributes:
        retry_after: in how many seconds.
        reason: a sentence, for the client and the log.
        failure: BUSY: too many ask (429); UNAVAILABLE: what is needed to check them cannot be had (503).
        scheme: the one that they are for; whoever asked the scheme fills it in.
    """

    def __init__(self, retry_after: int, reason: str, *, failure: Failure = Failure.BUSY) -> None:
        super().__init__(reason)
        self.scheme = ""
        self.retry_after = retry_after
        self.reason = reason
        self.failure = failure


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a request needs, as challenges name it.

    Attributes:
        kind: of the resource.
        name: the repository as the client names it; `catalog` of the registry.
        actions: what is to be done with it, such as `pull` and `push`, in this order.
    """

    kind: Literal["repository", "registry"]
    name: str
    actions: tuple[str, ...]

    @property
    def scope(self) -> str:
        """Returns it as token servers read it: `repository:name:pull,push`."""
        return f"{self.kind}:{self.name}:{','.join(self.actions)}"


def scopes_of(wanted: Sequence[Wanted]) -> Sequence[str]:
    """Returns what token servers are asked for; no scope can hold a name with its separators, as v1 allows them."""
    return [one.scope for one in wanted if not set(one.name) & set(" :,")]


class Scheme(Protocol):
    """A way to say who one is."""

    @property
    def name(self) -> str:
        """What logs, metrics and `Identity.scheme` call it."""
        ...

    async def identify(self, credentials: Credentials | None, caller: Caller) -> Identity | None:
        """Returns who somebody is; None: these credentials are not for this scheme, and the next one is asked.

        Args:
            credentials: None without any, for those schemes that need none: certificates.
            caller: who sends them.

        Raises:
            WrongCredentials: they are for this scheme, and wrong.
            Busy: they cannot be checked now.
        """
        ...

    def challenge(self, caller: Caller, wanted: Sequence[Wanted], error: str = "") -> str | None:
        """Returns a value of `WWW-Authenticate`; None where this scheme has none for this caller.

        Args:
            caller: who is asked for credentials.
            wanted: what its request needs.
            error: what was wrong with those it sent, in RFC 6750's words; "" for nothing.
        """
        ...


@runtime_checkable
class Recalling(Protocol):
    """A scheme that knows again what it has taken before, without reading it anew."""

    def recall(self, authorization: str) -> Identity | None:
        """Returns who sent this very header before, where it is still good; None if that is not known. It never waits.

        Args:
            authorization: the header as it was received.
        """
        ...

    def recalling(self, authorization: str) -> Callable[[], Identity | None]:
        """Returns what asks that again and again, and holds nothing by which anybody could say who they are."""
        ...
