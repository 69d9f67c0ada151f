"""An id that a client may not read is pushed again: each repository has its own bytes, and learns of no other."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from typing_extensions import override

from backends.model.conversion.impossible import ImpossibleConversion
from backends.model.conversion.plans import Form
from backends.model.digest import Digest, parse_digest
from backends.model.errors import ErrorCode, RegistryError
from backends.model.image_places import ImageCopy, ImagePlace
from backends.model.names import ImageId, RepositoryName
from backends.model.targets import V1Target
from backends.model.v1names import V1Name, parse_v1_name
from backends.registry.layers_pass import LayersPass
from backends.registry.no_room import exists
from backends.registry.store import Store
from backends.registry.v1.stored_images import State
from backends.registry.v1_view.viewer import Viewer
from backends.storage import layout
from backends.storage.driver import FileInfo, PathNotFound, StorageDriver, StorageFull
from backends.storage.factory import open_folder, open_memory
from backends.storage.storage import Storage
from tests.support.actors import ACTOR
from tests.support.derivations import pulled, push_v1
from tests.support.drivers import Died, Failing, ForwardingDriver, Unlinked, links_of, wrapped
from tests.support.kept_events import KeptEvents
from tests.support.layers import unpack
from tests.support.pauses import CPU_SECONDS, pauses
from tests.support.schema1_pushes import push_schema1
from tests.support.stores import everything
from tests.support.tenants import Tenant, chain_of, image_of
from tests.support.v1server import Pushed

Reopen = Callable[[], Storage]
A, B, C = "a-team/app", "b-team/app", "c-team/app"
OURS, THEIRS = chain_of("A", "1", "2"), chain_of("B", "1", "2")
MANY = 200
FORMS = [Form.SCHEMA2, Form.OCI_MANIFEST, Form.SCHEMA1]


@pytest.fixture
async def store(reopen: Reopen) -> Store:
    return guarded(reopen())


def guarded(storage: Storage) -> Store:
    """The store of a process that controls access."""
    return Store(storage, own_images=True)


async def both(store: Store) -> tuple[Tenant, Tenant]:
    """Two teams, of which the first has pushed, and then the second other bytes with the same ids."""
    a, b = Tenant(store, A), Tenant(store, B)
    await a.push(*OURS, tag="1.0")
    await b.push(*THEIRS, tag="1.0")
    return a, b


def copy(image: Pushed, name: str = B) -> ImageCopy:
    return ImageCopy(parse_v1_name(name), ImageId(image.id))


async def owners_of(store: Store, image: Pushed) -> list[V1Name]:
    return [each async for each in store.v1_copies.owners(ImageId(image.id))]


async def refused(work: Awaitable[object], code: ErrorCode) -> str:
    with pytest.raises(RegistryError) as caught:
        await work
    assert caught.value.code is code
    return str(caught.value.detail)


async def shared(store: Store) -> dict[str, bytes]:
    """All that docker-registry has of images."""
    driver = store.v1_storage.driver
    return {path: await driver.read(path) for path in await everything(driver, layout.V1_IMAGES)}


async def test_each_pulls_its_own_bytes(store: Store) -> None:
    a, b = await both(store)
    assert await a.pull("1.0") == OURS
    assert await b.pull("1.0") == THEIRS


async def test_the_image_that_was_there_first_stays_as_it_is(store: Store) -> None:
    a = Tenant(store, A)
    await a.push(*OURS, tag="1.0")
    before = await shared(store)
    await Tenant(store, B).push(*THEIRS, tag="1.0")
    assert await shared(store) == before


@pytest.mark.parametrize("form", FORMS)
async def test_each_gets_its_own_layers_in_every_other_form(store: Store, form: Form) -> None:
    a, b = await both(store)
    wanted = [[unpack(image.layer) for image in chain] for chain in (OURS, THEIRS)]
    (digest_a, layers_a), (digest_b, layers_b) = await a.pull_as(form, "1.0"), await b.pull_as(form, "1.0")
    assert [layers_a, layers_b] == wanted
    assert digest_a != digest_b
    for digest, other in ((digest_a, B), (digest_b, A)):
        name = RepositoryName(other)
        assert all(
            str(found) != digest for found, _ in await store.conversions.made_of(name, V1Target(ImageId("2" * 64)))
        )
        with pytest.raises(RegistryError):
            await pulled(store, name, parse_digest(digest))


async def test_an_image_that_a_client_may_read_is_there_for_it(store: Store) -> None:
    await Tenant(store, A).push(*OURS, tag="1.0")
    c = Tenant(store, C, readable=[A])
    await refused(c.put_json(OURS[0]), ErrorCode.IMAGE_EXISTS)
    await c.push(*OURS, tag="mine")
    assert await c.pull("mine") == OURS
    assert not await exists(store.storage.driver, layout.v1_copies(c.owner))


async def test_what_a_client_may_not_read_is_to_it_as_if_it_were_not_there(store: Store) -> None:
    await Tenant(store, A).push(*OURS, tag="1.0")
    b = Tenant(store, B)
    nowhere = image_of("9", "nothing")
    for ask in (b.get_json, b.get_ancestry, b.get_layer, b.put_layer, b.put_checksum, partial(b.put_tag, "stolen")):
        said = [await refused(ask(image), ErrorCode.IMAGE_UNKNOWN) for image in (OURS[1], nowhere)]
        assert said[0].replace(OURS[1].id, "") == said[1].replace(nowhere.id, "")
    child = image_of("3", "a child of theirs", parent=OURS[1])
    assert "non existing parent" in await refused(b.put_json(child), ErrorCode.IMAGE_INVALID)


async def test_the_same_bytes_pushed_by_another_are_its_own_too(store: Store) -> None:
    await Tenant(store, A).push(*OURS, tag="1.0")
    b = Tenant(store, B)
    await b.push(*OURS, tag="1.0")
    assert await b.pull("1.0") == OURS
    assert await store.v1_images.own(ImageId(OURS[0].id), b) == copy(OURS[0])


async def test_what_rests_on_a_copy_is_the_repositorys_own_though_its_id_is_free(store: Store) -> None:
    await Tenant(store, A).push(OURS[0], tag="1.0")
    b = Tenant(store, B)
    await b.push(*THEIRS, tag="1.0")
    assert await store.v1_images.state(ImageId(THEIRS[1].id)) is State.ABSENT
    assert list(await store.v1_images.places(copy(THEIRS[1]))) == [copy(THEIRS[1]), copy(THEIRS[0])]
    assert await b.pull("1.0") == THEIRS


async def test_a_copy_rests_on_a_shared_image_that_its_client_may_read(store: Store) -> None:
    await Tenant(store, C).push(OURS[0], tag="base")
    await Tenant(store, A, readable=[C]).push(*OURS, tag="1.0")
    b = Tenant(store, B, readable=[C])
    mine = [OURS[0], image_of("2", "B's", parent=OURS[0])]
    await b.push(*mine, tag="1.0")
    assert list(await store.v1_images.places(copy(mine[1]))) == [copy(mine[1]), mine[0].id]
    assert await b.pull("1.0") == mine
    _, layers = await b.pull_as(Form.OCI_MANIFEST, "1.0")
    assert layers == [unpack(image.layer) for image in mine]


async def test_who_pushed_first_sees_its_image_before_it_is_tagged_and_nobody_else_does(store: Store) -> None:
    a, b = Tenant(store, A), Tenant(store, B)
    await a.push(*OURS)
    assert (await a.get_json(OURS[1]))[0] == OURS[1].json
    await refused(b.get_json(OURS[1]), ErrorCode.IMAGE_UNKNOWN)
    assert await exists(store.storage.driver, layout.v1_image_json(ImageId(OURS[1].id)))


async def test_what_a_repository_has_pushed_does_not_open_another_image_with_that_id(store: Store) -> None:
    a, b = Tenant(store, A), Tenant(store, B)
    await b.push(THEIRS[0])
    await store.storage.driver.delete(layout.v1_image(ImageId(THEIRS[0].id)))  # an operator has cleaned up
    await a.push(OURS[0], tag="1.0")
    await refused(b.get_json(OURS[0]), ErrorCode.IMAGE_UNKNOWN)


async def test_an_image_that_is_being_pushed_is_not_seen_by_others(store: Store) -> None:
    a, b = Tenant(store, A), Tenant(store, B)
    await a.put_json(OURS[0])
    await refused(a.get_json(OURS[0]), ErrorCode.IMAGE_UPLOADING)
    await refused(b.get_json(OURS[0]), ErrorCode.IMAGE_UNKNOWN)
    await refused(b.put_layer(OURS[0]), ErrorCode.IMAGE_UNKNOWN)


async def test_a_reader_does_not_change_an_image_that_has_lost_its_layer(store: Store) -> None:
    a, c = Tenant(store, A), Tenant(store, C, readable=[A])
    await a.push(OURS[0], tag="1.0")
    await store.storage.driver.delete(layout.v1_image_layer(ImageId(OURS[0].id)))
    other = Pushed(OURS[0].id, OURS[0].json, THEIRS[0].layer)
    await c.put_layer(other)
    await c.put_checksum(other)
    assert not await store.v1_images.is_whole(ImageId(OURS[0].id))
    assert await store.v1_images.is_whole(copy(other, C))
    await a.put_layer(OURS[0])
    await a.put_checksum(OURS[0])
    assert await store.v1_images.is_whole(ImageId(OURS[0].id))
    assert await a.pull("1.0") == [OURS[0]]


async def test_a_child_that_is_whole_before_its_parent_finds_it_wherever_that_goes(store: Store) -> None:
    a = Tenant(store, A)
    await a.put_json(OURS[0])
    await a.put_json(OURS[1])
    for image in (OURS[1], OURS[0]):
        await a.put_layer(image)
        await a.put_checksum(image)
    await a.put_tag("1.0", OURS[1])
    assert await a.pull("1.0") == OURS
    assert (await a.pull_as(Form.SCHEMA2, "1.0"))[1] == [unpack(image.layer) for image in OURS]


class Nameless(Tenant):
    """A client without a token."""

    owner = None  # type: ignore[assignment]

    async def push_tag(self, name: V1Name, tag: str, image: Pushed) -> None:
        await self.store.v1_view.repositories.put_tag(
            name, tag, ImageId(image.id), viewer=self.viewer, actor=ACTOR, now=1
        )


async def test_a_push_that_names_no_repository_is_refused(store: Store) -> None:
    assert "token" in await refused(Nameless(store, A).put_json(OURS[0]), ErrorCode.DENIED)


async def test_copies_go_with_their_repository_and_are_pushed_again(store: Store) -> None:
    a, b = await both(store)
    digest, _ = await b.pull_as(Form.SCHEMA2, "1.0")
    await store.deletions.delete(B, actor=ACTOR)
    assert not await exists(store.storage.driver, layout.v1_copies(parse_v1_name(B)))
    with pytest.raises(RegistryError):
        await pulled(store, RepositoryName(B), parse_digest(digest))
    await refused(b.get_json(THEIRS[0]), ErrorCode.IMAGE_UNKNOWN)
    await b.push(*THEIRS, tag="1.0")
    assert (await b.pull("1.0"), await a.pull("1.0")) == (THEIRS, OURS)


async def test_copies_go_with_the_last_tag(store: Store) -> None:
    _, b = await both(store)
    await store.v1_repositories.delete_tag(b.owner, "1.0", actor=ACTOR)
    assert not await exists(store.storage.driver, layout.v1_copies(b.owner))


async def test_a_tag_that_is_put_while_its_copies_go_does_not_come_to_name_anothers_image(store: Store) -> None:
    a, b = await both(store)
    for order in range(2):
        await b.push(*THEIRS, tag="1.0")
        works = [b.put_tag("2.0", THEIRS[1]), store.deletions.delete(B, actor=ACTOR)]
        await asyncio.gather(*(works if order else works[::-1]), return_exceptions=True)
        with suppress(PathNotFound):
            for place in (await store.tags.images_of_v1(b.owner)).values():
                assert place == copy(THEIRS[1])
        assert await a.pull("1.0") == OURS


async def test_deleting_a_converted_manifest_takes_the_tags_of_that_image_alone(store: Store) -> None:
    a, b = await both(store)
    digest, _ = await b.pull_as(Form.SCHEMA2, "1.0")
    await store.open(RepositoryName(B)).delete_manifest(parse_digest(digest), actor=ACTOR)
    assert await a.pull("1.0") == OURS
    with suppress(RegistryError):  # of a repository without tags a folder may be left
        assert await b.get_tags() == {}


async def test_what_was_made_of_a_shared_image_is_not_of_the_copy_that_came_after_it(store: Store) -> None:
    await Tenant(store, C).push(*OURS, tag="base")
    b = Tenant(store, B, readable=[C])
    await b.push(*OURS, tag="1.0")
    before, layers = await b.pull_as(Form.SCHEMA2, "1.0")
    assert layers == [unpack(image.layer) for image in OURS]
    await store.v1_repositories.delete_tag(b.owner, "1.0", actor=ACTOR)
    b.readable = ()
    await b.push(*THEIRS, tag="1.0")
    after, layers = await b.pull_as(Form.SCHEMA2, "1.0")
    assert layers == [unpack(image.layer) for image in THEIRS]
    assert before != after
    await store.open(RepositoryName(B)).delete_manifest(parse_digest(before), actor=ACTOR)
    assert await b.pull("1.0") == THEIRS
    assert await b.pull_as(Form.SCHEMA2, "1.0") == (after, layers)


async def test_events_tell_of_each_teams_own_blobs(reopen: Reopen) -> None:
    events = KeptEvents()
    store = Store(reopen(), events=events, own_images=True)
    for name, chain in ((A, OURS), (B, THEIRS)):
        await Tenant(store, name).push(*chain, tag="1.0")
        told = [event.target.digest for event in events.take()]
        assert told == [Digest.of(image.layer) for image in (*chain, chain[1])]
        known = await store.v1_view.images.known_layer_blob(ImageId(chain[1].id), Tenant(store, name))
        assert known is not None
        assert known.digest == Digest.of(chain[1].layer)
    await store.close()


async def test_the_pass_over_layers_reads_both(reopen: Reopen) -> None:
    first = guarded(reopen())
    await both(first)
    for folder in ("layers", "v1-layers"):
        with suppress(PathNotFound):
            await first.storage.driver.delete(f"{layout.INDEX}/{folder}")
    second = guarded(reopen())
    progress = await LayersPass(second).run()
    assert (progress.found, progress.read) == (2, 4)
    for chain, name in ((OURS, None), (THEIRS, B)):
        for image in chain:
            place: ImagePlace = ImageId(image.id) if name is None else copy(image, name)
            known = await second.layers.known_v1(place)
            assert known is not None
            assert known.size == len(image.layer)
    await second.close()


async def test_a_tag_is_put_by_who_names_the_repository_in_no_token(store: Store) -> None:
    _, b = await both(store)
    await Nameless(store, B).push_tag(b.owner, "2.0", THEIRS[1])
    assert await b.pull("2.0") == THEIRS


async def test_a_tag_takes_no_ancestor_that_its_client_has_no_right_to_any_more(store: Store) -> None:
    c, b = Tenant(store, C), Tenant(store, B, readable=[C])
    await c.push(OURS[0], tag="base")
    await b.push(*OURS)
    b.readable = ()
    assert OURS[0].id in await refused(b.put_tag("1.0", OURS[1]), ErrorCode.IMAGE_UNKNOWN)


async def test_a_store_that_looks_for_no_copies_serves_nobody_by_rights(reopen: Reopen) -> None:
    """It would give a team the other's images by its own tags."""
    store = Store(reopen())
    with pytest.raises(AssertionError, match="sight"):
        await Tenant(store, A).push(OURS[0])
    await store.close()


