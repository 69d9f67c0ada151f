"""What is told of v1's pulls, in v2's shape; only asked for where events are wanted.

Every Docker begins a pull by asking a repository for its images; from 1.8 on it asks then for the tag, before that for
all tags. So the first two are told as pulls of the image, and layers as pulls of blobs. Lists, JSON texts and
ancestries are told as little as v2's lists: who pulls asks for more of them than a consumer wants to hear of.
"""

from __future__ import annotations

from aiohttp.web import BaseRequest

from backends.model.events import Conversion, v1_image_target, v1_layer_target, v1_repository_target
from backends.model.names import ImageId, is_image_id
from backends.model.v1names import V1Name
from backends.registry.events import note_pull
from backends.registry.v1.sight import sight_in
from backends.registry.v1_view.repositories import TaggedImage
from backends.v1.parts import Parts


def tell_repository(parts: Parts, request: BaseRequest, name: V1Name) -> None:
    """Tells that a pull from a repository begins."""
    note_pull(parts.store.events, v1_repository_target(name), actor=parts.actor(request))


async def tell_tag(parts: Parts, request: BaseRequest, name: V1Name, tag: str, tagged: TaggedImage) -> None:
    """Tells that an image is pulled by a tag, and what it was made of."""
    if not is_image_id(tagged.image_id):
        return
    actor, image = parts.actor(request), ImageId(tagged.image_id)
    sight = sight_in(parts.viewer(request).sight, name)
    blob = await parts.store.v1_view.images.known_layer_blob(image, sight)
    origin = tagged.origin
    conversion = None if origin is None else Conversion(origin.target, origin.media_type, origin.rule)
    target = v1_image_target(name, tag=tag, image_id=image, blob=blob, conversion=conversion, origin=actor.origin)
    note_pull(parts.store.events, target, actor=actor)


async def tell_layer(parts: Parts, request: BaseRequest, image: ImageId, size: int) -> None:
    """Tells that a layer is pulled: all of it, whatever part is asked for."""
    actor = parts.actor(request)
    blob = await parts.store.v1_view.images.known_layer_blob(image, parts.viewer(request).sight)
    target = v1_layer_target(image, None if blob is None else blob.digest, size, origin=actor.origin)
    note_pull(parts.store.events, target, actor=actor)
