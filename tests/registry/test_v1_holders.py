"""Which repositories hold an image of v1: what is known of it follows what any process pushes, moves and deletes."""

from __future__ import annotations

import asyncio
import json
import os
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest
from typing_extensions import override

from backends.model.actor import Actor
from backends.model.conversion.plans import Form, Plan
from backends.model.conversion.policy import ALL_CONVERSIONS, ConversionPolicy, ConversionRule, Permission
from backends.model.manifests import parse_stored_manifest
from backends.model.names import ImageId, RepositoryName, TagName
from backends.model.targets import V1Target
from backends.model.v1names import parse_v1_name
from backends.registry.store import Store
from backends.registry.v1_view.derived_images import DerivedImages, ImageSource
from backends.registry.v1_view.holders import SETTLED_SECONDS, Holders
from backends.registry.v1_view.tagged_images import TaggedImages
from backends.registry.v1_view.viewer import Viewer
from backends.storage import layout
from backends.storage.driver import FileInfo, StorageReadOnly
from backends.storage.factory import open_folder
from backends.storage.forwarding_driver import ForwardingDriver
from tests.support.actors import ACTOR
from tests.support.drivers import wrapped
from tests.support.pauses import CPU_SECONDS, pauses
from tests.support.pushed_examples import expected_v1, gzip_layer, push_example, push_image
from tests.support.schema1_pushes import push_schema1
from tests.support.v1_volumes import write_images, write_tags
from tests.support.v1pushes import push
from tests.support.v1server import Pushed, make_pushed

VIEWER = Viewer(patience=None)
APP, OTHER = RepositoryName("team/app"), RepositoryName("other/app")
BASE = make_pushed("a")
MIDDLE = make_pushed("b", parent=BASE.id)
TOP = make_pushed("c", parent=MIDDLE.id)
CHAIN = (BASE, MIDDLE, TOP)
LOOSE = make_pushed("d", parent=BASE.id)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


Open = Callable[..., Store]


@pytest.fixture
async def processes(root: Path) -> AsyncIterator[Open]:
    """Opens stores over one root, each as another process."""
    opened: list[Store] = []

    def another(policy: ConversionPolicy = ALL_CONVERSIONS) -> Store:
        opened.append(Store(open_folder(root), conversion_policy=policy))
        return opened[-1]

    yield another
    for store in opened:
        await store.close()
        await store.storage.close()


@pytest.fixture
def store(processes: Open) -> Store:
    return processes()


async def tag(store: Store, name: str, text: str, image: Pushed, *, actor: Actor = ACTOR) -> None:
    place, image_id = parse_v1_name(name), ImageId(image.id)
    await store.v1_repositories.put_tag(place, text, image_id, actor=actor, now=1)


def only(*names: str) -> Callable[[str], bool]:
    return lambda name: name in names


def anywhere(_: str) -> bool:
    return True


async def held(store: Store, images: Sequence[Pushed], *names: str) -> list[bool]:
    """Of each image, whether one of these repositories holds it, asked of all and of the first one first."""
    found = []
    for image in images:
        alone = await store.v1_view.tagged.is_held(ImageId(image.id), only(*names))
        first = await store.v1_view.tagged.is_held(ImageId(image.id), only(*names), first=names[0])
        assert alone == first
        found.append(alone)
    return found


async def made(store: Store, image_id: str, *names: str) -> bool:
    alone = await store.v1_view.made.is_held(ImageId(image_id), only(*names))
    first = await store.v1_view.made.is_held(ImageId(image_id), only(*names), first=names[0])
    assert alone == first
    return alone


async def pull(store: Store, name: RepositoryName, text: str) -> Sequence[str]:
    """Asks as a client does: for the tag, then for the ancestry."""
    tagged = await store.v1_view.repositories.tag(parse_v1_name(name), text, VIEWER)
    return await store.v1_view.images.ancestry(ImageId(tagged.image_id), VIEWER)


# by tags


