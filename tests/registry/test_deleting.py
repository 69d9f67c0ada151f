"""Deleting: whole repositories, what goes along with a manifest, and what leaves the lists when the last one goes."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from functools import partial

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from typing_extensions import override

from backends.model import jws, media_types
from backends.model.digest import Digest
from backends.model.errors import ErrorCode, RegistryError
from backends.model.manifests import parse_manifest
from backends.model.names import ImageId, RepositoryName, TagName
from backends.model.v1names import V1Name
from backends.registry.deleting import Contents, Sides
from backends.registry.store import Store
from backends.registry.v1.stored_images import State
from backends.storage import layout
from backends.storage.driver import PathNotFound, StorageDriver
from backends.storage.factory import open_memory
from backends.storage.storage import Storage
from tests.support.actors import ACTOR
from tests.support.drivers import Died, Failing, ForwardingDriver, wrapped
from tests.support.serving_here import OCI_MANIFEST, describe, make_manifest
from tests.support.stores import CONFIG, LAYER, everything, names_found, put_blob, put_image
from tests.support.v1pushes import push
from tests.support.v1server import make_pushed

Reopen = Callable[[], Storage]

NAME, BELOW, OTHER = RepositoryName("app"), RepositoryName("app/tools"), RepositoryName("other/app")
TAG = TagName("latest")
V1_NAME = V1Name("library", "app")
IMAGE = make_pushed("f")


def schema1() -> bytes:
    document = {
        "schemaVersion": 1,
        "name": "app",
        "tag": "t",
        "fsLayers": [{"blobSum": str(Digest.of(LAYER))}],
        "history": [{"v1Compatibility": "{}"}],
    }
    return jws.sign(json.dumps(document, indent=3).encode(), ec.generate_private_key(ec.SECP256R1()))


async def put_v1(store: Store, name: V1Name = V1_NAME, *tags: str) -> None:
    if await store.v1_images.state(ImageId(IMAGE.id)) is not State.COMPLETE:
        await push(store.v1_images, [IMAGE])
    await store.v1_repositories.put_images(name, b"[]", [], actor=ACTOR)
    for tag in tags or ("latest",):
        await store.v1_repositories.put_tag(name, tag, ImageId(IMAGE.id), actor=ACTOR, now=1)


async def put_everything(store: Store, name: RepositoryName = NAME) -> None:
    """An image with two tags, a referrer, schema 1 with its signatures, and an upload that has begun."""
    repository = store.open(name)
    image = await put_image(store, name, TAG)
    for content, tag in ((make_manifest(CONFIG, LAYER), "second"), (schema1(), "old")):
        manifest = parse_manifest(content, "")
        digest = Digest.of(jws.verify(content)) if tag == "old" else image
        await repository.put_manifest(manifest, digest, TagName(tag), actor=ACTOR)
    subject = describe(make_manifest(CONFIG, LAYER), OCI_MANIFEST)
    referrer = make_manifest(CONFIG, LAYER, subject=subject)
    await repository.put_manifest(parse_manifest(referrer, ""), Digest.of(referrer), None, actor=ACTOR)
    await store.uploads.start(name)


async def names(store: Store) -> tuple[list[str], list[str]]:
    """What catalog and search list."""
    return list(await store.list_repositories(after="", limit=100)), await names_found(store, "")


async def files(driver: StorageDriver) -> Mapping[str, bytes]:
    """All but content by digest, v1's images and what has no meaning after a change: paths with what they hold."""
    shared = (layout.BLOBS, layout.V1_IMAGES, layout.V1_STAGING, f"{layout.INDEX}/layers", f"{layout.INDEX}/v1-layers")
    paths = [path for path in await everything(driver) if path != "/" and not path.startswith(shared)]
    return {path: await driver.read(path) for path in paths}


async def delete_again(deletion: Awaitable[None], unknown: ErrorCode) -> None:
    """Deletes what may be gone already."""
    try:
        await deletion
    except RegistryError as error:
        if error.code is not unknown:
            raise


