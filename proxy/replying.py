"""Giving a client its answer: with what the layers around want on it, and on a connection that stays in step.

Invariant: a connection on which a body is still to come, or may come, does not serve another request: the rest of that
body would be read as one.
"""

from __future__ import annotations

from aiohttp import web
from multidict import CIMultiDict

from backends import request_context
from proxy.answers import Answer
from proxy.headers import client_scheme


def reply(request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
    """Makes a response of a short answer."""
    headers = noted(request, CIMultiDict(answer.headers))
    return in_step(request, web.Response(status=answer.status, headers=headers, body=answer.body))


def noted(request: web.BaseRequest, headers: CIMultiDict[str]) -> CIMultiDict[str]:
    """Adds to an answer's headers what the layers around want there."""
    headers.setdefault("Server", "Portside")
    for name, value in request.get(request_context.RESPONSE_HEADERS, {}).items():
        headers[name] = value
    return headers


def in_step(request: web.BaseRequest, response: web.StreamResponse) -> web.StreamResponse:
    """Closes the connection after an answer that comes before the request's body has."""
    waits_for_leave = "Expect" in request.headers and request_context.CONTINUED not in request
    if waits_for_leave or not request.content.is_eof():
        response.force_close()
    return response


def client_address(request: web.BaseRequest) -> str:
    """Returns `scheme://host:port` as the client used it."""
    scheme = request.scheme
    if request.get(request_context.TRUSTED_PEER):
        scheme = client_scheme(list(request.headers.items()), scheme=scheme, trusted=True)
    return f"{scheme}://{request.headers.get('Host', 'localhost')}"
