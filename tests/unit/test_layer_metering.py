"""What is found out about a layer while its bytes pass by, whatever they are and however they are cut (FORMATS 2.2)."""

from __future__ import annotations

import bz2
import gzip
import lzma
import random
import tracemalloc
import zlib
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import replace

import pytest
from backports import zstd
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from backends.model.digest import Digest
from backends.model.layers import Compression, LayerFacts, compression_of
from backends.registry.hashing import RunningHash
from backends.registry.layers import metering
from backends.registry.layers.errors import UnreadableLayer
from backends.registry.layers.inflating import PIECE_BYTES
from backends.registry.layers.metering import Meter
from backends.registry.layers.settings import LayerSettings

SETTINGS = LayerSettings()
TEXT = b"the quick brown fox " * 5000
RANDOM = random.Random(9).randbytes(300_000)


def windowed(content: bytes, log: int) -> bytes:
    """A zstd frame that says its window, as a stream of unknown length does."""
    options: dict[int, int] = {zstd.CompressionParameter.window_log: log}
    compressor = zstd.ZstdCompressor(options=options)
    return compressor.compress(content) + compressor.flush()


def skippable(content: bytes, kind: int = 0) -> bytes:
    return bytes([0x50 + kind]) + b"\x2a\x4d\x18" + len(content).to_bytes(4, "little") + content


def measure(content: bytes, *, cut: int = 1 << 20, limits: LayerSettings = SETTINGS) -> LayerFacts:
    return measure_chunks((content[start : start + cut] for start in range(0, len(content), cut)), limits)


def measure_chunks(chunks: Iterator[bytes], limits: LayerSettings = SETTINGS) -> LayerFacts:
    stored = RunningHash()
    meter = Meter(stored, limits)
    for chunk in chunks:
        stored.take([chunk])
        meter.take([chunk])
    return meter.finish()


def facts_of(raw: bytes, compression: Compression) -> LayerFacts:
    return LayerFacts(compression, Digest.of(raw), len(raw), not raw.strip(b"\0"))


COMPRESS: dict[Compression, Callable[[bytes], bytes]] = {
    Compression.NONE: bytes,
    Compression.GZIP: gzip.compress,
    Compression.BZIP2: bz2.compress,
    Compression.XZ: lzma.compress,
    Compression.ZSTD: zstd.compress,
}

ZEROS = bytes(1024)
GZIP_OF_NOTHING = gzip.compress(b"", mtime=0)
GZIP_NAMED = b"\x1f\x8b\x08\x18\0\0\0\0\0\xff" + b"layer.tar\0by hand\0"

