"""What bench/ converts, and the bare loops beside it: the same content on both sides, in bytes that nobody has seen."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from pathlib import Path

import pytest
from backports import zstd

from backends.model.layers import Compression, LayerFacts, compression_of
from backends.registry.hashing import RunningHash
from backends.registry.layers.metering import Meter
from backends.registry.layers.settings import LayerSettings
from backends.registry.layers.upload_meter import UploadMeter
from bench.bare import inflate, recompress
from bench.layers import Layer


@pytest.fixture(scope="module")
def layer() -> Layer:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as tar:
        for path in sorted(Path(__file__).parent.glob("*.py"))[:100]:
            tar.add(path, path.name)
    raw = packed.getvalue()
    return Layer(f"sha256:{hashlib.sha256(raw).hexdigest()}", len(raw), gzip.compress(raw, 6), zstd.compress(raw, 3))


def metered(content: bytes) -> LayerFacts:
    stored = RunningHash()
    meter = Meter(stored, LayerSettings())
    stored.take([content])
    meter.take([content])
    return meter.finish()


@pytest.mark.parametrize("numbered", [Layer.numbered_gzip, Layer.numbered_zstd])
def test_a_numbered_layer_holds_the_same_in_other_bytes(layer: Layer, numbered: object) -> None:
    assert callable(numbered)
    first, second = numbered(layer, 1), numbered(layer, 2)
    assert first != second
    assert {str(metered(each).diff_id) for each in (first, second)} == {layer.diff_id}


def test_what_is_compared_with_a_metered_push_is_as_long_and_is_not_metered(layer: Layer) -> None:
    opaque, other = layer.numbered_opaque(1), layer.numbered_opaque(2)
    assert opaque != other
    assert len(opaque) == len(layer.numbered_gzip(1))
    assert compression_of(opaque) is Compression.BZIP2
    stored = RunningHash()
    meter = UploadMeter(stored, LayerSettings())
    stored.take([opaque])
    meter.take([opaque])
    assert meter.finish() is None


def test_the_bare_loops_find_what_the_layers_hold(layer: Layer, tmp_path: Path) -> None:
    gzipped, zstandard = tmp_path / "gzip", tmp_path / "zstd"
    gzipped.write_bytes(layer.numbered_gzip(7))
    zstandard.write_bytes(layer.numbered_zstd(7))
    assert inflate(gzipped) == recompress(zstandard) == layer.diff_id
