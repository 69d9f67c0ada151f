"""What a request says of its caller before anybody vouches for it."""

from __future__ import annotations

from typing import Literal

from aiohttp.web import BaseRequest

from backends.auth.identity import Caller
from backends.http.client_certificates import client_certificate
from backends.http.request_info import client_address, client_agent, remote_address


def caller_of(request: BaseRequest, protocol: Literal["v1", "v2"]) -> Caller:
    """Returns what is known of a request's caller.

    Args:
        request: the request.
        protocol: of the registry that it asks.
    """
    return Caller(
        remote_address(request),
        client_agent(request),
        protocol,
        client_address(request),
        client_certificate(request),
    )
