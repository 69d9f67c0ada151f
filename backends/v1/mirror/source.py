"""What the source has, once its answers are understood."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from functools import partial
from typing import TYPE_CHECKING, Any, TypeVar

from backends.model.names import ImageId
from backends.model.v1images import ImageJson
from backends.model.v1names import V1Name
from backends.v1.mirror.answers import (
    Announced,
    parse_ancestry,
    parse_announced,
    parse_description,
    parse_images,
    parse_size,
    parse_tag,
    parse_tags,
    repository_path,
    tag_path,
)
from backends.v1.mirror.upstream import Behalf, Reply, Unavailable, Upstream

if TYPE_CHECKING:
    import aiohttp

LARGE = 64 * 1024
"""What is larger is parsed in a thread."""

T = TypeVar("T")


class Source:
    """The source's API, as far as a mirror asks it.

    All of it raises Unavailable where the source does not answer, or not so that it can be believed, and returns None
    where the source says that it has no such thing.
    """

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream

    async def announced(self, image_id: ImageId, behalf: Behalf) -> Announced | None:
        """Returns an image's JSON, and what is said of its layer."""
        path = f"/v1/images/{image_id}/json"
        reply = await self._upstream.get(path, behalf)
        if reply is None:
            return None
        parse = partial(parse_announced, image_id=image_id, size=reply.size, checksums=reply.checksums)
        return await self._understood(path, reply, parse)

    async def ancestry(self, image: ImageJson, behalf: Behalf) -> tuple[ImageId, ...]:
        """Returns the ids from an image to its base.

        Raises:
            Unavailable: also where there is none.
        """
        path = f"/v1/images/{image.image_id}/ancestry"
        reply = await self._upstream.get(path, behalf)
        if reply is None:
            raise self._upstream.disbelieve(path, "the image has no ancestry")
        return await self._understood(path, reply, partial(parse_ancestry, image=image))

    async def layer_size(self, image_id: ImageId, behalf: Behalf) -> int | None:
        """Returns the size of a layer in bytes."""
        path = f"/v1/images/{image_id}/layer"
        said = await self._upstream.size_of(path, behalf)
        if said is None:
            return None
        try:
            return parse_size(said)
        except ValueError as error:
            raise self._upstream.disbelieve(path, str(error)) from None

    def layer(self, image_id: ImageId, behalf: Behalf) -> AbstractAsyncContextManager[aiohttp.ClientResponse | None]:
        """Opens a layer."""
        return self._upstream.open(f"/v1/images/{image_id}/layer", behalf)

    def disbelieve_layer(self, image_id: ImageId, why: str) -> Unavailable:
        """Says in the log why a layer that came is not taken."""
        return self._upstream.disbelieve(f"/v1/images/{image_id}/layer", why)

    async def images(self, name: V1Name, behalf: Behalf) -> list[dict[str, Any]] | None:
        """Returns the list of images of a repository."""
        return await self._get(repository_path(name, "/images"), behalf, parse_images, index=True)

    async def tags(self, name: V1Name, behalf: Behalf) -> dict[str, str] | None:
        """Returns the tags of a repository."""
        return await self._get(repository_path(name, "/tags"), behalf, parse_tags)

    async def tag(self, name: V1Name, tag: str, behalf: Behalf) -> str | None:
        """Returns the id that a tag names."""
        return await self._get(tag_path(name, tag), behalf, parse_tag)

    async def description(self, name: V1Name, tag: str | None, behalf: Behalf) -> dict[str, Any] | None:
        """Returns what is recorded of who set a tag; None for `latest`."""
        path = repository_path(name, "/json") if tag is None else tag_path(name, tag, "/json")
        return await self._get(path, behalf, parse_description)

    async def search(self, query: str, behalf: Behalf, merge: Callable[[bytes], T]) -> T | None:
        """Returns what is made of what is found with a query."""
        return await self._get(f"/v1/search?{query}" if query else "/v1/search", behalf, merge, index=True)

    async def _get(
        self, path: str | None, behalf: Behalf, parse: Callable[[bytes], T], *, index: bool = False
    ) -> T | None:
        if path is None:
            return None
        reply = await self._upstream.get(path, behalf, index=index)
        return None if reply is None else await self._understood(path, reply, parse)

    async def _understood(self, path: str, reply: Reply, parse: Callable[[bytes], T]) -> T:
        try:
            return parse(reply.body) if len(reply.body) <= LARGE else await asyncio.to_thread(parse, reply.body)
        except ValueError as error:
            raise self._upstream.disbelieve(path, str(error)) from None
