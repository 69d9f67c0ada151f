"""What a request says of itself: the address its client used, the client's own, its query."""

from __future__ import annotations

from urllib.parse import parse_qsl

from aiohttp.web import BaseRequest

from backends import request_context
from backends.http.forwarded import client_ip, client_origin, first_value, is_scheme
from backends.http.masking import masked
from backends.model.clients import MAX_AGENT
from backends.model.errors import ErrorCode, RegistryError

UNIX = "unix"
"""The address of a client of a unix socket that nobody forwards for."""

MAX_FIELDS = 100
"""More fields than any client's query has."""


def client_authority(request: BaseRequest) -> str:
    """Returns the host and port that the client used, as it wrote them."""
    return request.headers.get("Host", "localhost")


def location_origin(request: BaseRequest) -> str:
    """Returns `scheme://host:port` as the client used it, only for `Location`: what anyone says of it is believed."""
    return client_origin(request.headers, scheme=request.scheme, host=client_authority(request))


def client_address(request: BaseRequest) -> str:
    """Returns `scheme://host:port` as the client used it, for all but `Location`.

    `X-Forwarded-Proto` counts only from our own proxy or a trusted network, which the listener says.
    """
    return f"{client_scheme(request)}://{client_authority(request)}"


def client_scheme(request: BaseRequest) -> str:
    """Returns the scheme that the client used: the connection's, unless a trusted peer says otherwise."""
    return forwarded_scheme(request) or request.scheme


def forwarded_scheme(request: BaseRequest) -> str:
    """Returns the scheme that a trusted peer says the client used; "" where none says it."""
    if request_context.TRUSTED_PEER in request:
        said = first_value(request.headers.get("X-Forwarded-Proto", "")).lower()
        if is_scheme(said):
            return said
    return ""


def remote_address(request: BaseRequest) -> str:
    """Returns the client's IP address: the peer's, or the one that a trusted peer forwards for; `unix` when unknown."""
    return told_address(request) or request.remote or UNIX


def told_address(request: BaseRequest) -> str:
    """Returns the IP address that a trusted peer forwards for; "" where none says it."""
    if request_context.TRUSTED_PEER not in request:
        return ""
    headers = request.headers
    real = headers.get("X-Real-IP")
    return client_ip(real, () if real else headers.getall("X-Forwarded-For", ()))


def client_agent(request: BaseRequest) -> str:
    """Returns the User-Agent for every decision and every line of a log: its first 1024 characters, "" without one."""
    return request.headers.get("User-Agent", "")[:MAX_AGENT]


def path_for_log(request: BaseRequest) -> str:
    """Returns the path of a request, at most 300 characters, without its query: that may carry tokens."""
    return masked(request.raw_path.partition("?")[0], longest=300)


def parse_repeated(request: BaseRequest, key: str, *, at_most: int) -> list[str]:
    """Returns all values of one key of the query, in their order.

    Raises:
        RegistryError: 414: there are more than `at_most`, or far more fields in all than any client sends.
    """
    query = request.raw_path.partition("?")[2]
    if not query:
        return []
    try:
        fields = parse_qsl(query, keep_blank_values=True, max_num_fields=at_most + MAX_FIELDS)
        values = [value for name, value in fields if name == key]
        if len(values) <= at_most:
            return values
    except ValueError:
        pass  # more fields than that; the answer is the same
    raise RegistryError(
        ErrorCode.UNSUPPORTED,
        f"the query is too long: {key}= may stand in it {at_most} times; send the rest in another request",
        status=414,
    )


def parse_query(request: BaseRequest) -> dict[str, str]:
    """Returns the query, the first value of each key.

    Raises:
        RegistryError: more fields than any client sends.
    """
    query = request.raw_path.partition("?")[2]
    if not query:
        return {}
    try:
        fields = parse_qsl(query, keep_blank_values=True, max_num_fields=MAX_FIELDS)
    except ValueError as error:
        raise RegistryError(ErrorCode.UNSUPPORTED, f"the query cannot be read: {error}", status=400) from None
    return dict(reversed(fields))
