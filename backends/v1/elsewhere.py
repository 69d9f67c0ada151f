"""Layers that others send: an nginx in front that reads the same folder, or whoever serves the storage's files.

Whether this client may have the layer has been decided before; only layers go out so that lie where docker-registry
keeps them. What was made of a manifest, or is a repository's own, is sent from here.
"""

from __future__ import annotations

from collections.abc import Mapping

from aiohttp.web import BaseRequest, StreamResponse

from backends import request_context
from backends.http.accel import NOT_BY_NGINX
from backends.http.sending import respond
from backends.model.names import ImageId
from backends.storage.capabilities import GivesUrls, capability
from backends.v1.headers import STD
from backends.v1.parts import Parts


async def send_elsewhere(
    parts: Parts, request: BaseRequest, image: ImageId, headers: Mapping[str, str], *, size: int
) -> StreamResponse | None:
    """Returns the answer that sends nginx, or the client, for a layer; None where it is sent from here.

    Args:
        parts: of the registry.
        request: of a client that may have the layer.
        image: the image.
        headers: of the layer.
        size: of the layer in bytes; Docker is told here that an empty one has ended.
    """
    settings = parts.settings
    # Anybody else would get an empty layer, and learn where the files are.
    by_nginx = bool(settings.accel_prefix) and _is_from_nginx(request)
    if not size or not (by_nginx or settings.redirects_layers):
        return None
    path = await parts.store.v1_view.images.layer_file(image, parts.viewer(request))
    if path is None:
        return None
    if by_nginx:
        told = {name: value for name, value in headers.items() if name != "Accept-Ranges"}  # nginx adds its own
        return respond(request, 200, {**told, "X-Accel-Redirect": f"{settings.accel_prefix}{path}"}, b"")
    addresses = capability(parts.store.v1_storage.driver, GivesUrls)
    url = None if addresses is None else await addresses.url_of(path)
    if url is None:
        return None
    return respond(request, 302, {**STD, "Location": url}, b"")


def _is_from_nginx(request: BaseRequest) -> bool:
    return request.get(request_context.TRUSTED_PEER, False) and NOT_BY_NGINX not in request.headers
