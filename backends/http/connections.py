"""What becomes of a connection: whether it may serve another request, and how it is broken off.

Invariant: a connection on which a request's body is still to come, or may come, serves no other request: the rest of
that body would be parsed as one.
"""

from __future__ import annotations

from aiohttp import HttpVersion11
from aiohttp.web import BaseRequest, StreamResponse

from backends import request_context


def close_if_out_of_step(request: BaseRequest, response: StreamResponse) -> None:
    """Makes an answer that comes before its request's body the last one of its connection.

    A client that waits for `100 Continue` and never got it may still send its body.
    """
    if request.body_exists and (_may_still_send(request) or not request.content.is_eof()):
        response.force_close()


def break_off(request: BaseRequest) -> ConnectionResetError:
    """Breaks the connection of an answer that has begun and cannot be finished: half of one must not look whole.

    Returns:
        the exception for the caller to raise.
    """
    if request.transport is not None:
        request.transport.abort()
    return ConnectionResetError("the answer had begun and could not be finished")


def _may_still_send(request: BaseRequest) -> bool:
    return "Expect" in request.headers and request_context.CONTINUED not in request and request.version >= HttpVersion11
