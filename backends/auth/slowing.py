"""Wrong passwords, counted by who tries them: after some, one more is tried only now and then.

Only what must be tried is slowed: a password that is remembered as right never asks here. All who share an address
share its tries; but a user that has logged in from there has some of its own, which only wrong passwords for that user
from that address use up. Nobody is locked out by name: from elsewhere a user logs in as ever.

Every process counts for itself.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from backends.model.cache import Cache
from backends.model.networks import client_of

AT_ONCE = 10
"""So many wrong passwords are tried as fast as they come."""
RECOVERY_SECONDS = 6.0
"""One of them is forgotten after so long."""
KNOWN_SECONDS = 24 * 3600.0
"""So long has a user tries of its own at an address that it logged in from."""
BOUND = 20_000
"""So many addresses are counted, and so many users are known at theirs."""

_Key = tuple[str, str]


class Slowing:
    """How much may be tried from where; not for several threads.

    Args:
        at_once: how many wrong passwords are tried without a pause.
        recovery_seconds: after which one of them is forgotten.
        clock: seconds, from any beginning.
    """

    def __init__(
        self,
        *,
        at_once: int = AT_ONCE,
        recovery_seconds: float = RECOVERY_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._allowed = at_once * recovery_seconds
        self._recovery = recovery_seconds
        self._clock = clock
        self._forgotten_at: Cache[_Key, float] = Cache(bound=BOUND)
        self._known: Cache[_Key, float] = Cache(bound=BOUND)

    def wait(self, address: str, user: str) -> float:
        """Returns in how many seconds a password may be tried; 0 for now.

        Args:
            address: the client's.
            user: whose password it is said to be.
        """
        return max(0.0, self._debt(self._key(address, user)) + self._recovery - self._allowed)

    def failed(self, address: str, user: str) -> None:
        """Counts a password that was tried and is wrong."""
        key = self._key(address, user)
        self._forgotten_at.put(key, self._clock() + self._debt(key) + self._recovery)

    def succeeded(self, address: str, user: str) -> None:
        """Notes who logs in from where. It takes back nothing: else a right password would pay for wrong ones."""
        self._known.put((client_of(address), user), self._clock() + KNOWN_SECONDS)

    def knows(self, address: str, user: str) -> bool:
        """Whether a user has logged in from there lately."""
        try:
            return self._known[client_of(address), user] > self._clock()
        except KeyError:
            return False

    def _key(self, address: str, user: str) -> _Key:
        return (client_of(address), user if self.knows(address, user) else "")

    def _debt(self, key: _Key) -> float:
        """Returns in how many seconds all that was counted is forgotten."""
        try:
            return max(0.0, self._forgotten_at[key] - self._clock())
        except KeyError:
            return 0.0
