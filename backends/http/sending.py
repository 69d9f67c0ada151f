"""Sending content: whole blobs and parts of them, at the speed of the one who takes them."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing

from aiohttp.web import BaseRequest, Response, StreamResponse

from backends import request_context
from backends.model.ranges import ByteRange, Unsatisfiable, parse_range
from backends.storage.driver import Reader

SMALL = 64 * 1024
"""Content up to this size goes out with its head in one piece."""


def respond(request: BaseRequest, status: int, headers: Mapping[str, str], body: bytes | None = None) -> Response:
    """Builds an answer, with what the layers around want on it (`request_context.RESPONSE_HEADERS`).

    `Content-Type`, if any, comes in `headers`, exactly as it is to stand there.
    """
    response = Response(status=status, headers=headers, body=body)
    add_outer_headers(request, response)
    return response


def add_outer_headers(request: BaseRequest, response: StreamResponse) -> None:
    """Adds the headers that the layers around this registry want on every answer."""
    for name, value in request.get(request_context.RESPONSE_HEADERS, {}).items():
        response.headers[name] = value


async def send_content(request: BaseRequest, reader: Reader, headers: Mapping[str, str]) -> StreamResponse:
    """Answers GET and HEAD with a file's bytes, honouring `Range`; closes the reader.

    Raises:
        Unsatisfiable: the range lies outside the content; each protocol answers that in its own way.
    """
    try:
        size = reader.size
        part = _part(request, size)
        status = 200 if part is None else 206
        told = dict(headers) if part is None else {**headers, "Content-Range": f"bytes {part.first}-{part.last}/{size}"}
        part = part or ByteRange(0, size - 1)
        if request.method == "HEAD":
            return respond(request, status, {**told, "Content-Length": str(part.length)})
        if part.length <= SMALL:
            return respond(request, status, told, await _read(reader, part))
        response = StreamResponse(status=status, headers=told)
        add_outer_headers(request, response)
        response.content_length = part.length
        await response.prepare(request)
        async with aclosing(reader.chunks(part.first, part.length)) as chunks:
            async for chunk in chunks:
                await response.write(chunk)
        await response.write_eof()
        return response
    finally:
        reader.close()


async def _read(reader: Reader, part: ByteRange) -> bytes:
    if not part.length:
        return b""
    async with aclosing(reader.chunks(part.first, part.length)) as chunks:
        return b"".join([bytes(chunk) async for chunk in chunks])


def _part(request: BaseRequest, size: int) -> ByteRange | None:
    header = request.headers.get("Range")
    if header is None or ("If-Range" in request.headers and not _if_range_holds(request)):
        return None
    return parse_range(header, size)


def _if_range_holds(request: BaseRequest) -> bool:
    """Content here never changes under its address, so any strong validator that a client got from us holds."""
    return request.headers["If-Range"].startswith('"')


__all__ = ["Unsatisfiable", "add_outer_headers", "respond", "send_content"]
