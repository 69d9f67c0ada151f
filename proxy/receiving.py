"""A request's body on its way to a registry elsewhere: read as it comes, leave given when the registry gives it.

aiohttp sends a body only after the registry's `100 Continue` when it was told to expect one; so the moment at which it
asks for the first piece is the moment at which our client may get leave too, and not before.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable

from aiohttp import HttpVersion11, web

from backends import request_context

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def expects_continue(request: web.BaseRequest) -> bool:
    """Whether the client waits for leave before it sends its body."""
    expected = request.headers.get("Expect", "").lower() == "100-continue"
    return expected and request.version >= HttpVersion11 and request.body_exists


class ClientBody:
    """The body of a client's request, to be read once.

    Args:
        request: the request.
        idle_seconds: how long the client may pause between two pieces.

    Attributes:
        failure: what went wrong on the client's side, if anything did.
        begun: whether the registry has asked for the body.
        when_begun: called when it does.
    """

    def __init__(self, request: web.BaseRequest, *, idle_seconds: float) -> None:
        self._request = request
        self._idle_seconds = idle_seconds
        self.failure: Exception | None = None
        self.begun = False
        self.when_begun: Callable[[], None] = nothing

    async def chunks(self) -> AsyncGenerator[bytes, None]:
        """Yields the body as it comes.

        Raises:
            TimeoutError: the client paused for too long.
            RequestPayloadError: the body is malformed.
        """
        self.begun = True
        self.when_begun()
        try:
            await self._give_leave()
            content, loop = self._request.content, asyncio.get_running_loop()
            async with asyncio.timeout(self._idle_seconds) as deadline:
                while chunk := await content.readany():
                    deadline.reschedule(None)
                    yield chunk
                    deadline.reschedule(loop.time() + self._idle_seconds)
        except Exception as error:
            self.failure = error
            raise

    async def _give_leave(self) -> None:
        request = self._request
        if not expects_continue(request) or request_context.CONTINUED in request:
            return
        request[request_context.CONTINUED] = True
        if not request.content.is_eof():
            await request.writer.write(CONTINUE)
            request.writer.output_size = 0  # the answer has not begun: an error can still become one


def nothing() -> None:
    """What happens when a body begins that nobody waits for."""
