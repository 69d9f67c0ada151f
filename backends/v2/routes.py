"""The whole v2 API on one screen, in the order of the specification's table of end-points."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from backends.model.actions import Action
from backends.model.digest import Digest, is_digest, parse_digest
from backends.model.errors import ErrorCode, RegistryError
from backends.model.names import (
    RepositoryName,
    TagName,
    canonical_name,
    parse_repository_name,
    parse_tag,
    parse_upload_id,
)
from backends.v2 import base, blobs, catalog, manifests, referrers, repositories, tags, token, uploads
from backends.v2.accesses import parse_mount_source, touches_its_caller, touches_mount_source
from backends.web.dispatch import Parser, Route
from backends.web.operations import Again, Operation

_OF_V1 = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]*+(?:/[A-Za-z0-9_][A-Za-z0-9._-]*+)?", re.ASCII)
"""Names that clients of v1 could push to docker-registry; v2 has most of them."""


def parse_name(text: str) -> RepositoryName:
    """A repository; of a name that only v1 can have, the error says who can pull it, and how others could."""
    try:
        return parse_repository_name(text)
    except RegistryError as error:
        if _OF_V1.fullmatch(text) is None:
            raise
        raise RegistryError(
            error.code,
            f"{error.detail}; what clients of v1 pushed by this name they alone can pull, until the registry's operator"
            f" gives it another one with portside migrate run --map {canonical_name(text)}=NEW",
        ) from None


def parse_reference(text: str) -> Digest | TagName:
    """A manifest is named by a digest or by a tag; only digests have a colon."""
    return parse_digest(text) if is_digest(text) else parse_tag(text)


def routes_below(prefix: str) -> Sequence[Route]:
    """Returns the routes with a prefix before each `/v2/`; probes ask for `/` all the same, as of distribution."""
    return [replace(each, pattern=prefix + each.pattern) if each.pattern != "/" else each for each in ROUTES]


PARSERS: Mapping[str, Parser] = {
    "name": parse_name,
    "reference": parse_reference,
    "digest": parse_digest,
    "upload": parse_upload_id,
}


ROUTES: Sequence[Route] = (
    Route("/v2/", {"GET": Operation(Action.LOGIN, base.get_base, again=Again.ALWAYS)}, name="base"),
    Route(
        "/v2/{name*}/manifests/{reference}",
        {
            "GET": Operation(
                Action.PULL,
                manifests.get_manifest,
                misnamed={ErrorCode.TAG_INVALID: ErrorCode.MANIFEST_UNKNOWN},
                again=Again.WHILE_STORED,
            ),
            "PUT": Operation(Action.PUSH, manifests.put_manifest),
            "DELETE": Operation(Action.DELETE, manifests.delete_manifest),
        },
        name="manifest",
    ),
    Route(
        "/v2/{name*}/blobs/uploads/",
        {"POST": Operation(Action.PUSH, uploads.post_upload, touches_mount_source, source=parse_mount_source)},
        name="blob_upload",
    ),
    Route(
        "/v2/{name*}/blobs/uploads/{upload}",
        {
            "GET": Operation(Action.PUSH, uploads.get_upload),
            "PATCH": Operation(Action.PUSH, uploads.patch_upload),
            "PUT": Operation(Action.PUSH, uploads.put_upload),
            "DELETE": Operation(Action.PUSH, uploads.delete_upload),
        },
        name="blob_upload_chunk",
    ),
    Route(
        "/v2/{name*}/blobs/{digest}",
        {
            "GET": Operation(Action.PULL, blobs.get_blob, again=Again.WHILE_STORED),
            "DELETE": Operation(Action.DELETE, blobs.delete_blob),
        },
        name="blob",
    ),
    Route(
        "/v2/{name*}/referrers/{digest}", {"GET": Operation(Action.PULL, referrers.list_referrers)}, name="referrers"
    ),
    Route("/v2/{name*}/tags/list", {"GET": Operation(Action.PULL, tags.list_tags)}, name="tags"),
    # An extension as the specification has room for: no repository has a component that begins with "_".
    Route(
        "/v2/{name*}/_portside/repository",
        {"DELETE": Operation(Action.DELETE, repositories.delete_repository)},
        name="repository",
    ),
    Route(
        "/v2/_portside/token",
        {"GET": Operation(Action.LOGIN, token.get_token, touches_its_caller)},
        name="token",
    ),
    Route("/v2/_catalog", {"GET": Operation(Action.CATALOG, catalog.list_catalog)}, name="catalog"),
    Route("/", {"GET": Operation(Action.NONE, base.get_root)}, name="root"),
)
