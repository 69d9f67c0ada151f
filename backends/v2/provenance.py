"""What an answer says of a manifest that was converted: that it was, of what it was made, and how."""

from __future__ import annotations

from collections.abc import Mapping

from backends.model.targets import Target, V1Target, V2Target
from backends.registry.repository import ConvertedManifest

HEADER = "X-Portside-Converted"


def provenance(manifest: ConvertedManifest) -> Mapping[str, str]:
    """Returns the headers; clients show `Warning` to their users (OCI distribution specification, "Warnings")."""
    named = source_name(manifest.source)
    return {
        "Warning": f'299 - "converted for this client from {manifest.source_type}, {named} ({manifest.rule})"',
        HEADER: f'from="{manifest.source_type}"; digest="{named}"; rule="{manifest.rule}"',
    }


def source_name(source: Target) -> str:
    """Returns the digest of a manifest, or the id of an image of v1."""
    match source:
        case V1Target(image_id):
            return image_id
        case V2Target(digest):
            return str(digest)
