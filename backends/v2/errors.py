"""How the v2 protocol tells an error (distribution specification, "Error Codes").

Docker 1.9 to 1.13 decide by this body whether they fall back to v1: what distribution sends, a canonical message *with
a detail*, makes them do so where an image is missing (WIRE section 2a).
"""

from __future__ import annotations

import json

from aiohttp.web import BaseRequest, Response

from backends.http.sending import respond
from backends.model.errors import RegistryError
from backends.v2.headers import API_HEADERS


def render(request: BaseRequest, error: RegistryError) -> Response:
    """Returns the answer for an error: `{"errors": [{"code", "message", "detail"}]}`."""
    body = {"errors": [{"code": error.code.name, "message": error.code.message, "detail": {"reason": error.detail}}]}
    content = json.dumps(body, separators=(",", ":")).encode() + b"\n"
    headers = {**API_HEADERS, "Content-Type": "application/json; charset=utf-8", **error.headers}
    return respond(request, error.status, headers, content)
