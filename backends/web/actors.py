"""From a request to the actor on whose behalf services change something."""

from __future__ import annotations

import secrets

from aiohttp.web import BaseRequest

from backends import request_context
from backends.http.request_info import client_agent, client_authority, remote_address
from backends.model.actor import Actor


def actor_of(request: BaseRequest) -> Actor:
    """Returns who asks, as far as it is known."""
    return Actor(_user(request), remote_address(request), client_agent(request), _request_id(request))


def described_actor(request: BaseRequest, *, origin: str) -> Actor:
    """Returns who asks, and what events say of the request.

    Args:
        request: the request.
        origin: scheme and authority of the addresses that events name; "" for addresses without either.
    """
    address = remote_address(request)
    peer = request.transport.get_extra_info("peername") if request.transport is not None else None
    # The port is the peer's own: it says nothing of a client that the peer forwards for.
    port = peer[1] if isinstance(peer, tuple) and peer[0] == address else 0
    return Actor(
        _user(request),
        address,
        client_agent(request),
        _request_id(request),
        port,
        request.method,
        client_authority(request),
        origin,
    )


def _user(request: BaseRequest) -> str:
    return request.get(request_context.USER) or ""


def _request_id(request: BaseRequest) -> str:
    request_id = request.get(request_context.REQUEST_ID)
    if request_id is None:
        request_id = request[request_context.REQUEST_ID] = secrets.token_hex(16)
    return request_id
