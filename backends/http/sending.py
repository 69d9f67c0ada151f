"""Sending content: whole blobs and parts of them, at the speed of the one who takes them."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import AsyncGenerator, Mapping, MutableMapping
from contextlib import aclosing
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from aiohttp.web import BaseRequest, Response, StreamResponse

from backends import request_context
from backends.http.handed_files import FILE, SMALLEST, TAKES, HandedFile, format_handed, path_below
from backends.model.etags import range_holds
from backends.model.ranges import ByteRange, Unsatisfiable, parse_ranges

if TYPE_CHECKING:
    from backends.http.multipart import Multipart
    from backends.request_context import OuterHeaders

Chunk = bytes | bytearray | memoryview

SMALL = 64 * 1024
"""Content up to this size goes out with its head in one piece."""

PIECES_AT_ONCE = 64
"""After so many pieces of a body of many parts, other requests get their turn."""


class Content(Protocol):
    """Bytes that can be read from any place, such as an open file of storage."""

    @property
    def size(self) -> int: ...

    def chunks(self, offset: int, length: int) -> AsyncGenerator[Chunk, None]:
        """Yields `length` bytes from `offset`."""
        ...


@runtime_checkable
class InFile(Protocol):
    """Content that is a file from its beginning to its end.

    Attributes:
        file: its absolute path.
    """

    @property
    def file(self) -> str: ...


class HandedOver(Response):
    """An answer whose bytes our own proxy sends.

    Attributes:
        length: how many these are.
    """

    length: int


def respond(request: BaseRequest, status: int, headers: Mapping[str, str], body: bytes | None = None) -> Response:
    """Builds an answer, with what the layers around want on it (`request_context.RESPONSE_HEADERS`).

    `Content-Type`, if any, comes in `headers`, exactly as it is to stand there.
    """
    response = Response(status=status, headers=headers, body=body)
    add_outer_headers(request, response)
    return response


def add_outer_headers(request: BaseRequest, response: StreamResponse) -> None:
    """Adds the headers that the layers around a handler want on every answer."""
    outer = request.get(request_context.RESPONSE_HEADERS)
    if outer is not None:
        put_outer_headers(outer, response.headers)


def put_outer_headers(outer: OuterHeaders, headers: MutableMapping[str, str]) -> None:
    """Adds such headers to others, whose names are found in any case."""
    for name, value in outer.replacing:
        headers[name] = value
    for name, value in outer.adding:
        if name not in headers:
            headers[name] = value


async def send_content(
    request: BaseRequest,
    content: Content,
    headers: Mapping[str, str],
    *,
    ranges_of_head: bool = False,
    with_ranges: bool = True,
    files: str = "",
) -> StreamResponse:
    """Answers GET and HEAD with a file's bytes, honouring `Range`.

    Args:
        request: the request.
        content: what to send; the code that opened it closes it.
        headers: of an answer with the whole content, `Content-Type` among them.
        ranges_of_head: honour `Range` of a HEAD too, as docker-registry does; RFC 9110 section 14.2 ignores it.
        with_ranges: honour `Range` at all.
        files: the folder of which our own proxy may be handed files; "" for none.

    Raises:
        Unsatisfiable: the ranges lie outside the content; each protocol has its own answer to that.
    """
    size = content.size
    honoured = with_ranges and (request.method == "GET" or ranges_of_head)
    asked = _asked(request, headers, size) if honoured else None
    if isinstance(asked, tuple):
        return await _send_parts(request, content, headers, asked)
    status = 200
    if asked is None:
        asked = ByteRange(0, size - 1)
    else:
        status = 206
        headers = {**headers, "Content-Range": f"bytes {asked.first}-{asked.last}/{size}"}
    if request.method == "HEAD":
        return respond(request, status, {**headers, "Content-Length": str(asked.length)})
    if files and (handed := _handed(request, content, asked, files)) is not None:
        return _hand_over(request, status, headers, handed)
    chunks = content.chunks(asked.first, asked.length)
    if asked.length <= SMALL:
        return respond(request, status, headers, await _join(chunks))
    return await _stream(request, status, headers, chunks, length=asked.length)


def _handed(request: BaseRequest, content: Content, asked: ByteRange, files: str) -> HandedFile | None:
    """Returns what our own proxy is to send in our place; None where it is not to."""
    if asked.length <= SMALLEST or TAKES not in request.headers or request_context.TRUSTED_PEER not in request:
        return None
    path = path_below(files, content.file) if isinstance(content, InFile) else None
    return None if path is None else HandedFile(path, asked.first, asked.last, content.size)


def _hand_over(request: BaseRequest, status: int, headers: Mapping[str, str], handed: HandedFile) -> Response:
    response = HandedOver(status=status, headers={**headers, FILE: format_handed(handed)}, body=b"")
    add_outer_headers(request, response)
    response.length = handed.length
    return response


async def _send_parts(
    request: BaseRequest, content: Content, headers: Mapping[str, str], ranges: tuple[ByteRange, ...]
) -> StreamResponse:
    from backends.http.multipart import plan_multipart  # noqa: PLC0415 - no client of a registry asks for several

    plan = plan_multipart(
        ranges, size=content.size, content_type=headers["Content-Type"], boundary=secrets.token_hex(16)
    )
    headers = {**headers, "Content-Type": plan.content_type}
    if request.method == "HEAD":
        return respond(request, 206, {**headers, "Content-Length": str(plan.length)})
    pieces = _gather(_parts(content, plan))
    if plan.length <= SMALL:
        return respond(request, 206, headers, await _join(pieces))
    return await _stream(request, 206, headers, pieces, length=plan.length)


async def _stream(
    request: BaseRequest, status: int, headers: Mapping[str, str], chunks: AsyncGenerator[Chunk, None], *, length: int
) -> StreamResponse:
    response = StreamResponse(status=status, headers=headers)
    add_outer_headers(request, response)
    response.content_length = length
    async with aclosing(chunks):
        await response.prepare(request)
        async for chunk in chunks:
            await response.write(chunk)
    await response.write_eof()
    return response


async def _join(chunks: AsyncGenerator[Chunk, None]) -> bytes:
    return b"".join([chunk async for chunk in chunks])  # taken to its end, or broken by itself: nothing to close


async def _parts(content: Content, plan: Multipart) -> AsyncGenerator[Chunk, None]:
    for head, part in plan.parts:
        yield head
        async with aclosing(content.chunks(part.first, part.length)) as chunks:
            async for chunk in chunks:
                yield chunk
    yield plan.end


async def _gather(pieces: AsyncGenerator[Chunk, None]) -> AsyncGenerator[Chunk, None]:
    """Joins small pieces, so that each write carries more than a few bytes."""
    async with aclosing(pieces):
        waiting: list[Chunk] = []
        size = 0
        async for piece in pieces:
            if len(piece) >= SMALL:
                yield b"".join(waiting)
                yield piece
                waiting, size = [], 0
                continue
            waiting.append(piece)
            size += len(piece)
            if size >= SMALL or len(waiting) >= PIECES_AT_ONCE:
                yield b"".join(waiting)
                waiting, size = [], 0
                await asyncio.sleep(0)
        yield b"".join(waiting)


def _asked(request: BaseRequest, headers: Mapping[str, str], size: int) -> ByteRange | tuple[ByteRange, ...] | None:
    header = request.headers.get("Range")
    if header is None:
        return None
    condition = request.headers.get("If-Range")
    if condition is not None and not range_holds(
        condition, etag=headers.get("Etag"), last_modified=headers.get("Last-Modified")
    ):
        return None
    return parse_ranges(header, size)


__all__ = ["Unsatisfiable", "add_outer_headers", "respond", "send_content"]
