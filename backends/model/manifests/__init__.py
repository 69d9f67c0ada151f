"""Manifests of every generation: a closed union, and the one place where bytes become one of them."""

from __future__ import annotations

from backends.model.manifests.images import OciManifest, Schema2
from backends.model.manifests.indexes import Index
from backends.model.manifests.reading import parse_manifest, parse_stored_manifest, sniff_media_type
from backends.model.manifests.schema1 import Schema1

Manifest = Schema1 | Schema2 | OciManifest | Index


def digested_bytes(manifest: Manifest) -> bytes:
    """Returns the bytes that a manifest's digest is of: of schema 1, without signatures."""
    return manifest.payload if isinstance(manifest, Schema1) else manifest.content


__all__ = [
    "Index",
    "Manifest",
    "OciManifest",
    "Schema1",
    "Schema2",
    "digested_bytes",
    "parse_manifest",
    "parse_stored_manifest",
    "sniff_media_type",
]
