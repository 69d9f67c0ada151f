"""Ending connections of clients that do nothing. All are checked every two seconds, which costs a request nothing.

- A client that receives nothing of its answer for `send_seconds` is disconnected. A slow client that still makes
  progress never is.
- If a client has shut down its sending side, its answer must begin within `HALF_CLOSED_SECONDS`. On TCP such a client
  looks the same as one that has gone, and no request may wait (for a lock, say) on behalf of nobody.
- A client that goes away while reading from it is paused (its handler waits, and its body has filled the buffers) is
  noticed too; the event loop notices the end of a connection only by reading. If the rest of the body is larger than
  the kernel's buffers, not even the kernel can see the end; the wait then ends by its own time limit.

When a connection ends, aiohttp cancels the handler of its request.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from portside.server.connection import Connection
from portside.server.opening import Opening
from portside.server.sockets import GONE, SENDS_NO_MORE, hangup, peer_name, queued, taken

HALF_CLOSED_SECONDS = 5.0
INTERVAL_SECONDS = 2.0

_log = logging.getLogger("portside.server.serving")


@dataclass(frozen=True, slots=True)
class _Idleness:
    """A connection that does nothing.

    Attributes:
        seen: changes as soon as the connection does something.
        limit: how many seconds this may last.
        sentence: for the log.
    """

    seen: object
    limit: float
    sentence: str


class IdleConnections:
    """Checks the connections of one server.

    Args:
        send_seconds: how long a client may receive nothing of its answer.
        is_exempt: whether a connection has no such limit: a trusted proxy has its own limits for its clients, and reads
            nothing while a slow one of them drains its buffer.
    """

    def __init__(self, send_seconds: float, *, is_exempt: Callable[[Connection | Opening], bool]) -> None:
        self._send_seconds = send_seconds
        self._is_exempt = is_exempt
        self._idle: dict[Connection | Opening, tuple[_Idleness, float]] = {}

    @property
    def interval(self) -> float:
        """Seconds between two checks."""
        return min(INTERVAL_SECONDS, self._send_seconds / 4)

    def check(self, connections: Mapping[Connection | Opening, asyncio.Transport], now: float) -> None:
        """Checks each connection once, and ends those that have done nothing for too long."""
        idle: dict[Connection | Opening, tuple[_Idleness, float]] = {}
        for connection, transport in tuple(connections.items()):
            found = self._inspect(connection, transport)
            if found is None:
                if isinstance(connection, Opening) and now >= connection.until:
                    connection.force_close()
                continue
            before = self._idle.get(connection)
            since = before[1] if before is not None and before[0] == found else now
            if now - since < found.limit:
                idle[connection] = (found, since)
                continue
            _log.info("the connection of %s was closed: %s", peer_name(connection.peername), found.sentence)
            transport.abort()
        self._idle = idle

    def _inspect(self, connection: Connection | Opening, transport: asyncio.Transport) -> _Idleness | None:
        if connection.has_unsent() or _has_undelivered(connection, transport):
            if self._is_exempt(connection):
                return None
            sentence = f"the client received nothing of its answer for {self._send_seconds:g} seconds"
            return _Idleness(taken(transport), self._send_seconds, sentence)
        if isinstance(connection, Opening):
            return None
        if connection.half_closed:
            connection.close_if_finished()
            if connection.is_idle() or connection.answer_begun():
                return None
        elif not connection.is_reading_paused():
            return None
        flags = hangup(transport)
        if flags & GONE:
            return _Idleness(None, 0.0, "the client has gone")
        if not connection.half_closed and not flags & SENDS_NO_MORE:
            return None
        seen = connection.body.total_bytes
        return _Idleness(seen, HALF_CLOSED_SECONDS, "the client has shut down its side, and its answer has not begun")


def _has_undelivered(connection: Connection | Opening, transport: asyncio.Transport) -> bool:
    """Whether the kernel or TLS still buffers part of an answer that the handler has finished."""
    if not connection.is_idle() or connection.is_delivered:
        return False
    connection.is_delivered = not queued(transport)
    return not connection.is_delivered
