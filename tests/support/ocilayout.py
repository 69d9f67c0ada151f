"""Small OCI image layouts on disk: one image, and an index of two platforms."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import os
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"
REF = "org.opencontainers.image.ref.name"


Put = Callable[..., dict[str, Any]]


def make_oci_layout(folder: Path) -> Path:
    """Makes a layout with the references `one` (an image) and `all` (an index of amd64 and arm64)."""
    put = _blobs(folder)
    images = [_image(put, architecture, _random_tree(architecture)) for architecture in ("amd64", "arm64")]
    listed = [
        {**image, "platform": {"os": "linux", "architecture": architecture}}
        for image, architecture in zip(images, ("amd64", "arm64"), strict=True)
    ]
    index = put(_json({"schemaVersion": 2, "mediaType": INDEX, "manifests": listed}), INDEX)
    _finish(folder, {**images[0], "annotations": {REF: "one"}}, {**index, "annotations": {REF: "all"}})
    return folder


def make_oci_image(folder: Path, tree: Path) -> None:
    """Makes a layout with the reference `one`: an image of one layer that holds the files of a folder."""
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        for each in sorted(tree.iterdir()):
            tar.add(each, each.name)
    _finish(folder, {**_image(_blobs(folder), "amd64", raw.getvalue()), "annotations": {REF: "one"}})


def _blobs(folder: Path) -> Put:
    """What puts a blob into a layout and returns its descriptor."""
    blobs = folder / "blobs" / "sha256"
    blobs.mkdir(parents=True)

    def put(content: bytes, media_type: str, **more: Any) -> dict[str, Any]:
        digest = hashlib.sha256(content).hexdigest()
        (blobs / digest).write_bytes(content)
        return {"mediaType": media_type, "digest": f"sha256:{digest}", "size": len(content), **more}

    return put


def _finish(folder: Path, *top: dict[str, Any]) -> None:
    (folder / "index.json").write_bytes(_json({"schemaVersion": 2, "manifests": top}))
    (folder / "oci-layout").write_bytes(_json({"imageLayoutVersion": "1.0.0"}))


def _random_tree(architecture: str) -> bytes:
    raw = io.BytesIO()
    with tarfile.open(fileobj=raw, mode="w") as tar:
        entry = tarfile.TarInfo(f"etc/{architecture}")
        data = os.urandom(50_000)
        entry.size = len(data)
        tar.addfile(entry, io.BytesIO(data))
    return raw.getvalue()


def _image(put: Put, architecture: str, tree: bytes) -> dict[str, Any]:
    layer = put(gzip.compress(tree), LAYER)
    config = {
        "architecture": architecture,
        "os": "linux",
        "config": {"Cmd": ["/bin/true"]},
        "rootfs": {"type": "layers", "diff_ids": [f"sha256:{hashlib.sha256(tree).hexdigest()}"]},
        "history": [{"created": "2026-01-01T00:00:00Z", "created_by": "a test"}],
    }
    document = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": put(_json(config), CONFIG),
        "layers": [layer],
    }
    return put(_json(document), MANIFEST)


def _json(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
