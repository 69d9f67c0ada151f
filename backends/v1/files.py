"""Lists of images' files, and of what their layers change (V1API section 3.4)."""

from __future__ import annotations

import time

from aiohttp.web import BaseRequest, StreamResponse

from backends.http.sending import send_content
from backends.model.names import ImageId
from backends.storage.driver import Reader
from backends.v1.headers import cache
from backends.v1.images import not_modified, unchanged
from backends.v1.parts import Parts


async def get_files(parts: Parts, request: BaseRequest, image: ImageId) -> StreamResponse:
    """Sends the list of the files in an image's layer."""
    viewer = parts.viewer(request)
    if unchanged(request):
        await parts.store.v1_view.images.which(image, viewer.sight)
        return not_modified(request)
    return await _send(request, await parts.store.v1_view.lists.files(image, viewer))


async def get_diff(parts: Parts, request: BaseRequest, image: ImageId) -> StreamResponse:
    """Sends what an image's layer changes of those below it.

    docker-registry needs Redis and a second program for it, and answers with nothing until that has done its work.
    """
    viewer = parts.viewer(request)
    if unchanged(request):
        await parts.store.v1_view.images.which(image, viewer.sight)
        return not_modified(request)
    return await _send(request, await parts.store.v1_view.lists.diff(image, viewer))


async def _send(request: BaseRequest, reader: Reader) -> StreamResponse:
    try:
        return await send_content(request, reader, cache(time.time()), with_ranges=False)
    finally:
        reader.close()
