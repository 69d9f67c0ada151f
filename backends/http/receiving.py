"""Reading request bodies: leave to send, pieces as they come, small ones whole within a limit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from aiohttp.web import BaseRequest

from backends import request_context
from backends.model.errors import ErrorCode, RegistryError

IDLE_SECONDS = 900.0
"""How long a body may pause between two pieces (the guide's read timeout)."""


def continue_pending(request: BaseRequest) -> bool:
    """Whether the client waits for `100 Continue` and has not been given it."""
    return "Expect" in request.headers and request_context.CONTINUED not in request


async def body_chunks(request: BaseRequest) -> AsyncGenerator[bytes, None]:
    """Yields the body as it comes. Called only when the request is acceptable: this gives leave to send it.

    Raises:
        TimeoutError: nothing came for 900 seconds.
        RequestPayloadError: the body broke off or is malformed.
    """
    await _continue(request)
    content = request.content
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(IDLE_SECONDS) as deadline:
        while True:
            chunk = await content.readany()
            if not chunk:
                return
            deadline.reschedule(None)
            yield chunk
            deadline.reschedule(loop.time() + IDLE_SECONDS)


async def read_body(request: BaseRequest, *, limit: int, too_large: ErrorCode) -> bytes:
    """Returns a small body whole.

    Args:
        request: the request.
        limit: bytes that are allowed.
        too_large: the error of a larger one (always with status 413).
    """
    length = request.content_length
    if length is not None and length > limit:
        raise _too_large(too_large, limit)
    parts: list[bytes] = []
    size = 0
    async for chunk in body_chunks(request):
        size += len(chunk)
        if size > limit:
            raise _too_large(too_large, limit)
        parts.append(chunk)
    return b"".join(parts)


async def _continue(request: BaseRequest) -> None:
    """Aiohttp's low-level server leaves this to the handler: once, and only when the body is wanted."""
    if not continue_pending(request):
        return
    if request.headers["Expect"].lower() != "100-continue":
        raise RegistryError(
            ErrorCode.UNSUPPORTED, f"Expect: {request.headers['Expect'][:60]!r} cannot be met", status=417
        )
    request[request_context.CONTINUED] = True
    if request.content.is_eof():
        return  # the body came without waiting
    await request.writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
    request.writer.output_size = 0  # the answer has not begun: an error can still become one


def _too_large(code: ErrorCode, limit: int) -> RegistryError:
    return RegistryError(code, f"the body is larger than the {limit} bytes that are allowed here", status=413)
