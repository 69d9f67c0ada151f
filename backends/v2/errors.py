"""Errors in the v2 protocol (distribution specification, "Error Codes")."""

from __future__ import annotations

from aiohttp.web import BaseRequest, Response

from backends.http.error_bodies import v2_error
from backends.http.sending import respond
from backends.model.errors import RegistryError
from backends.v2.headers import API_HEADERS


def render(request: BaseRequest, error: RegistryError) -> Response:
    """Returns the answer for an error: `{"errors": [{"code", "message", "detail"}, ...]}`."""
    headers = {**API_HEADERS, "Content-Type": "application/json; charset=utf-8", **error.headers}
    body = v2_error(error.code, error.detail, message=error.message, facts=error.facts, each=error.each)
    response = respond(request, error.status, headers, body)
    for challenge in error.challenges:
        response.headers.add("WWW-Authenticate", challenge)
    return response