async def test_a_repository_goes_with_all_that_is_its_own_and_nothing_else(reopen: Reopen) -> None:
    store = Store(reopen())
    await put_everything(store, BELOW)
    await put_everything(store, OTHER)
    before = await files(reopen().driver)
    await put_everything(store, NAME)
    await put_v1(store)
    await put_v1(store, V1Name("app", "tools-2"))
    await store.deletions.delete("app/tools-2", actor=ACTOR)
    assert await names(store) == (["app", "app/tools", "other/app"], ["app", "app/tools", "other/app"])
    assert await store.deletions.look("app") == Contents(3, 3, 2, 1, 1, is_there=True)
    await store.deletions.delete("app", actor=ACTOR)
    fresh = Store(reopen())
    assert await names(fresh) == (["app/tools", "other/app"], ["app/tools", "other/app"])
    assert await files(reopen().driver) == before
    assert await fresh.deletions.look("app") == Contents(0, 0, 0, 0, 0, is_there=False)
    for reference in (TAG, Digest.of(make_manifest(CONFIG, LAYER))):
        with pytest.raises(RegistryError, match="MANIFEST_UNKNOWN"):
            await fresh.open(NAME).get_manifest(reference)
        assert (await fresh.open(OTHER).get_manifest(reference)).content == make_manifest(CONFIG, LAYER)
    assert not await fresh.open(NAME).has_blob(Digest.of(LAYER))
    assert (await fresh.v1_images.get(ImageId(IMAGE.id))).layer_size is not None


async def test_no_folder_is_left_of_it_where_nothing_else_has_one(reopen: Reopen) -> None:
    store = Store(reopen())
    await put_everything(store, RepositoryName("team/deep/app"))
    await store.deletions.delete("team/deep/app", actor=ACTOR)
    for folder in (layout.REPOSITORIES, f"{layout.PRIMARY}/schema1", f"{layout.INDEX}/referrers"):
        with pytest.raises(PathNotFound):
            await reopen().driver.stat(f"{folder}/team")


async def test_what_is_not_there_is_unknown_and_two_deleters_are_told_so(reopen: Reopen) -> None:
    store, other = Store(reopen()), Store(reopen())
    await put_everything(store, BELOW)
    for name in ("app", "app/tools/deeper", "never"):
        with pytest.raises(RegistryError) as caught:
            await store.deletions.delete(name, actor=ACTOR)
        assert caught.value.code is ErrorCode.NAME_UNKNOWN
    await put_everything(store)
    deletions = [each.deletions.delete("app", actor=ACTOR) for each in (store, other) * 3]
    results = await asyncio.gather(*deletions, return_exceptions=True)
    assert [result for result in results if result is None] == [None]
    assert all(result is None or isinstance(result, RegistryError) for result in results)


@pytest.mark.parametrize("name", ["", "/", "a//../b", "\x00", "a\nb", "ä"])
async def test_what_can_be_no_name_is_refused(reopen: Reopen, name: str) -> None:
    with pytest.raises(RegistryError) as caught:
        await Store(reopen()).deletions.delete(name, actor=ACTOR)
    assert caught.value.code in {ErrorCode.NAME_INVALID, ErrorCode.NAME_UNKNOWN}


SIDES: list[tuple[str, RepositoryName | None, V1Name | None]] = [
    ("app", NAME, V1_NAME),
    ("library/app", NAME, V1_NAME),
    ("library/own", RepositoryName("library/own"), None),
    ("team/app", RepositoryName("team/app"), V1Name("team", "app")),
    ("team/app/deep", RepositoryName("team/app/deep"), V1Name("team", "app/deep")),
    ("library/a/b", RepositoryName("library/a/b"), V1Name("library", "a/b")),
    ("Team/app_", None, V1Name("Team", "app_")),
    ("a..b", None, V1Name("library", "a..b")),
]


@pytest.mark.parametrize(("name", "v2", "v1"), SIDES)
async def test_which_repositories_a_name_stands_for(
    reopen: Reopen, name: str, v2: RepositoryName | None, v1: V1Name | None
) -> None:
    store = Store(reopen())
    await put_image(store, RepositoryName("library/own"), TAG)
    await put_image(store, RepositoryName("library/app/below"), TAG)
    assert await store.deletions.sides(name) == Sides(v2, v1)


async def test_a_name_that_only_v1_can_have_is_deleted_there(reopen: Reopen) -> None:
    store = Store(reopen())
    name = V1Name("Team", "app_")
    await reopen().driver.write(layout.v1_tag(name.namespace, name.stored, "latest"), IMAGE.id.encode())
    assert (await store.deletions.look("Team/app_")).v1_tags == 1
    await store.deletions.delete("Team/app_", actor=ACTOR)
    assert await names(store) == ([], [])


