"""Requests that go on to a registry elsewhere as soon as their bytes are there, since they went there before.

For a client's GET or HEAD that was forwarded, its bytes alone decide all over again: the route, the head that the
registry gets but for the client's address in it, and what the layers around want on the answer. So a request of the
same bytes is not read again (`portside/server/kept_answers.py` finds it): its head goes out on a connection that is
free, and an answer that has come whole, and whose head is kept (`passing_back`), goes straight back. Everything else
about an answer is for a handler: it gets the answer in place of asking.

Invariant: the registry is asked each time, and decides each time. No passage is for requests of a trusted proxy, which
speaks for many clients, nor where the proxy shows credentials of its own or tells of certificates.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from backends.dependencies import Tell
from proxy.answer_heads import AnswerHead
from proxy.message_heads import end_of_head
from proxy.passing_back import KeptHead, message_of
from proxy.upstream_answers import UpstreamAnswer
from proxy.upstream_connection import UpstreamConnection
from proxy.upstream_failures import UpstreamFailure
from proxy.upstream_pool import UpstreamPool

GONE = 499
"""nginx's number for a client that went away before its answer was whole."""
TELLS_KEPT = 8
SMALL_BODY = 64 * 1024
Kept = Callable[[AnswerHead, bool], KeptHead | None]


def split_at_address(head: bytes, peer: str) -> tuple[bytes, bytes] | None:
    """Returns what stands before and after the client's address in a head for a registry; None where it is not once."""
    before, found, after = head.partition(address_lines(peer))
    return (before, after) if peer and found and address_lines(peer) not in after else None


def address_lines(peer: str) -> bytes:
    """Returns what `headers.request_headers` says of a client that no proxy speaks for."""
    return f"X-Real-IP: {peer}\r\nX-Forwarded-For: {peer}\r\n".encode()


class Passage:
    """How requests of the same bytes go on.

    Args:
        pool: of the registry.
        parts: of the head that it gets, before and after the client's address, without its end.
        shows: the name of the client's header with credentials that it gets too, as the client writes it; b"" for none.
        kept: what an answer's head becomes for the client, and whether content follows; None where that depends.
        is_head: whether it is a HEAD.

    Attributes:
        tells: returns what an answer leaves behind, of its status and the bytes of its body.
    """

    def __init__(
        self, pool: UpstreamPool, parts: tuple[bytes, bytes], kept: Kept, *, shows: bytes, is_head: bool
    ) -> None:
        self.pool = pool
        self._parts = parts
        self._shows = shows
        self.kept = kept
        self.is_head = is_head
        self.tells: Callable[[int, int], Sequence[Tell]] = lambda *_: ()
        self._told: dict[tuple[int, int], Sequence[Tell]] = {}

    def begin(self, head: bytes, peer: str, done: Callable[[], None]) -> Passing | None:
        """Passes a request on, given its bytes; None where that takes a new connection."""
        connection = self.pool.take_idle()
        if connection is None:
            return None
        before, after = self._parts
        passing = Passing(self, connection, done)
        try:
            connection.begin(
                b"".join((before, address_lines(peer), after, end_of_head(self._shows, head))),
                is_whole=True,
                wants_head_only=self.is_head,
                progress=passing.look,
            )
        except UpstreamFailure:
            self.pool.give_back(connection)
            return None
        return passing

    def tell(self, status: int, size: int, *, peer: str, seconds: float) -> None:
        """Leaves what such a request leaves."""
        key = status, size
        tells = self._told.get(key)
        if tells is None:
            if len(self._told) >= TELLS_KEPT:
                self._told.clear()
            tells = self._told[key] = self.tells(status, size)
        for each in tells:
            each(peer, seconds)


class Passing:
    """A request that has gone on.

    Args:
        passage: its way.
        connection: over which it went.
        done: called once, when the answer is there or is for a handler.
    """

    __slots__ = ("_connection", "_done", "_is_open", "_passage", "_sent", "_status")

    def __init__(self, passage: Passage, connection: UpstreamConnection, done: Callable[[], None]) -> None:
        self._passage = passage
        self._connection = connection
        self._done: Callable[[], None] | None = done
        self._is_open = True
        self._status = self._sent = 0

    def look(self) -> None:
        """Looks at what has come, and says so when that is enough."""
        connection = self._connection
        if not connection.is_whole and connection.failure is None:
            head = connection.head
            if head is None or (head.length is not None and head.length <= SMALL_BODY):
                return
        done, self._done = self._done, None
        if done is not None:
            done()

    def message(self, *, closes: bool) -> bytes | None:
        """Returns the whole answer as it is to be sent; None where it takes a handler to give it."""
        connection, passage = self._connection, self._passage
        connection.progress = None
        head = connection.head
        if head is None or not connection.is_whole:
            return None
        if head.length is None and not passage.is_head and not head.has_no_content:
            return None  # the end of its connection was its own
        has_content = connection.has_unread
        kept = passage.kept(head, has_content)
        if kept is None:
            return None
        body = connection.take_all() if has_content else b""
        self._is_open = False
        passage.pool.give_back(connection)
        self._status, self._sent = head.status, len(body)
        return message_of(kept, body, closes=closes)

    def tell(self, peer: str, seconds: float) -> None:
        """Leaves what such a request leaves, once its message was sent."""
        self._passage.tell(self._status, self._sent, peer=peer, seconds=seconds)

    def leave(self, peer: str, seconds: float) -> None:
        """Says that the client has gone before its answer was there, and leaves what such a request leaves."""
        self.drop()
        self._passage.tell(GONE, 0, peer=peer, seconds=seconds)

    def drop(self) -> None:
        """Says that nobody takes the answer."""
        self._connection.progress = None
        if self._is_open:
            self._is_open = False
            self._passage.pool.give_back(self._connection)

    async def answer(self) -> UpstreamAnswer | None:
        """Returns the answer, whose head is there; None where the registry is to be asked again.

        Raises:
            UpstreamFailure: there is none.
        """
        if not self._is_open:
            return None
        connection, pool = self._connection, self._passage.pool
        try:
            head = await connection.answered()
        except UpstreamFailure as failure:
            self.drop()
            if failure.is_unanswered:
                return None
            raise
        except BaseException:
            self.drop()
            raise
        self._is_open = False
        return UpstreamAnswer(pool, connection, head, None)
