"""The body of a request for a registry elsewhere: read as it comes, and asked for when the registry asks for it.

A body is sent only after the registry's `100 Continue` when the request has `Expect`; so the moment at which its first
piece is asked for is the moment to send our client `100 Continue`, and not before.
"""

from __future__ import annotations

from collections.abc import Callable

from aiohttp import web

from backends.http.receiving import RequestBody, Take
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
        self._body = RequestBody(request, idle_seconds=idle_seconds)
        self.failure: RegistryError | None = None
        self.when_begun: Callable[[], None] = nothing

    async def pour(self, take: Take) -> bool:
        """Gives what comes of the body to `take`, as it comes, until that wants to be waited for.

        Returns:
            whether that was all.

        Raises:
            RegistryError: the client paused for too long, or the body is malformed; `failure` from then on.
        """
        self.when_begun()
        try:
            return await self._body.pour(take)
        except RegistryError as error:
            self.failure = error
            raise

    async def close(self) -> None:
        """Ends reading."""
        await self._body.aclose()


def nothing() -> None:
    """Called when a body begins that nothing waits for."""