async def test_a_v1_of_its_own_root_goes_too(reopen: Reopen) -> None:
    store = Store(reopen(), v1_storage=open_memory())
    await put_image(store, NAME, TAG)
    await put_v1(store)
    await store.deletions.delete("library/app", actor=ACTOR)
    assert await names(store) == ([], [])


async def test_who_dies_while_deleting_leaves_it_whole_or_gone_and_deleting_again_removes_the_rest(
    reopen: Reopen,
) -> None:
    empty = await files(reopen().driver)
    for step in range(30):
        fresh = Store(reopen())
        await put_everything(fresh)
        dying, driver = wrapped(reopen(), partial(Failing, steps=step, dies=True))
        died = False
        try:
            await Store(dying).deletions.delete("app", actor=ACTOR)
        except Died:
            died = True
        assert died is driver.failed
        fresh = Store(reopen())
        if (await names(fresh))[0]:
            assert list(await fresh.open(NAME).tags()) == ["latest", "old", "second"], step
            assert jws.verify((await fresh.open(NAME).get_manifest(TagName("old"))).content)
            for blob in (CONFIG, LAYER):
                assert await fresh.open(NAME).has_blob(Digest.of(blob)), step
        else:
            with pytest.raises(RegistryError, match="NAME_UNKNOWN"):
                await fresh.open(NAME).tags()
        await delete_again(fresh.deletions.delete("app", actor=ACTOR), ErrorCode.NAME_UNKNOWN)
        assert await files(reopen().driver) == empty, step
        if not driver.failed:
            assert step > 3
            return
    pytest.fail("it never came to its end")


async def test_pushes_that_meet_a_deletion_are_whole_or_refused(reopen: Reopen) -> None:
    """What was answered with success and is there afterwards can be pulled with all its layers."""
    stores = [Store(reopen()) for _ in range(2)]
    pushed = 0
    codes: set[ErrorCode] = set()

    async def push_again_and_again(store: Store) -> None:
        nonlocal pushed
        for _ in range(20):
            try:
                await put_image(store, NAME, TAG)
                pushed += 1
            except RegistryError as error:
                codes.add(error.code)

    async def delete_again_and_again(store: Store) -> None:
        for _ in range(20):
            await delete_again(store.deletions.delete("app", actor=ACTOR), ErrorCode.NAME_UNKNOWN)
            await require_whole(store)

    async def require_whole(store: Store) -> None:
        repository = store.open(NAME)
        async with store.storage.locks.hold(layout.repository_lock(NAME), patience=30):
            if await repository.has_manifest(Digest.of(make_manifest(CONFIG, LAYER))):
                for blob in (CONFIG, LAYER):
                    assert await repository.has_blob(Digest.of(blob))

    await asyncio.gather(
        *(push_again_and_again(store) for store in stores), *(delete_again_and_again(store) for store in stores)
    )
    assert pushed
    # Who has begun no upload that it could begin anew is asked to send all of it again.
    assert codes <= {ErrorCode.MANIFEST_BLOB_UNKNOWN, ErrorCode.UNAVAILABLE}
    await put_image(stores[0], NAME, TAG)
    await require_whole(stores[1])


async def test_an_upload_in_progress_goes_too_and_leaves_nothing(reopen: Reopen) -> None:
    store = Store(reopen())
    upload_id = await store.uploads.start(NAME)

    async def chunks() -> AsyncIterator[bytes]:
        yield b"half of it"

    async with store.uploads.open(NAME, upload_id) as session:
        await session.append(chunks())
        await Store(reopen()).deletions.delete("app", actor=ACTOR)
    assert not await files(reopen().driver)
    with pytest.raises(RegistryError, match="BLOB_UPLOAD_UNKNOWN"):
        async with Store(reopen()).uploads.open(NAME, upload_id):
            pass


# what goes along with a manifest


async def test_a_manifest_goes_with_its_signatures_and_its_entry_as_a_referrer(reopen: Reopen) -> None:
    store = Store(reopen())
    await put_everything(store)
    for digest in (
        Digest.of(jws.verify((await store.open(NAME).get_manifest(TagName("old"))).content)),
        await _referrer(store),
    ):
        await store.open(NAME).delete_manifest(digest, actor=ACTOR)
    left = await files(reopen().driver)
    assert not [path for path in left if "schema1" in path or "referrers/" in path]


