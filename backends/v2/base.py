"""`GET /v2/`: whether this is a v2 registry, and whether the client may come in; `GET /`: whether anything answers."""

from __future__ import annotations

from aiohttp.web import BaseRequest, StreamResponse

from backends.http.sending import respond
from backends.v2.parts import Parts


async def get_base(parts: Parts, request: BaseRequest) -> StreamResponse:
    """Answers `{}`, as distribution does."""
    return respond(request, 200, parts.headers(Content_Type="application/json; charset=utf-8"), b"{}")


async def get_root(parts: Parts, request: BaseRequest) -> StreamResponse:
    """Answers an empty 200, as distribution does: load balancers and probes ask for `/`."""
    return respond(request, 200, parts.headers(Cache_Control="no-cache"), b"")
