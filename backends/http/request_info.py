"""What a request says of itself: the address its client used, its query."""

from __future__ import annotations

from urllib.parse import parse_qsl

from aiohttp.web import BaseRequest

from backends import request_context
from backends.model.errors import ErrorCode, RegistryError

_SCHEMES = frozenset({"http", "https"})


def client_authority(request: BaseRequest) -> str:
    """Returns the host and port that the client used, as it wrote them."""
    return request.headers.get("Host", "localhost")


def client_address(request: BaseRequest) -> str:
    """Returns `scheme://host:port` as the client used it.

    `X-Forwarded-Proto` counts only from our own proxy or a trusted network, which the listener tells.
    """
    scheme = request.scheme
    if request.get(request_context.TRUSTED_PEER):
        forwarded = request.headers.get("X-Forwarded-Proto", scheme).lower()
        scheme = forwarded if forwarded in _SCHEMES else scheme
    return f"{scheme}://{client_authority(request)}"


def remote_address(request: BaseRequest) -> str:
    """Returns the client's IP address: the peer's, or the one that a trusted peer forwards for; `unix` when unknown."""
    if request_context.TRUSTED_PEER in request:
        said = request.headers.get("X-Real-IP")
        if said:
            return said[:64].replace(" ", "_")
    return request.remote or "unix"


def parse_query(request: BaseRequest) -> dict[str, str]:
    """Returns the query, the first value of each key.

    Raises:
        RegistryError: more fields than any client sends.
    """
    query = request.raw_path.partition("?")[2]
    if not query:
        return {}
    try:
        fields = parse_qsl(query, keep_blank_values=True, max_num_fields=100)
    except ValueError as error:
        raise RegistryError(ErrorCode.UNSUPPORTED, f"the query cannot be read: {error}", status=400) from None
    return dict(reversed(fields))
