"""What Docker 1.6 to 1.9 pushed by v2 is served to v1 clients under its own ids, as long as these are nobody else's."""

from __future__ import annotations

import gzip
import json
from collections.abc import Sequence

import pytest

from backends.model.names import ImageId, RepositoryName, TagName
from backends.model.targets import V1Target, V2Target
from backends.registry.store import Store
from backends.storage import layout
from tests.support.actors import ACTOR
from tests.support.formats import example
from tests.support.pushed_examples import expected_v1, push_example
from tests.support.schema1_pushes import push_schema1
from tests.support.v1server import Pushed, RunningRegistry, make_pushed

NAME = RepositoryName("team/app")
OTHER = RepositoryName("other/app")
EMPTY = example("empty-layer/empty.tar.gz")


def layer(text: str) -> bytes:
    return gzip.compress(text.encode().ljust(1024, b"\0"), mtime=0)


BASE = make_pushed("a", layer=layer("base"), created="2015-01-01T00:00:00Z")
STEP = make_pushed("b", parent=BASE.id, layer=EMPTY, created="2015-01-01T00:00:01Z", throwaway=True)
TOP = make_pushed("c", parent=STEP.id, layer=layer("top"), created="2015-01-01T00:00:02Z")
CHAIN = (BASE, STEP, TOP)


async def pulled(registry: RunningRegistry, *, name: str = NAME, tag: str = "1.0") -> list[Pushed]:
    """A chain as a client gets it, base first."""
    tags = await registry.ask("GET", f"/v1/repositories/{name}/tags")
    assert tags.status == 200, tags.body
    ids = (await registry.ask("GET", f"/v1/images/{tags.json[tag]}/ancestry")).json
    chain: list[Pushed] = []
    for image_id in reversed(ids):
        described = await registry.ask("GET", f"/v1/images/{image_id}/json")
        stored = await registry.ask("GET", f"/v1/images/{image_id}/layer")
        assert (described.status, stored.status) == (200, 200), (described.body, stored.body)
        assert described.head.value("X-Docker-Size") == str(len(stored.body))
        document = json.loads(described.body)
        assert document["id"] == image_id
        assert document.get("parent") == (chain[-1].id if chain else None)
        chain.append(Pushed(image_id, described.body, stored.body))
    return chain


def contents(chain: Sequence[Pushed]) -> list[bytes]:
    return [gzip.decompress(image.layer) for image in chain]


@pytest.mark.parametrize("doubled", [False, True])
async def test_a_schema_1_image_keeps_its_ids_texts_and_layers(
    registry: RunningRegistry, store: Store, *, doubled: bool
) -> None:
    digest = await push_schema1(store, NAME, "1.0", CHAIN, doubled=doubled)
    assert await pulled(registry) == [*CHAIN]
    assert (await registry.ask("GET", f"/v1/repositories/{NAME}/images")).json == [{"id": TOP.id}]
    # Pushed back, it is its manifest; pushed elsewhere, it becomes ordinary images.
    body = json.dumps(TOP.id).encode()
    for name, named in ((NAME, V2Target(digest)), (OTHER, V1Target(ImageId(TOP.id)))):
        assert (await registry.ask("PUT", f"/v1/repositories/{name}/tags/back", body=body)).status == 200
        assert await store.tags.target(name, TagName("back")) == named
    assert await pulled(registry, name=OTHER, tag="back") == [*CHAIN]
    assert await store.storage.driver.read(layout.v1_image_json(ImageId(TOP.id))) == TOP.json


async def test_images_that_v1_has_already_are_the_same_where_they_are_equal(
    registry: RunningRegistry, store: Store
) -> None:
    await registry.push(OTHER, "1.0", [BASE])
    await push_schema1(store, NAME, "1.0", CHAIN)
    assert await pulled(registry) == [*CHAIN]


