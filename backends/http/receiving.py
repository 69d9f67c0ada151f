"""Reading request bodies: `Expect: 100-continue`, pieces as they come, small bodies whole within a limit."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Protocol, runtime_checkable

from aiohttp import HttpVersion11
from aiohttp.web import BaseRequest, RequestPayloadError

from backends import request_context
from backends.http.settings import BODY_IDLE_SECONDS, BODY_TOTAL_SECONDS
from backends.http.text import printable
from backends.model.errors import ErrorCode, RegistryError

Take = Callable[[Sequence[bytes | bytearray | memoryview]], bool]
"""Takes pieces of a body, at once and all of them; returns whether it can take more before it has been waited for."""

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


def expects_continue(request: BaseRequest) -> bool:
    """Whether the client waits for `100 Continue` before it sends its body.

    One that speaks HTTP/1.0 does not know that answer, whatever it sends (RFC 9110 section 10.1.1); without a body
    there is nothing to wait for.
    """
    return (
        request.body_exists
        and request.version >= HttpVersion11
        and request.headers.get("Expect", "").lower() == "100-continue"
    )


def require_expectation(request: BaseRequest) -> None:
    """Refuses an expectation other than `100-continue`.

    Raises:
        RegistryError: UNSUPPORTED with status 417.
    """
    expected = request.headers.get("Expect", "100-continue")
    if expected.lower() != "100-continue":
        raise RegistryError(ErrorCode.UNSUPPORTED, f"Expect: {expected[:60]!a} is not supported", status=417)


class RequestBody:
    """The body of a request, to be read once: by iteration, or poured into storage.

    Read only when the request is acceptable: a client that waits gets `100 Continue`.

    Args:
        request: the request.
        idle_seconds: how long the client may pause between two pieces.

    Raises:
        RegistryError: SIZE_INVALID: the client paused for too long (status 408), or the body broke off or is malformed.
    """

    def __init__(self, request: BaseRequest, *, idle_seconds: float = BODY_IDLE_SECONDS) -> None:
        self._request = request
        self._idle_seconds = idle_seconds
        self._pieces = self._read()

    def __aiter__(self) -> AsyncIterator[bytes | memoryview]:
        return self._pieces

    async def __anext__(self) -> bytes | memoryview:
        return await anext(self._pieces)

    async def aclose(self) -> None:
        """Ends reading."""
        await self._pieces.aclose()

    async def _read(self) -> AsyncGenerator[bytes | memoryview, None]:
        require_expectation(self._request)
        await _send_continue(self._request)
        content = self._request.content
        loop = asyncio.get_running_loop()
        with self._errors():
            async with asyncio.timeout(self._idle_seconds) as deadline:
                while chunk := await content.readany():
                    deadline.reschedule(None)
                    yield chunk
                    while chunk := content.read_nowait():  # what came with it: a timer costs more than a piece
                        yield chunk
                    deadline.reschedule(loop.time() + self._idle_seconds)

    async def pour(self, take: Take) -> bool:
        """Gives the body to `take` in the moment that it is received, where the connection can; else piece by piece.

        Returns:
            whether that was all; else `take` wants to be waited for.
        """
        require_expectation(self._request)
        await _send_continue(self._request)
        content = self._request.content
        if not isinstance(content, PouringContent):
            async for piece in self._pieces:
                if not take((piece,)):
                    return False
            return True
        with self._errors():
            return await content.pour(take, idle_seconds=self._idle_seconds)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except TimeoutError:
            detail = f"the request's body stopped coming: nothing for {self._idle_seconds:g} seconds; send it again"
            raise RegistryError(ErrorCode.SIZE_INVALID, detail, status=408) from None
        except RequestPayloadError as error:
            detail = f"the request's body broke off or is malformed ({printable(str(error)[:200])}); send it again"
            raise RegistryError(ErrorCode.SIZE_INVALID, detail) from None


@runtime_checkable
class PouringContent(Protocol):
    """The content of a request whose connection gives its bytes to who takes them at once."""

    async def pour(self, take: Take, *, idle_seconds: float) -> bool:
        """Calls `take` with what has come, and with what comes, until it wants to be waited for or nothing more comes.

        Returns:
            whether that was all.

        Raises:
            TimeoutError: nothing came for that long.
        """
        ...


async def read_body(
    request: BaseRequest, *, limit: int, too_large: ErrorCode, idle_seconds: float = BODY_IDLE_SECONDS
) -> bytes:
    """Returns a small body whole.

    Args:
        request: the request.
        limit: bytes that are allowed.
        too_large: the error of a larger one (always with status 413).
        idle_seconds: how long the client may pause between two pieces.

    Raises:
        RegistryError: `too_large`; SIZE_INVALID: as `RequestBody`, and for one that takes longer than
            `BODY_TOTAL_SECONDS`.
    """
    length = request.content_length
    if length is not None and length > limit:
        raise _too_large(too_large, limit)
    parts: list[bytes | memoryview] = []
    size = 0
    loop = asyncio.get_running_loop()
    end = loop.time() + BODY_TOTAL_SECONDS
    async for chunk in RequestBody(request, idle_seconds=idle_seconds):
        if loop.time() > end:
            detail = f"the request's body took longer than {BODY_TOTAL_SECONDS:g} seconds; send it again, faster"
            raise RegistryError(ErrorCode.SIZE_INVALID, detail, status=408)
        size += len(chunk)
        if size > limit:
            raise _too_large(too_large, limit)
        parts.append(chunk)
    return b"".join(parts)


async def _send_continue(request: BaseRequest) -> None:
    """Tells a client that waits to send its body: once, and not if it has come without waiting.

    aiohttp's low-level server leaves this to the handler.
    """
    if not expects_continue(request) or request_context.CONTINUED in request:
        return
    request[request_context.CONTINUED] = True
    if request.content.is_eof():
        return
    await request.writer.write(CONTINUE)
    request.writer.output_size = 0  # the answer has not begun: an error can still become one


def _too_large(code: ErrorCode, limit: int) -> RegistryError:
    return RegistryError(code, f"the body is larger than the {limit} bytes that are allowed here", status=413)
