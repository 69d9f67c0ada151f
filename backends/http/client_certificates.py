"""The client's certificate, whoever has verified it: this connection's TLS, or the proxy in front."""

from __future__ import annotations

from aiohttp.web import BaseRequest

from backends import request_context
from backends.http.certificate_header import Certificate


def peer_certificate(request: BaseRequest) -> Certificate | None:
    """Returns the client's verified certificate, of this connection alone; None without one."""
    transport = request.transport
    return (transport.get_extra_info("peercert") or None) if transport is not None else None


def client_certificate(request: BaseRequest) -> Certificate | None:
    """Returns the client's verified certificate, whoever verified it; None without one."""
    told = request.get(request_context.CLIENT_CERTIFICATE)
    return peer_certificate(request) if told is None else told
