"""What a repository must have before a manifest is stored, by what is required."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from backends.model.digest import Digest
from backends.model.errors import ErrorCode, RegistryError
from backends.model.manifests import parse_manifest
from backends.model.media_types import OCI_INDEX
from backends.model.names import RepositoryName, TagName
from backends.registry.store import Store
from backends.registry.validation import Validation
from backends.storage.storage import Storage
from portside.settings.url_patterns import PatternRule
from tests.support.actors import ACTOR
from tests.support.serving_here import OCI_MANIFEST, describe, make_manifest
from tests.support.stores import everything

Reopen = Callable[[], Storage]
NAME, TAG = RepositoryName("team/app"), TagName("latest")
ELSEWHERE = {
    **describe(b"elsewhere", "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip"),
    "urls": ["https://a/layer"],
}
IMAGE = make_manifest(b"{}", b"missing")
FOREIGN = make_manifest(b"{}", layers=[ELSEWHERE])


def entry(platform: str | None) -> dict[str, Any]:
    found = describe(f"for {platform}".encode(), OCI_MANIFEST)
    return found if platform is None else {**found, "platform": {"os": "linux", "architecture": platform}}


def index(*platforms: str | None) -> bytes:
    manifests = [entry(platform) for platform in platforms]
    return json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests}).encode()


ARM = Validation(platforms=frozenset({("arm64", "linux")}))
NO_LAYERS = Validation(layers=False)
SPARSE = Validation(layers=False, children=False)


async def put(store: Store, content: bytes) -> None:
    await store.open(NAME).put_manifest(parse_manifest(content, ""), Digest.of(content), TAG, actor=ACTOR)


@pytest.mark.parametrize(
    ("validation", "content"),
    [
        (SPARSE, IMAGE),
        (SPARSE, FOREIGN),
        (SPARSE, index("arm64", None)),
        (NO_LAYERS, IMAGE),
        (Validation(children=False), index("arm64", None)),
        (ARM, index("amd64", None)),
        (Validation(layers=False, urls=PatternRule(("^https://a/",))), FOREIGN),
    ],
)
async def test_what_is_not_required_may_be_missing(reopen: Reopen, validation: Validation, content: bytes) -> None:
    await put(Store(reopen(), validation=validation), content)
    assert (await Store(reopen()).open(NAME).get_manifest(TAG)).content == content


@pytest.mark.parametrize(
    ("validation", "content", "code"),
    [
        (Validation(), IMAGE, ErrorCode.MANIFEST_BLOB_UNKNOWN),
        (Validation(children=False), IMAGE, ErrorCode.MANIFEST_BLOB_UNKNOWN),
        (Validation(), index("arm64"), ErrorCode.MANIFEST_BLOB_UNKNOWN),
        (NO_LAYERS, index(None), ErrorCode.MANIFEST_BLOB_UNKNOWN),
        (ARM, index("amd64", "arm64"), ErrorCode.MANIFEST_BLOB_UNKNOWN),
        (Validation(layers=False, urls=PatternRule(())), FOREIGN, ErrorCode.MANIFEST_INVALID),
    ],
)
async def test_what_is_required_and_missing_is_refused_and_changes_nothing(
    reopen: Reopen, validation: Validation, content: bytes, code: ErrorCode
) -> None:
    before = await everything(reopen().driver)
    with pytest.raises(RegistryError) as caught:
        await put(Store(reopen(), validation=validation), content)
    assert caught.value.code is code
    assert await everything(reopen().driver) == before