WHOLE = {
    "gzip, several members": (gzip.compress(TEXT) + gzip.compress(RANDOM) + gzip.compress(b""), TEXT + RANDOM),
    "gzip, a thousand members": (
        b"".join(gzip.compress(b"%d" % n) for n in range(1000)),
        b"".join(b"%d" % n for n in range(1000)),
    ),
    "gzip, zero padding": (gzip.compress(TEXT) + bytes(513), TEXT),
    "gzip, zero padding after two members": (gzip.compress(TEXT) * 2 + bytes(100_000), TEXT * 2),
    "gzip of no bytes at all (Docker 1.0.1)": (GZIP_OF_NOTHING, b""),
    "gzip of zeros": (gzip.compress(ZEROS), ZEROS),
    "gzip with name, comment, extra field and header checksum": (
        (header := b"\x1f\x8b\x08\x1e\0\0\0\0\0\xff\x03\0abclayer.tar\0by hand\0")
        + (zlib.crc32(header) & 0xFFFF).to_bytes(2, "little")
        + gzip.compress(TEXT)[10:],
        TEXT,
    ),
    "gzip, name and comment": (GZIP_NAMED + gzip.compress(TEXT)[10:], TEXT),
    "gzip, long name": (
        gzip.compress(TEXT) + b"\x1f\x8b\x08\x08\0\0\0\0\0\xff" + b"n" * 9000 + b"\0" + gzip.compress(b"x")[10:],
        TEXT + b"x",
    ),
    "gzip, stored blocks": (gzip.compress(RANDOM, 0), RANDOM),
    "bzip2, several streams": (bz2.compress(TEXT) + bz2.compress(RANDOM), TEXT + RANDOM),
    "bzip2 of nothing": (bz2.compress(b""), b""),
    "xz, several streams with padding": (lzma.compress(TEXT) + bytes(8) + b"", TEXT),
    "xz, two streams": (lzma.compress(TEXT) + lzma.compress(RANDOM), TEXT + RANDOM),
    "zstd, several frames": (zstd.compress(TEXT) + windowed(RANDOM, 20) + zstd.compress(b""), TEXT + RANDOM),
    "zstd, skippable frame first": (skippable(b"pzstd says four") + zstd.compress(TEXT), TEXT),
    "zstd, skippable frames everywhere": (
        skippable(b"")
        + skippable(RANDOM, 15)
        + zstd.compress(TEXT)
        + skippable(b"x", 7)
        + zstd.compress(b"y")
        + skippable(b""),
        TEXT + b"y",
    ),
    "zstd, only a skippable frame": (skippable(b"x"), b""),
    "zstd with a checksum": (zstd.compress(TEXT, options={zstd.CompressionParameter.checksum_flag: 1}), TEXT),
    "zstd, window of 2^27": (windowed(TEXT, 27), TEXT),
    "zstd, window of 2^28": (windowed(TEXT, 28), TEXT),
    "nothing": (b"", b""),
    "a tar of one file with nothing behind it": (TEXT[:700], TEXT[:700]),
    "nine bytes": (b"\0" * 8 + b"x", b"\0" * 8 + b"x"),
    "an empty tar, as Python writes it": (bytes(10240), bytes(10240)),
    "zeros, and one that is none at the end": (bytes(600_000) + b"\1", bytes(600_000) + b"\1"),
}


@pytest.mark.parametrize("cut", [1, 7, 4096, 65536, 1 << 20])
@pytest.mark.parametrize("name", WHOLE)
def test_all_of_a_layer_is_read_however_it_is_cut(name: str, cut: int) -> None:
    content, raw = WHOLE[name]
    if cut == 1:
        content, raw = (content, raw) if len(content) < 5000 else (b"", b"")
    facts = measure(content, cut=cut)
    assert (facts.diff_id, facts.raw_size, facts.is_empty) == (Digest.of(raw), len(raw), not raw.strip(b"\0"))
    assert facts.is_padded == ("padding" in name and bool(content))


