"""Images that were made of manifests go when these are gone and nobody has touched them for long; no others do."""

from __future__ import annotations

import time

from backends.model.names import ImageId, RepositoryName
from backends.model.v1names import V1Name, parse_v1_name
from backends.registry.store import Store
from backends.registry.v1_view.unused import UnusedV1Images
from tests.registry.test_v1_view import NAME, OTHER, V1_NAME, V1_OTHER, VIEWER, contents, store, tops
from tests.support.actors import ACTOR
from tests.support.formats import example
from tests.support.pushed_examples import push_example
from tests.support.schema1_pushes import push_schema1
from tests.support.v1server import make_pushed

__all__ = ["store"]
OLD = RepositoryName("old/app")
V1_OLD = parse_v1_name(OLD)
CHAIN = [make_pushed("a", layer=example("empty-layer/empty.tar.gz"))]


async def pull(store: Store, name: V1Name) -> list[tuple[bytes, bytes]]:
    return [*await contents(store, next(iter((await tops(store, name)).values())))]


async def purge(store: Store, *, before: float | None = None) -> list[tuple[str, ...]]:
    """What is removed, by its place and id."""
    source = UnusedV1Images(store.storage)
    found = [each async for each in source.find()]
    limit = time.time() + 60 if before is None else before
    return [each.what for each in found if await source.remove(each, before=limit)]


async def test_what_is_used_stays_and_what_is_not_goes(store: Store) -> None:
    # Both images share all but the topmost: `oci-image` has another configuration.
    digest = await push_example(store, NAME, "1.0", "schema2-image")
    await push_example(store, OTHER, "1.0", "oci-image")
    schema1 = await push_schema1(store, OLD, "1.0", CHAIN)
    served = {name: await pull(store, name) for name in (V1_NAME, V1_OTHER, V1_OLD)}
    top = (await tops(store))["1.0"]
    assert await purge(store) == []
    await store.open(NAME).delete_manifest(digest, actor=ACTOR)
    assert await purge(store, before=0.0) == []
    assert sorted(await purge(store)) == [("image", top), ("sources", top)]
    assert await purge(store) == []
    await store.open(OLD).delete_manifest(schema1, actor=ACTOR)
    assert sorted(await purge(store)) == [("claim", CHAIN[0].id), ("sources", CHAIN[0].id)]
    again = Store(store.storage)
    assert await pull(again, V1_OTHER) == served[V1_OTHER]
    # Pushed again, all of it is there again, in a process that has made it before too.
    await push_example(store, NAME, "1.0", "schema2-image")
    await push_schema1(store, OLD, "1.0", CHAIN)
    for process in (store, again):
        assert {name: await pull(process, name) for name in served} == served
    await again.close()


async def test_what_is_wanted_in_the_moment_it_goes_is_made_again(store: Store) -> None:
    digest = await push_example(store, NAME, "1.0", "schema2-image")
    served = await pull(store, V1_NAME)
    await store.open(NAME).delete_manifest(digest, actor=ACTOR)
    source = UnusedV1Images(store.storage)
    found = [each async for each in source.find()]
    await push_example(store, NAME, "1.0", "schema2-image")
    assert await pull(store, V1_NAME) == served
    removed = [each.what[0] for each in found if await source.remove(each, before=time.time() + 60)]
    assert removed == ["image"] * len(served)
    assert await pull(store, V1_NAME) == served


async def test_ordinary_images_stay(store: Store) -> None:
    digest = await push_example(store, NAME, "1.0", "schema2-image")
    served = await pull(store, V1_NAME)
    (top,) = (await tops(store)).values()
    await store.v1_view.repositories.put_tag(V1_OTHER, "1.0", ImageId(top), viewer=VIEWER, actor=ACTOR, now=1)
    await store.open(NAME).delete_manifest(digest, actor=ACTOR)
    assert len(await purge(store)) == len(served) + 1
    assert await pull(Store(store.storage), V1_OTHER) == served