async def test_a_base_that_another_repository_has_for_itself_is_not_sent_again_by_who_may_pull_it(store: Store) -> None:
    """As if it were shared: else who pushes would learn that a third one had its id before."""
    await Tenant(store, "t-team/app").push(*chain_of("T", "1", "2"), tag="1.0")
    a, b = Tenant(store, A), Tenant(store, B, readable=[A])
    await a.push(*OURS, tag="1.0")
    app = image_of("3", "B's app", parent=OURS[1])
    for image in OURS:
        await refused(b.put_json(image), ErrorCode.IMAGE_EXISTS)
    await b.push(*OURS, app, tag="1.0")
    await b.push(*OURS, tag="base")
    assert list(await store.v1_images.places(copy(app))) == [copy(image) for image in (app, *reversed(OURS))]
    await store.deletions.delete(A, actor=ACTOR)
    assert await b.pull("1.0") == [*OURS, app]
    assert await b.pull("base") == OURS
    assert (await b.pull_as(Form.OCI_MANIFEST, "1.0"))[1] == [unpack(image.layer) for image in [*OURS, app]]


async def test_who_names_no_repository_sees_what_was_pushed_to_those_that_it_may_pull(store: Store) -> None:
    a, b = Tenant(store, A), Tenant(store, B)
    for tenant, chain in ((a, OURS), (b, THEIRS)):
        await tenant.push(*chain)
        assert (await Nameless(store, tenant.name).get_json(chain[1]))[0] == chain[1].json
        assert await Nameless(store, tenant.name).get_layer(chain[1]) == chain[1].layer
        assert await Nameless(store, tenant.name).get_ancestry(chain[1]) == [chain[1].id, chain[0].id]
    await refused(Nameless(store, C).get_json(OURS[1]), ErrorCode.IMAGE_UNKNOWN)
    assert (await Nameless(store, C, readable=[B, A]).get_json(OURS[1]))[0] == OURS[1].json
    await refused(store.deletions.delete(B, actor=ACTOR), ErrorCode.NAME_UNKNOWN)  # but what was pushed to it goes
    await refused(Nameless(store, B).get_json(THEIRS[1]), ErrorCode.IMAGE_UNKNOWN)
    assert len(await everything(store.storage.driver, layout.V1_OWNERS)) == 2


