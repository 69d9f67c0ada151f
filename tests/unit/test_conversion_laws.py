"""What holds of every conversion, whatever the image."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from backends.model import media_types
from backends.model.conversion.image_config import parse_image_config
from backends.model.conversion.image_indexes import rewrite_index
from backends.model.conversion.image_manifests import rewrite_image_manifest, write_image_manifest
from backends.model.conversion.impossible import ImpossibleConversion
from backends.model.conversion.schema1 import (
    Schema1Entry,
    architecture_of,
    own_images,
    schema1_entries,
    schema1_payload,
)
from backends.model.conversion.upward import convert_upward
from backends.model.conversion.v1_chain import V1Entry, v1_chain
from backends.model.descriptors import Descriptor, Platform
from backends.model.digest import Digest
from backends.model.layers import EMPTY_LAYER_DIGEST, EMPTY_STORED_LAYER, Compression, StoredLayer
from backends.model.manifests import Index, OciManifest, Schema1, Schema2, parse_stored_manifest
from tests.support.any_image import Image, contents, docker_images, steps, v1_chains, values, words
from tests.support.downward_rules import distribution_entries
from tests.support.formats import digest_of, example, stored_layer
from tests.support.schema1 import go_json

S2, OM = media_types.SCHEMA2, media_types.OCI_MANIFEST
GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip"
ZSTD = "application/vnd.oci.image.layer.v1.tar+zstd"


def payload_of(chain: Sequence[V1Entry]) -> bytes:
    """A schema 1 manifest of a chain."""
    entries = [
        Schema1Entry(entry.schema1_text, entry.layer.digest if entry.layer else EMPTY_LAYER_DIGEST) for entry in chain
    ]
    return schema1_payload("team/app", "latest", architecture_of(entries[-1].text), entries)


def entries_of(payload: bytes) -> tuple[Schema1Entry, ...]:
    manifest = parse_stored_manifest(payload)
    assert isinstance(manifest, Schema1)
    return schema1_entries(manifest)


def back_up(payload: bytes, stored: Sequence[StoredLayer]) -> tuple[bytes, tuple[StoredLayer, ...]]:
    """The configuration and layers made of a schema 1 manifest."""
    by_digest = {layer.digest: layer for layer in (*stored, EMPTY_STORED_LAYER)}
    entries = entries_of(payload)
    image = convert_upward([entry.text for entry in entries], [by_digest[entry.blob_sum] for entry in entries])
    return image.config, image.layers


@given(docker_images())
def test_a_configuration_survives_schema_1(image: Image) -> None:
    config, layers = back_up(payload_of(v1_chain(image.content, image.descriptors(GZIP))), image.layers)
    assert config == image.content
    assert layers == tuple(image.layers)


@given(docker_images())
def test_a_configuration_survives_the_schema_1_of_distribution(image: Image) -> None:
    entries = distribution_entries(image.content, [str(layer.digest) for layer in image.layers])
    texts = [entry.v1_json for entry in entries[::-1]]
    by_digest = {str(layer.digest): layer for layer in (*image.layers, EMPTY_STORED_LAYER)}
    made = convert_upward(texts, [by_digest[entry.blob] for entry in entries[::-1]])
    assert made.config == image.content


@given(v1_chains())
def test_v1_images_survive_schema_1_to_the_letter(chain: tuple[list[str], list[StoredLayer]]) -> None:
    texts, layers = chain
    entries = [Schema1Entry(text, layer.digest) for text, layer in zip(texts, layers, strict=True)]
    read = entries_of(schema1_payload("a", "b", "amd64", entries))
    assert list(read) == entries
    images = own_images(read)
    assert [image.content.decode() for image in images] == texts
    assert [image.parent for image in images] == [None, *[image.image_id for image in images[:-1]]]


@given(v1_chains())
def test_v1_images_become_an_image_with_their_steps_and_layers(chain: tuple[list[str], list[StoredLayer]]) -> None:
    texts, layers = chain
    image = convert_upward(texts, layers)
    parsed = parse_image_config(image.config)
    assert len(parsed.history) == len(texts)
    kept = tuple(layer for layer in layers if not layer.facts.is_empty)
    assert image.layers == (kept or (EMPTY_STORED_LAYER,))
    assert parsed.diff_ids == tuple(layer.facts.diff_id for layer in image.layers)
    downward = v1_chain(image.config, [Descriptor(GZIP, layer.digest, layer.size) for layer in image.layers])
    assert [entry.layer.digest for entry in downward if entry.layer] == [layer.digest for layer in image.layers]
    assert len(downward) == len(texts)
    again, _ = back_up(payload_of(downward), image.layers)
    assert json.loads(again)["config"] == json.loads(texts[-1])["config"] or json.loads(again)["config"] == {}
    assert [entry.created_by for entry in parse_image_config(again).history] == [
        entry.created_by for entry in parsed.history
    ]


def ids(config: bytes, layers: Sequence[Descriptor]) -> list[str]:
    return [entry.image_id for entry in v1_chain(config, layers)]


@given(docker_images(), st.randoms(use_true_random=False))
def test_one_image_has_the_same_ids_however_it_is_written_and_compressed(image: Image, source: random.Random) -> None:
    members = list(image.config.items())
    source.shuffle(members)
    written = json.dumps(dict(members), ensure_ascii=False, indent=source.choice([None, 1, 4]))
    compressed = [Descriptor(ZSTD, digest_of(f"{layer.digest}".encode()), 1) for layer in image.layers]
    one, other = v1_chain(image.content, image.descriptors(GZIP)), v1_chain(written.encode(), compressed)
    assert [(entry.image_id, entry.parent, entry.text) for entry in one] == [
        (entry.image_id, entry.parent, entry.text) for entry in other
    ]


@given(docker_images(), st.data())
def test_another_image_has_another_id_from_the_change_upward(image: Image, data: st.DataObject) -> None:
    before = ids(image.content, image.descriptors(GZIP))
    number = data.draw(st.integers(0, len(image.config["history"]) - 1))
    history = [dict(step) for step in image.config["history"]]
    key = data.draw(st.sampled_from(["author", "comment", "created"]))
    history[number][key] = "2001-01-01T00:00:00Z" if key == "created" else f"{history[number].get(key, '')}."
    after = ids(go_json({**image.config, "history": history}).encode(), image.descriptors(GZIP))
    top = len(before) - 1
    assert after[:number] == before[:number]
    if number == top:  # the configuration says this of the top
        assert after == before
    else:
        assert not set(after[number:]) & set(before[number:])
    said = go_json({**image.config, "author": f"{image.config.get('author', '')}."}).encode()
    assert ids(said, image.descriptors(GZIP))[top] != before[top]


@given(docker_images(), contents)
def test_another_layer_gives_other_ids_from_it_upward(image: Image, content: bytes) -> None:
    other = stored_layer(content)
    changed = Image(
        {**image.config, "rootfs": {"diff_ids": [str(other.facts.diff_id)] * len(image.layers)}}, image.layers
    )
    if changed.config["rootfs"]["diff_ids"] == image.config["rootfs"]["diff_ids"]:
        return
    before, after = (ids(each.content, image.descriptors(GZIP)) for each in (image, changed))
    first = next(index for index, pair in enumerate(zip(before, after, strict=True)) if pair[0] != pair[1])
    assert before[:first] == after[:first]
    assert not set(before[first:]) & set(after[first:])


@given(docker_images())
def test_every_entry_names_itself_its_parent_and_its_content(image: Image) -> None:
    chain = v1_chain(image.content, image.descriptors(GZIP))
    parent = None
    diff_ids = iter(image.config["rootfs"]["diff_ids"])
    empty = "sha256:5f70bf18a086007016e948b04aed3b82103a36bea41755b6cddfaf10ace3c6ef"
    for entry in chain:
        said = json.loads(entry.text)
        assert (said["id"], said.get("parent")) == (entry.image_id, parent)
        assert go_json(dict(sorted(said.items()))) == entry.text
        del said["id"]
        hashed = {**said, "layer_id": empty if entry.layer is None else next(diff_ids)}
        assert digest_of(go_json(dict(sorted(hashed.items()))).encode()).hex == entry.image_id
        parent = entry.image_id


layer_types = st.builds(
    "application/vnd.oci.image.layer.{}v1.tar{}".format,
    st.sampled_from(["", "nondistributable."]),
    st.sampled_from(["", "+gzip", "+zstd"]),
)
descriptors = st.builds(Descriptor, layer_types, contents.map(digest_of), st.integers(0, 2**63 - 1),
                        st.lists(words, max_size=2).map(tuple))  # fmt: skip


@given(st.lists(descriptors, max_size=5))
def test_schema_2_and_oci_become_each_other(layers: list[Descriptor]) -> None:
    config = {"mediaType": media_types.OCI_CONFIG, "digest": str(digest_of(b"")), "size": 0}
    document = {
        "schemaVersion": 2,
        "mediaType": OM,
        "config": config,
        "layers": [
            {"mediaType": layer.media_type, "digest": str(layer.digest), "size": layer.size, "urls": list(layer.urls)}
            for layer in layers
        ],
    }
    oci = read_image(json.dumps(document).encode())
    assert list(oci.layers) == layers
    schema2 = read_image(rewrite_image_manifest(oci, S2))
    assert (oci.media_type, schema2.media_type) == (OM, S2)
    again = read_image(rewrite_image_manifest(schema2, OM))
    assert again == replace(oci, content=again.content)
    assert rewrite_image_manifest(again, OM) == again.content
    assert rewrite_image_manifest(schema2, S2) == schema2.content


def read_image(content: bytes) -> Schema2 | OciManifest:
    manifest = parse_stored_manifest(content)
    assert isinstance(manifest, Schema2 | OciManifest)
    return manifest


@given(v1_chains(), st.dictionaries(words.filter(bool), words, max_size=2))
def test_a_manifest_that_is_written_is_read_as_what_it_is(
    chain: tuple[list[str], list[StoredLayer]], annotations: dict[str, str]
) -> None:
    image = convert_upward(*chain)
    for media_type in (S2, OM):
        read = read_image(write_image_manifest(media_type, image.config, image.layers, annotations=annotations))
        assert read.media_type == media_type
        assert (read.config.digest, read.config.size) == (digest_of(image.config), len(image.config))
        assert [(each.digest, each.size) for each in read.layers] == [(each.digest, each.size) for each in image.layers]
        if isinstance(read, OciManifest):
            assert read.annotations == annotations


platforms = st.builds(
    Platform, words.filter(bool), st.sampled_from(["linux", "windows"]), words, st.just(()), st.sampled_from(["", "v8"])
)


@given(st.lists(platforms, min_size=1, max_size=5))
def test_lists_and_indexes_become_each_other(listed: list[Platform]) -> None:
    entries = tuple(
        Descriptor(OM, digest_of(bytes([number])), number, platform=platform) for number, platform in enumerate(listed)
    )
    index = Index(b"", media_types.OCI_INDEX, entries, None)
    as_list = {entry.digest: Descriptor(S2, digest_of(str(entry.digest).encode()), 9) for entry in entries}
    docker = parse_stored_manifest(rewrite_index(index, media_types.MANIFEST_LIST, as_list))
    assert isinstance(docker, Index)
    back = {as_list[entry.digest].digest: entry for entry in entries}
    again = parse_stored_manifest(rewrite_index(docker, media_types.OCI_INDEX, back))
    assert isinstance(again, Index)
    assert again.manifests == entries


# What is no image is told, and nothing else happens


def is_told(convert: Callable[[], object]) -> None:
    """Runs a conversion that may find that there is no image; any other exception fails the test."""
    try:
        convert()
    except (ImpossibleConversion, ValueError) as error:
        told: Exception = error
    else:
        return
    assert type(told) in {ImpossibleConversion, ValueError}
    assert str(told)


CONFIGS = ["schema2-image/config.json", "oci-image/config.json", "edge/no-layers/config.json"]
LAYERS = [Descriptor(GZIP, Digest.of(b"a"), 1), Descriptor(GZIP, Digest.of(b"b"), 1)]


@given(st.binary(max_size=200), st.integers(0, 2))
def test_any_bytes_are_an_image_or_are_told_to_be_none(content: bytes, count: int) -> None:
    is_told(lambda: v1_chain(content, LAYERS[:count]))


@given(st.sampled_from(CONFIGS), st.data())
def test_a_damaged_configuration_is_told(path: str, data: st.DataObject) -> None:
    content = bytearray(example(path))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    is_told(
        lambda: v1_chain(bytes(content), LAYERS[: json.loads(example(path))["rootfs"].get("diff_ids", []).__len__()])
    )


odd = values | st.floats(allow_nan=False) | st.integers(-(10**99), 10**99) | steps()


keys = st.sampled_from(
    ["rootfs", "history", "created", "architecture", "os", "config", "container_config", "id", "parent", "Size", "x"]
)


@given(st.dictionaries(keys, odd, max_size=6), st.dictionaries(st.sampled_from(["type", "diff_ids"]), odd))
def test_members_of_any_shape_are_an_image_or_are_told_to_be_none(
    members: dict[str, Any], rootfs: dict[str, Any]
) -> None:
    text = json.dumps(members)
    is_told(lambda: convert_upward([text], [stored_layer(b"x")]))
    is_told(lambda: entries_of(schema1_payload("a", "b", "c", [Schema1Entry(text, Digest.of(b""))])))
    is_told(lambda: own_images([Schema1Entry(text, Digest.of(b""))]))
    for given_rootfs in (members.get("rootfs"), rootfs, {**rootfs, "type": "layers"}):
        config = json.dumps({**members, "rootfs": given_rootfs}).encode()
        is_told(lambda config=config: v1_chain(config, ()))  # type: ignore[misc]


@given(st.text(max_size=60))
def test_any_text_is_a_v1_image_or_is_told_to_be_none(text: str) -> None:
    is_told(lambda: convert_upward([text], [stored_layer(b"x")]))


def test_only_layers_in_forms_that_manifests_know_are_written() -> None:
    layer = stored_layer(b"x")
    for compression in Compression:
        made = replace(layer, facts=replace(layer.facts, compression=compression))
        if compression in {Compression.BZIP2, Compression.XZ}:
            with pytest.raises(ValueError, match=compression.value):
                write_image_manifest(S2, b"{}", [made])
        else:
            assert read_image(write_image_manifest(S2, b"{}", [made])).layers[0].digest == layer.digest
