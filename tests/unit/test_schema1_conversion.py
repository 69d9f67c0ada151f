"""Schema 1 made of chains, and chains of schema 1: payloads byte for byte, ids to the letter."""

from __future__ import annotations

import json

import pytest

from backends.model import jws, media_types
from backends.model.conversion.image_manifests import write_image_manifest
from backends.model.conversion.schema1 import (
    Schema1Entry,
    architecture_of,
    own_images,
    schema1_entries,
    schema1_payload,
)
from backends.model.conversion.upward import convert_upward
from backends.model.conversion.v1_chain import v1_chain
from backends.model.digest import Digest
from backends.model.layers import EMPTY_LAYER, EMPTY_LAYER_DIGEST, StoredLayer
from backends.model.manifests import Schema1, parse_manifest, parse_stored_manifest
from tests.support.formats import FORMATS, example, image_manifest, stored_layer

IDS = [str(digit) * 64 for digit in range(1, 5)]


def schema1(path: str) -> Schema1:
    manifest = parse_stored_manifest(example(path))
    assert isinstance(manifest, Schema1)
    return manifest


def downward(folder: str) -> list[Schema1Entry]:
    """The entries made of an example image."""
    chain = v1_chain(example(f"{folder}/config.json"), image_manifest(f"{folder}/manifest.json").layers)
    return [
        Schema1Entry(entry.schema1_text, entry.layer.digest if entry.layer else EMPTY_LAYER_DIGEST) for entry in chain
    ]


def blobs(folder: str) -> dict[Digest, StoredLayer]:
    contents = [EMPTY_LAYER, *(file.read_bytes() for file in FORMATS.glob(f"{folder}/blobs/*"))]
    return {layer.digest: layer for layer in map(stored_layer, contents)}


def entry(image_id: str, parent: str = "", **members: object) -> str:
    return json.dumps({"id": image_id, **({"parent": parent} if parent else {}), **members})


def manifest_of(*texts: str) -> Schema1:
    """A manifest of texts from the top to the base, each with a layer of its own."""
    return Schema1(b"", b"", tuple(Digest.of(str(index).encode()) for index, _ in enumerate(texts)), texts)


def test_an_image_has_the_payload_of_the_example() -> None:
    payload = schema1_payload("fx/one", "strong", "amd64", downward("schema2-image"))
    assert payload == example("schema2-image/expected-schema1-strong-ids/payload.json")


def test_the_payload_converted_back_has_the_configuration_and_manifest_it_came_from() -> None:
    entries = schema1_entries(schema1("schema2-image/expected-schema1-strong-ids/payload.json"))
    stored = blobs("schema2-image")
    image = convert_upward([each.text for each in entries], [stored[each.blob_sum] for each in entries])
    assert image.config == example("schema2-image/config.json")
    manifest = write_image_manifest(media_types.SCHEMA2, image.config, image.layers)
    assert manifest == example("schema2-image/manifest.json")


@pytest.mark.parametrize(
    ("path", "config"),
    [
        ("schema2-image/expected-schema1/payload.json", "schema2-image/config.json"),
        ("schema2-image/expected-schema1/signed-by-skopeo-via-distribution.json", "schema2-image/config.json"),
        ("schema2-image/expected-schema1/signed-by-distribution-2.8.2.json", "schema2-image/config.json"),
    ],
)
def test_what_others_made_of_an_image_gives_its_configuration_back(path: str, config: str) -> None:
    entries = schema1_entries(schema1(path))
    stored = blobs("schema2-image")
    image = convert_upward([each.text for each in entries], [stored[each.blob_sum] for each in entries])
    assert image.config == example(config)


def test_of_what_distribution_made_of_an_oci_image_only_the_last_step_is_lost() -> None:
    entries = schema1_entries(schema1("oci-image/expected-schema1/payload.json"))
    stored = blobs("oci-image")
    image = convert_upward([each.text for each in entries], [stored[each.blob_sum] for each in entries])
    expected = json.loads(example("oci-image/config.json"))
    del expected["history"][-1]["created_by"]
    assert json.loads(image.config) == expected


@pytest.mark.parametrize(
    ("folder", "name", "tag", "payload"),
    [
        ("v1-pushed-by-docker-1.5.0", "ex/p150", "s1", "v1-pushed-by-docker-1.5.0/expected-schema1-payload.json"),
        ("v1-image", "ex/v1", "t1", "v1-to-schema1/payload.json"),
    ],
)
def test_v1_images_have_the_payload_of_the_example(folder: str, name: str, tag: str, payload: str) -> None:
    if folder == "v1-image":
        folders = sorted((FORMATS / folder).glob("[0-9]-*"))
        texts = [(each / "json").read_bytes().decode() for each in folders]
        gzips = {each.facts.diff_id: each.digest for each in blobs("v1-to-schema2").values()}
        sums = [gzips[stored_layer((each / "layer.tar").read_bytes()).facts.diff_id] for each in folders]
    else:
        files = sorted((FORMATS / folder).glob("[0-9]*.json"))
        texts = [file.read_bytes().decode() for file in files]
        sums = [stored_layer(file.with_suffix(".layer").read_bytes()).digest for file in files]
    entries = [Schema1Entry(text, blob_sum) for text, blob_sum in zip(texts, sums, strict=True)]
    made = schema1_payload(name, tag, architecture_of(texts[-1]), entries)
    assert made == example(payload)
    manifest = parse_stored_manifest(made)
    assert isinstance(manifest, Schema1)
    assert list(schema1_entries(manifest)) == entries
    assert [image.content.decode() for image in own_images(entries)] == texts


