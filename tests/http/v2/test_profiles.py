"""Pushed manifests that name what is not here, in the program's two profiles, over its own settings."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from backends.registry.store import Store
from backends.storage.factory import open_folder
from backends.v2.registry import Registry
from portside.settings.loading import Role
from tests.support import schema1
from tests.support.serving_here import OCI_MANIFEST, Client, describe, digest_of, make_manifest, serving_here
from tests.support.settings_files import loader

NAME = "team/app"
SCHEMA1 = "application/vnd.docker.distribution.manifest.v1+prettyjws"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = b"{}"
FOREIGN = {
    **describe(b"elsewhere", "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"),
    "urls": ["http://127.0.0.1:1/layer"],
}
PUSHED = {
    "a layer is missing": (make_manifest(CONFIG, b"missing"), OCI_MANIFEST, (400, "MANIFEST_BLOB_UNKNOWN")),
    "the config is missing": (make_manifest(b"missing"), OCI_MANIFEST, (400, "MANIFEST_BLOB_UNKNOWN")),
    "an entry is missing": (
        json.dumps({"schemaVersion": 2, "manifests": [describe(b"missing", OCI_MANIFEST)]}).encode(),
        INDEX,
        (400, "MANIFEST_BLOB_UNKNOWN"),
    ),
    "a layer is elsewhere": (make_manifest(CONFIG, layers=[FOREIGN]), OCI_MANIFEST, (400, "MANIFEST_INVALID")),
    "a layer is elsewhere, and nobody says where": (
        make_manifest(CONFIG, layers=[{**FOREIGN, "urls": []}]),
        OCI_MANIFEST,
        (400, "MANIFEST_BLOB_UNKNOWN"),
    ),
}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


async def serving(root: Path, text: str | None) -> AsyncIterator[Client]:
    settings = loader(root.parent)(Role.V2, text)
    storage = open_folder(root)
    async with serving_here(Registry(Store(storage, validation=settings.validation), settings.v2).handle) as client:
        yield client
    await storage.close()


@pytest.fixture
async def oci(root: Path) -> AsyncIterator[Client]:
    async for client in serving(root, None):
        yield client


@pytest.fixture
async def distribution(root: Path) -> AsyncIterator[Client]:
    async for client in serving(root, "version: 0.1"):
        yield client


@pytest.mark.parametrize("what", PUSHED)
async def test_only_one_profile_takes_what_is_not_all_here(oci: Client, distribution: Client, what: str) -> None:
    content, media_type, refused = PUSHED[what]
    await oci.push_blob(NAME, CONFIG)
    assert (await distribution.put_manifest(NAME, "latest", content, media_type)).told == refused
    assert (await distribution.ask("GET", f"/v2/{NAME}/manifests/latest")).told == (404, "MANIFEST_UNKNOWN")
    assert (await oci.put_manifest(NAME, "latest", content, media_type)).status == 201
    for client in (oci, distribution):
        for reference in ("latest", digest_of(content)):
            answer = await client.ask("GET", f"/v2/{NAME}/manifests/{reference}")
            assert (answer.status, answer.body, answer["Content-Type"]) == (200, content, media_type)


async def test_what_the_settings_deny_is_answered_in_distributions_words(root: Path) -> None:
    text = "{version: 0.1, policy: {repository: {classes: [image]}}, compatibility: {schema1: {enabled: false}}}"
    async for client in serving(root, text):
        await client.push_image(NAME, "latest")
        artifact = make_manifest(b"image config", b"image layer")
        artifact = artifact.replace(b"application/vnd.oci.image.config.v1+json", b"application/vnd.oci.empty.v1+json")
        answer = await client.put_manifest(NAME, "artifact", artifact)
        assert answer.told == (403, "DENIED")
        message = "unknown manifest class for application/vnd.oci.empty.v1+json"
        assert answer.json["errors"][0]["message"] == message
        entry = schema1.Entry(digest_of(b"image layer"), json.dumps({"id": "a" * 64}))
        old = schema1.sign(schema1.payload(NAME, "old", [entry], version_first=True), schema1.new_key())
        assert (await client.put_manifest(NAME, "old", old, SCHEMA1)).told == (400, "MANIFEST_INVALID")
        assert (await client.ask("GET", f"/v2/{NAME}/tags/list")).json["tags"] == ["latest"]


async def test_a_layer_that_was_missing_may_come_later(oci: Client) -> None:
    content, _, _ = PUSHED["a layer is missing"]
    assert (await oci.put_manifest(NAME, "latest", content)).status == 201
    assert (await oci.ask("GET", f"/v2/{NAME}/blobs/{digest_of(b'missing')}")).told == (404, "BLOB_UNKNOWN")
    await oci.push_blob(NAME, b"missing")
    assert (await oci.ask("GET", f"/v2/{NAME}/blobs/{digest_of(b'missing')}")).body == b"missing"
