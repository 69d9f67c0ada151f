"""Schema 2 and OCI of each other, lists and indexes too: same blobs, other names."""

from __future__ import annotations

import json
from typing import Any

import pytest

from backends.model import media_types
from backends.model.conversion.image_indexes import rewrite_index
from backends.model.conversion.image_manifests import require_image, rewrite_image_manifest, write_image_manifest
from backends.model.conversion.impossible import ImpossibleConversion
from backends.model.conversion.upward import convert_upward
from backends.model.descriptors import Descriptor, Platform
from backends.model.digest import Digest
from backends.model.manifests import Index, OciManifest, Schema2, parse_manifest, parse_stored_manifest
from tests.support.formats import FORMATS, example, image_manifest, stored_layer

S2, OM, ML, OI = media_types.SCHEMA2, media_types.OCI_MANIFEST, media_types.MANIFEST_LIST, media_types.OCI_INDEX
DOCKER, OCI = "application/vnd.docker.image.rootfs", "application/vnd.oci.image.layer"
A, B, C = (Digest.of(name) for name in (b"a", b"b", b"c"))


def index_of(content: bytes) -> Index:
    manifest = parse_stored_manifest(content)
    assert isinstance(manifest, Index)
    return manifest


def manifest_of(media_type: str, *layers: dict[str, Any], **members: Any) -> Schema2 | OciManifest:
    config = {S2: media_types.DOCKER_CONFIG, OM: media_types.OCI_CONFIG}[media_type]
    document = {
        "schemaVersion": 2,
        "mediaType": media_type,
        "config": {"mediaType": config, "digest": str(A), "size": 3},
        "layers": [{"digest": str(B), "size": 5, **layer} for layer in layers],
        **members,
    }
    manifest = parse_stored_manifest(json.dumps(document).encode())
    assert isinstance(manifest, Schema2 | OciManifest)
    return manifest


def with_config(media_type: str, config_type: str, **members: Any) -> Schema2 | OciManifest:
    return manifest_of(media_type, config={"mediaType": config_type, "digest": str(A), "size": 1}, **members)


def test_the_two_manifests_of_one_image_become_each_other() -> None:
    schema2, oci = "v1-to-schema2/manifest.json", "v1-to-oci/manifest.json"
    assert rewrite_image_manifest(image_manifest(schema2), OM) == example(oci)
    assert rewrite_image_manifest(image_manifest(oci), S2) == example(schema2)


@pytest.mark.parametrize(
    "path", ["schema2-image/manifest.json", "oci-image/manifest.json", "oci-zstd-image/manifest.json"]
)
def test_a_manifest_written_again_as_what_it_is_stays_as_docker_and_skopeo_wrote_it(path: str) -> None:
    manifest = image_manifest(path)
    assert rewrite_image_manifest(manifest, manifest.media_type) == example(path)


def test_a_zstd_image_with_gzips_in_place_of_its_layers_is_the_schema_2_image() -> None:
    gzips = {layer.facts.diff_id: layer for layer in blobs("schema2-image")}
    replacements = {layer.digest: gzips[layer.facts.diff_id] for layer in blobs("oci-zstd-image")}
    made = rewrite_image_manifest(image_manifest("oci-zstd-image/manifest.json"), S2, replacements=replacements)
    assert made == example("schema2-image/manifest.json")


def blobs(folder: str) -> list[Any]:
    return [stored_layer(file.read_bytes()) for file in FORMATS.glob(f"{folder}/blobs/*")]


@pytest.mark.parametrize(
    ("docker", "oci"),
    [
        (f"{DOCKER}.diff.tar", f"{OCI}.v1.tar"),
        (f"{DOCKER}.diff.tar.gzip", f"{OCI}.v1.tar+gzip"),
        (f"{DOCKER}.diff.tar.zstd", f"{OCI}.v1.tar+zstd"),
        (f"{DOCKER}.foreign.diff.tar.gzip", f"{OCI}.nondistributable.v1.tar+gzip"),
        (f"{DOCKER}.foreign.diff.tar", f"{OCI}.nondistributable.v1.tar"),
        (f"{DOCKER}.foreign.diff.tar.zstd", f"{OCI}.nondistributable.v1.tar+zstd"),
    ],
)
def test_each_type_of_layer_has_its_name_in_both(docker: str, oci: str) -> None:
    urls = {"urls": ["https://example.org/layer"]}
    for layer, media_type, name in ((docker, OM, oci), (oci, S2, docker), (docker, S2, docker), (oci, OM, oci)):
        for source in (S2, OM):
            made = rewrite_image_manifest(manifest_of(source, {"mediaType": layer, **urls}), media_type)
            parsed = parse_manifest(made, media_type)
            assert isinstance(parsed, Schema2 | OciManifest)
            assert parsed.layers == (Descriptor(name, B, 5, ("https://example.org/layer",)),)


