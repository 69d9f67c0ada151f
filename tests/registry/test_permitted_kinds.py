"""Which kinds of manifests may be pushed: `policy.repository.classes` and `compatibility.schema1.enabled`."""

from __future__ import annotations

import json

import pytest

from backends.model.errors import ErrorCode, RegistryError
from backends.model.manifests import parse_manifest
from backends.registry.validation import Validation, require_permitted_kind
from tests.support import schema1
from tests.support.serving_here import OCI_MANIFEST, describe

SCHEMA2 = "application/vnd.docker.distribution.manifest.v2+json"
INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_IMAGE = "application/vnd.docker.container.image.v1+json"
DOCKER_PLUGIN = "application/vnd.docker.plugin.v1+json"
OCI_IMAGE = "application/vnd.oci.image.config.v1+json"
IMAGES = Validation(classes=frozenset({"image"}))
PLUGINS = Validation(classes=frozenset({"plugin"}))
WITHOUT_SCHEMA1 = Validation(schema1=False)


def image(media_type: str, config: str) -> bytes:
    document = {"schemaVersion": 2, "mediaType": media_type, "config": describe(b"{}", config), "layers": []}
    return json.dumps(document).encode()


def signed() -> bytes:
    entry = schema1.Entry("sha256:" + "0" * 64, json.dumps({"id": "a" * 64}))
    return schema1.sign(schema1.payload("team/app", "latest", [entry], version_first=True), schema1.new_key())


CONTENTS = {
    "docker image": image(SCHEMA2, DOCKER_IMAGE),
    "docker plugin": image(SCHEMA2, DOCKER_PLUGIN),
    "docker manifest of an OCI image": image(SCHEMA2, OCI_IMAGE),
    "OCI image": image(OCI_MANIFEST, OCI_IMAGE),
    "OCI manifest of a docker image": image(OCI_MANIFEST, DOCKER_IMAGE),
    "artifact": image(OCI_MANIFEST, "x/y"),
    "index": json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": []}).encode(),
    "schema 1": signed(),
}


@pytest.mark.parametrize(
    ("validation", "what"),
    [
        (Validation(), "artifact"),
        (Validation(), "schema 1"),
        (IMAGES, "docker image"),
        (IMAGES, "OCI image"),
        (IMAGES, "index"),
        (IMAGES, "schema 1"),
        (PLUGINS, "docker plugin"),
        (PLUGINS, "index"),
        (WITHOUT_SCHEMA1, "docker image"),
    ],
)
def test_what_may_be_pushed(validation: Validation, what: str) -> None:
    require_permitted_kind(parse_manifest(CONTENTS[what], ""), validation)


@pytest.mark.parametrize(
    ("validation", "what", "code", "message"),
    [
        # distribution 2.8.2 and 3.1.2 say so
        (IMAGES, "docker plugin", ErrorCode.DENIED, "registry does not allow plugin manifest"),
        (IMAGES, "artifact", ErrorCode.DENIED, "unknown manifest class for x/y"),
        (IMAGES, "OCI manifest of a docker image", ErrorCode.DENIED, f"unknown manifest class for {DOCKER_IMAGE}"),
        (IMAGES, "docker manifest of an OCI image", ErrorCode.DENIED, f"unknown manifest class for {OCI_IMAGE}"),
        (PLUGINS, "OCI image", ErrorCode.DENIED, "registry does not allow image manifest"),
        (PLUGINS, "schema 1", ErrorCode.DENIED, "registry does not allow image manifest"),
        (WITHOUT_SCHEMA1, "schema 1", ErrorCode.MANIFEST_INVALID, "manifest schema v1 unsupported"),
    ],
)
def test_what_may_not(validation: Validation, what: str, code: ErrorCode, message: str) -> None:
    with pytest.raises(RegistryError) as caught:
        require_permitted_kind(parse_manifest(CONTENTS[what], ""), validation)
    assert (caught.value.code, caught.value.message) == (code, message)
    assert len(caught.value.detail) > 10
