"""No request is answered while a configured check fails, as in distribution: a balancer takes this process out."""

from __future__ import annotations

from aiohttp import web

from backends.dependencies import NOTED
from backends.http.connections import close_if_out_of_step
from backends.model.errors import ErrorCode, RegistryError
from backends.v1.errors import render as render_v1
from backends.v2.errors import render as render_v2
from portside.observe.configured_checks import MARK_HEADER
from portside.observe.health import Health
from portside.observe.requests import Handler


def while_healthy(handler: Handler, health: Health, *, mark: str) -> Handler:
    """Wraps the handler of a listener so that it answers only while nothing keeps requests from being answered.

    Everything else gets 503 in its protocol's shape; v2's has `Docker-Distribution-Api-Version`, so that no client
    takes it for a reason to fall back to v1.

    Args:
        handler: of the listener.
        health: of this process.
        mark: on the questions of this program's own checks, which are answered: one that asks this very address would
            otherwise find the 503 that it causes, for ever.
    """

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if not health.stops_requests or request.headers.get(MARK_HEADER) == mark:
            if (noted := NOTED.get()) is not None:
                noted.add(lambda: not health.stops_requests)
            return await handler(request)
        render = render_v1 if request.raw_path.startswith("/v1/") else render_v2
        error = RegistryError(ErrorCode.UNAVAILABLE, "health check failed: please see /debug/health")
        response = render(request, error)
        close_if_out_of_step(request, response)
        return response

    return answer
