"""What requests to other servers have in common: answers are read up to a bound, and why there is none is a clause."""

from __future__ import annotations

import os
import socket

# Names, not the module: so its client is there (`portside.deferred_modules`) before workers are forked.
from aiohttp import (
    ClientConnectorCertificateError,
    ClientConnectorError,
    ClientError,
    ClientPayloadError,
    ClientResponse,
    ServerDisconnectedError,
)


async def read_up_to(answer: ClientResponse, most: int) -> bytes:
    """Returns the body of an answer.

    Args:
        answer: from a server that may send without end.
        most: so many bytes it may have.

    Raises:
        ValueError: it has more.
    """
    content = bytearray()
    async for piece in answer.content.iter_any():
        content += piece
        if len(content) > most:
            raise ValueError(f"its answer is longer than {most} bytes")
    return bytes(content)


def why_unanswered(error: Exception) -> str:
    """Returns why there is no answer that can be used, for the end of a sentence about the server."""
    match error:
        case ClientConnectorError():
            return why_not_reached(error)
        case ClientPayloadError() | ServerDisconnectedError():
            return "its answer ends too early"
        case ClientError():
            return f"its answer is not valid HTTP ({type(error).__name__})"
        case _:
            return str(error)


def why_not_reached(error: ClientConnectorError) -> str:
    """Returns why there is no connection, for the end of a sentence about the server."""
    if isinstance(error, ClientConnectorCertificateError):
        return f"its certificate is not trusted ({error.certificate_error})"
    return f"it cannot be reached ({reason_of(error.os_error)})"


def reason_of(error: OSError) -> str:
    """Returns why nobody was reached, as the system says it; asyncio puts its own words, and the address, in its place.

    Args:
        error: `os_error` of aiohttp's.
    """
    if isinstance(error, socket.gaierror) or not error.errno:
        return error.strerror or type(error).__name__
    return os.strerror(error.errno)
