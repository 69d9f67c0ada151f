"""Clients of the v1 protocol that ask for a layer before it is known what it holds, or before it is a gzip.

Docker up to 1.5 waits a minute for an answer; it follows a redirect to the same address, and waits anew.
"""

from __future__ import annotations

from aiohttp.web import BaseRequest, StreamResponse

from backends.http.asking_again import next_address
from backends.http.sending import respond
from backends.model.errors import ErrorCode, RegistryError
from backends.registry.still_working import StillWorking
from backends.v1.headers import STD
from backends.web.errors import Handler

RETRY_SECONDS = 20
"""After so many seconds, a client that was told to come later may expect something new."""


def asking_again(handler: Handler) -> Handler:
    """Wraps a handler so that a client whose answer takes long asks again, while the work goes on."""

    async def answer(request: BaseRequest) -> StreamResponse:
        try:
            return await handler(request)
        except StillWorking as working:
            progress = working.progress
        address = next_address(request.raw_path)
        if address is None or request.method not in {"GET", "HEAD"}:
            raise RegistryError(
                ErrorCode.UNAVAILABLE,
                f"this image is being prepared for this client: {progress}; the work goes on, so pull it again later",
                headers={"Retry-After": str(RETRY_SECONDS)},
            )
        return respond(request, 307, {**STD, "Location": address}, b"")

    return answer
