"""Ping, root and users: what an old client asks first (V1API sections 1 and 2)."""

from __future__ import annotations

from aiohttp.web import BaseRequest, StreamResponse

from backends.http.sending import respond
from backends.model.errors import ErrorCode, RegistryError
from backends.model.v1images import parse_body
from backends.v1.headers import STD
from backends.v1.parts import Parts, answer


async def get_ping(parts: Parts, request: BaseRequest) -> StreamResponse:
    """Says whether this registry is its own index.

    It is, unless the settings name another; but of a registry that says so over TLS, Docker takes it that a user and a
    password go with every request and no token, so that no image's request would say for which repository it is asked
    for. Where there is access control it is told otherwise, and sends back the token that it got with the first
    request.
    """
    standalone = parts.tokens is None and parts.settings.index is None
    headers = {"X-Docker-Registry-Standalone": "True" if standalone else "False"}
    if not parts.settings.debug:
        return answer(request, {}, headers=headers)
    from backends.v1.debug_info import debug_info  # noqa: PLC0415 - only where it is asked for

    return answer(request, debug_info(), headers={**headers, "X-Docker-Registry-Config": parts.settings.flavor})


async def get_root(parts: Parts, request: BaseRequest) -> StreamResponse:
    """Says what this is, in words that its operator may choose."""
    return answer(request, parts.settings.issue)


async def get_users(_: Parts, request: BaseRequest) -> StreamResponse:
    """Answers `docker login` of somebody who may come in; without access control, that is everybody."""
    return answer(request, "OK")


async def post_user(parts: Parts, request: BaseRequest) -> StreamResponse:
    """Answers `docker login` of clients that register first.

    Raises:
        RegistryError: UNAUTHORIZED, always, where there is access control: whoever is told that an account was created
            takes any password for a right one. Told this, Docker goes on to ask whether the password is right.
    """
    content = await parts.body(request)
    if parts.tokens is not None:
        sentence = "Accounts are made by this registry's operator"
        raise RegistryError(ErrorCode.UNAUTHORIZED, sentence, challenges=["Token"])
    parse_body(content, "Error Decoding JSON")
    return answer(request, "User Created", status=201)


async def say_that_the_index_is_elsewhere(parts: Parts, _: BaseRequest, **__: object) -> StreamResponse:
    """Answers what is an index's to answer, and no registry's that has one elsewhere.

    Raises:
        RegistryError: NOT_FOUND.
    """
    index = parts.settings.index
    assert index is not None
    raise RegistryError(ErrorCode.NOT_FOUND, f"this registry is not its own index: ask {index.url}")


async def put_user(parts: Parts, request: BaseRequest, user: str) -> StreamResponse:  # noqa: ARG001 - there are no accounts
    """Answers a change of an account, of which there are none.

    Raises:
        RegistryError: DENIED, where there is access control: nothing was changed.
    """
    await parts.body(request)
    if parts.tokens is not None:
        raise RegistryError(ErrorCode.DENIED, "Accounts are changed by this registry's operator")
    return respond(request, 204, {name: value for name, value in STD.items() if name != "Content-Type"})
