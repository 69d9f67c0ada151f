"""The worked examples of images in every form (FORMATS section 10)."""

from __future__ import annotations

import gzip
import json
from hashlib import sha256
from pathlib import Path
from typing import Any

from backports import zstd

from backends.model.digest import Digest
from backends.model.layers import Compression, LayerFacts, StoredLayer
from backends.model.manifests import OciManifest, Schema2, parse_stored_manifest

FORMATS = Path(__file__).parents[1] / "data" / "formats"


def example(path: str) -> bytes:
    """The bytes of an example file."""
    return (FORMATS / path).read_bytes()


def example_json(path: str) -> Any:
    """What an example file of JSON says."""
    return json.loads(example(path))


def digest_of(content: bytes) -> Digest:
    """The digest of bytes, computed with hashlib alone."""
    return Digest("sha256", sha256(content).hexdigest())


def inflated(content: bytes) -> tuple[Compression, bytes]:
    """What bytes are, and what they decompress to; read by the standard library."""
    if content.startswith(b"\x1f\x8b"):
        return Compression.GZIP, gzip.decompress(content)
    if content.startswith(b"\x28\xb5\x2f\xfd"):
        return Compression.ZSTD, zstd.decompress(content)
    return Compression.NONE, content


def stored_layer(content: bytes) -> StoredLayer:
    """A layer, with the facts that its bytes have."""
    compression, raw = inflated(content)
    return StoredLayer(
        digest_of(content),
        len(content),
        LayerFacts(compression, digest_of(raw), len(raw), is_empty=not raw.strip(b"\0")),
    )


def image_manifest(path: str) -> Schema2 | OciManifest:
    """An example manifest of an image."""
    manifest = parse_stored_manifest(example(path))
    assert isinstance(manifest, Schema2 | OciManifest)
    return manifest
