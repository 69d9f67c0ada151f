"""Tags (V1API section 5)."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from aiohttp.web import BaseRequest, StreamResponse

from backends.http.provenance import provenance
from backends.model.errors import ErrorCode, RegistryError
from backends.model.names import ImageId, is_image_id
from backends.model.targets import target_text
from backends.model.v1images import parse_body
from backends.model.v1names import V1Name, require_new_name, require_new_tag
from backends.v1.parts import Parts, answer, done

if TYPE_CHECKING:
    from backends.registry.v1_view.repositories import TaggedImage

UNDESCRIBED = {
    "arch": "amd64",
    "docker_go_version": None,
    "docker_version": None,
    "kernel": None,
    "last_update": None,
    "os": "linux",
}


async def get_tags(parts: Parts, request: BaseRequest, name: V1Name) -> StreamResponse:
    """Sends all tags with the ids they name."""
    return answer(request, await parts.store.v1_view.repositories.tags(name, parts.viewer(request)))


async def get_tag(parts: Parts, request: BaseRequest, name: V1Name, tag: str) -> StreamResponse:
    """Sends the id that a tag names."""
    tagged = await parts.store.v1_view.repositories.tag(name, tag, parts.viewer(request))
    return await send_tag(parts, request, name, tag, tagged)


async def send_tag(parts: Parts, request: BaseRequest, name: V1Name, tag: str, tagged: TaggedImage) -> StreamResponse:
    """Sends the id that was found."""
    if parts.store.events.wanted:
        from backends.v1.pulls import tell_tag  # noqa: PLC0415 - only where events are wanted

        await tell_tag(parts, request, name, tag, tagged)
    if tagged.origin is None:
        return answer(request, tagged.image_id)
    origin = tagged.origin
    made_of = provenance(origin.media_type, target_text(origin.target), origin.rule)
    return answer(request, tagged.image_id, headers=made_of)


async def put_tag(parts: Parts, request: BaseRequest, name: V1Name, tag: str) -> StreamResponse:
    """Moves a tag to an image whose whole chain is here."""
    image_id = parse_body(await parts.body(request), "Invalid data")
    if not isinstance(image_id, str) or not image_id:
        raise RegistryError(ErrorCode.IMAGE_INVALID, "Invalid data")
    require_new_name(name)
    require_new_tag(tag)
    if not is_image_id(image_id):
        raise RegistryError(ErrorCode.IMAGE_UNKNOWN, "Image not found")
    await parts.bring(ImageId(image_id), request)
    actor, now = parts.actor(request), int(time.time())
    await parts.store.v1_view.repositories.put_tag(
        name, tag, ImageId(image_id), viewer=parts.viewer(request), actor=actor, now=now
    )
    return done(request)


async def delete_tag(parts: Parts, request: BaseRequest, name: V1Name, tag: str) -> StreamResponse:
    """Removes a tag."""
    await parts.store.v1_repositories.delete_tag(name, tag, actor=parts.actor(request))
    return done(request)


async def get_tag_json(parts: Parts, request: BaseRequest, name: V1Name, tag: str) -> StreamResponse:
    """Sends what is recorded of who set a tag."""
    return answer(request, await parts.store.v1_repositories.description(name, tag) or UNDESCRIBED)


async def get_repository_json(parts: Parts, request: BaseRequest, name: V1Name) -> StreamResponse:
    """Sends what is recorded of who set `latest`."""
    return answer(request, await parts.store.v1_repositories.description(name, None) or UNDESCRIBED)
