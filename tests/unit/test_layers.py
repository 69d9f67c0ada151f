"""Example layers are what the table of compressions says; the empty one is built in."""

from __future__ import annotations

import gzip
import hashlib

import pytest

from backends.model.digest import Digest
from backends.model.layers import (
    EMPTY_DIFF_ID,
    EMPTY_LAYER,
    EMPTY_LAYER_DIGEST,
    EMPTY_STORED_LAYER,
    Compression,
    LayerFacts,
    compression_of,
)
from tests.support.formats import FORMATS, example


def test_example_layers_are_told_by_their_first_bytes() -> None:
    told = {
        path.relative_to(FORMATS).parts[0]: compression_of(path.read_bytes())
        for path in [*FORMATS.glob("*/blobs/*"), *FORMATS.glob("*/*.layer"), *FORMATS.glob("v1-image/*/layer.tar")]
    }
    assert told == {
        "schema2-image": Compression.GZIP,
        "oci-image": Compression.GZIP,
        "oci-zstd-image": Compression.ZSTD,
        "v1-to-schema2": Compression.GZIP,
        "v1-pushed-by-docker-1.0.1": Compression.GZIP,
        "v1-pushed-by-docker-1.5.0": Compression.GZIP,
        "v1-image": Compression.NONE,
    }


def test_the_empty_layer_is_dockers_own() -> None:
    raw = example("empty-layer/empty.tar")
    assert example("empty-layer/empty.tar.gz") == EMPTY_LAYER
    assert Digest.of(EMPTY_LAYER) == EMPTY_LAYER_DIGEST == EMPTY_STORED_LAYER.digest
    assert gzip.decompress(EMPTY_LAYER) == raw
    assert hashlib.sha256(raw).hexdigest() == EMPTY_DIFF_ID.hex
    assert EMPTY_STORED_LAYER.facts == LayerFacts(Compression.GZIP, EMPTY_DIFF_ID, len(raw), is_empty=True)


@pytest.mark.parametrize("compression", Compression)
@pytest.mark.parametrize("is_padded", [False, True])
@pytest.mark.parametrize("is_empty", [False, True])
def test_facts_are_what_was_noted(compression: Compression, *, is_empty: bool, is_padded: bool) -> None:
    facts = LayerFacts(compression, EMPTY_DIFF_ID, 7, is_empty, is_padded)
    assert LayerFacts.decode(facts.encode()) == facts


@pytest.mark.parametrize("text", ["gzip 1 +padding", "gzip 1 full+", "gzip 1 full+padding+padding", "gzip 1 full x"])
def test_what_is_no_note_of_a_layer_is_not_taken_for_one(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        LayerFacts.decode(f"{text} {EMPTY_DIFF_ID}".encode())
