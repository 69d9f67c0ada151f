"""Conversions that a kill or a full disk cuts off at each step: what is shown is whole, and the next one mends."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import suppress
from functools import partial

import pytest

from backends.model.conversion.plans import Form, Plan
from backends.model.names import RepositoryName, TagName
from backends.registry.store import Store
from backends.storage import layout
from backends.storage.driver import PathNotFound, StorageFull
from backends.storage.storage import Storage
from tests.support.actors import ACTOR
from tests.support.derivations import PUSHES, convert, pulled, push_v1, put_manifest_of, recorded
from tests.support.drivers import Died, Failing, wrapped
from tests.support.stores import everything

Reopen = Callable[[], Storage]
NAME, OTHER, TAG = RepositoryName("team/app"), RepositoryName("team/other"), "latest"

CASES = {
    "v1 to schema 2": ("v1", Plan(Form.SCHEMA2)),
    "v1 to schema 1": ("v1", Plan(Form.SCHEMA1)),
    "schema 1 to OCI": ("schema 1", Plan(Form.OCI_MANIFEST)),
    "zstd to schema 1": ("zstd", Plan(Form.SCHEMA1)),
    "zstd index to list": ("zstd index", Plan(Form.MANIFEST_LIST, gzip_only=True)),
}
MANY = 200


async def push_kind(storage: Storage, kind: str) -> None:
    store = Store(storage)
    await PUSHES[kind][0](store, NAME, TAG)
    # The registry's key is made by the first conversion of all, whatever becomes of that.
    await push_v1(store, OTHER, TAG)
    await convert(store, OTHER, TAG, Form.SCHEMA1)
    await store.close()


async def contents(storage: Storage) -> dict[str, bytes]:
    """All files but those that may be lost at any time, and gzips, which are kept for the next time."""
    found: dict[str, bytes] = {}
    for path in await everything(storage.driver):
        if path.startswith(layout.INDEX):
            continue
        try:
            found[path] = await storage.driver.read(path)
        except PathNotFound:
            continue  # an empty folder
    return found


@pytest.mark.parametrize("case", CASES)
async def test_a_killed_conversion_shows_nothing_half_made_and_is_mended(reopen: Reopen, case: str) -> None:
    kind, plan = CASES[case]
    await push_kind(reopen(), kind)
    for step in range(MANY):
        dying, driver = wrapped(reopen(), partial(Failing, steps=step, dies=True))
        store = Store(dying)
        try:
            await convert(store, NAME, TAG, plan)
        except Died:
            assert driver.failed
        fresh = Store(reopen())
        for digest in await recorded(fresh, NAME):
            await pulled(fresh, NAME, digest)
        if not driver.failed:
            break
        # The next process has nothing of this one but the disk.
        made = await convert(fresh, NAME, TAG, plan)
        again = Store(reopen())
        await pulled(again, NAME, made.digest)
        await fresh.storage.driver.delete(layout.derived(NAME))
        for each in (fresh, again):
            await each.close()
    else:
        pytest.fail("it never comes to its end")
    assert step > 3


@pytest.mark.parametrize("case", CASES)
async def test_a_conversion_that_finds_no_room_leaves_nothing(reopen: Reopen, case: str) -> None:
    kind, plan = CASES[case]
    await push_kind(reopen(), kind)
    warm = Store(reopen())
    made = await convert(warm, NAME, TAG, plan)  # what is known of layers, and gzips of them, stay
    await warm.close()
    await warm.storage.driver.delete(layout.derived(NAME))
    await forget_contents(warm.storage)
    before = await contents(reopen())
    for step in range(MANY):
        full, driver = wrapped(reopen(), partial(Failing, steps=step, dies=False))
        store = Store(full)
        try:
            await convert(store, NAME, TAG, plan)
        except StorageFull:
            assert await contents(reopen()) == before, f"step {step}"
        await store.close()
        if not driver.failed:
            break
    else:
        pytest.fail("it never comes to its end")
    assert step > 3
    assert len(await pulled(Store(reopen()), NAME, made.digest)) == 1


async def forget_contents(storage: Storage) -> None:
    """Removes the manifests and configurations that were made, but not gzips, and the signatures."""
    for path in await everything(storage.driver, f"{layout.DERIVED}/blobs"):
        content = await storage.driver.read(path)
        if content.startswith(b"{"):
            await storage.driver.delete(path)
    for path in await everything(storage.driver, layout.all_signed_schema1(NAME)):
        if path != layout.all_signed_schema1(NAME):
            await storage.driver.delete(path)


@pytest.mark.parametrize("dies", [True, False], ids=["killed", "full"])
@pytest.mark.parametrize("kind", PUSHES)
async def test_a_push_that_adopts_is_whole_or_not_there(reopen: Reopen, kind: str, *, dies: bool) -> None:
    """Whatever step of making blobs its own is cut off, a manifest that is shown has them; pushing again mends."""
    store = Store(reopen())
    form = PUSHES[kind][1]
    await PUSHES[kind][0](store, NAME, TAG)
    made = await convert(store, NAME, TAG, Form.SCHEMA2 if form is not Form.SCHEMA2 else Form.OCI_MANIFEST)
    await store.close()
    built = json.dumps({**json.loads(made.content), "built": "of it"}).encode()
    for step in range(MANY):
        failing, driver = wrapped(reopen(), partial(Failing, steps=step, dies=dies))
        cut = Store(failing)
        try:
            digest = await put_manifest_of(cut, NAME, "built", built)
        except (Died, StorageFull):
            assert driver.failed
        else:
            break
        fresh = Store(reopen())
        if "built" in await fresh.open(NAME).tags():
            await pulled(fresh, NAME, (await fresh.tags.resolve(NAME, TagName("built"))))
        await fresh.close()
    else:
        pytest.fail("it never comes to its end")
    with suppress(PathNotFound):
        await reopen().driver.delete(layout.DERIVED)
    await pulled(Store(reopen()), NAME, digest)


async def test_a_deletion_that_is_killed_is_completed_by_the_next(reopen: Reopen) -> None:
    for step in range(MANY):
        store = Store(reopen())
        for kind in ("OCI", "v1"):
            await PUSHES[kind][0](store, NAME, kind.lower())
        digests = [(await convert(store, NAME, tag, Form.SCHEMA1)).digest for tag in ("oci", "v1")]
        dying, driver = wrapped(reopen(), partial(Failing, steps=step, dies=True))
        try:
            for digest in digests:
                await Store(dying).open(NAME).delete_manifest(digest, actor=ACTOR)
        except Died:
            assert driver.failed
        fresh = Store(reopen())
        for digest in await recorded(fresh, NAME):
            if await fresh.conversions.find(NAME, digest) is not None:
                await pulled(fresh, NAME, digest)
                await fresh.open(NAME).delete_manifest(digest, actor=ACTOR)
        assert not [digest for digest in digests if await fresh.conversions.find(NAME, digest) is not None]
        if not driver.failed:
            break
    else:
        pytest.fail("it never comes to its end")