DAMAGED = {
    "gzip, cut in its data": (gzip.compress(RANDOM)[:-5000], "ends in the middle of its gzip data"),
    "gzip, cut in its checksum": (gzip.compress(TEXT)[:-1], "ends in the middle of its gzip data"),
    "gzip, cut in its header": (gzip.compress(TEXT)[:5], "ends in the middle of its gzip data"),
    "gzip, second member cut": (gzip.compress(TEXT) + gzip.compress(TEXT)[:-1], "ends in the middle of its gzip data"),
    "gzip, junk": (gzip.compress(TEXT) + b"junk", "its gzip data is damaged (other bytes follow its end)"),
    "gzip, junk that begins alike": (
        gzip.compress(TEXT) + b"\x1f" + gzip.compress(TEXT)[3:],
        "other bytes follow its end",
    ),
    "gzip, junk of one byte that begins alike": (gzip.compress(TEXT) + b"\x1f", "ends in the middle"),
    "gzip, junk after padding": (
        gzip.compress(TEXT) + bytes(600) + b"j",
        "its gzip data is damaged (other bytes follow its end)",
    ),
    "gzip, padding and then a member": (
        gzip.compress(TEXT) + bytes(6) + gzip.compress(TEXT),
        "other bytes follow its end",
    ),
    "gzip, wrong checksum": (
        gzip.compress(TEXT)[:-8] + bytes(4) + gzip.compress(TEXT)[-4:],
        "its gzip data is damaged (Error -6",
    ),
    "gzip, wrong length": (gzip.compress(TEXT)[:-4] + bytes(4), "its gzip data is damaged (Error -6"),
    "gzip, no deflate data": (gzip.compress(TEXT)[:10] + b"\xff" * 100, "its gzip data is damaged (Error -1"),
    "gzip, endless name": (
        gzip.compress(TEXT) + b"\x1f\x8b\x08\x08\0\0\0\0\0\xff" + b"n" * 1_000_000,
        "a header is too long",
    ),
    "bzip2, cut": (bz2.compress(TEXT)[:-3], "ends in the middle of its bzip2 data"),
    "bzip2, junk": (bz2.compress(TEXT) + b"junk", "other bytes follow its end"),
    "bzip2, wrong checksum": (bz2.compress(TEXT)[:-8] + bytes(8), "its bzip2 data is damaged"),
    "xz, cut": (lzma.compress(TEXT)[:-3], "ends in the middle of its xz data"),
    "xz, junk": (lzma.compress(TEXT) + b"junk", "other bytes follow its end"),
    "xz, wrong index": (lzma.compress(TEXT)[:-20] + bytes(20), "its xz data is damaged"),
    "zstd, cut": (zstd.compress(RANDOM)[:-3], "ends in the middle of its zstd data"),
    "zstd, cut in its header": (zstd.compress(RANDOM)[:5], "ends in the middle of its zstd data"),
    "zstd, cut in a skippable frame": (skippable(TEXT)[:-1], "ends in the middle of its zstd data"),
    "zstd, cut in the header of a skippable frame": (zstd.compress(TEXT) + skippable(b"")[:-1], "ends in the middle"),
    "zstd, junk": (zstd.compress(TEXT) + b"junk", "other bytes follow its end"),
    "zstd, junk that begins like a frame to skip": (zstd.compress(TEXT) + b"Pack" + bytes(4), "other bytes follow"),
    "zstd, damaged": (zstd.compress(TEXT)[:15] + b"\xff" * 50, "its zstd data is damaged"),
}


@pytest.mark.parametrize("cut", [1, 4096, 1 << 20])
@pytest.mark.parametrize("name", DAMAGED)
def test_what_is_damaged_is_told(name: str, cut: int) -> None:
    content, sentence = DAMAGED[name]
    if cut == 1 and len(content) > 5000:
        cut = 4000
    with pytest.raises(UnreadableLayer) as caught:
        measure(content, cut=cut)
    assert sentence in str(caught.value)
    assert caught.value.damaged


@pytest.mark.parametrize("log", [28, 29, 31])
def test_a_window_that_takes_too_much_memory_is_refused_before_it_takes_any(log: int) -> None:
    frame = windowed(TEXT, 18)
    huge = frame[:5] + bytes([(log - 10) << 3 | 1]) + frame[6:]
    tracemalloc.start()
    try:
        with pytest.raises(UnreadableLayer, match=r"gateway\.conversions\.maxwindow allows 268435456") as caught:
            measure(huge)
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()
    assert not caught.value.damaged
    allowed = replace(SETTINGS, max_window=2**31 + 2**28)
    assert measure(frame[:5] + bytes([(log - 10) << 3]) + frame[6:], limits=allowed).raw_size == len(TEXT)


def test_xz_that_asks_for_too_much_memory_is_refused() -> None:
    content = lzma.compress(TEXT, filters=[{"id": lzma.FILTER_LZMA2, "dict_size": 1 << 26}])
    assert measure(content).raw_size == len(TEXT)
    with pytest.raises(UnreadableLayer, match=r"xz data .*gateway\.conversions\.maxwindow allows 1048576") as caught:
        measure(content, limits=replace(SETTINGS, max_window=1 << 20))
    assert not caught.value.damaged


ZSTD_BOMB = windowed(bytes(64 * 1024 * 1024), 20)