@pytest.mark.parametrize("pushed_by", ["v1", "v2"])
async def test_ids_of_what_is_pushed_by_v2_do_not_tell_of_others(pushed_by: str) -> None:
    """Docker 1.6 to 1.9 pushes images with ids by v2, and older ones see them by v1."""
    seen: list[dict[str, str]] = []
    for is_alone in (True, False):
        storage = open_memory()
        store = guarded(storage)
        if not is_alone and pushed_by == "v1":
            await Tenant(store, A).push(*OURS, tag="1.0")
        elif not is_alone:
            await push_schema1(store, RepositoryName(A), "1.0", OURS)
            await store.v1_view.repositories.tags(parse_v1_name(A), Viewer(patience=None))
        await push_schema1(store, RepositoryName(B), "1.0", THEIRS)
        seen.append(dict(await store.v1_view.repositories.tags(parse_v1_name(B), Viewer(patience=None))))
        await store.close()
        await storage.close()
    assert seen[0] == seen[1]


async def test_a_copy_that_has_lost_what_it_rests_on_does_not_come_to_rest_on_anothers(store: Store) -> None:
    _, b = await both(store)
    await store.storage.driver.delete(layout.v1_image(copy(THEIRS[0])))  # somebody has cleaned up
    for form in FORMS:
        with pytest.raises(ImpossibleConversion, match="push the image again"):
            await b.pull_as(form, "1.0")
    with pytest.raises(RegistryError):
        await b.put_tag("2.0", THEIRS[1])


