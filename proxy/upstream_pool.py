"""The connections to a registry elsewhere: which are open, which of them may be used again, which have been silent.

Invariant: what changes something goes over a connection that nothing went over before, and is sent once; what only
asks may be asked again where a connection that was used before ended without a word.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from proxy.upstream_address import UpstreamAddress
from proxy.upstream_connection import UpstreamConnection, make_heads
from proxy.upstream_failures import UpstreamFailure

IDLE_SECONDS = 15.0
"""How long a connection is kept that nobody uses."""
MAX_IDLE = 128
"""Connections that are kept while nobody uses them; one client that waits needs one."""


class UpstreamPool:
    """The connections. Belongs to one event loop.

    Args:
        address: where they lead.
        read_seconds: how long the registry may be silent.
    """

    def __init__(self, address: UpstreamAddress, *, read_seconds: float) -> None:
        self._address = address
        self._read_seconds = read_seconds
        self._interval = min(1.0, read_seconds / 4)
        self._heads = make_heads()
        self._idle: list[tuple[UpstreamConnection, float]] = []
        self._busy: set[UpstreamConnection] = set()
        self._loop = asyncio.get_running_loop()
        self._checking: asyncio.TimerHandle | None = None
        self._make: Callable[[], UpstreamConnection] = lambda: UpstreamConnection(self._heads)

    def take_idle(self) -> UpstreamConnection | None:
        """Returns a connection that was used before, the last one first; None when there is none."""
        while self._idle:
            connection, _ = self._idle.pop()
            if connection.is_usable() and connection.is_silent():
                self._busy.add(connection)
                return connection
            connection.close()
        return None

    async def open(self) -> UpstreamConnection:
        """Connects.

        Raises:
            UpstreamFailure: the registry cannot be reached.
        """
        connection = await self._address.connect(self._make)
        self._busy.add(connection)
        if self._checking is None:
            self._checking = self._loop.call_later(self._interval, self._check)
        return connection

    def give_back(self, connection: UpstreamConnection) -> None:
        """Takes a connection that its user is done with: keeps it, or ends it."""
        self._busy.discard(connection)
        if len(self._idle) < MAX_IDLE and connection.may_serve_on():
            self._idle.append((connection, self._loop.time()))
        else:
            connection.close()

    def _check(self) -> None:
        """Ends what has been silent or unused for too long; a timer for each connection would cost each request two."""
        now = self._loop.time()
        for connection in tuple(self._busy):
            if connection.waits_since and now - connection.waits_since > self._read_seconds:
                why = f"it said nothing for {self._read_seconds:g} seconds"
                connection.fail(UpstreamFailure(why, status=504))
        kept = [each for each in self._idle if each[0].is_usable() and now - each[1] < IDLE_SECONDS]
        for connection, _ in set(self._idle).difference(kept):
            connection.close()
        self._idle = kept
        self._checking = self._loop.call_later(self._interval, self._check) if self._busy or kept else None

    async def close(self) -> None:
        """Ends all connections."""
        if self._checking is not None:
            self._checking.cancel()
        for connection in (*self._busy, *(each for each, _ in self._idle)):
            connection.close()
        self._busy.clear()
        self._idle.clear()
        await self._address.close()
