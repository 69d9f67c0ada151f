"""A limit of connections per client address, in one worker process.

A client with many connections uses descriptors and memory that others need. Every worker counts for itself: it is
its own descriptors and memory that the limit protects.
"""

from __future__ import annotations

import ipaddress
import logging
import time
from collections import Counter
from collections.abc import Callable, Container

NETWORK_BITS = 64
"""The part of an IPv6 address that counts: a client may use any address within its /64 (RFC 6177)."""
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


def client_of(address: str) -> str:
    """Returns what an address is counted as: itself, or the /64 network of an IPv6 address."""
    if ":" not in address:
        return address
    six = ipaddress.IPv6Address(address.partition("%")[0])
    if six.ipv4_mapped is not None:
        return str(six.ipv4_mapped)
    return str(ipaddress.IPv6Network((six, NETWORK_BITS), strict=False))


def _nothing() -> None:
    """Does nothing: the connection was not counted."""