async def test_a_tag_holds_what_it_names_and_all_below_it(store: Store) -> None:
    await push(store.v1_images, (*CHAIN, LOOSE))
    await tag(store, "team/app", "1", TOP)
    assert await held(store, CHAIN, "team/app") == [True] * 3
    assert await held(store, [LOOSE], "team/app") == [False]
    assert await held(store, CHAIN, "other/app", "team") == [False] * 3
    assert await held(store, [make_pushed("e")], "team/app") == [False]


async def test_what_a_push_announces_holds_nothing(store: Store) -> None:
    await push(store.v1_images, CHAIN)
    await tag(store, "team/app", "1", TOP)
    announced = [{"id": image.id} for image in CHAIN]
    place = parse_v1_name("other/app")
    await store.v1_repositories.put_images(place, json.dumps(announced).encode(), announced, actor=ACTOR)
    assert await held(store, CHAIN, "other/app") == [False] * 3


async def test_every_process_follows_what_others_push_move_and_delete(processes: Open) -> None:
    ours, theirs = processes(), processes()
    await push(theirs.v1_images, (*CHAIN, LOOSE))
    assert await held(ours, CHAIN, "team/app") == [False] * 3
    await tag(theirs, "team/app", "1", MIDDLE)
    assert await held(ours, CHAIN, "team/app") == [True, True, False]
    await tag(theirs, "team/app", "1", TOP)
    assert await held(ours, CHAIN, "team/app") == [True] * 3
    await tag(theirs, "team/app", "1", LOOSE)
    assert await held(ours, (*CHAIN, LOOSE), "team/app") == [True, False, False, True]
    await tag(theirs, "other/app", "2", TOP)
    assert await held(ours, CHAIN, "team/app", "other/app") == [True] * 3
    await theirs.v1_repositories.delete_tag(parse_v1_name("other/app"), "2", actor=ACTOR)
    assert await held(ours, CHAIN, "other/app") == [False] * 3
    await theirs.deletions.delete("team/app", actor=ACTOR)
    assert await held(ours, (*CHAIN, LOOSE), "team/app", "other/app") == [False] * 4


