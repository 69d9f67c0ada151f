"""The worked examples of images (`formats`), pushed to a store without HTTP, and others made like them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from backends.model.digest import Digest
from backends.model.manifests import parse_manifest
from backends.model.names import RepositoryName, TagName
from backends.registry.store import Store
from tests.support.actors import ACTOR
from tests.support.formats import FORMATS, digest_of, example, example_json
from tests.support.stores import put_blob

SCHEMA2 = "application/vnd.docker.distribution.manifest.v2+json"
OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
CREATED = "2026-01-01T00:00:00Z"
ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"


@dataclass(frozen=True, slots=True)
class ExpectedImage:
    """A v1 image as an example has it."""

    image_id: str
    text: bytes


def expected_v1(folder: str) -> Sequence[ExpectedImage]:
    """The v1 images that an example's manifest is, base first."""
    files = sorted(FORMATS.glob(f"{folder}/expected-v1/[0-9]*.json"))
    ids = [each["id"] for each in example_json(f"{folder}/expected-v1/chain.json")]
    return [ExpectedImage(image_id, file.read_bytes()) for image_id, file in zip(ids, files, strict=True)]


async def push_example(store: Store, name: RepositoryName, tag: str | None, folder: str) -> Digest:
    """Pushes the image of an example, and returns its manifest's digest."""
    for blob in sorted((FORMATS / folder / "blobs").iterdir()):
        await put_blob(store, name, blob.read_bytes())
    await put_blob(store, name, example(f"{folder}/config.json"))
    return await put_manifest(store, name, tag, example(f"{folder}/manifest.json"))


async def put_manifest(store: Store, name: RepositoryName, tag: str | None, content: bytes) -> Digest:
    """Pushes a manifest whose blobs are there."""
    digest = digest_of(content)
    manifest = parse_manifest(content, "")
    await store.open(name).put_manifest(manifest, digest, None if tag is None else TagName(tag), actor=ACTOR)
    return digest


@dataclass(frozen=True, slots=True)
class Layer:
    """A layer as it is pushed.

    Attributes:
        stored: its bytes.
        diff_id: what the configuration says that they hold.
        media_type: what the manifest says that they are.
    """

    stored: bytes
    diff_id: Digest
    media_type: str = GZIP


def gzip_layer(tar: bytes) -> Layer:
    """A layer in gzip that holds what it says."""
    return Layer(gzip.compress(tar, mtime=0), digest_of(tar))


def config_of(layers: Sequence[Layer], *, architecture: str = "amd64", **more: object) -> bytes:
    """A configuration whose history has one step for each layer."""
    document = {
        "architecture": architecture,
        "os": "linux",
        "created": CREATED,
        "config": {"Cmd": ["/bin/true"]},
        "history": [
            {"created": "2026-01-01T00:00:00Z", "created_by": f"step {number}"} for number in range(len(layers))
        ],
        "rootfs": {"type": "layers", "diff_ids": [str(layer.diff_id) for layer in layers]},
    }
    return json.dumps({**document, **more}).encode()


def image_of(config: bytes, layers: Sequence[Layer], **more: object) -> bytes:
    """An OCI manifest."""
    return json.dumps(
        {
            "schemaVersion": 2,
            "mediaType": OCI_MANIFEST,
            "config": _descriptor(config, OCI_CONFIG),
            "layers": [_descriptor(layer.stored, layer.media_type) for layer in layers],
            **more,
        }
    ).encode()


def index_of(entries: Mapping[str, bytes]) -> bytes:
    """An OCI index of images by their platforms, `linux/arm64`."""
    manifests = []
    for platform, content in entries.items():
        os, _, architecture = platform.partition("/")
        entry = {**_descriptor(content, OCI_MANIFEST), "platform": {"os": os, "architecture": architecture}}
        manifests.append(entry)
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests}).encode()


async def push_image(
    store: Store, name: RepositoryName, tag: str | None, layers: Sequence[Layer], *, config: bytes | None = None
) -> Digest:
    """Pushes an image of layers, and returns its manifest's digest."""
    config = config_of(layers) if config is None else config
    for content in (config, *(layer.stored for layer in layers)):
        await put_blob(store, name, content)
    return await put_manifest(store, name, tag, image_of(config, layers))


def _descriptor(content: bytes, media_type: str) -> dict[str, object]:
    return {"mediaType": media_type, "digest": str(digest_of(content)), "size": len(content)}