@pytest.mark.parametrize(
    "theirs",
    [
        make_pushed(BASE.id, layer=layer("something else"), created="2015-01-01T00:00:00Z"),
        make_pushed(BASE.id, layer=BASE.layer, created="2016-01-01T00:00:00Z"),
    ],
    ids=["layer", "text"],
)
@pytest.mark.parametrize("by", ["v1", "schema 1"])
async def test_ids_that_belong_to_another_image_are_replaced(
    registry: RunningRegistry, store: Store, theirs: Pushed, by: str
) -> None:
    if by == "v1":
        await registry.push(OTHER, "1.0", [theirs])
    else:
        await push_schema1(store, OTHER, "1.0", [theirs])
    assert await pulled(registry, name=OTHER) == [theirs]
    digest = await push_schema1(store, NAME, "1.0", CHAIN)
    chain = await pulled(registry)
    assert not {image.id for image in chain} & {image.id for image in CHAIN}
    assert contents(chain) == contents(CHAIN)
    assert await pulled(registry, name=OTHER) == [theirs]
    assert await pulled(registry) == chain
    body = json.dumps(chain[-1].id).encode()
    assert (await registry.ask("PUT", f"/v1/repositories/{NAME}/tags/back", body=body)).status == 200
    assert await store.tags.target(NAME, TagName("back")) == V2Target(digest)


async def test_ids_are_free_again_once_their_manifest_is_gone(registry: RunningRegistry, store: Store) -> None:
    theirs = make_pushed(BASE.id, layer=layer("something else"))
    digest = await push_schema1(store, OTHER, "1.0", [theirs])
    assert await pulled(registry, name=OTHER) == [theirs]
    await store.open(OTHER).delete_manifest(digest, actor=ACTOR)
    await push_schema1(store, NAME, "1.0", CHAIN)
    assert await pulled(registry) == [*CHAIN]


async def test_a_pushed_image_does_not_take_a_claimed_id(registry: RunningRegistry, store: Store) -> None:
    await push_schema1(store, NAME, "1.0", CHAIN)
    assert await pulled(registry) == [*CHAIN]
    assert (await registry.put_json(make_pushed(TOP.id, layer=b"other"))).told == (409, "Image already exists")
    child = make_pushed("d", parent=TOP.id, layer=layer("child"))
    await registry.push(NAME, "child", [child])
    assert await pulled(registry, tag="child") == [*CHAIN, child]
    assert await pulled(registry) == [*CHAIN]


async def test_ids_that_are_made_for_images_are_never_claimed(registry: RunningRegistry, store: Store) -> None:
    expected = expected_v1("schema2-image")
    await push_example(store, OTHER, "1.0", "schema2-image")
    await pulled(registry, name=OTHER)
    fake = make_pushed(expected[0].image_id, layer=layer("something else"))
    await push_schema1(store, NAME, "1.0", [fake])
    (image,) = await pulled(registry)
    assert image.id != fake.id
    assert contents([image]) == contents([fake])
    assert [each.json for each in await pulled(registry, name=OTHER)] == [each.text for each in expected]


@pytest.mark.parametrize(
    "chain",
    [
        (BASE, make_pushed("c", parent="f" * 64, layer=layer("top"))),
        (make_pushed("0123456789abcdef" * 2, layer=layer("base")), make_pushed("c", layer=layer("top"))),
    ],
    ids=["parent", "id"],
)
async def test_a_history_that_is_no_chain_gets_one(
    registry: RunningRegistry, store: Store, chain: Sequence[Pushed]
) -> None:
    await push_schema1(store, NAME, "1.0", chain)
    got = await pulled(registry)
    assert contents(got) == contents(chain)


async def test_a_chain_that_no_client_can_use_is_not_shown(registry: RunningRegistry, store: Store) -> None:
    chain: list[Pushed] = []
    for number in range(128):
        parent = chain[-1].id if chain else None
        chain.append(make_pushed(f"{number:064x}", parent=parent, layer=EMPTY))
    await push_schema1(store, NAME, "1.0", chain)
    answer = await registry.ask("GET", f"/v1/repositories/{NAME}/tags/1.0")
    assert answer.status == 404
    assert "a chain of 128 images" in answer.json["error"]
    await push_schema1(store, NAME, "1.0", chain[:127])
    assert await pulled(registry) == chain[:127]