# cut off


async def require_own(store: Store, name: str, chain: Sequence[Pushed]) -> None:
    """Whatever a tag of a repository names is its own image, whole."""
    with suppress(PathNotFound):
        for place in (await store.tags.images_of_v1(parse_v1_name(name))).values():
            places = await store.v1_images.places(place)
            for each, image in zip(places, reversed(chain), strict=True):
                assert (await store.v1_images.get(each)).content == image.json


@pytest.mark.parametrize("dies", [True, False], ids=["killed", "full"])
async def test_a_push_that_is_cut_off_at_any_step_is_finished_by_the_next(reopen: Reopen, dies: bool) -> None:  # noqa: FBT001 - a table
    first = guarded(reopen())
    await Tenant(first, A).push(*OURS, tag="1.0")
    before, ran_through = await shared(first), False
    for step in range(MANY):
        for folder in (layout.v1_copies(parse_v1_name(B)), layout.V1_STAGED_COPIES, f"{layout.V1_REPOSITORIES}/b-team"):
            with suppress(PathNotFound):
                await first.storage.driver.delete(folder)
        cut, driver = wrapped(reopen(), partial(Failing, steps=step, dies=dies))
        with suppress(Died, StorageFull):
            await Tenant(guarded(cut), B).push(*THEIRS, tag="1.0")
            ran_through = True
        await require_own(first, B, THEIRS)
        if not dies and driver.failed:
            left = await everything(first.storage.driver, layout.v1_copies(parse_v1_name(B)))
            assert all(
                len([path for path in left if path.startswith(layout.v1_image(copy(i)))]) in {0, 5} for i in THEIRS
            )
        fresh = guarded(reopen())
        b = Tenant(fresh, B)
        await b.push(*THEIRS, tag="1.0")
        assert await b.pull("1.0") == THEIRS
        assert await shared(fresh) == before
        await fresh.close()
        if ran_through:
            break
    assert ran_through
    await first.close()


