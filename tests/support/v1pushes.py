"""A v1 push without HTTP: the three steps of an image on the service itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

from backends.model.names import ImageId
from backends.model.v1images import parse_image_json
from backends.registry.blobs import Blobs
from backends.registry.v1.images import Images
from backends.storage.storage import Storage
from tests.support.actors import ACTOR
from tests.support.v1server import Pushed


def images_over(storage: Storage) -> Images:
    """The images of a process of its own over a storage."""
    return Images(storage, Blobs(storage.driver))


async def chunks_of(layer: bytes, size: int = 3) -> AsyncIterator[bytes]:
    for start in range(0, len(layer), size):
        await asyncio.sleep(0)
        yield layer[start : start + size]


async def put_json(images: Images, image: Pushed) -> None:
    await images.put_json(parse_image_json(image.json, ImageId(image.id)))


async def put_layer(images: Images, image: Pushed) -> None:
    await images.put_layer(ImageId(image.id), chunks_of(image.layer))


async def put_checksum(images: Images, image: Pushed) -> None:
    await images.put_checksum(ImageId(image.id), image.payload.removeprefix("sha256:"), actor=ACTOR)


async def push(images: Images, pushed: Sequence[Pushed]) -> None:
    """Pushes images, parents first."""
    for image in pushed:
        await put_json(images, image)
        await put_layer(images, image)
        await put_checksum(images, image)


async def read_layer(images: Images, image: Pushed) -> bytes:
    """The layer as it is served."""
    reader = await images.open_layer(ImageId(image.id))
    try:
        return b"".join([bytes(chunk) async for chunk in reader.chunks(0, reader.size)])
    finally:
        reader.close()
