"""Manifests: GET, HEAD, PUT, DELETE (distribution specification, "Pulling/Pushing/Deleting manifests").

What a digest names goes out as it came in, to the byte and under its own type. So does what a tag names, where its
client can read that; else it is converted (`negotiated`).
"""

from __future__ import annotations

from functools import partial

from aiohttp.web import BaseRequest, StreamResponse

from backends.dependencies import refuse_keeping
from backends.http.conditions import is_unchanged
from backends.http.provenance import provenance
from backends.http.receiving import read_body
from backends.http.request_info import parse_repeated
from backends.http.sending import respond
from backends.model.conversion.readers import Reader
from backends.model.digest import Digest
from backends.model.errors import ErrorCode, RegistryError
from backends.model.manifests import Manifest, digested_bytes, parse_manifest
from backends.model.names import RepositoryName, TagName, parse_tag
from backends.model.referrers import subject_of
from backends.model.targets import target_text
from backends.registry.found_manifests import ConvertedManifest, ManifestInfo, StoredManifest, Tagged
from backends.registry.manifests import parse_off_loop
from backends.registry.repository import Repository
from backends.v2.headers import API_HEADERS
from backends.v2.parts import Parts

MAX_BYTES = 4 * 1024 * 1024
"""Larger manifests are refused with 413: the specification asks for no more, and distribution takes no more."""

MAX_TAGS = 100
"""More tags for one manifest in one request are refused with 414."""

_VARY = "Accept, User-Agent"
"""What the answer for a tag depends on."""


async def get_manifest(
    parts: Parts, request: BaseRequest, name: RepositoryName, reference: Digest | TagName
) -> StreamResponse:
    """Sends a manifest; `ETag` is its digest. What a tag answers depends on the client, what a digest does never."""
    repository = parts.store.open(name)
    whole = request.method != "HEAD"
    manifest: ManifestInfo
    if isinstance(reference, Digest):
        tag = ""
        manifest = await repository.get_manifest(reference) if whole else await repository.describe_manifest(reference)
        headers = _headers(manifest)
    else:
        tag = reference
        reader = parts.readers.reader(request)
        found = await repository.open_tag(reference, at_once=reader.at_once, whole=whole)
        if isinstance(found, Tagged):
            manifest = await _negotiated(parts, repository, found, reader, whole=whole)
        else:
            manifest = found
        headers = _headers(manifest)
        headers["Vary"] = _VARY
    if is_unchanged(request, headers["Etag"]):
        del headers["Content-Type"]  # there is no content
        return respond(request, 304, headers)
    if parts.store.events.wanted:
        from backends.v2.pulls import tell_manifest  # noqa: PLC0415 - only where events are wanted

        refuse_keeping()
        await tell_manifest(parts, request, repository, manifest, tag=tag)
    if whole and isinstance(manifest, StoredManifest):
        return respond(request, 200, headers, manifest.content)
    headers["Content-Length"] = str(manifest.length)
    return respond(request, 200, headers)


async def _negotiated(
    parts: Parts, repository: Repository, tagged: Tagged, reader: Reader, *, whole: bool
) -> ManifestInfo:
    from backends.v2.negotiated import find_answer  # noqa: PLC0415 - most tags need none of it

    refuse_keeping()
    try:
        return await find_answer(parts, repository, tagged, reader, whole=whole)
    except RegistryError as error:
        error.headers.setdefault("Vary", _VARY)
        raise


def _headers(manifest: ManifestInfo) -> dict[str, str]:
    digest = str(manifest.digest)
    headers = {
        **API_HEADERS,
        "Content-Type": manifest.media_type,
        "Docker-Content-Digest": digest,
        "Etag": f'"{digest}"',
    }
    if isinstance(manifest, ConvertedManifest):
        headers |= provenance(manifest.source_type, target_text(manifest.source), manifest.rule)
    return headers


async def put_manifest(
    parts: Parts, request: BaseRequest, name: RepositoryName, reference: Digest | TagName
) -> StreamResponse:
    """Stores a manifest; one that is pushed by digest gets the tags of the query (`?tag=a&tag=b`) too."""
    tags = _tags(request, reference)
    content = await read_body(
        request,
        limit=MAX_BYTES,
        too_large=ErrorCode.MANIFEST_INVALID,
        idle_seconds=parts.settings.body_idle_seconds,
    )
    content_type = request.headers.get("Content-Type", "")
    manifest, digest = await parse_off_loop(content, partial(_parse, content_type=content_type, reference=reference))
    first = tags[0] if tags else None
    await parts.store.open(name).put_manifest(manifest, digest, first, more_tags=tags[1:], actor=parts.actor(request))
    location = parts.location(request, f"/v2/{name}/manifests/{digest}")
    headers = {**API_HEADERS, "Location": location, "Docker-Content-Digest": str(digest)}
    subject = subject_of(manifest)
    if subject is not None:
        headers["OCI-Subject"] = str(subject.digest)
    if tags and isinstance(reference, Digest):
        headers["OCI-Tag"] = ", ".join(tags)
    return respond(request, 201, headers)


async def delete_manifest(
    parts: Parts, request: BaseRequest, name: RepositoryName, reference: Digest | TagName
) -> StreamResponse:
    """Deletes a manifest by digest, or only the tag by tag."""
    repository = parts.store.open(name)
    if isinstance(reference, Digest):
        await repository.delete_manifest(reference, actor=parts.actor(request))
    else:
        await repository.delete_tag(reference, actor=parts.actor(request))
    return respond(request, 202, API_HEADERS)


def _tags(request: BaseRequest, reference: Digest | TagName) -> list[TagName]:
    """Returns the tags that a pushed manifest is to have, each once."""
    if not isinstance(reference, Digest):
        return [reference]
    return [parse_tag(text) for text in dict.fromkeys(parse_repeated(request, "tag", at_most=MAX_TAGS))]


def _parse(content: bytes, *, content_type: str, reference: Digest | TagName) -> tuple[Manifest, Digest]:
    """Returns a pushed manifest and its digest, which must be the one that the client names, if it names one."""
    manifest = parse_manifest(content, content_type)
    algorithm = reference.algorithm if isinstance(reference, Digest) else "sha256"
    digest = Digest.of(digested_bytes(manifest), algorithm)
    if isinstance(reference, Digest) and digest != reference:
        raise RegistryError(
            ErrorCode.DIGEST_INVALID, f"the manifest's digest is {digest}, not {reference}; nothing was stored"
        )
    return manifest, digest
