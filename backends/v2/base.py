"""`GET /v2/`: whether this is a v2 registry, and whether the client may come in; `GET /`: whether anything answers."""

from __future__ import annotations

from aiohttp.web import BaseRequest, StreamResponse

from backends.http.sending import respond
from backends.v2.headers import API_HEADERS, JSON_HEADERS
from backends.v2.parts import Parts


async def get_base(_: Parts, request: BaseRequest) -> StreamResponse:
    """Answers `{}`, as distribution does."""
    return respond(request, 200, JSON_HEADERS, b"{}")


async def get_root(_: Parts, request: BaseRequest) -> StreamResponse:
    """Answers an empty 200, as distribution does: load balancers and probes ask for `/`."""
    headers = {**API_HEADERS, "Cache-Control": "no-cache"}
    del headers["Docker-Distribution-Api-Version"]  # nothing of the API is here
    return respond(request, 200, headers, b"")
