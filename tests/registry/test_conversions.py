"""Conversions over a store: what a tag names in every other form, kept so that its digest can be asked for."""

from __future__ import annotations

import gzip
import json
from collections.abc import AsyncIterator, Callable

import pytest

from backends.model import jws, media_types
from backends.model.conversion.derived import DerivedManifest
from backends.model.conversion.plans import Form, Plan
from backends.model.digest import Digest
from backends.model.names import ImageId, RepositoryName, TagName
from backends.model.targets import V1Target
from backends.model.v1images import V1Name
from backends.registry.store import Store
from backends.storage.storage import Storage
from tests.support.actors import ACTOR
from tests.support.formats import example
from tests.support.v1pushes import push
from tests.support.v1server import Pushed

Reopen = Callable[[], Storage]
NAME, TAG = RepositoryName("team/old"), TagName("latest")
V1_NAME = V1Name("team", "old")
IDS = ("0-88f011775979", "1-e62a08eae109", "2-31756b3de004")


def gzipped(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


def v1_images(pack: Callable[[bytes], bytes] = gzipped) -> list[Pushed]:
    """The worked example's chain, from the base up."""
    return [
        Pushed(
            example(f"v1-image/{each}/id").decode().strip(),
            example(f"v1-image/{each}/json"),
            pack(example(f"v1-image/{each}/layer.tar")),
        )
        for each in IDS
    ]


async def push_v1(store: Store, images: list[Pushed]) -> V1Target:
    await push(store.v1_images, images)
    top = ImageId(images[-1].id)
    await store.v1_repositories.put_tag(V1_NAME, TAG, top, actor=ACTOR, now=1)
    return V1Target(top)


@pytest.fixture
async def stores(reopen: Reopen) -> AsyncIterator[Callable[[], Store]]:
    """Each call opens the store anew, as another process would."""
    opened: list[Store] = []

    def again() -> Store:
        opened.append(Store(reopen()))
        return opened[-1]

    yield again
    for store in opened:
        await store.close()


Stores = Callable[[], Store]


async def convert(store: Store, form: Form, *, tag: str = TAG) -> DerivedManifest:
    target = await store.tags.target(NAME, TAG)
    return await store.conversions.convert(NAME, target, Plan(form), tag=tag, patience=None)


async def read_blob(store: Store, digest: Digest) -> bytes:
    blob = await store.open(NAME).open_blob(digest)
    try:
        return b"".join([bytes(chunk) async for chunk in blob.reader.chunks(0, blob.size)])
    finally:
        blob.reader.close()


async def test_a_v1_image_becomes_schema_2_with_the_examples_configuration(stores: Stores) -> None:
    store = stores()
    images = v1_images()
    await push_v1(store, images)
    made = await convert(store, Form.SCHEMA2)
    assert made.media_type == media_types.SCHEMA2
    assert made.digest == Digest.of(made.content)
    assert made.rule == "v1-to-schema2"
    document = json.loads(made.content)
    fresh = stores()
    assert await read_blob(fresh, Digest.of(example("v1-to-schema2/config.json"))) == example(
        "v1-to-schema2/config.json"
    )
    assert document["config"]["digest"] == str(Digest.of(example("v1-to-schema2/config.json")))
    layers = [images[0].layer, images[2].layer]  # the one between is empty
    assert [layer["digest"] for layer in document["layers"]] == [str(Digest.of(layer)) for layer in layers]
    for layer in layers:
        assert await read_blob(fresh, Digest.of(layer)) == layer
        assert await fresh.open(NAME).blob_size(Digest.of(layer)) == len(layer)
    again = await fresh.open(NAME).get_manifest(made.digest)
    assert (again.content, again.media_type) == (made.content, made.media_type)
    assert (await convert(fresh, Form.SCHEMA2)).content == made.content


async def test_a_v1_image_becomes_schema_1_with_its_own_texts(stores: Stores) -> None:
    store = stores()
    images = v1_images()
    await push_v1(store, images)
    made = await convert(store, Form.SCHEMA1)
    payload = jws.verify(made.content)
    assert Digest.of(payload) == made.digest
    document = json.loads(payload)
    assert [entry["v1Compatibility"] for entry in document["history"]] == [each.json.decode() for each in images[::-1]]
    assert (document["name"], document["tag"]) == (NAME, TAG)
    fresh = stores()
    assert (await fresh.open(NAME).get_manifest(made.digest)).content == made.content  # the same signature too
    assert (await convert(fresh, Form.SCHEMA1)).content == made.content
    for image in images:
        assert await read_blob(fresh, Digest.of(image.layer)) == image.layer