async def test_the_first_push_that_is_killed_at_any_step_is_finished_by_the_next(reopen: Reopen) -> None:
    first = guarded(reopen())
    for step in range(MANY):
        for folder in (layout.PRIMARY, layout.V1_REPOSITORIES, layout.V1_IMAGES):
            with suppress(PathNotFound):
                await first.storage.driver.delete(folder)
        dying, driver = wrapped(reopen(), partial(Failing, steps=step, dies=True))
        with suppress(Died):
            await Tenant(guarded(dying), A).push(*OURS, tag="1.0")
        fresh = guarded(reopen())
        a, b = Tenant(fresh, A), Tenant(fresh, B)
        for image in OURS:
            await refused(b.get_json(image), ErrorCode.IMAGE_UNKNOWN)
        await a.push(*OURS, tag="1.0")
        await b.push(*THEIRS, tag="1.0")
        assert (await a.pull("1.0"), await b.pull("1.0")) == (OURS, THEIRS)
        await fresh.close()
        if not driver.failed:
            break
    else:
        raise AssertionError("it has more steps than that")
    await first.close()


async def test_a_deletion_that_is_killed_at_any_step_leaves_no_tag_that_names_anothers_image(reopen: Reopen) -> None:
    first = guarded(reopen())
    a, b = await both(first)
    for step in range(MANY):
        await b.push(*THEIRS, tag="1.0")
        await b.put_tag("2.0", THEIRS[1])
        await b.pull_as(Form.SCHEMA2, "1.0")
        dying, driver = wrapped(reopen(), partial(Failing, steps=step, dies=True))
        with suppress(Died):
            await guarded(dying).deletions.delete(B, actor=ACTOR)
        await require_own(first, B, THEIRS)
        for image in THEIRS:
            assert not await first.v1_copies.has(copy(image)) or b.owner in await owners_of(first, image)
        with suppress(RegistryError):
            await first.deletions.delete(B, actor=ACTOR)
        assert not await exists(first.storage.driver, layout.v1_copies(b.owner))
        assert await a.pull("1.0") == OURS
        if not driver.failed:
            break
    else:
        raise AssertionError("it has more steps than that")
    await first.close()


