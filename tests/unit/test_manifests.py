"""What is taken for a manifest of which type, and what is refused because two clients could take it for two things."""

from __future__ import annotations

import json
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st

from backends.model import jws, media_types
from backends.model.descriptors import Platform
from backends.model.digest import Digest
from backends.model.errors import ErrorCode, RegistryError
from backends.model.manifests import (
    Index,
    OciManifest,
    Schema1,
    Schema2,
    digested_bytes,
    parse_manifest,
    parse_stored_manifest,
    sniff_media_type,
)

KEY = ec.derive_private_key(7, ec.SECP256R1())
A, B = str(Digest.of(b"a")), str(Digest.of(b"b", "sha512"))
CONFIG = {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": A, "size": 1}
LAYER = {"mediaType": "application/vnd.oci.image.layer.v1.tar+gzip", "digest": B, "size": 2}
OCI = {"schemaVersion": 2, "mediaType": media_types.OCI_MANIFEST, "config": CONFIG, "layers": [LAYER]}
SCHEMA2 = {**OCI, "mediaType": media_types.SCHEMA2}
INDEX = {
    "schemaVersion": 2,
    "mediaType": media_types.OCI_INDEX,
    "manifests": [{**LAYER, "mediaType": media_types.OCI_MANIFEST}],
}
LIST = {**INDEX, "mediaType": media_types.MANIFEST_LIST}
SCHEMA1 = {
    "schemaVersion": 1,
    "name": "a/b",
    "tag": "t",
    "architecture": "amd64",
    "fsLayers": [{"blobSum": A}, {"blobSum": A}],
    "history": [{"v1Compatibility": "{}"}, {"v1Compatibility": "{}"}],
}


def without(document: dict[str, Any], *keys: str) -> dict[str, Any]:
    return {key: value for key, value in document.items() if key not in keys}


def signed(document: dict[str, Any]) -> bytes:
    return jws.sign(json.dumps(document).encode(), KEY)


@pytest.mark.parametrize(
    "content_type",
    [
        media_types.OCI_MANIFEST,
        media_types.OCI_MANIFEST.upper(),
        f"{media_types.OCI_MANIFEST}; charset=utf-8",
        "",
        "application/json",
    ],
)
def test_an_oci_manifest(content_type: str) -> None:
    content = json.dumps(OCI).encode()
    manifest = parse_manifest(content, content_type)
    assert isinstance(manifest, OciManifest)
    assert (manifest.content, manifest.media_type, manifest.subject) == (content, media_types.OCI_MANIFEST, None)
    assert (str(manifest.config.digest), [str(layer.digest) for layer in manifest.layers]) == (A, [B])
    assert sniff_media_type(content) == media_types.OCI_MANIFEST


def test_an_oci_manifest_need_not_say_that_it_is_one() -> None:
    content = json.dumps(without(OCI, "mediaType")).encode()
    assert isinstance(parse_manifest(content, media_types.OCI_MANIFEST), OciManifest)
    index = json.dumps(without(INDEX, "mediaType")).encode()
    assert isinstance(parse_manifest(index, media_types.OCI_INDEX), Index)
    assert sniff_media_type(index) == media_types.OCI_INDEX


@pytest.mark.parametrize(
    ("document", "kind", "media_type"),
    [
        (SCHEMA2, Schema2, media_types.SCHEMA2),
        (LIST, Index, media_types.MANIFEST_LIST),
        (INDEX, Index, media_types.OCI_INDEX),
        ({**INDEX, "manifests": []}, Index, media_types.OCI_INDEX),
        ({**OCI, "layers": []}, OciManifest, media_types.OCI_MANIFEST),
        (
            {**OCI, "artifactType": "x/y", "annotations": {"A": "1", "a": "2"}, "org.custom": {}},
            OciManifest,
            media_types.OCI_MANIFEST,
        ),
        ({**OCI, "subject": CONFIG}, OciManifest, media_types.OCI_MANIFEST),
        ({**INDEX, "subject": CONFIG}, Index, media_types.OCI_INDEX),
        (
            {**OCI, "layers": [{**LAYER, "urls": ["https://x"], "data": "e30=", "custom": 1}]},
            OciManifest,
            media_types.OCI_MANIFEST,
        ),
    ],
    ids=range(9),
)
def test_every_kind_is_known_by_what_it_says(document: dict[str, Any], kind: type, media_type: str) -> None:
    manifest = parse_manifest(json.dumps(document).encode(), media_type)
    assert isinstance(manifest, kind)
    assert manifest.media_type == media_type


def test_an_index_keeps_what_it_says_of_its_entries() -> None:
    platform = {"architecture": "arm", "os": "windows", "os.version": "10", "os.features": ["win32k"], "variant": "v7"}
    said = {
        **LAYER,
        "mediaType": media_types.OCI_MANIFEST,
        "platform": platform,
        "annotations": {"a": "1"},
        "artifactType": "x/y",
        "urls": ["https://a", "https://b"],
    }
    plain = {**LAYER, "platform": None, "annotations": None, "urls": None}
    document = {**INDEX, "manifests": [said, plain], "artifactType": "z/z", "annotations": {"b": "2"}}
    index = parse_manifest(json.dumps(document).encode(), "")
    assert isinstance(index, Index)
    assert (index.artifact_type, index.annotations) == ("z/z", {"b": "2"})
    first, second = index.manifests
    assert first.platform == Platform("arm", "windows", "10", ("win32k",), "v7")
    assert (first.annotations, first.artifact_type, first.urls) == ({"a": "1"}, "x/y", ("https://a", "https://b"))
    assert (second.platform, second.annotations, second.artifact_type, second.urls) == (None, {}, "", ())
    assert len({first, second, first}) == 2


def test_an_artifact_keeps_what_it_says_of_itself() -> None:
    document = {**OCI, "artifactType": "x/y", "annotations": {"a": "1"}}
    manifest = parse_manifest(json.dumps(document).encode(), "")
    assert isinstance(manifest, OciManifest)
    assert (manifest.artifact_type, manifest.annotations) == ("x/y", {"a": "1"})


@pytest.mark.parametrize("document", [OCI, SCHEMA2, INDEX, LIST, {**OCI, "subject": CONFIG}, without(OCI, "mediaType")])
def test_a_stored_manifest_says_what_it_said_when_it_came(document: dict[str, Any]) -> None:
    content = json.dumps(document).encode()
    assert parse_stored_manifest(content) == parse_manifest(content, "")


def test_stored_schema_1_is_read_without_its_signatures_and_keeps_its_history() -> None:
    texts = ['{"id":"b","parent":"a"}\n', "{}"]
    document = {**SCHEMA1, "history": [{"v1Compatibility": text} for text in texts]}
    pushed = parse_manifest(signed(document), "")
    assert isinstance(pushed, Schema1)
    assert pushed.history == tuple(texts)
    stored = parse_stored_manifest(pushed.payload)
    assert isinstance(stored, Schema1)
    assert (stored.layers, stored.history, stored.payload) == (pushed.layers, pushed.history, pushed.payload)
    assert digested_bytes(stored) == digested_bytes(pushed) == pushed.payload
    # Nobody signs anew what is stored, so a wrong signature in it is nobody's business.
    broken = pushed.content.replace(b'"signature"', b'"Signature"')
    assert isinstance(parse_stored_manifest(broken), Schema1)


@pytest.mark.parametrize(
    "content", [b"", b"\xff", b"[]", b"[" * 100_000, b"{}", json.dumps(without(OCI, "layers")).encode()]
)
def test_a_stored_manifest_that_is_damaged_is_told(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"."):
        parse_stored_manifest(content)


def test_a_subject_is_a_descriptor() -> None:
    manifest = parse_manifest(json.dumps({**OCI, "subject": CONFIG}).encode(), "")
    assert isinstance(manifest, OciManifest)
    assert manifest.subject is not None
    assert str(manifest.subject.digest) == A


@pytest.mark.parametrize(
    "content_type", ["", "application/json", media_types.SCHEMA1, media_types.SCHEMA1_SIGNED, "text/plain"]
)
def test_schema_1_under_every_type_that_old_clients_send(content_type: str) -> None:
    content = signed(SCHEMA1)
    manifest = parse_manifest(content, content_type)
    assert isinstance(manifest, Schema1)
    assert manifest.content == content
    assert json.loads(manifest.payload) == SCHEMA1
    assert [str(layer) for layer in manifest.layers] == [A, A]
    assert sniff_media_type(manifest.payload) == media_types.SCHEMA1_SIGNED


@pytest.mark.parametrize(
    "document",
    [
        {},
        [],
        None,
        7,
        "x",
        without(OCI, "schemaVersion"),
        {**OCI, "schemaVersion": 3},
        {**OCI, "schemaVersion": "2"},
        {**OCI, "schemaVersion": 2.0},
        {**OCI, "schemaVersion": True},
        {**OCI, "schemaVersion": None},
        {**OCI, "schemaVersion": [2]},
        {**OCI, "schemaVersion": 10**400},
        {**OCI, "mediaType": None},
        {**OCI, "mediaType": []},
        {**OCI, "mediaType": {}},
        {**OCI, "mediaType": 7},
        {**OCI, "mediaType": "application/json"},
        {**OCI, "mediaType": media_types.OCI_INDEX},
        {**OCI, "mediaType": media_types.SCHEMA1_SIGNED},
        {**OCI, "manifests": []},
        {**OCI, "manifests": None},
        {**OCI, "fsLayers": []},
        {**OCI, "schemaVersion": 1},
        {**INDEX, "layers": []},
        {**INDEX, "config": CONFIG},
        {**INDEX, "fsLayers": []},
        {**INDEX, "mediaType": media_types.SCHEMA2},
        {**INDEX, "schemaVersion": 1},
        without(OCI, "config"),
        without(OCI, "layers"),
        without(INDEX, "manifests"),
        {**OCI, "config": None},
        {**OCI, "config": []},
        {**OCI, "layers": None},
        {**OCI, "layers": "x"},
        {**OCI, "layers": {}},
        {**OCI, "layers": [None]},
        {**OCI, "layers": [[]]},
        {**OCI, "layers": [without(LAYER, "mediaType")]},
        {**OCI, "layers": [without(LAYER, "digest")]},
        {**OCI, "layers": [without(LAYER, "size")]},
        {**OCI, "layers": [{**LAYER, "mediaType": ""}]},
        {**OCI, "layers": [{**LAYER, "mediaType": 1}]},
        {**OCI, "layers": [{**LAYER, "digest": "sha256:../../etc"}]},
        {**OCI, "layers": [{**LAYER, "digest": 5}]},
        {**OCI, "layers": [{**LAYER, "size": -1}]},
        {**OCI, "layers": [{**LAYER, "size": True}]},
        {**OCI, "layers": [{**LAYER, "size": "2"}]},
        {**OCI, "layers": [{**LAYER, "size": 2.0}]},
        {**OCI, "subject": "x"},
        {**OCI, "subject": {}},
        {**OCI, "layers": [{**LAYER, "urls": "https://x"}]},
        {**OCI, "layers": [{**LAYER, "urls": [1]}]},
        {**OCI, "layers": [{**LAYER, "annotations": []}]},
        {**OCI, "layers": [{**LAYER, "annotations": {"a": 1}}]},
        {**OCI, "layers": [{**LAYER, "artifactType": []}]},
        {**OCI, "annotations": "x"},
        {**OCI, "artifactType": 1},
        {**INDEX, "annotations": {"a": None}},
        {**INDEX, "manifests": [{**LAYER, "platform": "linux/amd64"}]},
        {**INDEX, "manifests": [{**LAYER, "platform": {"os": 1}}]},
        {**INDEX, "manifests": [{**LAYER, "platform": {"os": "linux", "OS": "windows"}}]},
        {**INDEX, "manifests": [{**LAYER, "platform": {"os.features": "win32k"}}]},
        {**OCI, "Layers": []},
        {**OCI, "LAYERS": [{**LAYER, "digest": A}]},
        {**OCI, "layer\u017f": []},
        {**OCI, "Manifests": []},
        {**OCI, "MediaType": media_types.OCI_INDEX},
        {**OCI, "layers": [{**LAYER, "Digest": A}]},
        {**INDEX, "manifests": [{**LAYER, "DIGEST": A}]},
        SCHEMA1,
        {**SCHEMA1, "signatures": []},
        {**SCHEMA1, "schemaVersion": True},
        {**SCHEMA1, "layers": []},
    ],
    ids=lambda document: json.dumps(document)[-90:],
)
@pytest.mark.parametrize("content_type", ["", media_types.OCI_MANIFEST])
def test_what_is_no_manifest_or_several_is_refused(document: object, content_type: str) -> None:
    with pytest.raises(RegistryError) as caught:
        parse_manifest(json.dumps(document).encode(), content_type)
    assert caught.value.code in {ErrorCode.MANIFEST_INVALID, ErrorCode.MANIFEST_UNVERIFIED}
    assert len(caught.value.detail) < 600


@pytest.mark.parametrize(
    ("document", "content_type"),
    [
        (OCI, media_types.SCHEMA2),
        (OCI, media_types.OCI_INDEX),
        (OCI, media_types.SCHEMA1_SIGNED),
        (SCHEMA2, media_types.OCI_MANIFEST),
        (SCHEMA2, media_types.MANIFEST_LIST),
        (INDEX, media_types.MANIFEST_LIST),
        (LIST, media_types.OCI_INDEX),
        (without(LIST, "mediaType"), media_types.MANIFEST_LIST),
        (without(SCHEMA2, "mediaType"), media_types.SCHEMA2),
        (OCI, "text/html"),
        (OCI, "application/vnd.oci.image.manifest.v1+jsonx"),
        (OCI, "x" * 60_000),
    ],
)
def test_a_content_type_that_says_otherwise_is_refused(document: dict[str, Any], content_type: str) -> None:
    with pytest.raises(RegistryError) as caught:
        parse_manifest(json.dumps(document).encode(), content_type)
    assert caught.value.code is ErrorCode.MANIFEST_INVALID


@pytest.mark.parametrize(
    "change",
    [
        {"fsLayers": []},
        {"fsLayers": None},
        {"fsLayers": "ab"},
        {"fsLayers": [{"blobSum": A}]},
        {"fsLayers": [{"blobSum": A}, {}]},
        {"fsLayers": [{"blobSum": A}, {"blobSum": 7}]},
        {"fsLayers": [{"blobSum": A}, {"blobSum": "tarsum.v1+sha256:x"}]},
        {"fsLayers": [{"blobSum": A}, {"blobSum": A, "BlobSum": B}]},
        {"fsLayers": [{"blobSum": A}, "x"]},
        {"history": []},
        {"history": [{}, {}]},
        {"history": [{"v1Compatibility": "{}"}, {"v1Compatibility": {}}]},
        {"history": [{"v1Compatibility": "{}"}, {"v1Compatibility": "{}", "V1compatibility": "{}"}]},
        {"name": None},
        {"tag": 7},
        {"FSLAYERS": []},
        {"schemaVersion": 2},
    ],
)
def test_signed_nonsense_is_nonsense_all_the_same(change: dict[str, Any]) -> None:
    with pytest.raises(RegistryError) as caught:
        parse_manifest(signed({**SCHEMA1, **change}), "")
    assert caught.value.code is ErrorCode.MANIFEST_INVALID


def test_schema_1_without_signatures_is_invalid_and_with_wrong_ones_unverified() -> None:
    content = signed(SCHEMA1)
    with pytest.raises(RegistryError) as caught:
        parse_manifest(content.replace(b'"tag": "t"', b'"tag": "u"'), "")
    assert caught.value.code is ErrorCode.MANIFEST_UNVERIFIED
    with pytest.raises(RegistryError) as caught:
        parse_manifest(json.dumps(SCHEMA1).encode(), media_types.SCHEMA1)
    assert caught.value.code is ErrorCode.MANIFEST_INVALID


@pytest.mark.parametrize(
    "content",
    [b"", b"\xff", b"{", b'{"schemaVersion":2,"schemaVersion":2}', b"[" * 100_000, b"[]", b'{"schemaVersion":1e999}'],
)
def test_what_is_no_json_is_no_manifest(content: bytes) -> None:
    with pytest.raises(RegistryError) as caught:
        parse_manifest(content, "")
    assert caught.value.code is ErrorCode.MANIFEST_INVALID
    with pytest.raises(ValueError, match=r"."):
        sniff_media_type(content)


Json = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(0, 3)
    | st.sampled_from([A, "", media_types.SCHEMA2, media_types.OCI_INDEX]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["mediaType", "digest", "size", "blobSum", "v1Compatibility"]), inner, max_size=4
        )
    ),
    max_leaves=8,
)


@given(
    st.dictionaries(
        st.sampled_from(
            [
                "schemaVersion",
                "mediaType",
                "config",
                "layers",
                "manifests",
                "subject",
                "fsLayers",
                "history",
                "signatures",
                "name",
                "tag",
            ]
        ),
        Json,
        max_size=8,
    )
)
def test_any_json_is_a_manifest_or_refused(document: dict[str, Any]) -> None:
    content = json.dumps(document).encode()
    try:
        assert parse_manifest(content, "").content == content
    except RegistryError:
        return
