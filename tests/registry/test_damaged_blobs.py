"""What a crash or a bad disk left of a blob is whole again once the blob is pushed again, under every name it has."""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import pytest

from backends.model.digest import Digest
from backends.model.errors import RegistryError
from backends.model.names import ImageId, RepositoryName, TagName
from backends.registry.store import Store
from backends.storage import layout
from backends.storage.driver import PathNotFound, StorageFull
from backends.storage.storage import Storage
from tests.support.drivers import Failing, links_of, wrapped
from tests.support.serving_here import make_manifest
from tests.support.stores import CONFIG, LAYER, put_blob, put_image
from tests.support.v1pushes import images_over, push, read_layer
from tests.support.v1server import make_pushed

Reopen = Callable[[], Storage]
NAME, TAG = RepositoryName("team/app"), TagName("latest")
CONTENT = bytes(range(256)) * 100
DIGEST = Digest.of(CONTENT)
DAMAGES = {
    "one byte": CONTENT[:7000] + b"?" + CONTENT[7001:],
    "zeros at the end": CONTENT[:-4096] + bytes(4096),
    "shorter": CONTENT[:1000],
    "longer": CONTENT + b"more",
    "empty": b"",
}


@pytest.mark.parametrize("damaged", DAMAGES.values(), ids=DAMAGES)
async def test_a_damaged_blob_is_whole_when_it_was_pushed_again(reopen: Reopen, damaged: bytes) -> None:
    storage = reopen()
    await put_blob(Store(storage), NAME, CONTENT)
    await storage.driver.write(layout.blob_data(DIGEST), damaged)
    await put_blob(Store(reopen()), NAME, CONTENT)
    assert await storage.driver.read(layout.blob_data(DIGEST)) == CONTENT


@pytest.mark.parametrize("damaged", [b"?", b"", b"3"], ids=["one byte", "shorter", "another number"])
async def test_a_damaged_manifest_is_whole_when_it_was_pushed_again(reopen: Reopen, damaged: bytes) -> None:
    """Nor is it remembered by a process that met it while it was damaged."""
    reader = Store(reopen())
    storage = reopen()
    digest = await put_image(Store(storage), NAME, TAG)
    content = make_manifest(CONFIG, LAYER)
    path = layout.blob_data(digest)
    await storage.driver.write(path, content.replace(b"2", damaged, 1))
    with pytest.raises(RegistryError, match="damaged"):
        await reader.open(NAME).get_manifest(TAG)
    await put_image(Store(reopen()), NAME, TAG)
    assert (await reader.open(NAME).get_manifest(TAG)).content == content
    assert await storage.driver.read(path) == content
    assert (await Store(reopen()).open(NAME).get_manifest(TAG)).content == content


async def test_where_there_is_no_room_to_repair_a_manifest_no_file_is_left_of_it(reopen: Reopen) -> None:
    storage = reopen()
    content = make_manifest(CONFIG, LAYER)
    digest = await put_image(Store(storage), NAME, TAG)
    await storage.driver.write(layout.blob_data(digest), b"damaged")
    for step in range(3):
        full, _ = wrapped(reopen(), partial(Failing, steps=step, dies=False))
        with pytest.raises(StorageFull):
            await Store(full).blobs.put(content, digest)
        with suppress(PathNotFound):
            assert not await storage.driver.list(layout.TEMPORARY), f"step {step}"
    await Store(storage).blobs.put(content, digest)
    assert await storage.driver.read(layout.blob_data(digest)) == content


@pytest.mark.parametrize("damaged", DAMAGES.values(), ids=DAMAGES)
async def test_a_damaged_layer_that_both_protocols_share_is_whole_for_both(
    reopen: Reopen, damaged: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    storage = reopen()
    image = make_pushed("a", layer=CONTENT)
    images = images_over(storage)
    await push(images, [image])
    await storage.driver.write(layout.blob_data(DIGEST), damaged)
    await links_of(storage.driver).link(layout.blob_data(DIGEST), layout.v1_image_layer(ImageId(image.id)))
    assert await read_layer(images, image) == damaged
    await put_blob(Store(reopen()), NAME, CONTENT)
    assert await storage.driver.read(layout.blob_data(DIGEST)) == CONTENT
    assert await read_layer(images, image) == CONTENT
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert str(DIGEST) in caplog.text


async def test_a_layer_that_is_whole_stays_the_one_file_that_it_is(
    reopen: Reopen, caplog: pytest.LogCaptureFixture
) -> None:
    storage = reopen()
    await push(images_over(storage), [make_pushed("a", layer=CONTENT)])
    before = await storage.driver.stat(layout.blob_data(DIGEST))
    await put_blob(Store(storage), NAME, CONTENT)
    await push(images_over(reopen()), [make_pushed("b", layer=CONTENT)])
    assert await storage.driver.stat(layout.blob_data(DIGEST)) == before
    for letter in "ab":
        assert await storage.driver.stat(layout.v1_image_layer(ImageId(letter * 64))) == before
    assert not caplog.records


async def test_a_manifest_that_is_whole_is_not_written_again(reopen: Reopen) -> None:
    storage = reopen()
    digest = await put_image(Store(storage), NAME, TAG)
    before = await storage.driver.stat(layout.blob_data(digest))
    await put_image(Store(reopen()), NAME, TAG)
    assert await storage.driver.stat(layout.blob_data(digest)) == before
