"""Sending a file that a registry has handed over in place of its bytes (`backends/http/handed_files.py`)."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Protocol

from aiohttp import web

from backends.http.handed_files import FILE, HandedFile, parse_handed
from backends.model.errors import ErrorCode, RegistryError
from proxy.answer_heads import AnswerHead

Chunk = bytes | bytearray | memoryview


class OpenFile(Protocol):
    """A file that is open."""

    @property
    def size(self) -> int: ...

    def chunks(self, offset: int, length: int) -> AsyncGenerator[Chunk, None]:
        """Yields `length` bytes from `offset`."""
        ...

    def close(self) -> None: ...


class SharedFolder(Protocol):
    """The folder that the proxy and a registry both see."""

    async def open(self, path: str) -> OpenFile:
        """Opens a regular file of it.

        Args:
            path: below the folder, with a slash at its beginning; never what leads out of it.

        Raises:
            RegistryError: UNAVAILABLE, 502: there is no such file to be had.
        """
        ...

    async def close(self) -> None: ...


def handed_by(head: AnswerHead) -> HandedFile | None:
    """Returns the file that a registry hands over, which was told that it may; None where it sends the bytes itself.

    Raises:
        RegistryError: UNAVAILABLE, 502: what it says cannot be obeyed.
    """
    values = [value for name, value in head.headers if name.lower() == _FILE]
    if not values:
        return None
    try:
        if len(values) > 1 or head.length != 0:
            raise ValueError("it says it twice, or with a body")
        return parse_handed(values[0])
    except ValueError as error:
        raise _refused(f"what it says is not valid: {error}") from None


async def open_handed(folder: SharedFolder, file: HandedFile) -> OpenFile:
    """Opens a file that was handed over.

    Raises:
        RegistryError: UNAVAILABLE, 502: it is not there, or not the one that the registry means.
    """
    opened = await folder.open(file.path)
    if opened.size != file.size:
        opened.close()
        raise _refused(f"the file has {opened.size} bytes here and {file.size} there")
    return opened


async def send_handed(
    request: web.BaseRequest, response: web.StreamResponse, opened: OpenFile, file: HandedFile
) -> web.StreamResponse:
    """Sends the bytes of a file that was opened, and closes it."""
    response.content_length = file.length
    try:
        await response.prepare(request)
        async with aclosing(opened.chunks(file.first, file.length)) as chunks:
            async for chunk in chunks:
                await response.write(chunk)
    finally:
        opened.close()
    await response.write_eof()
    return response


_FILE = FILE.lower()


def _refused(why: str) -> RegistryError:
    detail = f"the registry hands a file over that the proxy cannot send: {why}; do both see the same folder (files)?"
    return RegistryError(ErrorCode.UNAVAILABLE, detail, status=502)
