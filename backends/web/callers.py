"""What a request says of its caller before anybody vouches for it."""

from __future__ import annotations

from typing import Literal
from urllib.parse import unquote

from aiohttp.web import BaseRequest

from backends.auth.identity import Caller, Signed
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
        method=request.method,
        signed=_signed(request) if "X-Signature" in request.headers else None,
    )


def _signed(request: BaseRequest) -> Signed:
    """Returns what docker-registry 0.9.1 takes a signature to be over, its names of headers as WSGI writes them."""
    headers: dict[str, str] = {}
    for name, value in request.headers.items():
        written = name.replace("_", "-").title()
        if written.startswith("X-Docker"):
            headers[written] = f"{headers[written]},{value}" if written in headers else value
    path = unquote(request.raw_path.partition("?")[0], errors="surrogateescape")
    return Signed(request.headers["X-Signature"], path, headers)
