"""The whole v2 API on one screen, in the order of the specification's table of end-points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial

from backends.model.digest import Digest, is_digest, parse_digest
from backends.model.names import TagName, parse_repository_name, parse_tag, parse_upload_id
from backends.v2 import base, blobs, catalog, manifests, tags, uploads
from backends.v2.parts import Parts
from backends.web.dispatch import Parser, Route


def parse_reference(text: str) -> Digest | TagName:
    """A manifest is named by a digest or by a tag; only digests have a colon."""
    return parse_digest(text) if is_digest(text) else parse_tag(text)


PARSERS: Mapping[str, Parser] = {
    "name": parse_repository_name,
    "reference": parse_reference,
    "digest": parse_digest,
    "upload": parse_upload_id,
}


def routes(parts: Parts) -> Sequence[Route]:
    """Returns the routes, each handler bound to the registry's parts."""
    return [
        Route("/v2/", {"GET": partial(base.get_base, parts)}),
        Route(
            "/v2/{name*}/manifests/{reference}",
            {
                "GET": partial(manifests.get_manifest, parts),
                "PUT": partial(manifests.put_manifest, parts),
                "DELETE": partial(manifests.delete_manifest, parts),
            },
        ),
        Route(
            "/v2/{name*}/blobs/uploads/",
            {"POST": partial(uploads.post_upload, parts)},
        ),
        Route(
            "/v2/{name*}/blobs/uploads/{upload}",
            {
                "GET": partial(uploads.get_upload, parts),
                "PATCH": partial(uploads.patch_upload, parts),
                "PUT": partial(uploads.put_upload, parts),
                "DELETE": partial(uploads.delete_upload, parts),
            },
        ),
        Route(
            "/v2/{name*}/blobs/{digest}",
            {"GET": partial(blobs.get_blob, parts), "DELETE": partial(blobs.delete_blob, parts)},
        ),
        Route("/v2/{name*}/tags/list", {"GET": partial(tags.list_tags, parts)}),
        Route("/v2/_catalog", {"GET": partial(catalog.list_catalog, parts)}),
    ]
