"""How a layer is compressed, by its first bytes, and what is kept of it (FORMATS 1.6, 2.2)."""

from __future__ import annotations

import bz2
import gzip
import lzma

import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from backends.model.digest import Digest
from backends.model.layers import HEAD_BYTES, Compression, LayerFacts, compression_of

TAR = b"etc/hosts".ljust(100, b"\0") + b"0000644\0"


@pytest.mark.parametrize(
    ("content", "compression"),
    [
        (gzip.compress(TAR, mtime=0), Compression.GZIP),
        (gzip.compress(b"", mtime=0), Compression.GZIP),
        (bz2.compress(TAR), Compression.BZIP2),
        (bz2.compress(b""), Compression.BZIP2),
        (lzma.compress(TAR), Compression.XZ),
        (zstd.compress(TAR), Compression.ZSTD),
        *((bytes([first]) + b"\x2a\x4d\x18\x04\0\0\0pads", Compression.ZSTD) for first in range(0x50, 0x60)),
        (TAR, Compression.NONE),
        (b"", Compression.NONE),
        (b"\x1f\x8b", Compression.NONE),
        (b"\x1f\x8b\x07" + TAR, Compression.NONE),
        (b"BZh9.txt".ljust(100, b"\0"), Compression.NONE),
        (b"BZh" + b"\0" * 97, Compression.NONE),
        (b"Z*M\x18", Compression.ZSTD),
        (b"`*M\x18", Compression.NONE),
        (b"*M\x18", Compression.NONE),
        (lzma.compress(TAR, lzma.FORMAT_ALONE), Compression.NONE),  # no client of any age reads it
    ],
)
def test_the_first_bytes_tell_the_compression(content: bytes, compression: Compression) -> None:
    assert compression_of(content[:HEAD_BYTES]) is compression
    assert compression_of(content) is compression


FACTS = st.builds(
    LayerFacts,
    st.sampled_from(Compression),
    st.one_of(
        st.binary(max_size=9).map(Digest.of), st.binary(max_size=9).map(lambda content: Digest.of(content, "sha512"))
    ),
    st.integers(min_value=0, max_value=2**63 - 1),
    st.booleans(),
)


@given(FACTS)
def test_what_is_kept_is_read_back(facts: LayerFacts) -> None:
    assert LayerFacts.decode(facts.encode()) == facts


@given(FACTS, st.data())
def test_what_was_cut_short_is_not_taken_for_whole(facts: LayerFacts, data: st.DataObject) -> None:
    encoded = facts.encode()
    with pytest.raises(ValueError):
        LayerFacts.decode(encoded[: data.draw(st.integers(0, len(encoded) - 1))])
    with pytest.raises(ValueError):
        LayerFacts.decode(b"\0" * len(encoded))
