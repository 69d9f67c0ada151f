"""Giving a client an answer of the proxy's own."""

from __future__ import annotations

from aiohttp import web
from multidict import CIMultiDict

from backends.http.connections import close_if_out_of_step
from backends.http.sending import respond
from proxy.answers import Answer


def reply(request: web.BaseRequest, answer: Answer) -> web.StreamResponse:
    """Makes a response of a short answer."""
    own = (("Server", "Portside"), ("X-Content-Type-Options", "nosniff"))
    response = respond(request, answer.status, CIMultiDict((*own, *answer.headers)), answer.body)
    close_if_out_of_step(request, response)
    return response
