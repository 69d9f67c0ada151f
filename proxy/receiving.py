"""The body of a request for a registry elsewhere: read as it comes, and asked for when the registry asks for it.

aiohttp sends a body only after the registry's `100 Continue` when the request has `Expect`; so the moment at which it
asks for the first piece is the moment to send our client `100 Continue`, and not before.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing

from aiohttp import web

from backends.http.receiving import RequestBody
from backends.model.errors import RegistryError


class ClientBody:
    """The body of a client's request, to be read once.

    Args:
        request: the request.
        idle_seconds: how long the client may pause between two pieces.

    Attributes:
        failure: what went wrong on the client's side, if anything did.
        when_begun: called when the registry asks for the body.
    """

    def __init__(self, request: web.BaseRequest, *, idle_seconds: float) -> None:
        self._request = request
        self._idle_seconds = idle_seconds
        self.failure: RegistryError | None = None
        self.when_begun: Callable[[], None] = nothing

    async def chunks(self) -> AsyncGenerator[bytes | memoryview, None]:
        """Yields the body as it comes.

        Raises:
            RegistryError: the client paused for too long, or the body is malformed; `failure` from then on.
        """
        self.when_begun()
        try:
            async with aclosing(RequestBody(self._request, idle_seconds=self._idle_seconds)) as chunks:
                async for chunk in chunks:
                    yield chunk
        except RegistryError as error:
            self.failure = error
            raise


def nothing() -> None:
    """Called when a body begins that nothing waits for."""
