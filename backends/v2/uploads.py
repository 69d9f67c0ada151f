"""Uploads: POST, GET, PATCH, PUT, DELETE (distribution specification, "Pushing blobs")."""

from __future__ import annotations

from contextlib import AbstractAsyncContextManager, aclosing

from aiohttp.web import BaseRequest, StreamResponse

from backends.http.receiving import RequestBody
from backends.http.request_info import parse_query
from backends.http.sending import respond
from backends.model.clients import Generation, parse_user_agent
from backends.model.digest import Digest, parse_digest
from backends.model.errors import ErrorCode, RegistryError
from backends.model.names import RepositoryName, UploadId
from backends.model.ranges import parse_content_range
from backends.registry.upload_session import UploadSession
from backends.v2.accesses import parse_anonymous_mount, parse_mount
from backends.v2.headers import API_HEADERS
from backends.v2.parts import Parts
from backends.web.rights import rights_of, user_of


async def post_upload(
    parts: Parts, request: BaseRequest, name: RepositoryName, source: RepositoryName | None
) -> StreamResponse:
    """Begins an upload; or mounts a blob of another repository; or takes a whole blob at once (`digest=`)."""
    query = parse_query(request)
    mount = parse_mount(query)  # one that cannot be is an upload, as in distribution
    if mount is not None and source is not None:
        digest = mount[0]
        if await parts.store.open(name).mount(digest, source, actor=parts.actor(request)):
            return _created(parts, request, name, digest)
    anywhere = parse_anonymous_mount(query)
    if anywhere is not None:
        rights = rights_of(request)
        may_pull = rights.may_pull if rights is not None else None
        if await parts.store.open(name).mount_from_any(anywhere, may_pull, actor=parts.actor(request)):
            return _created(parts, request, name, anywhere)
    expected = parse_digest(query["digest"]) if "digest" in query else None
    if expected is None:
        upload_id = await parts.store.uploads.start(name, user=user_of(request))
        return _accepted(parts, request, name, upload_id, size=0)
    with parts.receiving.one():
        async with aclosing(_body(parts, request)) as chunks:
            await parts.store.uploads.receive(name, chunks, expected, actor=parts.actor(request))
    return _created(parts, request, name, expected)


async def get_upload(parts: Parts, request: BaseRequest, name: RepositoryName, upload: UploadId) -> StreamResponse:
    """Answers how many bytes an upload has."""
    size = await parts.store.uploads.size(name, upload, user=user_of(request))
    return _accepted(parts, request, name, upload, size=size, status=204)


async def patch_upload(parts: Parts, request: BaseRequest, name: RepositoryName, upload: UploadId) -> StreamResponse:
    """Appends the body: a stream, or a chunk that must begin where the upload ends."""
    async with _opened(parts, request, name, upload) as session:
        _require_offset(parts, request, name, upload, session)
        await _append(parts, request, session)
        size = session.size
    return _accepted(parts, request, name, upload, size=size)


async def put_upload(parts: Parts, request: BaseRequest, name: RepositoryName, upload: UploadId) -> StreamResponse:
    """Finishes an upload; its body is the last chunk, the whole content, or empty."""
    query = parse_query(request)
    if "digest" not in query:
        raise RegistryError(
            ErrorCode.DIGEST_INVALID,
            "the final PUT must name the blob: add ?digest=sha256:<hex>",
            message="the digest is missing",
        )
    expected = parse_digest(query["digest"])
    async with _opened(parts, request, name, upload) as session:
        _require_offset(parts, request, name, upload, session)
        if not request.content.at_eof():  # not is_eof: that is true as soon as all has come, unread
            await _append(parts, request, session)
        await session.commit(expected, actor=parts.actor(request))
    return _created(parts, request, name, expected)


async def delete_upload(parts: Parts, request: BaseRequest, name: RepositoryName, upload: UploadId) -> StreamResponse:
    """Cancels an upload."""
    await parts.store.uploads.cancel(name, upload, user=user_of(request))
    return respond(request, 204, {**API_HEADERS, "Docker-Upload-UUID": upload})


def _opened(
    parts: Parts, request: BaseRequest, name: RepositoryName, upload: UploadId
) -> AbstractAsyncContextManager[UploadSession]:
    return parts.store.uploads.open(name, upload, user=user_of(request), measured=_has_schema1(request))


def _has_schema1(request: BaseRequest) -> bool:
    """Whether a client will push schema 1, which does not say what its layers hold: then it is found out on the way."""
    return parse_user_agent(request.headers.get("User-Agent")).generation is Generation.SCHEMA1


async def _append(parts: Parts, request: BaseRequest, session: UploadSession) -> None:
    with parts.receiving.one():
        async with aclosing(_body(parts, request)) as chunks:
            await session.append(chunks)


def _body(parts: Parts, request: BaseRequest) -> RequestBody:
    return RequestBody(request, idle_seconds=parts.settings.body_idle_seconds)


def _require_offset(
    parts: Parts, request: BaseRequest, name: RepositoryName, upload: UploadId, session: UploadSession
) -> None:
    header = request.headers.get("Content-Range")
    if header is None:
        return
    chunk = parse_content_range(header)
    length = request.content_length
    if length is not None and length != chunk.length:
        raise RegistryError(
            ErrorCode.SIZE_INVALID,
            f"Content-Range {header} has {chunk.length} bytes, but Content-Length says {length}",
        )
    if chunk.first != session.size:
        raise RegistryError(
            ErrorCode.RANGE_INVALID,
            f"the upload has {session.size} bytes, so its next chunk begins at {session.size}, not at {chunk.first}",
            headers=_progress_headers(parts, request, name, upload, session.size),
        )


def _accepted(
    parts: Parts, request: BaseRequest, name: RepositoryName, upload: UploadId, *, size: int, status: int = 202
) -> StreamResponse:
    return respond(request, status, {**API_HEADERS, **_progress_headers(parts, request, name, upload, size)})


def _progress_headers(
    parts: Parts, request: BaseRequest, name: RepositoryName, upload: UploadId, size: int
) -> dict[str, str]:
    return {
        "Location": parts.location(request, f"/v2/{name}/blobs/uploads/{upload}"),
        "Range": f"0-{max(0, size - 1)}",
        "Docker-Upload-UUID": upload,
    }


def _created(parts: Parts, request: BaseRequest, name: RepositoryName, digest: Digest) -> StreamResponse:
    location = parts.location(request, f"/v2/{name}/blobs/{digest}")
    return respond(request, 201, {**API_HEADERS, "Location": location, "Docker-Content-Digest": str(digest)})