def test_oci_keeps_its_annotations_and_schema_2_has_none() -> None:
    source = manifest_of(
        OM, {"mediaType": f"{OCI}.v1.tar+gzip", "annotations": {"l": "1"}}, annotations={"z": "1", "a": "2"}
    )
    assert b"annotations" not in rewrite_image_manifest(source, S2)
    made = json.loads(rewrite_image_manifest(source, OM, annotations={"b": "3"}))
    assert list(made["annotations"].items()) == [("a", "2"), ("b", "3"), ("z", "1")]
    assert made["layers"][0]["annotations"] == {"l": "1"}


def test_what_tells_of_the_bytes_of_a_layer_goes_with_them() -> None:
    zstd = {
        "mediaType": f"{OCI}.v1.tar+zstd",
        "annotations": {"io.github.containers.zstd-chunked.manifest-checksum": "x"},
    }
    gzip = stored_layer(example("empty-layer/empty.tar.gz"))
    made = json.loads(rewrite_image_manifest(manifest_of(OM, zstd), OM, replacements={B: gzip}))
    assert made["layers"] == [{"mediaType": f"{OCI}.v1.tar+gzip", "digest": str(gzip.digest), "size": gzip.size}]


def test_a_converted_image_is_no_second_referrer_and_holds_no_copies() -> None:
    subject = {"mediaType": OM, "digest": str(C), "size": 1}
    source = manifest_of(OM, {"mediaType": f"{OCI}.v1.tar+gzip", "data": "aGVsbG8="}, subject=subject)
    made = json.loads(rewrite_image_manifest(source, OM))
    assert made.keys() == {"schemaVersion", "mediaType", "config", "layers"}
    assert made["layers"][0].keys() == {"mediaType", "digest", "size"}


def test_a_new_manifest_says_what_it_was_made_of_where_it_has_room() -> None:
    image = convert_upward(['{"id":"x"}'], [stored_layer(b"raw tar")])
    annotations = {"b": "2", "a": "<1>"}
    oci = write_image_manifest(OM, image.config, image.layers, annotations=annotations)
    assert oci.endswith(b',"annotations":{"a":"\\u003c1\\u003e","b":"2"}}')
    schema2 = write_image_manifest(S2, image.config, image.layers, annotations=annotations)
    assert b"annotations" not in schema2
    assert f'{DOCKER}.diff.tar"'.encode() in schema2


@pytest.mark.parametrize(
    ("manifest", "why"),
    [
        (manifest_of(OM, {"mediaType": "application/vnd.in-toto+json"}), "in-toto"),
        (manifest_of(OM, {"mediaType": f"{OCI}.v1.tar+gzip+encrypted"}), "encrypted"),
        (manifest_of(OM, {"mediaType": f"{OCI}.v1.erofs"}), "erofs"),
        (manifest_of(S2, {"mediaType": "application/octet-stream"}), "octet-stream"),
        (with_config(OM, "application/vnd.cncf.helm.config.v1+json"), "helm"),
        (with_config(OM, "application/vnd.oci.empty.v1+json", artifactType="text/example"), "of type 'text/example'"),
        (with_config(S2, "application/vnd.docker.plugin.v1+json"), "plugin"),
        (with_config(OM, "application/octet-stream"), "octet-stream"),
    ],
)
def test_artifacts_attestations_and_encrypted_layers_are_no_images(manifest: Schema2 | OciManifest, why: str) -> None:
    with pytest.raises(ValueError, match=f"not a container image.*{why}"):
        require_image(manifest)
    with pytest.raises(ValueError, match="not a container image"):
        rewrite_image_manifest(manifest, S2)


@pytest.mark.parametrize("config_type", ["application/octet-stream", "application/json", "text/html"])
def test_what_docker_1_10_pushed_may_be_an_image_whatever_type_its_configuration_has(config_type: str) -> None:
    manifest = with_config(S2, config_type)
    require_image(manifest)
    made = parse_manifest(rewrite_image_manifest(manifest, OM), OM)
    assert isinstance(made, OciManifest)
    assert made.config == Descriptor("application/vnd.oci.image.config.v1+json", A, 1)


def listed(media_type: str, *entries: dict[str, Any], **members: Any) -> Index:
    base = {"mediaType": {ML: S2, OI: OM}[media_type], "size": 9}
    document = {
        "schemaVersion": 2, "mediaType": media_type, "manifests": [{**base, **entry} for entry in entries], **members,
    }  # fmt: skip
    return index_of(json.dumps(document).encode())


