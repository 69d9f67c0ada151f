"""Answers that tell browsers what pages of other origins may do with them (`backends/http/cors.py`)."""

from __future__ import annotations

from aiohttp.web import BaseRequest, StreamResponse

from backends import request_context
from backends.http.cors import Cors, CorsRequest, cors_headers
from backends.request_context import OuterHeaders
from backends.web.errors import Handler


def with_cors(handler: Handler, cors: Cors) -> Handler:
    """Wraps a handler so that all its answers, errors too, tell browsers what pages may do.

    Where `http.headers` says something of the same name, it is not said twice: these are more exact.
    """

    async def answer(request: BaseRequest) -> StreamResponse:
        headers = request.headers
        method = headers.get("Access-Control-Request-Method") if request.method == "OPTIONS" else None
        wanted = ",".join(headers.getall("Access-Control-Request-Headers", ()))
        told = cors_headers(cors, CorsRequest(headers.get("Origin"), method, wanted))
        if told:
            outer = request.get(request_context.RESPONSE_HEADERS) or OuterHeaders()
            request[request_context.RESPONSE_HEADERS] = OuterHeaders((*outer.replacing, *told), outer.adding)
        return await handler(request)

    return answer