BOMBS = {
    "zstd, thirty thousand times": (
        ZSTD_BOMB * 20,
        SETTINGS,
        "more than 1100 times its size, which gateway.conversions.maxratio forbids",
    ),
    "gzip, large": (
        gzip.compress(bytes(50_000_000)),
        replace(SETTINGS, max_bytes=40_000_000),
        "gateway.conversions.maxbytes allows, 40000000 bytes",
    ),
    "not compressed": (RANDOM, replace(SETTINGS, max_bytes=200_000), "maxbytes allows, 200000 bytes"),
    "gzip, members of nothing": (GZIP_OF_NOTHING * 9000, replace(SETTINGS, max_bytes=100_000_000), "maxbytes"),
    "zstd, frames to skip": (skippable(b"") * 9000, replace(SETTINGS, max_bytes=100_000_000), "maxbytes"),
}


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_ends_at_its_bound(name: str) -> None:
    content, limits, sentence = BOMBS[name]
    with pytest.raises(UnreadableLayer) as caught:
        measure(content, limits=limits)
    assert sentence in str(caught.value)
    assert not caught.value.damaged


def test_a_layer_of_zeros_that_gzip_made_as_small_as_it_can_is_no_bomb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metering, "FREE_BYTES", 0)
    assert measure(gzip.compress(bytes(40_000_000), 9)).is_empty


@pytest.mark.parametrize("compression", [each for each in Compression if each is not Compression.NONE])
def test_a_small_layer_that_inflates_to_much_takes_little_memory(compression: Compression) -> None:
    raw = bytes(60_000_000)
    content = COMPRESS[compression](raw)
    expected = facts_of(raw, compression)
    del raw
    tracemalloc.start()
    try:
        assert measure(content) == expected
        assert tracemalloc.get_traced_memory()[1] < 16_000_000  # xz has a window of 8 MiB
    finally:
        tracemalloc.stop()


RAW = st.one_of(st.binary(max_size=3000), st.integers(0, 300_000).map(bytes), st.just(TEXT), st.just(RANDOM))


@settings(deadline=None)
@given(
    st.sampled_from(list(COMPRESS)),
    st.lists(RAW, min_size=1, max_size=4),
    st.lists(st.integers(0, 70_000), max_size=8),
    st.integers(0, 700),
)
def test_the_bytes_are_the_same_whatever_the_compression_the_parts_and_the_cuts(
    compression: Compression, parts: list[bytes], cuts: list[int], padding: int
) -> None:
    raw = b"".join(parts)
    content = b"".join(COMPRESS[compression](part) for part in parts)
    if compression is Compression.NONE:
        assume(compression_of(raw) is Compression.NONE)
    else:
        content += bytes(padding)

    def chunks() -> Iterator[bytes]:
        start = 0
        for cut in cuts:
            yield content[start : start + cut]
            start += cut
        yield content[start:]

    is_padded = compression is not Compression.NONE and padding > 0
    assert measure_chunks(chunks()) == replace(facts_of(raw, compression), is_padded=is_padded)


@settings(deadline=None, max_examples=300)
@given(st.sampled_from(["gzip", "bz2", "xz", "zstd"]), st.binary(max_size=400), st.data())
def test_whatever_comes_is_read_or_refused_and_nothing_else(kind: str, junk: bytes, data: st.DataObject) -> None:
    whole = {
        "gzip": gzip.compress(TEXT, mtime=0),
        "bz2": bz2.compress(TEXT),
        "xz": lzma.compress(TEXT),
        "zstd": skippable(b"x") + zstd.compress(TEXT),
    }[kind]
    at = data.draw(st.integers(0, len(whole)))
    content = whole[:at] + junk + whole[at + data.draw(st.integers(0, 20)) :]
    with suppress(UnreadableLayer):
        assert measure(content, cut=data.draw(st.integers(1, 5000))).raw_size >= 0


def test_the_thread_stops_within_a_piece_when_it_is_told() -> None:
    content = gzip.compress(bytes(100_000_000))
    asked = 0

    def is_stopped() -> bool:
        nonlocal asked
        asked += 1
        return asked > 2

    meter = Meter(RunningHash(), SETTINGS, is_stopped=is_stopped)
    with pytest.raises(metering.Stopped):
        meter.take([content])
    assert asked == 3
    assert meter.raw_size <= 3 * PIECE_BYTES
