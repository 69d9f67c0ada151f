"""Images made to be expensive are converted, or refused, in bounded time and room."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest

from backends.model import media_types
from backends.model.conversion.image_config import MAX_CONFIG_BYTES, MAX_NAME
from backends.model.conversion.image_indexes import rewrite_index
from backends.model.conversion.image_manifests import rewrite_image_manifest
from backends.model.conversion.impossible import ImpossibleConversion
from backends.model.conversion.schema1 import own_images, schema1_entries, schema1_payload
from backends.model.conversion.upward import convert_upward
from backends.model.conversion.v1_chain import MAX_ENTRIES, V1Entry, v1_chain
from backends.model.descriptors import Descriptor, Platform
from backends.model.digest import Digest
from backends.model.manifests import Index, OciManifest, Schema1, parse_stored_manifest
from tests.support.cpu_time import cpu_seconds
from tests.support.formats import stored_layer

GZIP = "application/vnd.oci.image.layer.v1.tar+gzip"
DIGESTS = [Digest.of(str(number).encode()) for number in range(10_000)]
LAYERS = [Descriptor(GZIP, digest, 1) for digest in DIGESTS]
MANIFEST_BYTES = 4 * 1024 * 1024


def config(count: int = 1, /, **members: Any) -> bytes:
    rootfs = {"type": "layers", "diff_ids": [str(digest) for digest in DIGESTS[:count]]}
    return json.dumps({"architecture": "amd64", "os": "linux", "rootfs": rootfs, **members}).encode()


def filled(make: Callable[[int], bytes], size: int = MAX_CONFIG_BYTES) -> bytes:
    """A document of nearly the largest size, made of as many pieces as fit."""
    count = 1000 * size // (len(make(2000)) - len(make(1000)))
    document = make(count)
    while len(document) > size:
        count = count * size // len(document) - 1
        document = make(count)
    assert len(document) > size * 0.9
    return document


def room(chain: tuple[V1Entry, ...]) -> int:
    """Characters of all texts of a chain."""
    return sum(len(entry.text) + len(entry.schema1_text) for entry in chain)


@pytest.mark.parametrize(
    "make",
    [
        lambda count: config(x="a" * count),
        lambda count: config(x="<" * count),
        lambda count: config(x=[1] * count),
        lambda count: config(x=[[]] * count),
        lambda count: config(**{f"{number:x}": 1 for number in range(count)}),
        lambda count: config(config={"Env": ["A=1"] * count}),
        lambda count: config(history=[{}] * count),
        lambda count: config(history=[{"empty_layer": True}] * count),
        lambda count: config(history=[{"created_by": "<" * count}, *[{"empty_layer": True}] * 119]),
        lambda count: config(118, history=[{"created_by": "x" * (count // 118)}] * 118),
        lambda count: config(created="2" * count),
    ],
    ids=["a text", "escapes", "a list", "lists", "members", "variables", "steps", "empty steps", "a long step",
         "long steps", "a time"],
)  # fmt: skip
def test_the_largest_configurations_take_bounded_time_and_room(make: Callable[[int], bytes]) -> None:
    content = filled(make)
    count = len(json.loads(content)["rootfs"]["diff_ids"])
    chain: list[tuple[V1Entry, ...]] = []
    assert cpu_seconds(lambda: chain.append(v1_chain(content, LAYERS[:count])), times=1) < 10
    assert room(chain[0]) < 14 * MAX_CONFIG_BYTES  # `<` takes six characters, and each text is there twice
    assert len(chain[0]) <= MAX_ENTRIES


@pytest.mark.parametrize("key", ["architecture", "os"])
def test_what_each_entry_repeats_is_short(key: str) -> None:
    assert len(v1_chain(config(**{key: "a" * MAX_NAME}), LAYERS[:1])) == 1
    with pytest.raises(ValueError, match=f"{key} has {MAX_NAME + 1} characters"):
        v1_chain(config(**{key: "a" * (MAX_NAME + 1)}), LAYERS[:1])


def test_a_configuration_that_is_longer_than_any_is_not_even_parsed() -> None:
    content = b"[" * (MAX_CONFIG_BYTES + 1)

    def refuse() -> None:
        with pytest.raises(ValueError, match="are allowed"):
            v1_chain(content, ())

    assert cpu_seconds(refuse) < 0.1


def test_ten_thousand_layers_are_impossible_at_once() -> None:
    def refuse() -> None:
        with pytest.raises(ImpossibleConversion, match="10000 layers"):
            v1_chain(config(10_000), LAYERS)

    assert cpu_seconds(refuse) < 2


def test_ten_thousand_layers_are_written_as_the_other_form() -> None:
    manifest = OciManifest(b"", Descriptor(media_types.OCI_CONFIG, DIGESTS[0], 1), tuple(LAYERS), None)
    assert cpu_seconds(lambda: rewrite_image_manifest(manifest, media_types.SCHEMA2)) < 3


def test_ten_thousand_entries_of_an_index_are_written_as_a_list() -> None:
    entries = tuple(
        Descriptor(media_types.OCI_MANIFEST, digest, 1, platform=Platform(str(number), "linux"))
        for number, digest in enumerate(DIGESTS)
    )
    index = Index(b"", media_types.OCI_INDEX, entries, None)
    children = {entry.digest: entry for entry in entries}
    assert cpu_seconds(lambda: rewrite_index(index, media_types.MANIFEST_LIST, children)) < 3


def entry(number: int, parent: int | None, fill: str = "") -> str:
    said = {"id": f"{number:064x}", "fill": fill}
    return json.dumps(said if parent is None else {**said, "parent": f"{parent:064x}"})


def manifest(*texts: str) -> Schema1:
    """A manifest of texts from the base to the top."""
    return Schema1(b"", b"", tuple(DIGESTS[index % len(DIGESTS)] for index in range(len(texts))), texts[::-1])


def test_ten_thousand_images_of_schema_1_are_read_and_are_impossible() -> None:
    texts = [entry(number, number - 1 if number else None) for number in range(10_000)]

    def convert() -> None:
        entries = schema1_entries(manifest(*texts))
        assert len(own_images(entries)) == 10_000
        with pytest.raises(ImpossibleConversion, match="10000 v1 images"):
            convert_upward([each.text for each in entries], [stored_layer(b"a")] * 10_000)

    assert cpu_seconds(convert, times=1) < 10


def test_one_image_ten_thousand_times_is_one_image() -> None:
    texts = [entry(1, None)] * 10_000
    assert cpu_seconds(lambda: schema1_entries(manifest(*texts)), times=1) < 5
    assert [each.text for each in schema1_entries(manifest(*texts))] == [entry(1, None)]


def test_images_in_a_circle_are_told_and_are_no_chain() -> None:
    entries = schema1_entries(manifest(entry(1, None), entry(2, 1), entry(3, 2), entry(1, 3), entry(2, 1)))
    assert len(entries) == 5
    with pytest.raises(ValueError, match="lies on"):
        own_images(entries)
    assert len(convert_upward([each.text for each in entries], [stored_layer(b"a")] * 5).layers) == 5


def test_two_images_of_one_id_and_other_content_are_no_chain() -> None:
    entries = schema1_entries(manifest(entry(1, None), entry(2, 1), entry(1, 2, "other")))
    with pytest.raises(ValueError, match="lies on itself"):
        own_images(entries)


def test_the_largest_chain_of_long_texts_is_converted() -> None:
    texts = [entry(number, number - 1 if number else None, "<" * 1000) for number in range(500)]
    made: list[bytes] = []

    def convert() -> None:
        entries = schema1_entries(manifest(*texts))
        made.append(schema1_payload("a", "b", "amd64", entries))
        made.append(convert_upward([each.text for each in entries], [stored_layer(b"a")] * 500).config)

    assert cpu_seconds(convert, times=1) < 10
    assert isinstance(parse_stored_manifest(made[0]), Schema1)
    assert sum(map(len, made)) < 10 * MANIFEST_BYTES


@pytest.mark.parametrize(("character", "count"), [("x", 300), ("\\", 90)], ids=["as it is", "with its escapes"])
def test_more_than_fits_into_a_manifest_is_impossible(character: str, count: int) -> None:
    texts = [entry(number, number - 1 if number else None, character * 20_000) for number in range(count)]
    entries = schema1_entries(manifest(*texts))
    with pytest.raises(ImpossibleConversion, match="a schema 1 manifest can hold"):
        schema1_payload("a", "b", "amd64", entries)


@pytest.mark.parametrize(
    "texts",
    [
        [entry(number, None, "x" * 20_000) for number in range(500)],
        [entry(1, None, "x" * 5_000_000)],
        [json.dumps({"id": str(number), "container_config": {"Cmd": ["<" * 30_000]}}) for number in range(100)],
    ],
    ids=["all", "the top", "the history"],
)
def test_more_than_fits_into_a_configuration_is_impossible(texts: list[str]) -> None:
    with pytest.raises(ImpossibleConversion, match="build it again"):
        convert_upward(texts, [stored_layer(b"a")] * len(texts))
