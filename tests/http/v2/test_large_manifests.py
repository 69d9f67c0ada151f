"""Large manifests hold nobody up: whatever parses, verifies or checks them gives way to others."""

from __future__ import annotations

import json
from hashlib import sha256
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from backends.model import jws
from backends.model.digest import parse_digest
from backends.model.names import RepositoryName
from backends.storage import layout
from backends.v2.manifests import MAX_BYTES
from tests.support.pauses import CPU_SECONDS, pauses
from tests.support.serving_here import OCI_MANIFEST, Client, describe, digest_of
from tests.support.trees import read_files

NAME = "team/app"
SIGNED = "application/vnd.docker.distribution.manifest.v1+prettyjws"
SCHEMA2 = "application/vnd.docker.distribution.manifest.v2+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
LAYER = b"layer"
WALL_SECONDS = 0.6


def image(layers: int) -> bytes:
    entry = describe(LAYER, "application/vnd.oci.image.layer.v1.tar+gzip")
    config = describe(b"config", "application/vnd.oci.image.config.v1+json")
    entries = [{**entry, "annotations": {"n": str(number)}} for number in range(layers)]
    return json.dumps(
        {"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": entries}, separators=(",", ":")
    ).encode()


def schema1(layers: int) -> bytes:
    texts = [json.dumps({"id": sha256(b"%d" % number).hexdigest(), "n": "\\" * 100}) for number in range(layers)]
    document = {
        "schemaVersion": 1,
        "name": NAME,
        "tag": "latest",
        "architecture": "amd64",
        "fsLayers": [{"blobSum": digest_of(LAYER)}] * layers,
        "history": [{"v1Compatibility": text} for text in texts],
    }
    return jws.sign(json.dumps(document, indent=3).encode(), ec.generate_private_key(ec.SECP256R1()))


@pytest.mark.parametrize(
    ("content", "media_type"),
    [(image(23_000), OCI_MANIFEST), (schema1(6_000), SIGNED)],
    ids=["an image of 23 000 layers", "schema 1 of 6 000 layers"],
)
async def test_nobody_waits_while_one_is_pushed_and_pulled(
    registry: Client, other_worker: Client, content: bytes, media_type: str
) -> None:
    assert 3_500_000 < len(content) < MAX_BYTES
    for blob in (LAYER, b"config"):
        await registry.push_blob(NAME, blob)
    digest = digest_of(jws.verify(content) if media_type == SIGNED else content)
    path = f"/v2/{NAME}/manifests/latest"
    async with pauses() as seen:
        answer = await registry.ask("PUT", path, {"Content-Type": media_type}, body=content)
        assert (answer.status, answer["Docker-Content-Digest"]) == (201, digest), answer
        for worker in (registry, other_worker):  # one that has just had it, one that has never seen it
            for method in ("HEAD", "GET", "HEAD", "GET"):
                answer = await worker.ask(method, path)
                assert (answer.status, answer["Docker-Content-Digest"]) == (200, digest)
                assert answer["Content-Length"] == str(len(content))
                assert answer.body == (content if method == "GET" else b"")
    longest = max(cpu for cpu, _ in seen)
    assert longest < CPU_SECONDS, f"the event loop worked for {longest:.3f} s at one go"
    assert max(wall for _, wall in seen) < WALL_SECONDS


async def push_image_of(registry: Client, tag: str, layers: int) -> None:
    """Pushes an image of schema 2 with so many layers, all alike, as its configuration says too."""
    rootfs = {"type": "layers", "diff_ids": [digest_of(LAYER)] * layers}
    history = [{"created": "2015-11-03T22:00:00Z", "created_by": "/bin/sh -c make"}] * layers
    config = json.dumps({"architecture": "amd64", "os": "linux", "rootfs": rootfs, "history": history}).encode()
    for blob in (LAYER, config):
        await registry.push_blob(NAME, blob)
    layer = describe(LAYER, "application/vnd.docker.image.rootfs.diff.tar")
    described = describe(config, "application/vnd.docker.container.image.v1+json")
    document = {"schemaVersion": 2, "mediaType": SCHEMA2, "config": described, "layers": [layer] * layers}
    content = json.dumps(document, separators=(",", ":")).encode()
    assert (await registry.put_manifest(NAME, tag, content, SCHEMA2)).status == 201


async def test_nobody_waits_while_one_of_many_layers_is_converted(registry: Client) -> None:
    async def pull(tag: str) -> None:
        answer = await registry.ask("GET", f"/v2/{NAME}/manifests/{tag}", {"Accept": OCI_MANIFEST})
        assert (answer.status, answer["Content-Type"]) == (200, OCI_MANIFEST)

    await push_image_of(registry, "small", 1)
    await push_image_of(registry, "large", 20_000)
    await pull("small")  # the first conversion imports what makes it
    async with pauses() as seen:
        await pull("large")
    longest = max(cpu for cpu, _ in seen)
    assert longest < CPU_SECONDS, f"the event loop worked for {longest:.3f} s at one go"


async def test_nobody_waits_while_an_index_is_looked_through_for_what_its_entries_leave_out(registry: Client) -> None:
    """Where they say no platform, the images' configurations do, which may have megabytes."""
    await push_image_of(registry, "small", 1)
    await push_image_of(registry, "large", 20_000)
    for tag in ("small", "large"):
        image = (await registry.ask("GET", f"/v2/{NAME}/manifests/{tag}", {"Accept": SCHEMA2})).body
        content = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": [describe(image, SCHEMA2)]})
        assert (await registry.put_manifest(NAME, tag, content.encode(), OCI_INDEX)).status == 201
    accept = {"Accept": SCHEMA2}
    assert (await registry.ask("GET", f"/v2/{NAME}/manifests/small", accept)).status == 200  # and imports what it needs
    async with pauses() as seen:
        answer = await registry.ask("GET", f"/v2/{NAME}/manifests/large", accept)
        assert (answer.status, answer["Content-Type"]) == (200, SCHEMA2)
    longest = max(cpu for cpu, _ in seen)
    assert longest < CPU_SECONDS, f"the event loop worked for {longest:.3f} s at one go"


async def test_nobody_waits_while_the_references_of_one_are_looked_for(registry: Client, root: Path) -> None:
    """Each check is answered by the kernel at once, and there are thousands of them."""
    layers = [describe(b"%d" % number, "application/vnd.oci.image.layer.v1.tar") for number in range(20_000)]
    config = describe(b"config", "application/vnd.oci.image.config.v1+json")
    content = json.dumps({"schemaVersion": 2, "mediaType": OCI_MANIFEST, "config": config, "layers": layers}).encode()
    there = await registry.push_blob(NAME, b"there")
    for layer in layers[:-1]:  # a link may hold another digest, so one blob is enough for all of them
        link = root / layout.layer_link(RepositoryName(NAME), parse_digest(layer["digest"]))[1:]
        link.parent.mkdir(parents=True)
        link.write_text(there, encoding="ascii")
    before = len(read_files(root))
    async with pauses() as seen:
        answer = await registry.put_manifest(NAME, "latest", content)
    assert answer.status == 400
    assert [error["detail"] for error in answer.json["errors"]] == [config["digest"], layers[-1]["digest"]]
    longest = max(cpu for cpu, _ in seen)
    assert longest < CPU_SECONDS, f"the event loop worked for {longest:.3f} s at one go"
    assert len(read_files(root)) == before