def test_the_digest_of_the_signed_example_is_that_of_its_payload() -> None:
    signed, payload = example("v1-to-schema1/signed.json"), example("v1-to-schema1/payload.json")
    manifest = parse_manifest(signed, media_types.SCHEMA1_SIGNED)
    assert isinstance(manifest, Schema1)
    assert manifest.payload == payload
    assert str(Digest.of(payload)) == example("v1-to-schema1/digest").decode()


@pytest.mark.parametrize("name", ["signed-by-distribution-2.8.2.json", "signed-by-skopeo-via-distribution.json"])
def test_what_distribution_and_skopeo_signed_verifies_and_says_the_same(name: str) -> None:
    manifest = parse_manifest(example(f"schema2-image/expected-schema1/{name}"), "")
    assert isinstance(manifest, Schema1)
    expected = schema1("schema2-image/expected-schema1/payload.json")
    assert (manifest.history, manifest.layers) == (expected.history, expected.layers)
    damaged = example(f"schema2-image/expected-schema1/{name}").replace(b"example.org", b"example.com", 1)
    with pytest.raises(jws.Unverified):
        jws.verify(damaged)


def test_a_top_that_docker_1_6_pushed_twice_changes_nothing() -> None:
    once = manifest_of(entry(IDS[1], IDS[0]), entry(IDS[0]))
    twice = Schema1(b"", b"", (once.layers[0], *once.layers), (once.history[0], *once.history))
    assert schema1_entries(twice) == schema1_entries(once)


def test_of_neighbours_with_one_id_the_lower_one_stays() -> None:
    manifest = manifest_of(
        entry(IDS[1], IDS[0], x=1), entry(IDS[1], IDS[0], x=2), entry(IDS[0], x=3), entry(IDS[0], x=4)
    )
    assert [json.loads(each.text)["x"] for each in schema1_entries(manifest)] == [4, 2]
    assert [each.blob_sum for each in schema1_entries(manifest)] == [manifest.layers[3], manifest.layers[1]]


def test_wrong_parents_do_not_hinder_a_conversion() -> None:
    manifest = manifest_of(entry(IDS[1], IDS[3], parent_id="x"), entry(IDS[0], IDS[2]))
    texts = [each.text for each in schema1_entries(manifest)]
    image = convert_upward(texts, [stored_layer(b"a"), stored_layer(b"b")])
    assert b"parent" not in image.config


@pytest.mark.parametrize(
    ("texts", "why"),
    [
        ((entry(IDS[1], IDS[3]), entry(IDS[0])), "lies on"),
        ((entry(IDS[1]), entry(IDS[0])), "lies on"),
        ((entry(IDS[0], IDS[3]),), "lies on"),
        ((entry(IDS[0], IDS[1]), entry(IDS[1], IDS[0]), entry(IDS[0])), "lies on itself"),
        ((entry(IDS[0], IDS[0]),), "depends on itself"),
        ((entry("x"),), "not a valid image id"),
        ((entry(IDS[0].replace("1", "A")),), "not a valid image id"),
        ((entry(IDS[1], "up"), entry(IDS[0])), "non existing parent"),
        ((entry("../" + "1" * 61),), "not a valid image id"),
    ],
)
def test_ids_that_make_no_chain_are_told_from_those_that_do(texts: tuple[str, ...], why: str) -> None:
    entries = schema1_entries(manifest_of(*texts))
    with pytest.raises(ValueError, match=why):
        own_images(entries)


@pytest.mark.parametrize(
    ("text", "why"),
    [("", "Expecting"), ("[]", "not a JSON object"), ("{}", "no id"), ('{"id":5}', "must be text"),
     ('{"id":"a","id":"b"}', "twice"), ("{" * 9000, "nested deeper")],
)  # fmt: skip
def test_what_is_no_v1_json_is_a_value_error_with_its_place(text: str, why: str) -> None:
    with pytest.raises(ValueError, match=rf"history\[1\].*{why}"):
        schema1_entries(manifest_of(entry(IDS[1], IDS[0]), text, entry(IDS[0])))


@pytest.mark.parametrize(
    ("text", "architecture"),
    [
        ("{}", "amd64"),
        ('{"architecture":""}', "amd64"),
        ('{"architecture":null}', "amd64"),
        ('{"architecture":"arm"}', "arm"),
    ],
)
def test_a_manifest_has_its_top_images_architecture(text: str, architecture: str) -> None:
    assert architecture_of(text) == architecture


def test_a_manifest_has_one_image_at_least() -> None:
    with pytest.raises(ValueError, match="one image at least"):
        schema1_payload("a", "b", "amd64", [])
