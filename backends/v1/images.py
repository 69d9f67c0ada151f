"""Images: json, layer, ancestry, checksum (V1API section 3)."""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import aclosing
from typing import Protocol

from aiohttp.web import BaseRequest, StreamResponse
from multidict import CIMultiDict

from backends.http.receiving import RequestBody
from backends.http.request_info import client_agent
from backends.http.sending import Content, respond, send_content
from backends.model.clients import parse_user_agent
from backends.model.errors import ErrorCode, RegistryError
from backends.model.media_types import OCTET_STREAM
from backends.model.names import ImageId
from backends.model.ranges import Unsatisfiable
from backends.model.v1images import dump_json, parse_image_json, parse_payload_checksum
from backends.registry.v1.stored_images import StoredImage
from backends.v1.headers import cache
from backends.v1.parts import Parts, done

FIRST_WITH_PAYLOAD_CHECKSUM = (0, 10)
"""Older daemons could not name the layer that they mean; their upload is refused before it is sent."""


async def get_json(parts: Parts, request: BaseRequest, image: ImageId) -> StreamResponse:
    """Sends an image's JSON to the byte, with the size and the checksums of its layer."""
    stored = await parts.store.v1_view.images.get(image, parts.viewer(request))
    return send_json(request, stored)


def send_json(request: BaseRequest, stored: StoredImage) -> StreamResponse:
    """Sends an image's JSON that was found."""
    if unchanged(request):
        return not_modified(request)
    headers = CIMultiDict(cache(time.time()))
    if stored.layer_size is not None:
        headers["X-Docker-Size"] = str(stored.layer_size)
    for checksum in stored.checksums:
        headers.add("X-Docker-Checksum-Payload", checksum)
    return respond(request, 200, headers, stored.content)


async def put_json(parts: Parts, request: BaseRequest, image: ImageId) -> StreamResponse:
    """Takes an image's JSON; its layer follows."""
    document = parse_image_json(await parts.body(request), image)
    if document.parent is not None:
        await parts.bring(document.parent, request)
    if parts.settings.index is not None:
        from backends.v1.index_mode import require_listed  # noqa: PLC0415 - only beside an index

        await require_listed(parts.store, request, document)
    await parts.store.v1_view.images.put_json(document, actor=parts.actor(request), sight=parts.viewer(request).sight)
    return done(request)


async def get_layer(parts: Parts, request: BaseRequest, image: ImageId) -> StreamResponse:
    """Sends a layer or the rest of it.

    Docker resumes with `Range: bytes=<got>-<size>`, one past the end, and takes a 416 with `Content-Length: 0` for the
    end of the file.
    """
    reader = await parts.store.v1_view.images.open_layer(image, parts.viewer(request))
    return await send_layer(parts, request, image, reader)


class Layer(Content, Protocol):
    """A layer that was found."""

    def close(self) -> None: ...


async def send_layer(parts: Parts, request: BaseRequest, image: ImageId, reader: Layer) -> StreamResponse:
    """Sends a layer that was found, and closes it."""
    headers = {**cache(time.time()), "Content-Type": OCTET_STREAM, "Accept-Ranges": "bytes"}
    try:
        if parts.store.events.wanted:
            from backends.v1.pulls import tell_layer  # noqa: PLC0415 - only where events are wanted

            await tell_layer(parts, request, image, reader.size)
        if unchanged(request):
            return not_modified(request)
        if parts.settings.accel_prefix or parts.settings.redirects_layers:
            from backends.v1.elsewhere import send_elsewhere  # noqa: PLC0415 - only where others serve layers

            sent = await send_elsewhere(parts, request, image, headers, size=reader.size)
            if sent is not None:
                return sent
        return await send_content(request, reader, headers, ranges_of_head=True, files=parts.settings.files)
    except Unsatisfiable:
        outside = {"Content-Range": f"bytes */{reader.size}", "Content-Length": "0"}
        return respond(request, 416, {**headers, **outside}, b"")
    finally:
        reader.close()


async def put_layer(parts: Parts, request: BaseRequest, image: ImageId) -> StreamResponse:
    """Takes a layer, of any size, chunked or not."""
    client = parse_user_agent(client_agent(request))
    if client.product == "docker" and () < client.version < FIRST_WITH_PAYLOAD_CHECKSUM:
        raise RegistryError(ErrorCode.CHECKSUM_MISSING, "This endpoint does not support Docker daemons older than 0.10")
    with parts.receiving.one():
        async with aclosing(RequestBody(request, idle_seconds=parts.settings.body_idle_seconds)) as chunks:
            await parts.store.v1_view.images.put_layer(image, chunks, parts.viewer(request).sight)
    return done(request)


async def get_ancestry(parts: Parts, request: BaseRequest, image: ImageId) -> StreamResponse:
    """Sends the ids from an image to its base."""
    ancestry = await parts.store.v1_view.images.ancestry(image, parts.viewer(request))
    parts.told(request, ancestry)
    return send_ancestry(request, ancestry)


def send_ancestry(request: BaseRequest, ancestry: Sequence[ImageId]) -> StreamResponse:
    """Sends the ids from an image to its base that were found."""
    if unchanged(request):
        return not_modified(request)
    return respond(request, 200, cache(time.time()), dump_json(list(ancestry)))


async def put_checksum(parts: Parts, request: BaseRequest, image: ImageId) -> StreamResponse:
    """Ends an image's upload: the layer that fits the checksum becomes the image's."""
    header = request.headers.get("X-Docker-Checksum-Payload")
    if header is None:
        raise RegistryError(
            ErrorCode.CHECKSUM_MISSING,
            "X-Docker-Checksum-Payload not set.  If you are using the Docker daemon, you should upgrade to version"
            " 0.10 or later",
        )
    if not header.strip():
        raise RegistryError(ErrorCode.CHECKSUM_MISMATCH, "Missing Image's checksum")
    payload = parse_payload_checksum(header)
    # A malformed one matches nothing, but an unknown image is still 404.
    images, sight = parts.store.v1_view.images, parts.viewer(request).sight
    await images.put_checksum(image, payload or "malformed", actor=parts.actor(request), sight=sight)
    return done(request)


def unchanged(request: BaseRequest) -> bool:
    """Whether a client has a copy. An image never changes, so any is good (docker-registry asks no further either)."""
    return "If-Modified-Since" in request.headers


def not_modified(request: BaseRequest) -> StreamResponse:
    """Answers that a client's copy is good."""
    headers = cache(time.time())
    return respond(request, 304, {name: headers[name] for name in ("Server", "Cache-Control", "Expires")})
