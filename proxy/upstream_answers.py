"""A request to a registry elsewhere, and its answer as it comes."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Self

from proxy.answer_heads import AnswerHead
from proxy.upstream_connection import Pour, UpstreamConnection
from proxy.upstream_failures import UpstreamFailure
from proxy.upstream_pool import UpstreamPool

REPEATABLE = frozenset({"GET", "HEAD", "OPTIONS"})


@dataclass(frozen=True, slots=True)
class Body:
    """The body of a request.

    Attributes:
        pour: gives what comes of it to whom it is told, and returns whether that was all.
        close: ends reading it.
        chunked: whether it is sent with the transfer coding chunked; it has a length otherwise.
        expects: whether the registry is to say first that it wants it (`100 Continue`).
    """

    pour: Pour
    close: Callable[[], Awaitable[None]]
    chunked: bool
    expects: bool


class UpstreamAnswer:
    """An answer; at the end of its block the connection is kept, or ended when it is not in step.

    Attributes:
        head: what it begins with.
    """

    __slots__ = ("_connection", "_is_open", "_pool", "_sending", "head")

    def __init__(
        self, pool: UpstreamPool, connection: UpstreamConnection, head: AnswerHead, sending: asyncio.Task[None] | None
    ) -> None:
        self._pool = pool
        self._connection = connection
        self._sending = sending
        self._is_open = True
        self.head = head

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    async def read(self) -> bytes:
        """Waits for the next piece of the body; b"" at its end.

        Raises:
            UpstreamFailure: it breaks off.
        """
        return await self._connection.read()

    async def read_whole(self) -> bytes:
        """Waits for the whole body, which its head says is small.

        Raises:
            UpstreamFailure: it breaks off.
        """
        connection = self._connection
        if connection.is_whole:
            return connection.take_all()
        pieces = []
        while piece := await connection.read():
            pieces.append(piece)
        return b"".join(pieces)

    def close(self) -> None:
        """Has the rest, if any is to come, not be read."""
        if not self._is_open:
            return
        self._is_open = False
        if self._sending is not None:
            self._sending.cancel()
        self._pool.give_back(self._connection)


async def ask(pool: UpstreamPool, head: bytes, *, method: str, body: Body | None = None) -> UpstreamAnswer:
    """Sends a request and returns the answer as soon as its head is there.

    Args:
        pool: of the registry.
        head: the request's.
        method: of the request.
        body: its body, if it has one.

    Raises:
        UpstreamFailure: there is no answer.
    """
    if body is None and method in REPEATABLE:
        used = pool.take_idle()
        if used is not None:
            try:
                return await _ask_on(used, pool, head, method=method, body=None)
            except UpstreamFailure as failure:
                if not failure.is_unanswered:
                    raise
                # It was closed while it was idle, or at this moment: nothing was answered, and this may be said twice.
    return await _ask_on(await pool.open(), pool, head, method=method, body=body)


async def _ask_on(
    connection: UpstreamConnection, pool: UpstreamPool, head: bytes, *, method: str, body: Body | None
) -> UpstreamAnswer:
    sending: asyncio.Task[None] | None = None
    try:
        connection.begin(head, is_whole=body is None, wants_head_only=method == "HEAD")
        if body is not None and (not body.expects or await connection.wait_for_continue()):
            sending = asyncio.create_task(_send(connection, body))
            sending.add_done_callback(lambda done: _sent(connection, done))
        return UpstreamAnswer(pool, connection, await connection.answered(), sending)
    except BaseException:
        if sending is not None:
            sending.cancel()
        pool.give_back(connection)
        raise


async def _send(connection: UpstreamConnection, body: Body) -> None:
    try:
        await connection.send_body(body.pour, chunked=body.chunked)
    finally:
        await body.close()


def _sent(connection: UpstreamConnection, sending: asyncio.Task[None]) -> None:
    """Ends the connection of a body that was not sent whole: the registry sees one that broke off."""
    if sending.cancelled():
        connection.close()
        return
    error = sending.exception()
    if error is not None:
        connection.fail(error if isinstance(error, UpstreamFailure) else UpstreamFailure("the body broke off"))
