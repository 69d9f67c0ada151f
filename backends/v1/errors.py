"""Errors in the v1 protocol: `{"error": "<message>"}`, in docker-registry's words where it has them."""

from __future__ import annotations

from aiohttp.web import BaseRequest, Response

from backends.http.error_bodies import v1_error
from backends.http.sending import respond
from backends.model.errors import RegistryError
from backends.v1.headers import STD


def render(request: BaseRequest, error: RegistryError) -> Response:
    """Returns the answer for an error."""
    response = respond(request, error.status, {**STD, **error.headers}, v1_error(error.detail))
    for challenge in error.challenges:
        response.headers.add("WWW-Authenticate", challenge)
    return response
