"""From a request to the actor on whose behalf services change something."""

from __future__ import annotations

import secrets

from aiohttp.web import BaseRequest

from backends import request_context
from backends.http.request_info import client_agent, remote_address
from backends.model.actor import Actor


def actor_of(request: BaseRequest) -> Actor:
    """Returns who asks, as far as it is known."""
    request_id = request.get(request_context.REQUEST_ID)
    if request_id is None:
        request_id = request[request_context.REQUEST_ID] = secrets.token_hex(16)
    return Actor("", remote_address(request), client_agent(request), request_id)
