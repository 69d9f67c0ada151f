"""From v1 and schema 1 up to schema 2 and OCI: configuration, layers and manifests of real pushes, byte for byte."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest

from backends.model import media_types
from backends.model.conversion.image_config import parse_image_config
from backends.model.conversion.image_manifests import write_image_manifest
from backends.model.conversion.impossible import ImpossibleConversion
from backends.model.conversion.upward import MAX_IMAGES, UpwardImage, convert_upward
from backends.model.layers import EMPTY_DIFF_ID, EMPTY_STORED_LAYER, Compression, StoredLayer
from tests.support.formats import FORMATS, digest_of, example, inflated, stored_layer

FULL = stored_layer(b"a file's tar")
EMPTY = stored_layer(b"\0" * 10240)


def pushed(folder: str) -> tuple[list[str], list[StoredLayer]]:
    """The JSONs and layers of a recorded push, from the base to the top."""
    files = sorted(FORMATS.glob(f"{folder}/[0-9]*.json"), key=lambda file: int(file.name.partition("-")[0]))
    layers = [stored_layer(file.with_suffix(".layer").read_bytes()) for file in files]
    return [file.read_bytes().decode() for file in files], layers


def built() -> tuple[list[str], list[StoredLayer]]:
    """The three images of `v1-image`, with the gzips that stand for its tars in `v1-to-schema2`."""
    gzips = {inflated(blob)[1]: blob for blob in (file.read_bytes() for file in FORMATS.glob("v1-to-schema2/blobs/*"))}
    folders = sorted((FORMATS / "v1-image").glob("[0-9]-*"))
    tars = [(folder / "layer.tar").read_bytes() for folder in folders]
    return (
        [(folder / "json").read_bytes().decode() for folder in folders],
        [stored_layer(gzips.get(tar, tar)) for tar in tars],
    )


def convert(**members: Any) -> dict[str, Any]:
    """The configuration made of one image with a layer."""
    image = {"id": "a" * 64, "created": "2015-01-01T00:00:00Z", "architecture": "amd64", "os": "linux", **members}
    config: dict[str, Any] = json.loads(convert_upward([json.dumps(image)], [FULL]).config)
    return config


def require_named_blobs(image: UpwardImage, folder: str) -> None:
    """Each layer is named by the digest of the bytes that stand for it."""
    blobs = {digest_of(file.read_bytes()) for file in FORMATS.glob(f"{folder}/blobs/*")}
    assert {layer.digest for layer in image.layers} == blobs


@pytest.mark.parametrize("folder", ["v1-pushed-by-docker-1.0.1", "v1-pushed-by-docker-1.5.0"])
def test_a_real_push_has_the_configuration_and_manifest_of_the_example(folder: str) -> None:
    image = convert_upward(*pushed(folder))
    assert image.config == example(f"{folder}/expected-config.json")
    manifest = write_image_manifest(media_types.SCHEMA2, image.config, image.layers)
    assert manifest == example(f"{folder}/expected-schema2.json")


def test_the_built_chain_has_the_configuration_and_both_manifests_of_the_example() -> None:
    image = convert_upward(*built())
    assert image.config == example("v1-to-schema2/config.json")
    require_named_blobs(image, "v1-to-schema2")
    schema2 = write_image_manifest(media_types.SCHEMA2, image.config, image.layers)
    assert schema2 == example("v1-to-schema2/manifest.json")
    oci = write_image_manifest(media_types.OCI_MANIFEST, image.config, image.layers)
    assert oci == example("v1-to-oci/manifest.json")


def test_docker_itself_keeps_the_empty_layer_and_says_the_same_but_for_its_own_members() -> None:
    ours, dockers = (json.loads(example(f"v1-to-schema2/{name}.json")) for name in ("config", "config.docker-exact"))
    assert str(EMPTY_DIFF_ID) in dockers["rootfs"].pop("diff_ids")
    assert len(ours["rootfs"].pop("diff_ids")) == 2
    for config in (ours, dockers):
        for entry in config["history"]:
            entry.pop("empty_layer", None)
        for key in ("config", "container_config"):
            config[key] = {name: value for name, value in config[key].items() if value}
    assert ours == dockers


def test_members_that_tell_of_v1_go_and_all_others_keep_their_text() -> None:
    text = (
        '{"id":"i","parent":"p","parent_id":"q","layer_id":"l","throwaway":true,"Size":5,"os":"linux","created":'
        '"2015-01-01T00:00:00.100Z","architecture":"arm","z":[1.50, "\\/"],"config":{"Memory":1e3,"Cmd":["a"]}}\n'
    )
    image = convert_upward([text], [FULL])
    assert image.config.decode() == (
        '{"architecture":"arm","config":{"Memory":1e3,"Cmd":["a"]},"created":"2015-01-01T00:00:00.100Z",'
        '"history":[{"created":"2015-01-01T00:00:00.1Z"}],"os":"linux",'
        f'"rootfs":{{"type":"layers","diff_ids":["{FULL.facts.diff_id}"]}},"z":[1.50,"\\/"]}}'
    )


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"architecture": None, "os": None}, {"architecture": "amd64", "os": "linux"}),
        ({"architecture": "", "os": ""}, {"architecture": "amd64", "os": "linux"}),
        ({"architecture": "x86_64"}, {"architecture": "amd64"}),
        ({"architecture": "i386"}, {"architecture": "386"}),
        ({"architecture": "arm64", "os": "windows"}, {"architecture": "arm64", "os": "windows"}),
        ({"created": None}, {"created": "1970-01-01T00:00:00Z"}),
        ({"created": "a while ago"}, {"created": "1970-01-01T00:00:00Z"}),
        ({"created": 1424000000}, {"created": "1970-01-01T00:00:00Z"}),
        ({"config": None}, {"config": {}}),
        ({"config": {"Cmd": "sh", "Entrypoint": "/e", "OnBuild": "RUN x"}},
         {"config": {"Cmd": ["sh"], "Entrypoint": ["/e"], "OnBuild": ["RUN x"]}}),
        ({"config": {"ExposedPorts": ["80"], "Volumes": "/v"}}, {"config": {"ExposedPorts": None, "Volumes": None}}),
        ({"config": {"ExposedPorts": {"80": {}}, "Volumes": None}},
         {"config": {"ExposedPorts": {"80": {}}, "Volumes": None}}),
        ({"config": {"Memory": 5, "PortSpecs": ["1"]}}, {"config": {"Memory": 5, "PortSpecs": ["1"]}}),
        ({"container_config": {"Cmd": "make"}}, {"container_config": {"Cmd": ["make"]}}),
        ({"container_config": None}, {"container_config": None}),
        ({"rootfs": {"x": 1}, "history": "y"}, {"rootfs": {"type": "layers", "diff_ids": [str(FULL.facts.diff_id)]}}),
    ],
)  # fmt: skip
def test_what_strict_readers_refuse_becomes_what_they_read(members: dict[str, Any], expected: dict[str, Any]) -> None:
    config = convert(**members)
    assert {key: config[key] for key in expected} == expected


def test_an_image_without_a_config_has_none_either() -> None:
    assert "config" not in convert()


@pytest.mark.parametrize(
    ("members", "step"),
    [
        ({}, {"created": "2015-01-01T00:00:00Z"}),
        ({"created": None}, {"created": "0001-01-01T00:00:00Z"}),
        ({"created": "2015-01-01T00:00:00.10+00:00"}, {"created": "2015-01-01T00:00:00.1Z"}),
        ({"author": "", "comment": None}, {"created": "2015-01-01T00:00:00Z"}),
        ({"container_config": {"Cmd": ["/bin/sh", "-c", "a b"]}},
         {"created": "2015-01-01T00:00:00Z", "created_by": "/bin/sh -c a b"}),
        ({"container_config": {"Cmd": "make"}}, {"created": "2015-01-01T00:00:00Z", "created_by": "make"}),
        ({"container_config": {"Cmd": None}}, {"created": "2015-01-01T00:00:00Z"}),
        ({"comment": "c", "author": "a", "container_config": {"Cmd": ["x"]}},
         {"created": "2015-01-01T00:00:00Z", "author": "a", "created_by": "x", "comment": "c"}),
    ],
)  # fmt: skip
def test_a_step_of_the_history_is_said_in_dockers_order(members: dict[str, Any], step: dict[str, Any]) -> None:
    (said,) = convert(**members)["history"]
    assert list(said.items()) == list(step.items())


IMAGE = '{"id":"x","Size":0,"throwaway":true}'


@pytest.mark.parametrize("layers", [[FULL, EMPTY], [EMPTY, FULL], [FULL, FULL], [EMPTY, FULL, EMPTY]])
def test_content_alone_says_whether_a_layer_is_empty(layers: list[StoredLayer]) -> None:
    image = convert_upward([IMAGE] * len(layers), layers)
    assert image.layers == tuple(layer for layer in layers if layer is FULL)
    parsed = parse_image_config(image.config)
    assert [entry.is_empty for entry in parsed.history] == [layer is EMPTY for layer in layers]
    assert parsed.diff_ids == tuple(layer.facts.diff_id for layer in image.layers)


def test_an_image_of_empty_layers_keeps_one_that_every_client_can_read() -> None:
    image = convert_upward([IMAGE] * 3, [EMPTY] * 3)
    assert image.layers == (EMPTY_STORED_LAYER,)
    parsed = parse_image_config(image.config)
    assert [entry.is_empty for entry in parsed.history] == [True, True, False]
    assert parsed.diff_ids == (EMPTY_DIFF_ID,)


def test_as_many_images_as_are_allowed_are_converted_and_more_are_impossible() -> None:
    assert len(parse_image_config(convert_upward([IMAGE] * MAX_IMAGES, [FULL] * MAX_IMAGES).config).diff_ids) == 500
    with pytest.raises(ImpossibleConversion, match="10000 v1 images"):
        convert_upward([IMAGE] * 10_000, [FULL] * 10_000)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "image 2 of 2"),
        ("[]", "not a JSON object"),
        ('{"id":1,"id":2}', "twice"),
        ('{"Config":{}}', "'Config' as 'config'"),
        ('{"config":[]}', "config is not an object"),
        ('{"container_config":"x"}', "container_config is not an object"),
        ('{"author":5}', "author must be text"),
        ('{"architecture":["amd64"]}', "architecture must be text"),
        ('{"a":' * 10_000, "nested deeper"),
        ('{"a":"\ud800"}', "not a v1 image's JSON"),
        ('{"a":"\\ud800"}', "unpaired surrogate"),
    ],
)
def test_what_is_no_v1_json_is_a_value_error_with_its_reason(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        convert_upward([IMAGE, text], [FULL, FULL])


@pytest.mark.parametrize(("texts", "layers"), [([], []), ([IMAGE], []), ([], [FULL]), ([IMAGE], [FULL, FULL])])
def test_there_is_one_layer_for_each_image(texts: list[str], layers: list[StoredLayer]) -> None:
    with pytest.raises(ValueError, match="as many layers"):
        convert_upward(texts, layers)


def test_a_layer_that_manifests_have_no_type_for_is_not_written() -> None:
    layer = replace(FULL, facts=replace(FULL.facts, compression=Compression.XZ))
    with pytest.raises(ValueError, match="compressed with xz"):
        write_image_manifest(media_types.SCHEMA2, b"{}", [layer])