async def test_what_another_repository_has_is_made_its_own_wherever_that_is_cut_off(reopen: Reopen) -> None:
    first = guarded(reopen())
    await Tenant(first, "t-team/app").push(*chain_of("T", "1", "2"), tag="1.0")
    await Tenant(first, A).push(*OURS, tag="1.0")
    for step in range(MANY):
        for folder in (layout.v1_copies(parse_v1_name(B)), f"{layout.V1_REPOSITORIES}/b-team"):
            with suppress(PathNotFound):
                await first.storage.driver.delete(folder)
        dying, driver = wrapped(reopen(), partial(Failing, steps=step, dies=True))
        with suppress(Died):
            await Tenant(guarded(dying), B, readable=[A]).push(*OURS, tag="1.0")
        await require_own(first, B, OURS)
        fresh = guarded(reopen())
        await Tenant(fresh, B, readable=[A]).push(*OURS, tag="1.0")
        assert await Tenant(fresh, B).pull("1.0") == OURS
        assert await Tenant(fresh, A).pull("1.0") == OURS
        await fresh.close()
        if not driver.failed:
            break
    else:
        raise AssertionError("it has more steps than that")
    await first.close()


class Meeting(ForwardingDriver):
    """A driver that lets something else happen before its `steps`-th change, as far as that goes at once."""

    def __init__(self, driver: StorageDriver, steps: int, work: Callable[[], Coroutine[None, None, None]]) -> None:
        super().__init__(driver)
        self._left = steps
        self._work = work
        self.met: asyncio.Task[None] | None = None

    async def _step(self) -> None:
        self._left -= 1
        if self._left < 0 and self.met is None:
            self.met = asyncio.create_task(self._work())
            await asyncio.wait([self.met], timeout=0.02)  # or it waits for a lock

    @override
    async def write(self, path: str, content: bytes, *, durable: bool = True) -> None:
        await self._step()
        await super().write(path, content, durable=durable)

    @override
    async def move(self, source: str, target: str) -> None:
        await self._step()
        await super().move(source, target)

    async def link(self, source: str, target: str) -> bool:
        await self._step()
        return await links_of(self.driver).link(source, target)