@pytest.mark.parametrize(
    ("path", "media_type"), [("oci-image/index.json", OI), ("schema2-image/manifest-list.json", ML)]
)
def test_a_list_of_the_manifests_it_has_stays_as_it_is(path: str, media_type: str) -> None:
    index = index_of(example(path))
    assert rewrite_index(index, media_type, {entry.digest: entry for entry in index.manifests}) == example(path)


def test_an_index_of_the_zstd_image_becomes_the_list_of_the_schema_2_image() -> None:
    manifest = example("schema2-image/manifest.json")
    index = listed(OI, {"digest": str(A), "platform": {"architecture": "amd64", "os": "linux"}})
    children = {A: Descriptor(S2, Digest.of(manifest), len(manifest))}
    assert rewrite_index(index, ML, children) == example("schema2-image/manifest-list.json")


def test_platforms_are_copied_and_order_is_kept() -> None:
    full = {"architecture": "arm", "os": "windows", "os.version": "10.0", "os.features": ["win32k"], "variant": "v7"}
    index = listed(
        ML,
        {"digest": str(A), "platform": full},
        {"digest": str(B), "platform": {"architecture": "arm64", "os": "linux"}},
    )
    children = {digest: Descriptor(OM, digest, 7) for digest in (B, A)}
    for media_type in (OI, ML):
        made = json.loads(rewrite_index(index, media_type, children))
        assert [entry["digest"] for entry in made["manifests"]] == [str(A), str(B)]
        assert list(made["manifests"][0]["platform"].items()) == list(full.items())
        assert made["manifests"][1] == {
            "mediaType": OM, "size": 7, "digest": str(B), "platform": {"architecture": "arm64", "os": "linux"},
        }  # fmt: skip


def test_attestations_artifacts_and_what_was_not_converted_are_left_out() -> None:
    linux = {"architecture": "amd64", "os": "linux"}
    index = listed(
        OI,
        {"digest": str(A), "platform": linux},
        {"digest": str(B), "platform": {"architecture": "unknown", "os": "unknown"},
         "annotations": {"vnd.docker.reference.type": "attestation-manifest", "vnd.docker.reference.digest": str(A)}},
        {"digest": str(C), "platform": {"architecture": "arm64", "os": "linux"}},
    )  # fmt: skip
    made = json.loads(rewrite_index(index, OI, {digest: Descriptor(OM, digest, 7) for digest in (A, B)}))
    assert [entry["digest"] for entry in made["manifests"]] == [str(A)]


def test_a_list_names_no_image_that_asks_for_features_and_an_index_does() -> None:
    linux = {"architecture": "amd64", "os": "linux"}
    index = listed(
        OI, {"digest": str(A), "platform": {**linux, "os.features": ["erofs"]}}, {"digest": str(B), "platform": linux}
    )
    children = {digest: Descriptor(S2, digest, 7) for digest in (A, B)}
    assert [entry["digest"] for entry in json.loads(rewrite_index(index, ML, children))["manifests"]] == [str(B)]
    assert len(json.loads(rewrite_index(index, OI, children))["manifests"]) == 2
    with pytest.raises(ImpossibleConversion, match="no image in this list"):
        rewrite_index(index, ML, {A: children[A]})


@pytest.mark.parametrize("platform", [{}, {"platform": None}, {"platform": {}}])
def test_an_entry_that_says_no_platform_has_that_of_its_image_in_a_list(platform: dict[str, Any]) -> None:
    index = listed(OI, {"digest": str(A), **platform}, annotations={"a": "1"})
    child = Descriptor(S2, B, 7, platform=Platform("arm64", "linux"))
    made = json.loads(rewrite_index(index, ML, {A: child}, annotations={"b": "2"}))
    assert made["manifests"][0]["platform"] == {"architecture": "arm64", "os": "linux"}
    assert "annotations" not in made
    made = json.loads(rewrite_index(index, OI, {A: Descriptor(OM, B, 7)}, annotations={"b": "2"}))
    assert "platform" not in made["manifests"][0]
    assert made["annotations"] == {"a": "1", "b": "2"}


def test_annotations_of_an_entry_stay_in_an_index_and_not_in_a_list() -> None:
    platform = {"platform": {"architecture": "amd64", "os": "linux"}}
    index = listed(OI, {"digest": str(A), "annotations": {"b": "1", "a": "<"}, **platform})
    children = {A: Descriptor(S2, B, 7)}
    assert b"annotations" not in rewrite_index(index, ML, children)
    made = rewrite_index(index, OI, children)
    assert json.loads(made)["manifests"][0]["annotations"] == {"a": "<", "b": "1"}
    assert made.index(b'"a": "\\u003c"') < made.index(b'"b"')
