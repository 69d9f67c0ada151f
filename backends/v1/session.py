"""Ping, root and users: what an old client asks first (V1API sections 1 and 2)."""

from __future__ import annotations

from aiohttp.web import BaseRequest, StreamResponse

from backends.http.sending import respond
from backends.model.v1images import parse_body
from backends.v1.headers import STD
from backends.v1.parts import Parts, answer

ISSUE = '"docker-registry server"'
"""docker-registry's own default, which has the quotes in it."""


async def get_ping(_: Parts, request: BaseRequest) -> StreamResponse:
    """Says that this registry is its own index."""
    return answer(request, {}, headers={"X-Docker-Registry-Standalone": "True"})


async def get_root(_: Parts, request: BaseRequest) -> StreamResponse:
    """Says what this is."""
    return answer(request, ISSUE)


async def get_users(_: Parts, request: BaseRequest) -> StreamResponse:
    """Answers `docker login`; as long as there is no access control, every login succeeds."""
    return answer(request, "OK")


async def post_user(parts: Parts, request: BaseRequest) -> StreamResponse:
    """Answers `docker login` of clients that register first."""
    parse_body(await parts.body(request), "Error Decoding JSON")
    return answer(request, "User Created", status=201)


async def put_user(parts: Parts, request: BaseRequest, user: str) -> StreamResponse:  # noqa: ARG001 - there are no accounts
    """Answers a change of an account, of which there are none."""
    await parts.body(request)
    return respond(request, 204, {name: value for name, value in STD.items() if name != "Content-Type"})