async def test_a_change_is_seen_whether_folders_are_at_rest_or_their_clock_is_coarse(
    processes: Open, root: Path
) -> None:
    ours, theirs = processes(), processes()
    folder = root / "repositories/team/app"
    await push(theirs.v1_images, (*CHAIN, LOOSE))
    await tag(theirs, "team/app", "1", BASE)
    await asyncio.sleep(2 * SETTLED_SECONDS)
    assert await held(ours, (MIDDLE, LOOSE), "team/app") == [False, False]
    await tag(theirs, "team/app", "2", LOOSE)
    assert await held(ours, (MIDDLE, LOOSE), "team/app") == [False, True]
    before = folder.stat()
    await tag(theirs, "team/app", "3", MIDDLE)
    os.utime(folder, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert await held(ours, (MIDDLE,), "team/app") == [True]


async def test_a_tag_that_was_moved_in_place_by_docker_registry_holds_only_what_it_names(
    store: Store, root: Path
) -> None:
    """It overwrites the file, so the folder's time stays."""
    await push(store.v1_images, (*CHAIN, LOOSE))
    await tag(store, "team/app", "1", TOP)
    assert await held(store, [TOP], "team/app") == [True]
    (root / "repositories/team/app/tag_1").write_bytes(LOOSE.id.encode())
    assert await held(store, [TOP, MIDDLE], "team/app") == [False, False]
    assert await held(store, [LOOSE, BASE], "team/app") == [True, True]


async def test_a_tag_that_v2_has_taken_over_holds_no_image_of_v1(store: Store) -> None:
    await push(store.v1_images, CHAIN)
    await tag(store, APP, "1", TOP)
    assert await held(store, CHAIN, APP) == [True] * 3
    await push_example(store, APP, "1", "oci-zstd-image")
    assert await held(store, CHAIN, APP) == [False] * 3
    await tag(store, APP, "1", TOP)
    assert await held(store, CHAIN, APP) == [True] * 3


@pytest.mark.parametrize("name", ["app", "library/app", "Team/App", "team/deep/er", "a..b/c"])
async def test_a_repository_is_found_by_its_canonical_name(root: Path, processes: Open, name: str) -> None:
    write_images(root, [*CHAIN])
    write_tags(root, name, {"1": TOP.id})
    store = processes()
    assert await held(store, CHAIN, parse_v1_name(name).canonical) == [True] * 3
    assert await held(store, CHAIN, "team/nothing") == [False] * 3


async def test_ids_of_docker_before_1_0_are_held_too(root: Path, processes: Open) -> None:
    short = make_pushed("0123456789abcdef")
    write_images(root, [short])
    write_tags(root, "team/app", {"1": short.id})
    assert await held(processes(), [short], "team/app") == [True]


async def test_what_does_not_fit_the_bound_is_read_when_it_is_asked_for(store: Store) -> None:
    await push(store.v1_images, (*CHAIN, LOOSE))
    for number in range(4):
        await tag(store, f"team/app{number}", "1", TOP)
    await tag(store, "team/loose", "1", LOOSE)
    held_by_tags = TaggedImages(
        store.storage.driver,
        store.v1_storage.driver,
        tags=store.tags,
        repositories=store.v1_repositories,
        images=store.v1_images,
        conversions=store.conversions,
    )
    for bound in (1, 5, 9):
        holders = Holders(held_by_tags, bound=bound)
        for number in range(4):
            assert await holders.is_held(ImageId(TOP.id), only(f"team/app{number}"))
        assert await holders.is_held(ImageId(LOOSE.id), only("team/loose"))
        assert not await holders.is_held(ImageId(LOOSE.id), only("team/app1"))


async def test_a_migrated_tag_holds_the_image_that_it_was_made_of(processes: Open) -> None:
    ours, store = processes(), processes()
    await push(store.v1_images, CHAIN)
    await tag(store, APP, "1", TOP)
    plan = Plan(Form.SCHEMA2, gzip_only=True)

    async def migrate(name: RepositoryName) -> None:
        source = V1Target(ImageId(TOP.id))
        image = await store.conversions.convert(name, source, plan, tag="1", patience=None, is_new=True)
        await store.conversions.adopt(name, [image.digest])
        manifest = parse_stored_manifest(image.content)
        await store.open(name).put_manifest(manifest, image.digest, TagName("1"), actor=ACTOR)
        assert await store.v1_view.repositories.tags(parse_v1_name(name), VIEWER) == {"1": TOP.id}

    for name in (APP, OTHER):
        await migrate(name)
        for image in CHAIN:
            assert await store.v1_view.tagged.is_held(ImageId(image.id), only(name), first=name)
    await push_example(store, OTHER, "1", "oci-zstd-image")
    await asyncio.sleep(2 * SETTLED_SECONDS)
    assert not await ours.v1_view.tagged.is_held(ImageId(TOP.id), only(OTHER), first=OTHER)
    await migrate(OTHER)
    assert await ours.v1_view.tagged.is_held(ImageId(TOP.id), only(OTHER), first=OTHER)


async def test_many_who_ask_at_once_while_tags_move_are_told_what_holds(processes: Open) -> None:
    ours, theirs = processes(), processes()
    await push(theirs.v1_images, (*CHAIN, LOOSE))
    await tag(theirs, "team/app", "kept", MIDDLE)

    async def move() -> None:
        for number in range(20):
            await tag(theirs, "team/app", "moving", (TOP, LOOSE)[number % 2])

    async def ask() -> None:
        for _ in range(20):
            assert await held(ours, (BASE, MIDDLE), "team/app") == [True, True]
            assert await held(ours, (TOP,), "team/nothing") == [False]

    await asyncio.gather(move(), *[ask() for _ in range(8)])
    assert await held(ours, (TOP, LOOSE), "team/app") == [False, True]


async def test_ten_thousand_tags_of_fifty_layers_are_known_within_seconds_and_hold_up_nobody(
    root: Path, processes: Open
) -> None:
    base = [f"{number:064x}" for number in range(40)]
    images = root / "images"
    repository = root / "repositories/team/app"
    repository.mkdir(parents=True)

    def make() -> None:
        for top in range(2_000):
            ids = [f"{top + 1:032x}{number:032x}" for number in range(10)][::-1] + base
            folder = images / ids[0]
            folder.mkdir(parents=True)
            (folder / "json").write_bytes(b"{}")
            (folder / "ancestry").write_bytes(json.dumps(ids).encode())
            (repository / f"tag_{top}").write_bytes(ids[0].encode())
            for more in range(4):  # a file of its own is slow to make
                (repository / f"tag_{top}-{more}").hardlink_to(repository / f"tag_{top}")

    await asyncio.to_thread(make)
    store = processes()
    began = time.perf_counter()
    async with pauses() as seen:
        assert await store.v1_view.tagged.is_held(ImageId(base[-1]), anywhere)
    took = time.perf_counter() - began
    longest = max(cpu for cpu, _ in seen)
    assert took < 20, f"it took {took:.1f} s"
    assert longest < CPU_SECONDS, f"the event loop worked for {longest:.3f} s at one go"
    began = time.process_time()
    for number in range(1, 100):
        assert await store.v1_view.tagged.is_held(ImageId(f"{number:032x}{5:032x}"), only("team/app"), first="team/app")
    each = (time.process_time() - began) / 100
    assert each < 0.02, f"an image of a known tag took {each * 1000:.1f} ms of CPU"


class Broken(ForwardingDriver):
    """A driver whose disk cannot read one repository."""

    @override
    async def stat(self, path: str) -> FileInfo:
        if path.startswith("/repositories/team/broken"):
            raise StorageReadOnly(path)
        return await super().stat(path)


async def test_a_repository_that_cannot_be_read_is_in_the_way_of_no_other(root: Path, processes: Open) -> None:
    store = processes()
    await push(store.v1_images, (*CHAIN, LOOSE))
    for name in ("team/app", "team/broken"):
        await tag(store, name, "1", TOP)
    storage, _ = wrapped(open_folder(root), Broken)
    damaged = Store(storage)
    assert await damaged.v1_view.tagged.is_held(ImageId(TOP.id), anywhere)
    assert not await damaged.v1_view.tagged.is_held(ImageId(LOOSE.id), only("team/app"))
    with pytest.raises(StorageReadOnly):  # that nobody holds it is not known
        await damaged.v1_view.tagged.is_held(ImageId(LOOSE.id), anywhere)
    await damaged.close()
    await storage.close()


# by manifests


async def test_an_image_is_held_where_its_manifest_is(processes: Open) -> None:
    ours, theirs = processes(), processes()
    chain = [image.image_id for image in expected_v1("oci-zstd-image")]
    digest = await push_example(theirs, APP, "1", "oci-zstd-image")
    await push_example(theirs, OTHER, "1", "oci-zstd-image")
    assert [*reversed(await pull(theirs, APP, "1"))] == chain
    for image_id in chain:
        assert await made(ours, image_id, APP)
        assert not await made(ours, image_id, "team")
        assert not await made(ours, image_id, OTHER)  # nobody was told its ids there
    await pull(theirs, OTHER, "1")
    for image_id in chain:
        assert await made(ours, image_id, OTHER)
    await theirs.open(APP).delete_manifest(digest, actor=ACTOR)
    for image_id in chain:
        assert not await made(ours, image_id, APP)
        assert await made(ours, image_id, OTHER)


async def test_images_that_are_made_later_than_their_tag_is_told_are_held_then(processes: Open) -> None:
    """A client is told of a tag by one process, of the ancestry by another, and asks a third for the images."""
    ours, theirs = processes(), processes()
    *below, top = [image.image_id for image in expected_v1("oci-zstd-image")]
    await push_example(theirs, APP, "1", "oci-zstd-image")
    assert (await theirs.v1_view.repositories.tag(parse_v1_name(APP), "1", VIEWER)).image_id == top
    await asyncio.sleep(2 * SETTLED_SECONDS)
    assert await made(ours, top, APP)
    for image_id in below:
        assert not await made(ours, image_id, APP)
    await asyncio.sleep(2 * SETTLED_SECONDS)
    await theirs.v1_view.images.ancestry(ImageId(top), VIEWER)
    for image_id in below:
        assert await made(ours, image_id, APP)


async def test_what_lies_below_an_image_is_found_where_that_was_found(store: Store) -> None:
    await push(store.v1_images, CHAIN)
    await tag(store, APP, "1", TOP)
    holders = store.v1_view.tagged
    holders.spread(APP, [ImageId(TOP.id), ImageId(LOOSE.id)])
    assert await held(store, [TOP], APP) == [True]
    holders.spread(APP, [ImageId(image.id) for image in (TOP, MIDDLE, BASE, LOOSE)])
    assert await held(store, (*CHAIN, LOOSE), APP) == [True, True, True, False]


async def test_an_image_is_not_held_where_another_program_has_removed_its_manifest(store: Store, root: Path) -> None:
    digest = await push_example(store, APP, "1", "oci-zstd-image")
    chain = await pull(store, APP, "1")
    assert await made(store, chain[-1], APP)
    (root / layout.revision_link(APP, digest)[1:]).unlink()
    assert not await made(store, chain[-1], APP)


async def test_an_image_below_many_is_held_as_long_as_one_of_them_is_there(processes: Open) -> None:
    ours, theirs = processes(), processes()
    base = gzip_layer(b"base" * 100)
    digests = [await push_image(theirs, APP, f"{n}", [base, gzip_layer(b"%d" % n * 100)]) for n in range(3)]
    chains = [await pull(theirs, APP, f"{n}") for n in range(3)]
    assert len({chain[-1] for chain in chains}) == 1
    for digest, chain in zip(digests, chains, strict=True):
        assert await made(ours, chain[-1], APP)
        assert await made(ours, chain[0], APP)
        await theirs.open(APP).delete_manifest(digest, actor=ACTOR)
        assert not await made(ours, chain[0], APP)
    assert not await made(ours, chains[0][-1], APP)


async def test_nothing_is_held_where_conversions_are_forbidden(processes: Open) -> None:
    allowing = processes()
    await push_example(allowing, APP, "1", "oci-zstd-image")
    await push_example(allowing, OTHER, "1", "oci-zstd-image")
    chain = await pull(allowing, APP, "1")
    await pull(allowing, OTHER, "1")
    rule = ConversionRule("team/*", Permission.FORBID)
    forbidding = processes(ConversionPolicy(rules=(rule,)))
    for image_id in chain:
        assert not await made(forbidding, image_id, APP)
        assert await made(forbidding, image_id, APP, OTHER)


async def test_an_id_that_a_manifest_claims_is_held_where_that_manifest_is(processes: Open) -> None:
    ours, theirs = processes(), processes()
    digest = await push_schema1(theirs, APP, "1", CHAIN)
    assert [*reversed(await pull(theirs, APP, "1"))] == [image.id for image in CHAIN]
    for image in CHAIN:
        assert await made(ours, image.id, APP)
        assert not await made(ours, image.id, OTHER)
    await theirs.open(APP).delete_manifest(digest, actor=ACTOR)
    for image in CHAIN:
        assert not await made(ours, image.id, APP)


async def test_who_once_claimed_an_id_does_not_hold_what_another_claims_it_for_now(processes: Open) -> None:
    """A manifest that is pushed again after its deletion finds its old notes."""
    ours, theirs = processes(), processes()
    mine = [make_pushed("a", layer=b"mine"), make_pushed("b", parent="a" * 64, layer=b"mine too")]
    secret = [make_pushed("a", layer=b"secret", os="x"), make_pushed("b", parent="a" * 64, layer=b"secret too", os="x")]
    digest = await push_schema1(theirs, APP, "1", mine)
    await pull(theirs, APP, "1")
    await theirs.open(APP).delete_manifest(digest, actor=ACTOR)
    await push_schema1(theirs, OTHER, "1", secret)
    assert [*reversed(await pull(theirs, OTHER, "1"))] == ["a" * 64, "b" * 64]
    await push_schema1(theirs, APP, "1", mine)
    notes = DerivedImages(theirs.storage.driver, theirs.storage.locks)
    await notes.keep_top(ImageSource(APP, digest), ImageId("b" * 64))
    for image in mine:
        assert not await made(ours, image.id, APP)
        assert await made(ours, image.id, OTHER)