async def test_signatures_that_distribution_2_0_kept_go_with_their_manifest(reopen: Reopen) -> None:
    store = Store(reopen())
    await put_everything(store)
    digest = Digest.of(jws.verify((await store.open(NAME).get_manifest(TagName("old"))).content))
    folder = layout.revision_link(NAME, digest).rpartition("/")[0]
    await reopen().driver.write(f"{folder}/signatures/sha256/{'a' * 64}/link", b"sha256:" + b"a" * 64)
    await store.open(NAME).delete_manifest(digest, actor=ACTOR)
    assert not [path for path in await files(reopen().driver) if "signatures" in path]


async def test_who_dies_while_deleting_a_manifest_leaves_what_deleting_it_again_removes(reopen: Reopen) -> None:
    await put_image(Store(reopen()), NAME, TAG)
    for which in ("signed", "referrer"):
        before = await files(reopen().driver)
        for step in range(10):
            fresh = Store(reopen())
            await put_everything(fresh)
            digest = (
                await _referrer(fresh)
                if which == "referrer"
                else Digest.of(jws.verify((await fresh.open(NAME).get_manifest(TagName("old"))).content))
            )
            dying, driver = wrapped(reopen(), partial(Failing, steps=step, dies=True))
            with suppress(Died):
                await Store(dying).open(NAME).delete_manifest(digest, actor=ACTOR)
            again = Store(reopen()).open(NAME)
            await delete_again(again.delete_manifest(digest, actor=ACTOR), ErrorCode.MANIFEST_UNKNOWN)
            left = (await files(reopen().driver)).keys() - before.keys()
            kind = "schema1" if which == "signed" else "referrers/"
            assert not [path for path in left if kind in path], step
            if not driver.failed:
                break
        await Store(reopen()).deletions.delete("app", actor=ACTOR)
        await put_image(Store(reopen()), NAME, TAG)


async def _referrer(store: Store) -> Digest:
    subject = Digest.of(make_manifest(CONFIG, LAYER))
    page = await store.open(NAME).referrers(subject, artifact_type=None, after="", limit=5)
    text: str = json.loads(page.descriptors[0])["digest"]
    return Digest("sha256", text.removeprefix("sha256:"))


async def test_nobody_is_pointed_to_a_repository_for_a_blob_that_it_has_no_more(reopen: Reopen) -> None:
    store = Store(reopen())
    for delete in (store.open(NAME).delete_blob, None):
        digest = await put_blob(store, NAME, LAYER)
        assert (await reopen().driver.read(layout.holder_hint(digest))).endswith(b" app")
        if delete is not None:
            await delete(digest, actor=ACTOR)
        else:
            await store.deletions.delete("app", actor=ACTOR)
        with pytest.raises(PathNotFound):
            await reopen().driver.read(layout.holder_hint(digest))
    await put_blob(store, NAME, LAYER)
    await put_blob(store, OTHER, LAYER)
    await store.deletions.delete("app", actor=ACTOR)
    assert await store.open(BELOW).mount_from_any(Digest.of(LAYER), actor=ACTOR)


# what leaves the lists


async def test_a_repository_without_manifests_is_listed_nowhere(reopen: Reopen) -> None:
    store = Store(reopen())
    digest = await put_image(store, NAME, TAG)
    await put_image(store, BELOW, TAG)
    await store.open(NAME).delete_tag(TAG, actor=ACTOR)
    assert list(await store.open(NAME).tags()) == []
    assert await names(store) == (["app", "app/tools"], ["app", "app/tools"])
    await store.open(NAME).delete_manifest(digest, actor=ACTOR)
    fresh = Store(reopen())
    assert await names(fresh) == (["app/tools"], ["app/tools"])
    with pytest.raises(RegistryError, match="NAME_UNKNOWN"):
        await fresh.open(NAME).tags()
    assert await fresh.open(NAME).has_blob(Digest.of(LAYER))
    await put_image(fresh, NAME, TAG)
    assert list(await Store(reopen()).open(NAME).tags()) == ["latest"]


async def test_a_repository_whose_tags_name_nothing_is_listed_still(reopen: Reopen) -> None:
    store = Store(reopen())
    digest = await put_image(store, NAME, TAG)
    await reopen().driver.write(layout.tag_current_link(NAME, TagName("dangling")), b"sha256:" + b"0" * 64)
    await store.open(NAME).delete_manifest(digest, actor=ACTOR)
    assert list(await store.open(NAME).tags()) == ["dangling"]
    await store.open(NAME).delete_tag(TagName("dangling"), actor=ACTOR)
    assert await names(store) == ([], [])


