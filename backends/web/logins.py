"""Logins, told to the log and the metrics: of somebody who logs in again and again, once a second."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from backends.auth.identity import Identity
from backends.auth.observing import AuthObserver
from backends.model.cache import Cache
from backends.web.refusals import described

AGAIN_SECONDS = 1.0
"""A client asks whether it may come in before each pull: what it says within this time is one login."""
REMEMBERED = 1_000

_log = logging.getLogger("portside.auth")


class Logins:
    """The logins at one registry.

    Args:
        observer: counts those that are told.
        clock: seconds, from any beginning.
    """

    def __init__(self, observer: AuthObserver, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._observer = observer
        self._clock = clock
        self._told: Cache[tuple[str, str, str, str], float] = Cache(bound=REMEMBERED)

    def tell(self, identity: Identity, address: str, agent: str) -> None:
        """Takes note of a login."""
        now = self._clock()
        key = (identity.user, identity.scheme, address, agent)
        try:
            if now < self._told[key] + AGAIN_SECONDS:
                return
        except KeyError:
            pass
        self._told.put(key, now)
        self._observer.logged_in(identity.scheme)
        _log.info("%s at %s logged in (%s)", identity.user[:200], address, described(identity.scheme, agent))
