"""From schema 2 and OCI down to v1: the chain that Docker 1.0 to 1.9 pulled, byte for byte."""

from __future__ import annotations

import json
from typing import Any

import pytest

from backends.model.conversion.impossible import ImpossibleConversion
from backends.model.conversion.v1_chain import MAX_ENTRIES, V1Entry, v1_chain
from backends.model.descriptors import Descriptor
from backends.model.digest import Digest
from tests.support.formats import FORMATS, example, example_json, image_manifest, stored_layer

GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
IMAGES = ["schema2-image", "oci-image", "oci-zstd-image"]


def chain_of(folder: str) -> tuple[V1Entry, ...]:
    return v1_chain(example(f"{folder}/config.json"), image_manifest(f"{folder}/manifest.json").layers)


def layers(count: int, media_type: str = GZIP) -> tuple[Descriptor, ...]:
    return tuple(Descriptor(media_type, Digest.of(str(number).encode()), 1) for number in range(count))


def config(**members: object) -> bytes:
    return json.dumps({"architecture": "amd64", "os": "linux", **members}).encode()


def rootfs(count: int) -> dict[str, object]:
    return {"type": "layers", "diff_ids": [str(Digest.of(str(number).encode())) for number in range(count)]}


@pytest.mark.parametrize("folder", IMAGES)
def test_the_chain_is_the_example_byte_for_byte(folder: str) -> None:
    chain = chain_of(folder)
    files = sorted(FORMATS.glob(f"{folder}/expected-v1/[0-9]*.json"))
    assert [entry.text.encode() for entry in chain] == [file.read_bytes() for file in files]
    expected = example_json(f"{folder}/expected-v1/chain.json")
    assert [(entry.image_id, entry.parent or "") for entry in chain] == [
        (each["id"], each["parent"]) for each in expected
    ]
    blobs = [stored_layer(file.read_bytes()) for file in (FORMATS / folder / "blobs").iterdir()]
    contents = {blob.digest: str(blob.facts.diff_id) for blob in blobs}
    assert [entry.layer and contents[entry.layer.digest] for entry in chain] == [each["layer"] for each in expected]
    assert [entry.layer and str(entry.diff_id) for entry in chain] == [each["layer"] for each in expected]


def test_ids_depend_on_the_image_and_not_on_its_compression() -> None:
    schema2, oci, zstd = ([entry.image_id for entry in chain_of(folder)] for folder in IMAGES)
    assert schema2 == zstd
    assert schema2[:6] == oci[:6]
    assert schema2[6] != oci[6]


@pytest.mark.parametrize("case", ["history-mismatch", "no-layers", "oci-no-history", "too-long-history"])
def test_awkward_configurations_have_the_chain_of_the_example(case: str) -> None:
    content = example(f"edge/{case}/config.json")
    count = len(json.loads(content)["rootfs"].get("diff_ids", ()))
    given = layers(count)
    chain = v1_chain(content, given)
    said = [
        {
            "id": entry.image_id,
            "parent": entry.parent or "",
            "layer": None if entry.layer is None else given.index(entry.layer),
            "json": entry.text,
        }
        for entry in chain
    ]
    assert said == example_json(f"edge/{case}/expected-v1-chain.json")


def test_schema_1_says_throwaway_of_entries_without_a_layer_and_v1_never() -> None:
    for entry in chain_of("schema2-image"):
        v1, schema1 = json.loads(entry.text), json.loads(entry.schema1_text)
        assert "throwaway" not in v1
        assert schema1 == ({**v1, "throwaway": True} if entry.layer is None else v1)


def test_members_that_v1_says_itself_are_left_out_and_all_others_keep_their_text() -> None:
    odd = {
        "id": "x",
        "parent": "y",
        "throwaway": True,
        "parent_id": "z",
        "layer_id": "l",
        "Size": 7,
        "rootfs": rootfs(1),
    }
    content = config(**odd)[:-1] + b', "os.version": "10", "healthy": 1.50, "config": {"Cmd": ["\\/x"], "A": 1e2}}'
    entry = v1_chain(content, layers(1))[0]
    assert '"healthy":1.50' in entry.text
    assert '"config":{"Cmd":["\\/x"],"A":1e2}' in entry.text
    assert json.loads(entry.text).keys() == {
        "architecture", "os", "os.version", "healthy", "config", "container_config", "created", "id",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("members", "expected"),
    [
        ({"architecture": "", "os": None}, {"architecture": "amd64", "os": "linux"}),
        ({"created": "2020-01-01T00:00:00.500Z"}, {"created": "2020-01-01T00:00:00.5Z"}),
        ({"created": "soon"}, {"created": "0001-01-01T00:00:00Z"}),
        ({"container_config": None}, {"container_config": {"Cmd": [""]}}),
        ({"container_config": {"Cmd": ["x"]}}, {"container_config": {"Cmd": ["x"]}}),
        ({"history": [{"created_by": "a<b"}]}, {"container_config": {"Cmd": ["a<b"]}}),
        ({"history": [{"created": "2020-01-01T00:00:00Z"}]}, {"created": "2020-01-01T00:00:00Z"}),
        ({"history": None}, {"container_config": {"Cmd": [""]}}),
        ({"history": [{"empty_layer": None, "created_by": None}]}, {"container_config": {"Cmd": [""]}}),
    ],
)
def test_the_top_says_what_old_clients_need(members: dict[str, object], expected: dict[str, object]) -> None:
    (entry,) = v1_chain(config(**members, rootfs=rootfs(1)), layers(1))
    said = json.loads(entry.text)
    assert {key: said[key] for key in expected} == expected


