"""Repositories as an index knows them: the images of a push, access, properties (V1API section 4)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from aiohttp.web import BaseRequest, StreamResponse
from multidict import CIMultiDict

from backends.http.sending import respond
from backends.model.errors import ErrorCode, RegistryError
from backends.model.v1images import dump_json, parse_body
from backends.model.v1names import V1Name, quote_v1, require_new_name
from backends.v1.headers import STD, unbound_token
from backends.v1.parts import Parts, answer, done
from backends.web.rights import rights_of

if TYPE_CHECKING:
    from backends.auth.identity import Identity
    from backends.auth.v1_tokens import V1Access, V1Tokens


async def put_repository(parts: Parts, request: BaseRequest, name: V1Name) -> StreamResponse:
    """Begins a push: the client announces its images and learns where to send them."""
    await _put_images(parts, request, name)
    return respond(request, 200, await _token(parts, request, name, "write"), dump_json(""))


async def put_images(parts: Parts, request: BaseRequest, name: V1Name) -> StreamResponse:
    """Ends a push. Docker sends an empty list here, which must not erase the first one."""
    await _put_images(parts, request, name)
    return _nothing(request, await _token(parts, request, name, "write"))


async def get_images(parts: Parts, request: BaseRequest, name: V1Name) -> StreamResponse:
    """Begins a pull."""
    content = await parts.store.v1_view.repositories.images(name, parts.viewer(request))
    return await send_images(parts, request, name, content)


async def send_images(parts: Parts, request: BaseRequest, name: V1Name, content: bytes) -> StreamResponse:
    """Sends a list of images that was found."""
    if parts.store.events.wanted:
        from backends.v1.pulls import tell_repository  # noqa: PLC0415 - only where events are wanted

        tell_repository(parts, request, name)
    return respond(request, 200, await _token(parts, request, name, "read"), content)


async def delete_images(parts: Parts, request: BaseRequest, name: V1Name) -> StreamResponse:
    """Begins a deletion; does nothing by itself."""
    return _nothing(request, await _token(parts, request, name, "delete"))


async def put_auth(parts: Parts, request: BaseRequest, name: V1Name) -> StreamResponse:  # noqa: ARG001 - open to all
    """Answers a client that asks for access: granted, as long as there is no access control."""
    await parts.body(request)
    return answer(request, "OK")


async def get_properties(parts: Parts, request: BaseRequest, name: V1Name) -> StreamResponse:
    """Says whether a repository is marked private."""
    private = await parts.store.v1_repositories.is_private(name)
    return answer(request, {"access": "private" if private else "public"})


async def put_properties(parts: Parts, request: BaseRequest, name: V1Name) -> StreamResponse:
    """Marks a repository private or public."""
    properties = parse_body(await parts.body(request), "Invalid data")
    if not isinstance(properties, Mapping) or not isinstance(properties.get("access"), str):
        raise RegistryError(ErrorCode.IMAGE_INVALID, "Invalid data")
    require_new_name(name)
    if properties["access"] in {"private", "public"}:
        await parts.store.v1_repositories.set_private(
            name, private=properties["access"] == "private", actor=parts.actor(request)
        )
    return done(request)


async def delete_repository(parts: Parts, request: BaseRequest, name: V1Name) -> StreamResponse:
    """Removes a repository and its tags, of v2 too; images stay."""
    try:
        await parts.store.deletions.delete(name.canonical, actor=parts.actor(request))
    except RegistryError as error:
        if error.code is not ErrorCode.NAME_UNKNOWN:
            raise
        raise RegistryError(ErrorCode.NAME_UNKNOWN, "Repository not found") from None
    return done(request)


async def _put_images(parts: Parts, request: BaseRequest, name: V1Name) -> None:
    content = await parts.body(request)
    announced = parse_body(content, "Error Decoding JSON")
    if not isinstance(announced, list):
        raise RegistryError(ErrorCode.IMAGE_INVALID, "Invalid data")
    require_new_name(name)
    await parts.store.v1_repositories.put_images(name, content, announced, actor=parts.actor(request))


async def _token(parts: Parts, request: BaseRequest, name: V1Name, access: V1Access) -> CIMultiDict[str]:
    """Returns the headers that answer a client's wish to push, pull or delete."""
    rights = rights_of(request)
    if parts.tokens is None or rights is None:
        value = unbound_token(f"{quote_v1(name.namespace)}/{name.stored}", access)
    else:
        value = await bound_token(parts.tokens, rights.identity, name, access)
    headers = CIMultiDict({**STD, "X-Docker-Token": value, "WWW-Authenticate": value})
    headers.extend(("X-Docker-Endpoints", each) for each in parts.endpoints(request))
    return headers


async def bound_token(tokens: V1Tokens, identity: Identity, name: V1Name, access: V1Access) -> str:
    """Returns a token for somebody who begins something in a repository.

    Raises:
        RegistryError: DENIED: there is more to say of them than a token has room for.
    """
    try:
        return await tokens.issue(identity, name, access)
    except ValueError as error:
        sentence = (
            f"what your credentials say of you is too much for a token: {error}; log in with a user of fewer groups"
        )
        raise RegistryError(ErrorCode.DENIED, sentence) from None


def _nothing(request: BaseRequest, headers: CIMultiDict[str]) -> StreamResponse:
    return respond(request, 204, headers)
