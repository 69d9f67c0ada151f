"""What a listing of referrers says of a manifest (OCI distribution specification, "Listing referrers"). PURE."""

from __future__ import annotations

import json
from typing import Any

from backends.model.descriptors import Descriptor
from backends.model.digest import Digest
from backends.model.manifests import Index, Manifest, OciManifest


def subject_of(manifest: Manifest) -> Descriptor | None:
    """Returns the manifest that another one refers to; None where it refers to none, or its format cannot."""
    return manifest.subject if isinstance(manifest, OciManifest | Index) else None


def describe_referrer(manifest: OciManifest | Index, digest: Digest) -> bytes:
    """Returns the descriptor of a referrer as JSON in ASCII: what the listing of its subject shows.

    An image's kind of artifact is what it says, else its config's type; an index has only what it says.
    """
    described: dict[str, Any] = {
        "mediaType": manifest.media_type,
        "digest": str(digest),
        "size": len(manifest.content),
    }
    artifact_type = manifest.artifact_type
    if isinstance(manifest, OciManifest):
        artifact_type = artifact_type or manifest.config.media_type
    if artifact_type:
        described["artifactType"] = artifact_type
    if manifest.annotations:
        described["annotations"] = dict(manifest.annotations)
    return json.dumps(described, separators=(",", ":")).encode("ascii")


def artifact_type_of(described: bytes, digest: Digest) -> str:
    """Returns the kind of artifact of a stored descriptor, "" where it has none.

    Raises:
        ValueError: it is not the descriptor of this manifest, as a disk may have left it.
    """
    try:
        document = json.loads(described.decode("ascii"))
    except RecursionError as error:
        raise ValueError(str(error)) from None
    if not isinstance(document, dict) or document.get("digest") != str(digest):
        raise ValueError("it is not the descriptor of its manifest")
    artifact_type = document.get("artifactType", "")
    if not isinstance(artifact_type, str):
        raise ValueError("its artifactType is not text")
    return artifact_type
