"""The v1 API of a mirror: each GET that finds nothing here asks the source.

HEAD asks for no layer, and of who set a tag the source is asked where nothing is recorded here: docker-registry has
layers come for HEAD, fails at `repositories/NAME/json`, and does not ask for `tags/T/json`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from http import HTTPStatus
from typing import Any

from aiohttp.web import BaseRequest, Response, StreamResponse

from backends.http.sending import respond
from backends.model.errors import RegistryError
from backends.model.media_types import OCTET_STREAM
from backends.model.names import ImageId
from backends.model.v1images import dump_json
from backends.model.v1names import V1Name
from backends.registry.v1_view.repositories import TaggedImage
from backends.v1 import images, repositories, search, session, tags
from backends.v1.headers import cache
from backends.v1.mirror.mirror import Mirror
from backends.v1.parts import Parts, answer
from backends.web.dispatch import Route
from backends.web.operations import Operation, OperationHandler


def mirrored(routes: Sequence[Route], mirror: Mirror) -> Sequence[Route]:
    """Returns the routes of a mirror."""
    asking: dict[OperationHandler, Callable[..., Awaitable[StreamResponse]]] = {
        session.get_ping: get_ping,
        images.get_json: get_json,
        images.get_layer: get_layer,
        images.get_ancestry: get_ancestry,
        repositories.get_images: get_images,
        tags.get_tags: get_tags,
        tags.get_tag: get_tag,
        tags.get_tag_json: get_tag_json,
        tags.get_repository_json: get_repository_json,
        search.get_search: get_search,
    }

    def asks(operation: Operation) -> Operation:
        handler = asking.get(operation.handler)
        return operation if handler is None else replace(operation, handler=partial(handler, mirror))

    return [
        replace(route, operations={method: asks(each) for method, each in route.operations.items()}) for route in routes
    ]


async def get_ping(_: Mirror, parts: Parts, request: BaseRequest) -> StreamResponse:
    """Says that this is a mirror, which to Docker is what `False` is: it sends the token that it got."""
    response = await session.get_ping(parts, request)
    response.headers["X-Docker-Registry-Standalone"] = "mirror"
    return response


async def get_json(mirror: Mirror, parts: Parts, request: BaseRequest, image: ImageId) -> StreamResponse:
    """Sends an image's JSON."""
    try:
        return await images.get_json(parts, request, image)
    except RegistryError as error:
        found = await mirror.image(image, request) if _is_absent(error) else None
        if found is None:
            raise
    return images.send_json(request, found)


async def get_ancestry(mirror: Mirror, parts: Parts, request: BaseRequest, image: ImageId) -> StreamResponse:
    """Sends the ids from an image to its base."""
    try:
        return await images.get_ancestry(parts, request, image)
    except RegistryError as error:
        found = await mirror.ancestry(image, request) if _is_absent(error) else None
        if found is None:
            raise
    return images.send_ancestry(request, found)


async def get_layer(mirror: Mirror, parts: Parts, request: BaseRequest, image: ImageId) -> StreamResponse:
    """Sends a layer while it arrives."""
    try:
        return await images.get_layer(parts, request, image)
    except RegistryError as error:
        if not _is_absent(error):
            raise
        if request.method == "HEAD":
            size = await mirror.layer_size(image, request)
            if size is None:
                raise
            headers = {**cache(time.time()), "Content-Type": OCTET_STREAM, "Accept-Ranges": "bytes"}
            return respond(request, 200, {**headers, "Content-Length": str(size)})
        layer = await mirror.layer(image, request)
    if layer is None:  # it has come meanwhile, or it is not there either
        return await images.get_layer(parts, request, image)
    return await images.send_layer(parts, request, image, layer)


async def get_images(mirror: Mirror, parts: Parts, request: BaseRequest, name: V1Name) -> StreamResponse:
    """Begins a pull; all that follows comes here, wherever the source sends its own clients."""
    try:
        return await repositories.get_images(parts, request, name)
    except RegistryError as error:
        found = await mirror.images(name, request) if _is_absent(error) else None
        if found is None:
            raise
    return await repositories.send_images(parts, request, name, dump_json(found))


async def get_tags(mirror: Mirror, parts: Parts, request: BaseRequest, name: V1Name) -> StreamResponse:
    """Sends all tags with the ids they name."""
    try:
        return await tags.get_tags(parts, request, name)
    except RegistryError as error:
        found = await mirror.tags(name, request) if _is_absent(error) else None
        if found is None:
            raise
    return answer(request, found)


async def get_tag(mirror: Mirror, parts: Parts, request: BaseRequest, name: V1Name, tag: str) -> StreamResponse:
    """Sends the id that a tag names."""
    try:
        return await tags.get_tag(parts, request, name, tag)
    except RegistryError as error:
        found = await mirror.tag(name, tag, request) if _is_absent(error) else None
        if found is None:
            raise
    return await tags.send_tag(parts, request, name, tag, TaggedImage(found))


async def get_tag_json(mirror: Mirror, parts: Parts, request: BaseRequest, name: V1Name, tag: str) -> StreamResponse:
    """Sends what is recorded of who set a tag."""
    return await _described(mirror, parts, request, name, tag)


async def get_repository_json(mirror: Mirror, parts: Parts, request: BaseRequest, name: V1Name) -> StreamResponse:
    """Sends what is recorded of who set `latest`."""
    return await _described(mirror, parts, request, name, None)


async def _described(
    mirror: Mirror, parts: Parts, request: BaseRequest, name: V1Name, tag: str | None
) -> StreamResponse:
    said: Mapping[str, Any] | None = await parts.store.v1_repositories.description(name, tag)
    said = said or await mirror.description(name, tag, request)
    return answer(request, said or tags.UNDESCRIBED)


async def get_search(mirror: Mirror, parts: Parts, request: BaseRequest) -> StreamResponse:
    """Sends what is found here and there."""
    response = await search.get_search(parts, request)
    if not isinstance(response, Response) or not isinstance(response.body, bytes):
        return response
    return answer(request, await mirror.found(json.loads(response.body), request))


def _is_absent(error: RegistryError) -> bool:
    return error.status == HTTPStatus.NOT_FOUND
