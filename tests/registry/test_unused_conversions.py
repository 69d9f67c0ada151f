"""What conversions made is purged when nothing needs it any more, and not before."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence
from functools import partial

import pytest

from backends.model.conversion.plans import Form, Plan
from backends.model.names import ImageId, RepositoryName, TagName
from backends.model.targets import V2Target
from backends.model.v1names import parse_v1_name
from backends.registry.derived.unused import UnusedDerivations
from backends.registry.purge_settings import PurgeSettings
from backends.registry.purging import Abandoned, Purger, Source
from backends.registry.store import Store
from backends.registry.v1_view.unused import UnusedV1Images
from backends.registry.v1_view.viewer import Viewer
from backends.storage import layout
from backends.storage.factory import open_memory
from backends.storage.storage import Storage
from tests.support.actors import ACTOR
from tests.support.derivations import PUSHES, convert, plans_of, pulled, push_v1
from tests.support.drivers import Died, Failing, wrapped
from tests.support.stores import everything

Reopen = Callable[[], Storage]
NAME, OTHER, TAG = RepositoryName("team/app"), RepositoryName("team/other"), "latest"
NOW = PurgeSettings(age_seconds=-60)
"""Whatever is unused is purged, however young."""


@pytest.fixture
async def store(reopen: Reopen) -> AsyncIterator[Store]:
    made = Store(reopen())
    yield made
    await made.close()


async def purge(store: Store, settings: PurgeSettings = NOW) -> None:
    source = UnusedDerivations(store.storage, store.v1_storage)
    await Purger(store.storage, lambda: [source], settings).purge()


async def found(store: Store) -> Sequence[Abandoned]:
    return [each async for each in UnusedDerivations(store.storage, store.v1_storage).find()]


async def derived_files(store: Store) -> list[str]:
    return [path for path in await everything(store.storage.driver) if path.startswith(f"{layout.DERIVED}/")]


async def delete_source(store: Store, name: RepositoryName) -> None:
    target = await store.tags.target(name, TagName(TAG))
    assert isinstance(target, V2Target)
    await store.open(name).delete_manifest(target.digest, actor=ACTOR)


async def test_what_was_made_for_each_generation_goes(store: Store) -> None:
    push, form = PUSHES["OCI"]
    await push(store, NAME, TAG)
    for plan in plans_of(form):
        await convert(store, NAME, TAG, plan)
    v1_name = parse_v1_name(NAME)
    top = await store.v1_view.repositories.tag(v1_name, TAG, Viewer())
    await store.v1_view.images.ancestry(ImageId(top.image_id), Viewer())
    await delete_source(store, NAME)
    assert {path.split("/")[6] for path in await derived_files(store)} >= {"blobs", "v1"}
    sources: list[Source] = [UnusedDerivations(store.storage, store.v1_storage), UnusedV1Images(store.storage)]
    await Purger(store.storage, lambda: sources, NOW).purge()
    assert await derived_files(store) == []


@pytest.mark.parametrize("kind", PUSHES)
async def test_what_is_needed_stays(store: Store, kind: str) -> None:
    push, form = PUSHES[kind]
    await push(store, NAME, TAG)
    made = [await convert(store, NAME, TAG, plan) for plan in plans_of(form)]
    await store.open(NAME).delete_tag(TagName(TAG), actor=ACTOR)
    before = await everything(store.storage.driver)
    await purge(store)
    assert await everything(store.storage.driver) == before
    for each in made:
        await pulled(store, NAME, each.digest)


@pytest.mark.parametrize("kind", [kind for kind in PUSHES if kind != "v1"])
async def test_what_was_made_of_a_deleted_manifest_goes(store: Store, kind: str) -> None:
    """gzips of layers stay as long as these do: clients of the v1 protocol may want them."""
    push, form = PUSHES[kind]
    await push(store, NAME, TAG)
    for plan in plans_of(form):
        await convert(store, NAME, TAG, plan)
    await delete_source(store, NAME)
    await purge(store)
    left = await derived_files(store)
    gzips = [path for path in left if path.startswith(layout.DERIVED_GZIPS)]
    assert bool(gzips) is ("zstd" in kind)
    assert len([path for path in left if "/blobs/" in path]) == len(gzips)
    await store.storage.driver.delete(layout.BLOBS)
    await purge(store)
    assert await derived_files(store) == []


async def test_what_was_made_of_v1_goes_with_the_last_repository(store: Store) -> None:
    for name in (NAME, OTHER):
        await push_v1(store, name, TAG)
    made = [await convert(store, name, TAG, Form.SCHEMA2) for name in (NAME, OTHER)]
    await store.deletions.delete(NAME, actor=ACTOR)
    await purge(store)
    await pulled(store, OTHER, made[1].digest)
    await store.deletions.delete(OTHER, actor=ACTOR)
    await purge(store, PurgeSettings(age_seconds=3600))
    assert await derived_files(store) != []  # it is young
    await purge(store)
    assert await derived_files(store) == []
    await push_v1(store, NAME, TAG)
    await pulled(store, NAME, (await convert(store, NAME, TAG, Form.SCHEMA2)).digest)


async def test_what_is_needed_again_meanwhile_stays(store: Store) -> None:
    await PUSHES["zstd"][0](store, NAME, TAG)
    made = await convert(store, NAME, TAG, Plan(Form.SCHEMA2, gzip_only=True))
    await delete_source(store, NAME)
    await store.storage.driver.delete(layout.BLOBS)
    candidates = await found(store)
    assert {len(each.what) for each in candidates} == {1, 2}  # a manifest, and gzips with what they were made of
    await PUSHES["zstd"][0](store, NAME, TAG)
    await convert(store, NAME, TAG, Plan(Form.SCHEMA2, gzip_only=True))
    source = UnusedDerivations(store.storage, store.v1_storage)
    assert not any([await source.remove(each, before=2**40) for each in candidates])
    await pulled(store, NAME, made.digest)


async def test_what_somebody_is_busy_with_stays(store: Store, reopen: Reopen) -> None:
    await PUSHES["OCI"][0](store, NAME, TAG)
    await convert(store, NAME, TAG, Form.SCHEMA2)
    await delete_source(store, NAME)
    [candidate] = await found(store)
    source = UnusedDerivations(store.storage, store.v1_storage)
    async with reopen().locks.hold(f"derived {candidate.what[0]}"):
        assert not await source.remove(candidate, before=2**40)
    assert await source.remove(candidate, before=2**40)


async def test_a_purge_that_is_killed_is_completed_by_the_next(reopen: Reopen) -> None:
    for step in range(50):
        store = Store(reopen())
        await PUSHES["zstd"][0](store, NAME, TAG)
        await convert(store, NAME, TAG, Form.SCHEMA1)
        await delete_source(store, NAME)
        await store.storage.driver.delete(layout.BLOBS)
        dying, driver = wrapped(reopen(), partial(Failing, steps=step, dies=True))
        try:
            await purge(Store(dying))
        except Died:
            assert driver.failed
        await purge(store)
        assert await derived_files(store) == []
        await store.close()
        if not driver.failed:
            break
    else:
        pytest.fail("it never comes to its end")
    assert step > 3


async def test_nothing_goes_while_the_root_of_v1_is_not_mounted(reopen: Reopen) -> None:
    store = Store(reopen(), v1_storage=open_memory())
    await push_v1(store, NAME, TAG)
    await convert(store, NAME, TAG, Form.SCHEMA2)
    before = await derived_files(store)
    empty = Store(reopen(), v1_storage=open_memory())
    await purge(empty)
    assert await derived_files(store) == before
    await store.close()
