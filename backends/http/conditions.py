"""Conditional requests: whether a client has the content already, or wants another than is here (RFC 9110 section 13).

`If-Modified-Since` and `If-Unmodified-Since` do not count: what has an entity tag here has no date.
"""

from __future__ import annotations

from aiohttp.web import BaseRequest

from backends.model.errors import ErrorCode, RegistryError
from backends.model.etags import match_holds, none_match_fails


def is_unchanged(request: BaseRequest, etag: str) -> bool:
    """Whether a GET or HEAD is to be answered by 304.

    Args:
        request: the request.
        etag: the entity tag of the content that would be sent, with its quotes.

    Raises:
        RegistryError: PRECONDITION_FAILED: `If-Match` names other content.
    """
    headers = request.headers
    if "If-Match" in headers and not match_holds(headers.getall("If-Match"), etag):
        raise RegistryError(
            ErrorCode.PRECONDITION_FAILED, f"If-Match does not name {etag}, which is what is here; ask without it"
        )
    return "If-None-Match" in headers and none_match_fails(headers.getall("If-None-Match"), etag)