def test_more_layers_than_old_clients_can_use_are_impossible_and_as_many_are_not() -> None:
    assert len(v1_chain(config(rootfs=rootfs(MAX_ENTRIES)), layers(MAX_ENTRIES))) == MAX_ENTRIES
    with pytest.raises(ImpossibleConversion, match=r"121 layers.*Docker before 1\.10.*120"):
        v1_chain(config(rootfs=rootfs(MAX_ENTRIES + 1)), layers(MAX_ENTRIES + 1))


def test_a_history_as_long_as_the_longest_chain_is_kept() -> None:
    steps: list[dict[str, Any]] = [
        {"created_by": "base"},
        *[{"created_by": "x", "empty_layer": True}] * (MAX_ENTRIES - 1),
    ]
    assert len(v1_chain(config(rootfs=rootfs(1), history=steps), layers(1))) == MAX_ENTRIES
    assert len(v1_chain(config(rootfs=rootfs(1), history=[*steps, steps[-1]]), layers(1))) == 1


@pytest.mark.parametrize(
    ("content", "count", "why"),
    [
        (b"", 0, "Expecting value"),
        (b"\x1f\x8b\x08" + b"\0" * 2000, 1, "not UTF-8"),
        (b"\0" * 1024, 1, "not an image's configuration"),
        (b"{}", 0, "rootfs"),
        (b"[]", 0, "not a JSON object"),
        (b"null", 0, "not a JSON object"),
        (b'"' + b"x" * (4 * 1024 * 1024) + b'"', 0, "are allowed"),
        (b'{"name":"chart","version":"1.0"}', 1, "rootfs"),
        (config(rootfs=[]), 0, "rootfs"),
        (config(rootfs={"type": "plugin"}), 0, "type 'plugin'"),
        (config(rootfs={"type": None}), 0, "type 'None'"),
        (config(rootfs={"diff_ids": "x"}), 0, "list of texts"),
        (config(rootfs={"diff_ids": ["x"]}), 1, "not a valid digest"),
        (config(rootfs={"diff_ids": [5]}), 1, "list of texts"),
        (config(rootfs={**rootfs(1), "Diff_IDs": []}), 1, "'Diff_IDs' as 'diff_ids'"),
        (config(rootfs=rootfs(0), Rootfs=rootfs(0)), 0, "'Rootfs' as 'rootfs'"),
        (config(rootfs=rootfs(1), history={}), 1, "history is not a list"),
        (config(rootfs=rootfs(1), history=[None]), 1, "not an object"),
        (config(rootfs=rootfs(1), history=[{"empty_layer": "yes"}]), 1, "neither true nor false"),
        (config(rootfs=rootfs(1), history=[{"created_by": ["sh"]}]), 1, "must be text"),
        (config(rootfs=rootfs(1), history=[{"Created_By": "x"}]), 1, "'created_by'"),
        (config(rootfs=rootfs(1), config="x"), 1, "config is not an object"),
        (config(rootfs=rootfs(1), architecture=5), 1, "must be text"),
        (config(rootfs=rootfs(2)), 1, "1 layers, its configuration 2"),
        (config(rootfs=rootfs(0)), 1, "1 layers, its configuration 0"),
        (b'{"rootfs":{},"rootfs":{}}', 0, "twice"),
        (b'{"rootfs":' + b"[" * 100_000, 0, "nested deeper"),
    ],
)
def test_what_is_no_image_is_a_value_error_with_its_reason(content: bytes, count: int, why: str) -> None:
    with pytest.raises(ValueError, match=why):
        v1_chain(content, layers(count))


@pytest.mark.parametrize(
    "media_type", ["application/vnd.in-toto+json", f"{GZIP}+encrypted", "application/octet-stream", ""]
)
def test_layers_that_are_no_tars_make_no_chain(media_type: str) -> None:
    with pytest.raises(ValueError, match="not a container image"):
        v1_chain(config(rootfs=rootfs(1)), layers(1, media_type))


def test_the_layers_of_python_dxf_as_its_configuration_are_no_image() -> None:
    for file in [*FORMATS.glob("*/blobs/*"), *FORMATS.glob("*/*.layer"), *FORMATS.glob("v1-image/*/layer.tar")]:
        with pytest.raises(ValueError, match="not an image's configuration"):
            v1_chain(file.read_bytes(), layers(1))


def chained_ids(members: dict[str, Any]) -> set[str]:
    return {entry.image_id for entry in v1_chain(config(rootfs=rootfs(1), **members), layers(1))}


def test_every_change_of_an_image_changes_its_id() -> None:
    images: list[dict[str, Any]] = [
        {},
        {"author": "a"},
        {"created": "2020-01-01T00:00:00Z"},
        {"config": {"Env": ["A=1"]}},
        {"history": [{"created_by": "x"}]},
        {"variant": "v2"},
    ]
    assert len(set().union(*map(chained_ids, images))) == len(images)
