"""What a layer is costs little more than inflating and hashing it, which nothing can save."""

from __future__ import annotations

import gzip
import hashlib
import sysconfig
from pathlib import Path

import pytest
from isal import igzip_lib

from backends.registry.hashing import RunningHash
from backends.registry.layers.metering import Meter
from backends.registry.layers.settings import LayerSettings
from tests.support.cpu_time import cpu_seconds

RAW_BYTES = 24_000_000
BATCH = 1024 * 1024


@pytest.fixture(scope="module")
def layer() -> bytes:
    """Real files, since random bytes and zeros cost something else."""
    raw = bytearray()
    for path in sorted(Path(sysconfig.get_path("stdlib")).rglob("*")):
        if path.is_file() and len(raw) < RAW_BYTES:
            raw += path.read_bytes()
    assert len(raw) >= RAW_BYTES / 2
    return gzip.compress(bytes(raw[:RAW_BYTES]), 6)


def test_metering_costs_what_inflating_and_hashing_do(layer: bytes) -> None:
    batches = [layer[start : start + BATCH] for start in range(0, len(layer), BATCH)]

    def bare() -> None:
        part = igzip_lib.IgzipDecompressor(flag=igzip_lib.DECOMP_GZIP)
        stored, raw = hashlib.sha256(), hashlib.sha256()
        for batch in batches:
            stored.update(batch)
            data = batch
            while not part.eof:
                raw.update(part.decompress(data, 256 * 1024))
                data = b""
                if part.needs_input:
                    break

    def metered() -> None:
        stored = RunningHash()
        meter = Meter(stored, LayerSettings())
        for batch in batches:
            stored.take([batch])
            meter.take([batch])
        meter.finish()

    assert cpu_seconds(metered, times=5) <= 1.15 * cpu_seconds(bare, times=5)