async def test_a_v1_repository_goes_with_its_last_tag(reopen: Reopen) -> None:
    store = Store(reopen())
    await put_v1(store, V1_NAME, "latest", "second", "_x")
    await store.v1_repositories.set_private(V1_NAME, private=True, actor=ACTOR)
    for tag in ("latest", "_x"):
        await store.v1_repositories.delete_tag(V1_NAME, tag, actor=ACTOR)
        assert await names_found(store, "") == ["app"]
    await store.v1_repositories.delete_tag(V1_NAME, "second", actor=ACTOR)
    fresh = Store(reopen())
    assert await names_found(fresh, "") == []
    with pytest.raises(RegistryError, match="NAME_UNKNOWN"):
        await fresh.v1_repositories.tags(V1_NAME)


class PushedMeanwhile(ForwardingDriver):
    """A driver under which somebody sets another tag in the moment in which the last one's repository goes."""

    push: Callable[[], Coroutine[None, None, None]]
    pushing: asyncio.Task[None] | None = None

    @override
    async def delete(self, path: str, *, durable: bool = True) -> None:
        if path == layout.v1_repository(V1_NAME.namespace, V1_NAME.stored):
            self.pushing = asyncio.create_task(self.push())
            await asyncio.sleep(0.1)
        await super().delete(path, durable=durable)


async def test_a_v1_tag_that_is_set_while_the_last_one_goes_is_there(reopen: Reopen) -> None:
    await put_v1(Store(reopen()))
    storage, driver = wrapped(reopen(), PushedMeanwhile)
    other = Store(reopen()).v1_repositories
    driver.push = lambda: other.put_tag(V1_NAME, "new", ImageId(IMAGE.id), actor=ACTOR, now=1)
    await Store(storage).v1_repositories.delete_tag(V1_NAME, "latest", actor=ACTOR)
    assert driver.pushing is not None
    await driver.pushing
    assert await Store(reopen()).v1_repositories.tags(V1_NAME) == {"new": IMAGE.id}


async def test_an_index_goes_and_what_it_names_stays(reopen: Reopen) -> None:
    store = Store(reopen())
    digest = await put_image(store, NAME, None)
    entry = describe(make_manifest(CONFIG, LAYER), OCI_MANIFEST)
    index = json.dumps({"schemaVersion": 2, "mediaType": media_types.OCI_INDEX, "manifests": [entry]}).encode()
    await store.open(NAME).put_manifest(
        parse_manifest(index, media_types.OCI_INDEX), Digest.of(index), TAG, actor=ACTOR
    )
    await store.open(NAME).delete_manifest(Digest.of(index), actor=ACTOR)
    assert await names(store) == (["app"], ["app"])
    assert await store.open(NAME).has_manifest(digest)


@pytest.mark.parametrize("recorded", [True, False], ids=["recorded", "by others"])
async def test_who_dies_while_deleting_what_both_have_pushed_brings_no_older_tag_back(
    reopen: Reopen,
    recorded: bool,  # noqa: FBT001 - a case
) -> None:
    """Each tag that is left names what it named, though a file of the other generation is left of it too."""
    empty = await files(reopen().driver)
    for step in range(40):
        fresh = Store(reopen())
        digest = await put_image(fresh, NAME, TAG)
        for tag in ("by-v1", "by-v2", TAG):
            await fresh.tags.move(NAME, TagName(tag), digest, actor=ACTOR, telling=None)
            await put_v1(fresh, V1_NAME, tag)
        await fresh.tags.move(NAME, TagName("by-v2"), digest, actor=ACTOR, telling=None)
        if not recorded:
            await asyncio.sleep(0.01)
            await reopen().driver.delete(layout.tag_records(NAME))
            await reopen().driver.write(layout.tag_current_link(NAME, TagName("by-v2")), str(digest).encode())
        before = await fresh.tags.targets(NAME)
        assert len({type(target) for target in before.values()}) == 2
        dying, driver = wrapped(reopen(), partial(Failing, steps=step, dies=True))
        with suppress(Died):
            await Store(dying).deletions.delete("app", actor=ACTOR)
        fresh = Store(reopen())
        assert (await fresh.tags.targets(NAME)).items() <= before.items(), step
        await delete_again(fresh.deletions.delete("app", actor=ACTOR), ErrorCode.NAME_UNKNOWN)
        assert await fresh.tags.targets(NAME) == {}
        assert await files(reopen().driver) == empty, step
        if not driver.failed:
            assert step > 6
            return
    pytest.fail("it never came to its end")