@pytest.mark.parametrize("adopts", [False, True], ids=["pushed", "adopted"])
async def test_a_push_that_a_deletion_meets_at_any_step_is_finished_by_the_next(reopen: Reopen, adopts: bool) -> None:  # noqa: FBT001 - a table
    first = guarded(reopen())
    await Tenant(first, "t-team/app").push(*chain_of("T", "1", "2"), tag="1.0")
    await Tenant(first, A).push(*OURS, tag="1.0")
    chain, readable = (OURS, [A]) if adopts else (THEIRS, [])
    sent = [] if adopts else chain  # Docker asks first what is there
    for step in range(MANY):
        await Tenant(first, B).push(image_of("3", "B 3"), tag="3.0")
        meeting, driver = wrapped(
            reopen(), partial(Meeting, steps=step, work=partial(first.deletions.delete, B, actor=ACTOR))
        )
        with suppress(RegistryError):
            b = Tenant(guarded(meeting), B, readable=readable)
            await b.push(*sent)
            await b.put_tag("1.0", chain[-1])
        if driver.met is None:
            break
        await driver.met
        b = Tenant(first, B, readable=readable)
        await b.push(*sent)
        await b.put_tag("1.0", chain[-1])
        assert await Tenant(first, B).pull("1.0") == chain
        for image in chain:
            assert b.owner in await owners_of(first, image)
        await first.deletions.delete(B, actor=ACTOR)
    else:
        raise AssertionError("it has more steps than that")
    await first.close()


