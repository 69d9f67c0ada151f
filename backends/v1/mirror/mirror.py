"""A mirror: what clients of v1 do not find here is had from another v1 registry, and its images are kept.

Requests that change something are never passed on. What is here goes before what is there, tag by tag: so whoever
pushes to a mirrored repository sees in its lists what was pushed here (docker-registry does the same).
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, TypeVar

from aiohttp.web import BaseRequest

from backends.http.request_info import client_agent
from backends.http.text import printable
from backends.model.clients import MAX_AGENT
from backends.model.names import ImageId
from backends.model.v1names import V1Name
from backends.registry.store import Store
from backends.registry.v1.stored_images import StoredImage
from backends.storage import layout
from backends.v1.mirror.answers import may_ask, merge_found
from backends.v1.mirror.downloads import ArrivingLayer, Downloads, NotThere
from backends.v1.mirror.remembering import Remembering
from backends.v1.mirror.settings import MirrorSettings
from backends.v1.mirror.source import Source
from backends.v1.mirror.upstream import Behalf, Unavailable, Upstream

T = TypeVar("T")


class Mirror:
    """The mirror of one registry. Made inside a running event loop.

    What it does not have is None, also where the source cannot be asked.

    Args:
        settings: what is mirrored.
        store: where images are kept.

    Raises:
        OSError: the source's CA cannot be used.
        UnusableFile: there is no password for it.
    """

    def __init__(self, settings: MirrorSettings, store: Store) -> None:
        self._settings = settings
        self._upstream = Upstream(settings)
        self._source = Source(self._upstream)
        self._downloads = Downloads(self._source, store.mirrored_images)
        self._remembering = Remembering(store.v1_storage)

    async def close(self) -> None:
        """Ends what arrives, and closes the connections."""
        await self._downloads.close()
        await self._upstream.close()

    async def image(self, image_id: ImageId, request: BaseRequest) -> StoredImage | None:
        """Returns an image's JSON, with the size and the checksums of its layer as the source says them."""
        behalf = _behalf(request)
        if behalf is None:
            return None
        try:
            found = await self._source.announced(image_id, behalf)
        except Unavailable:
            return None
        return None if found is None else StoredImage(found.image.content, found.size, found.told)

    async def ancestry(self, image_id: ImageId, request: BaseRequest) -> tuple[ImageId, ...] | None:
        """Returns the ids from an image to its base."""
        behalf = _behalf(request)
        if behalf is None:
            return None
        try:
            found = await self._source.announced(image_id, behalf)
            return None if found is None else await self._source.ancestry(found.image, behalf)
        except Unavailable:
            return None

    async def layer_size(self, image_id: ImageId, request: BaseRequest) -> int | None:
        """Returns the size of a layer, which stays where it is."""
        behalf = _behalf(request)
        if behalf is None:
            return None
        try:
            return await self._source.layer_size(image_id, behalf)
        except Unavailable:
            return None

    async def layer(self, image_id: ImageId, request: BaseRequest) -> ArrivingLayer | None:
        """Opens a layer, which arrives meanwhile; None also where it is here now."""
        behalf = _behalf(request)
        if behalf is None:
            return None
        try:
            return await self._downloads.open(image_id, behalf)
        except NotThere:
            return None

    async def bring(self, image_id: ImageId, request: BaseRequest) -> None:
        """Has an image come here with all its ancestors, if the source has it; waits for as long as that takes."""
        behalf = _behalf(request)
        if behalf is None:
            return
        try:
            await self._downloads.fetch(image_id, behalf)
        except NotThere:
            return

    async def images(self, name: V1Name, request: BaseRequest) -> list[dict[str, Any]] | None:
        """Returns the list of images of a repository; asked for each time, and kept for when there is no answer."""
        ask = partial(self._source.images, name)
        return await self._said(layout.v1_mirrored_images(name.namespace, name.stored), ask, request, seconds=0)

    async def tags(self, name: V1Name, request: BaseRequest) -> dict[str, str] | None:
        """Returns the tags of a repository, as the source said them no longer ago than the settings allow."""
        ask = partial(self._source.tags, name)
        path = layout.v1_mirrored_tags(name.namespace, name.stored)
        return await self._said(path, ask, request, seconds=self._settings.tags_seconds)

    async def tag(self, name: V1Name, tag: str, request: BaseRequest) -> str | None:
        """Returns the id that a tag names, likewise."""
        ask = partial(self._source.tag, name, tag)
        path = layout.v1_mirrored_tag(name.namespace, name.stored, tag)
        return await self._said(path, ask, request, seconds=self._settings.tags_seconds)

    async def description(self, name: V1Name, tag: str | None, request: BaseRequest) -> dict[str, Any] | None:
        """Returns what is recorded of who set a tag; None for `latest`."""
        behalf = _behalf(request)
        if behalf is None:
            return None
        try:
            return await self._source.description(name, tag, behalf)
        except Unavailable:
            return None

    async def found(self, ours: Mapping[str, Any], request: BaseRequest) -> Mapping[str, Any]:
        """Returns results of a search with those of the source, asked with the same query."""
        behalf = _behalf(request)
        if behalf is None:
            return ours
        query = request.raw_path.partition("?")[2]
        try:
            merged = await self._source.search(query, behalf, partial(merge_found, ours))
        except Unavailable:
            return ours
        return ours if merged is None else merged

    async def _said(
        self, path: str, ask: Callable[[Behalf], Awaitable[T | None]], request: BaseRequest, *, seconds: float
    ) -> T | None:
        behalf = _behalf(request)
        if behalf is None:
            return None
        return await self._remembering.get(path, partial(ask, behalf), seconds=seconds)


def _behalf(request: BaseRequest) -> Behalf | None:
    """Returns for whom the source is asked; None where the request has come in a circle."""
    via = request.headers.getall("Via", ())
    if not may_ask(via):
        return None
    return Behalf(printable(client_agent(request)[:MAX_AGENT]), [printable(value) for value in via])
