"""A process that is killed while it reads a layer loses that layer, not those before; another one goes on at once."""

from __future__ import annotations

import asyncio
import gzip
from pathlib import Path

import pytest

from backends.model.digest import Digest
from backends.storage.factory import open_folder
from tests.support.layer_processes import layer_process

SMALL = [letter * 64 for letter in "abc"]
LARGE = "d" * 64
LAST = "e" * 64
IMAGES = [*SMALL, LARGE, LAST]
LARGE_BYTES = 2_000_000_000


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A volume whose fourth image takes long to read."""

    async def write() -> None:
        storage = open_folder(tmp_path)
        for image in IMAGES:
            await storage.driver.write(f"/images/{image}/layer", LARGE_LAYER if image == LARGE else layer_of(image))
        await storage.close()

    asyncio.run(write())
    return tmp_path


def layer_of(image: str) -> bytes:
    return gzip.compress(image.encode() * 1000, mtime=0)


def _large() -> bytes:
    """Members of zeros: the whole would be made for longer than it is read."""
    member = gzip.compress(bytes(100_000_000), 1, mtime=0)
    return member * (LARGE_BYTES // 100_000_000)


LARGE_LAYER = _large()


def has(image: str) -> str:
    return f"has {image} {Digest.of(image.encode() * 1000)}"


def test_the_next_process_goes_on_at_the_next_layer(root: Path) -> None:
    with layer_process(root, IMAGES) as first:
        first.wait_for(f"asks {LARGE}")
        with layer_process(root, IMAGES) as second:
            second.wait_for(f"asks {LARGE}")  # it waits for the first
            assert not [line for line in second.lines if line.startswith("reads")]
            first.process.kill()
            said = second.end()
    assert [line for line in said if line.startswith("reads")] == [f"reads {LARGE}", f"reads {LAST}"]
    assert all(has(image) in said for image in SMALL)
    with layer_process(root, IMAGES) as third:
        assert not [line for line in third.end() if line.startswith("reads")]


def test_twenty_clients_of_two_processes_have_each_layer_read_once(root: Path) -> None:
    with layer_process(root, IMAGES, clients=10) as one, layer_process(root, IMAGES, clients=10) as other:
        said = [one.end(), other.end()]
    reads = [line for lines in said for line in lines if line.startswith("reads")]
    assert sorted(reads) == [f"reads {image}" for image in IMAGES]
    for lines in said:
        assert [line for line in lines if line.startswith("has")][-1] == has(LAST)


def test_whenever_it_is_killed_the_next_finds_out_the_same(root: Path) -> None:
    for image in (SMALL[0], SMALL[1], LARGE, LAST):
        with layer_process(root, IMAGES) as killed:
            killed.wait_for(f"asks {image}")
            killed.process.kill()
    with layer_process(root, IMAGES) as last:
        said = last.end()
    assert [line for line in said if line.startswith("has")][:3] == [has(image) for image in SMALL]
    assert said[-1] == has(LAST)
