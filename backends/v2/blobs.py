"""Blobs: GET, HEAD, DELETE (distribution specification, "Pulling blobs", "Deleting blobs")."""

from __future__ import annotations

from aiohttp.web import BaseRequest, StreamResponse

from backends.dependencies import refuse_keeping
from backends.http.conditions import is_unchanged
from backends.http.sending import respond, send_content
from backends.model.digest import Digest
from backends.model.errors import ErrorCode, RegistryError
from backends.model.media_types import OCTET_STREAM
from backends.model.names import RepositoryName
from backends.model.ranges import Unsatisfiable
from backends.v2.headers import API_HEADERS
from backends.v2.parts import Parts

FOREVER = "max-age=31536000"
OF_CONTENT = frozenset({"Accept-Ranges", "Content-Type"})
"""A 304 has no content, so it says nothing of it, as in distribution."""


async def get_blob(parts: Parts, request: BaseRequest, name: RepositoryName, digest: Digest) -> StreamResponse:
    """Sends a blob or ranges of it; `ETag` is the digest. Where others serve it, sends the client there."""
    if parts.store.redirects:
        redirection = await _redirect(parts, request, name, digest)
        if redirection is not None:
            return redirection
    blob = await parts.store.open(name).open_blob(digest)
    size = blob.size
    text = str(digest)
    etag = f'"{text}"'
    headers = {
        **API_HEADERS,
        "Content-Type": OCTET_STREAM,
        "Accept-Ranges": "bytes",
        "Cache-Control": FOREVER,
        "Docker-Content-Digest": text,
        "Etag": etag,
    }
    try:
        if parts.store.events.wanted:
            _tell(parts, request, name, digest, size)
        if is_unchanged(request, etag):
            return respond(request, 304, {name: headers[name] for name in headers if name not in OF_CONTENT})
        return await send_content(request, blob.reader, headers, files=parts.settings.files)
    except Unsatisfiable:
        raise RegistryError(
            ErrorCode.RANGE_INVALID,
            f"the blob has {size} bytes; Range {request.headers.get('Range', '')[:60]!r} lies outside it",
            headers={"Content-Range": f"bytes */{size}"},
        ) from None
    finally:
        blob.reader.close()


async def _redirect(parts: Parts, request: BaseRequest, name: RepositoryName, digest: Digest) -> StreamResponse | None:
    """Answers GET and HEAD with 307, whatever range or condition they have, as distribution does."""
    size, url = await parts.store.open(name).locate_blob(digest)
    if url is None:
        return None
    if parts.store.events.wanted:
        _tell(parts, request, name, digest, size)
    headers = {**API_HEADERS, "Content-Type": OCTET_STREAM, "Docker-Content-Digest": str(digest), "Location": url}
    return respond(request, 307, headers, b"")


def _tell(parts: Parts, request: BaseRequest, name: RepositoryName, digest: Digest, size: int) -> None:
    from backends.v2.pulls import tell_blob  # noqa: PLC0415 - only where events are wanted

    refuse_keeping()
    tell_blob(parts, request, name, digest, size)


async def delete_blob(parts: Parts, request: BaseRequest, name: RepositoryName, digest: Digest) -> StreamResponse:
    """Takes a blob from this repository."""
    await parts.store.open(name).delete_blob(digest, actor=parts.actor(request))
    return respond(request, 202, {**API_HEADERS, "Docker-Content-Digest": str(digest)})