async def test_of_two_processes_that_push_one_id_each_has_its_own(reopen: Reopen) -> None:
    stores = [guarded(reopen()) for _ in range(2)]
    for number in range(10):
        letters = (f"{number:x}" * 64, f"{number + 1:x}" * 32 + "f" * 32)
        chains = [chain_of(f"{name}{number}", *letters) for name in (A, B)]
        tenants = [Tenant(store, f"{name}{number}") for store, name in zip(stores, (A, B), strict=True)]
        await asyncio.gather(*(each.push(*chain, tag="1.0") for each, chain in zip(tenants, chains, strict=True)))
        for each, chain in zip(tenants, chains, strict=True):
            assert await each.pull("1.0") == chain
            each.store = stores[1 - stores.index(each.store)]
            assert await each.pull("1.0") == chain
    for store in stores:
        await store.close()


async def test_where_nothing_can_be_linked_copies_are_copied_and_leave_nothing_staged(reopen: Reopen) -> None:
    store = guarded(wrapped(reopen(), Unlinked)[0])
    a, b = await both(store)
    assert (await a.pull("1.0"), await b.pull("1.0")) == (OURS, THEIRS)
    for folder in (layout.V1_STAGING, layout.V1_STAGED_COPIES):
        left = await everything(store.storage.driver, folder)
        assert not [path for path in left if "layer-" in path]


@dataclass(frozen=True, slots=True)
class Everywhere:
    """What a client sees who names no repository and may pull all."""

    owner: V1Name | None = None
    sees_others: bool = True

    def may_pull(self, owner: V1Name) -> bool:  # noqa: ARG002 - a sight
        return True

    async def may_read(self, image_id: ImageId) -> bool:  # noqa: ARG002 - as above
        return False

    async def may_read_made(self, image_id: ImageId) -> bool:  # noqa: ARG002 - as above
        return False


async def test_an_image_that_thousands_of_repositories_have_pushed_holds_up_nobody(tmp_path: Path) -> None:
    storage, image = open_folder(tmp_path), ImageId("a" * 64)
    store = guarded(storage)
    owners = [parse_v1_name(f"team/app{number}") for number in range(4000)]

    def make() -> None:
        files = {layout.v1_image_json(image): "{}"}
        for owner in owners:
            files[layout.v1_owner(ImageCopy(owner, image))] = owner.text
            files[layout.v1_pushed(ImageCopy(owner, image))] = "sha256:other"
        for each in owners[:2000]:
            files[layout.v1_image_json(ImageCopy(each, image))] = "{}"
        for path, content in files.items():
            file = tmp_path / path[1:]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)

    await asyncio.to_thread(make)
    async with pauses() as seen:
        own = await store.v1_images.own(image, Everywhere())
    assert own is not None
    assert own.owner in owners
    assert max(cpu for cpu, _ in seen) < CPU_SECONDS
    await store.close()
    await storage.close()


class Recording(ForwardingDriver):
    """A driver that notes which paths it is asked for."""

    def __init__(self, driver: StorageDriver) -> None:
        super().__init__(driver)
        self.paths: list[str] = []

    @override
    async def stat(self, path: str) -> FileInfo:
        self.paths.append(path)
        return await super().stat(path)

    @override
    async def read(self, path: str) -> bytes:
        self.paths.append(path)
        return await super().read(path)

    @override
    async def list(self, path: str) -> Sequence[str]:
        self.paths.append(path)
        return await super().list(path)

    @override
    async def write(self, path: str, content: bytes, *, durable: bool = True) -> None:
        self.paths.append(path)
        await super().write(path, content, durable=durable)


async def test_without_access_control_pushes_and_pulls_by_id_come_near_no_copy(reopen: Reopen) -> None:
    storage, driver = wrapped(reopen(), Recording)
    store = Store(storage)
    await push_v1(store, RepositoryName(A), "1.0", OURS)
    for image in OURS:
        assert (await store.v1_view.images.get(ImageId(image.id), Viewer(patience=None))).content == image.json
    assert driver.paths
    assert not [path for path in driver.paths if path.startswith((layout.V1_COPIES, layout.V1_STAGED_COPIES))]
