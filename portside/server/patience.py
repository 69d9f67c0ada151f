"""How long a server bears with clients that do nothing: looked at every second or two, at no cost to a request.

- One that takes nothing of its answer for `send_seconds` is cut off; one that takes a byte now and then never is.
- One that has said all it has to say (it shut down its side) has `HALF_CLOSED_SECONDS` for its answer to begin. It
  looks the same as one that has gone, and a request that waits, for a lock say, must not wait for ever for a client
  that has left.
- One that has gone while nothing is read from it (its handler waits, and its body has filled the buffers) is noticed
  all the same: the event loop sees the end of a connection only when it reads.

What a connection's end means for its request is aiohttp's part: the handler is cancelled.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from portside.server.connection import Connection
from portside.server.sockets import GONE, SAYS_NO_MORE, hangup, queued, taken

HALF_CLOSED_SECONDS = 5.0
LOOK_SECONDS = 2.0

_log = logging.getLogger("portside.server.serving")


@dataclass(frozen=True, slots=True)
class _Idleness:
    """That a connection does nothing.

    Attributes:
        seen: what changes as soon as it does something.
        limit: how many seconds it may last.
        sentence: what the log says of it.
    """

    seen: object
    limit: float
    sentence: str


class Patience:
    """Looks at the connections of one server.

    Args:
        send_seconds: how long a client may take nothing of its answer.
        is_exempt: whether a connection may take as long as it likes: a proxy's, which bears with slow clients itself
            and takes nothing while one of them empties a buffer.
    """

    def __init__(self, send_seconds: float, *, is_exempt: Callable[[Connection], bool]) -> None:
        self._send_seconds = send_seconds
        self._is_exempt = is_exempt
        self._idle: dict[Connection, tuple[_Idleness, float]] = {}

    @property
    def look_seconds(self) -> float:
        """How often to look."""
        return min(LOOK_SECONDS, self._send_seconds / 4)

    def look(self, connections: Mapping[Connection, asyncio.Transport], now: float) -> None:
        """Looks at each connection once, and ends those that have done nothing for too long."""
        idle: dict[Connection, tuple[_Idleness, float]] = {}
        for connection, transport in tuple(connections.items()):
            found = self._look_at(connection, transport)
            if found is None:
                continue
            before = self._idle.get(connection)
            since = before[1] if before is not None and before[0] == found else now
            if now - since < found.limit:
                idle[connection] = (found, since)
                continue
            _log.info("the connection of %s is closed: %s", connection.peername or "a unix socket", found.sentence)
            transport.abort()
        self._idle = idle

    def _look_at(self, connection: Connection, transport: asyncio.Transport) -> _Idleness | None:
        if connection.has_unsent() or _has_undelivered(connection, transport):
            if self._is_exempt(connection):
                return None
            sentence = f"the client took nothing of its answer for {self._send_seconds:g} seconds"
            return _Idleness(taken(transport), self._send_seconds, sentence)
        if connection.half_closed:
            connection.close_if_finished()
            if connection.is_idle() or connection.answer_begun():
                return None
        elif not connection.is_reading_paused():
            return None
        flags = hangup(transport)
        if flags & GONE:
            return _Idleness(None, 0.0, "the client has gone")
        if not connection.half_closed and not flags & SAYS_NO_MORE:
            return None
        seen = connection.body.total_bytes
        return _Idleness(seen, HALF_CLOSED_SECONDS, "the client says no more, and its answer has not begun")


def _has_undelivered(connection: Connection, transport: asyncio.Transport) -> bool:
    """Whether the kernel, or TLS, still holds something of an answer that is finished as far as the handler goes."""
    if not connection.is_idle() or connection.is_delivered:
        return False
    connection.is_delivered = not queued(transport)
    return not connection.is_delivered
