"""Small OCI image layouts on disk: one image, and an index of two platforms."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
from pathlib import Path
from typing import Any

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
REF = "org.opencontainers.image.ref.name"


def make_oci_layout(folder: Path) -> Path:
    """Makes a layout with the references `one` (an image) and `all` (an index of amd64 and arm64)."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def put(content: bytes, media_type: str, **more: Any) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        (blobs / digest).write_bytes(content)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content), **more}

    images = [_image(put, architecture) for architecture in ("amd64", "arm64")]
    listed = [
        {**image, "platform": {"os": "linux", "architecture": architecture}}
        for image, architecture in zip(images, ("amd64", "arm64"), strict=True)
    ]
    index = put(_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": listed}), INDEX)
    top = [{**images[0], "annotations": {REF: "one"}}, {**index, "annotations": {REF: "all"}}]
    (folder / "index.json").write_bytes(_json({"schemaVersion": 2, "manifests": top}))
    (folder / "oci-layout").write_bytes(_json({"imageLayoutVersion": "1.0.0"}))
    return folder


def _image(put: Any, architecture: str) -> dict[str, Any]:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        entry = tarfile.TarInfo(f"etc/{architecture}")
        data = os.urandom(50_000)
        entry.size = len(data)
        tar.addfile(entry, io.BytesIO(data))
    layer = put(gzip.compress(raw.getvalue()), LAYER)
    diff_id = f"sha256:{hashlib.sha256(raw.getvalue()).hexdigest()}"
    config = {
        "architecture": architecture,
        "os": "linux",
        "config": {"Cmd": ["/bin/true"]},
        "rootfs": {"type": "layers", "diff_ids": [diff_id]},
        "history": [{"created": "2026-01-01T00:00:00Z", "created_by": "a test"}],
    }
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": put(_json(config), CONFIG),
        "layers": [layer],
    }
    found: dict[str, Any] = put(_json(document), MANIFEST)
    return found


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
