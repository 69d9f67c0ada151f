"""A limit of connections per client address, in one worker process.

A client with many connections uses descriptors and memory that others need. Every worker counts for itself: it is
its own descriptors and memory that the limit protects.
"""

from __future__ import annotations

import logging
import time
from collections import Counter
from collections.abc import Callable, Container

from backends.model.networks import client_of

QUIET_SECONDS = 60.0

_log = logging.getLogger("portside.server.accepting")


class AddressLimit:
    """Counts the connections of each address.

    Args:
        most: the number of connections that an address may have.
        exempt: addresses without a limit: trusted proxies, which connect on behalf of many clients.
    """

    def __init__(self, most: int, *, exempt: Container[str]) -> None:
        self._most = most
        self._exempt = exempt
        self._open: Counter[str] = Counter()
        self._last_logged = -QUIET_SECONDS

    def admit(self, address: str) -> Callable[[], None] | None:
        """Counts a connection; returns what to call when it has ended, or None if it is one too many."""
        if address in self._exempt:
            return _nothing
        client = client_of(address)
        if self._open[client] >= self._most:
            self._log(client)
            return None
        self._open[client] += 1
        return lambda: self._release(client)

    def _release(self, client: str) -> None:
        self._open[client] -= 1
        if not self._open[client]:
            del self._open[client]

    def _log(self, client: str) -> None:
        now = time.monotonic()
        if now - self._last_logged >= QUIET_SECONDS:
            self._last_logged = now
            _log.warning(
                "connections from %s are refused: it has %d already (gateway.connectionsperaddress)", client, self._most
            )


def _nothing() -> None:
    """Does nothing: the connection was not counted."""
