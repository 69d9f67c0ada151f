"""A tag is one for both generations, whoever writes it: Portside, docker-registry and distribution on one volume."""

from __future__ import annotations

import asyncio
import os
import shutil
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typing_extensions import override

from backends.model.digest import Digest
from backends.model.errors import RegistryError
from backends.model.names import ImageId, RepositoryName, TagName
from backends.model.tag_records import load_record
from backends.model.targets import Target, V1Target, V2Target
from backends.model.v1names import V1Name, v1_name
from backends.registry.store import Store
from backends.registry.tags.service import Tags
from backends.storage import layout
from backends.storage.driver import FileInfo, PathNotFound, StorageDriver, StorageFull
from backends.storage.factory import open_folder, open_memory
from backends.storage.kept_files import KEPT_SECONDS
from backends.storage.storage import Storage
from tests.support.actors import ACTOR
from tests.support.drivers import Died, Failing, ForwardingDriver, wrapped
from tests.support.stores import everything, put_image

Reopen = Callable[[], Storage]

NAME, TAG = RepositoryName("team/app"), TagName("latest")
V1_NAME = V1Name("team", "app")
D1, D2, D3 = (V2Target(Digest.of(text, how)) for text, how in ((b"1", "sha256"), (b"2", "sha512"), (b"3", "sha256")))
I1, I2 = V1Target(ImageId("a" * 64)), V1Target(ImageId("b" * 64))


async def move(tags: Tags, target: Target, tag: str = TAG) -> None:
    if isinstance(target, V2Target):
        await tags.move(NAME, TagName(tag), target.digest, actor=ACTOR, telling=None)
    else:
        await tags.move_v1(V1_NAME, tag, target.image_id, actor=ACTOR, now=1, telling=None)


async def target_of(tags: Tags, tag: str = TAG) -> Target | None:
    try:
        return await tags.target(NAME, tag)
    except PathNotFound:
        return None


async def delete(tags: Tags, *, by_v1: bool) -> None:
    await (tags.delete_v1(V1_NAME, TAG, actor=ACTOR) if by_v1 else tags.delete(NAME, TAG, actor=ACTOR))


async def require_one_truth(storage: Storage, target: Target | None) -> None:
    """Every view of the tag, by whichever process, says the same."""
    tags = Store(storage).tags
    assert await target_of(tags) == target
    assert await tags.targets(NAME) == ({} if target is None else {TAG: target})
    listed = [] if target is None else [TAG]
    assert list(await tags.page(NAME, after="", limit=None)) == listed
    assert list(await tags.page(NAME, after="", limit=5)) == listed
    v2 = target.digest if isinstance(target, V2Target) else None
    v1 = target.image_id if isinstance(target, V1Target) else None
    assert await resolved(tags.resolve(NAME, TAG)) == v2
    assert await resolved(tags.resolve_v1(V1_NAME, TAG)) == v1
    for each in (D1, D2, D3):
        assert await tags.is_set(NAME, TAG, each.digest) == (each == target)


async def resolved(work: Awaitable[object]) -> object:
    try:
        return await work
    except PathNotFound:
        return None


# what Portside does


@given(st.lists(st.sampled_from([D1, D2, I1, I2, "delete", "delete by v1"]), max_size=8))
@settings(max_examples=60, deadline=None)
async def test_whoever_wrote_last_is_right_and_a_deletion_leaves_nothing(steps: Sequence[Target | str]) -> None:
    storage = open_memory()
    target: Target | None = None
    for step in steps:
        if isinstance(step, str):
            if target is None:
                with pytest.raises(PathNotFound):
                    await delete(Store(storage).tags, by_v1=step.endswith("v1"))
            else:
                await delete(Store(storage).tags, by_v1=step.endswith("v1"))
            target = None
            assert not [path for path in await everything(storage.driver) if "latest" in path]
        else:
            await move(Store(storage).tags, step)
            target = step
        await require_one_truth(storage, target)


@pytest.mark.parametrize("two", [False, True], ids=["one root", "two roots"])
async def test_each_generation_keeps_its_own_file_as_its_program_writes_it(reopen: Reopen, two: bool) -> None:  # noqa: FBT001 - a case
    storage = reopen()
    store = Store(storage, v1_storage=open_memory() if two else storage)
    link, file = layout.tag_current_link(NAME, TAG), layout.v1_tag("team", "app", TAG)
    await move(store.tags, D1)
    with pytest.raises(PathNotFound):
        await storage.driver.stat(layout.tag_record(NAME, TAG))  # one generation needs none
    await move(store.tags, I1)
    assert await target_of(store.tags) == I1
    assert await storage.driver.read(link) == str(D1.digest).encode()
    assert await store.v1_storage.driver.read(file) == I1.image_id.encode()
    await move(store.tags, D2)
    assert await target_of(store.tags) == D2
    assert await storage.driver.read(link) == str(D2.digest).encode()
    assert await store.v1_storage.driver.read(file) == I1.image_id.encode()
    record = load_record(await storage.driver.read(layout.tag_record(NAME, TAG)))
    assert record is not None
    assert (record.target, record.writer) == (D2, ACTOR.agent)
    assert record.written.startswith("20")
    assert record.v2 is not None
    assert record.v1 is not None
    await store.tags.delete_v1(V1_NAME, TAG, actor=ACTOR)
    for driver in (storage.driver, store.v1_storage.driver):
        assert not [path for path in await everything(driver) if "latest" in path]


async def test_tags_that_only_one_of_them_can_have_are_beside_the_others(reopen: Reopen) -> None:
    storage = reopen()
    tags = Store(storage).tags
    for target, tag in ((D1, "a"), (I1, "b"), (D1, "c"), (I1, "c"), (I2, "d"), (D2, "d")):
        await move(tags, target, tag)
    for odd in ("..", "x y", "_x"):  # docker-registry took anything; `_x` is described in `tag_x_json`
        await storage.driver.write(layout.v1_tag("team", "app", odd), I1.image_id.encode())
    await storage.driver.write(layout.v1_tag_json("team", "app", "_x"), b"{}")
    await storage.driver.write(f"{layout.manifests(NAME)}/current/link", str(D1.digest).encode())
    assert await tags.targets(NAME) == {"..": I1, "_x": I1, "a": D1, "b": I1, "c": I1, "d": D2, "x y": I1}
    assert list(await tags.page(NAME, after="", limit=None)) == ["_x", "a", "b", "c", "d"]
    for limit in (1, 2, 3):
        met: list[str] = []
        while page := await tags.page(NAME, after=met[-1] if met else "", limit=limit):
            met += page
            assert len(page) <= limit
        assert met == ["_x", "a", "b", "c", "d"]
    assert await tags.target(NAME, "..") == I1  # and never a path out of the folder of tags
    await storage.driver.delete(layout.v1_tag("team", "app", ".."))
    for path in ("..", "a/../b", "../../../other"):
        with pytest.raises(PathNotFound):
            await tags.target(NAME, path)


# processes that die, disks that are full

BEFORE: Mapping[str, Sequence[Target]] = {
    "v2's": [D1],
    "v1's": [I1],
    "v2's, v1's older": [I1, D1],
    "v1's, v2's older": [D1, I1],
    "v1's again": [I1, D1, I1],
}


@pytest.mark.parametrize("dies", [True, False], ids=["dies", "full"])
@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("to", [D3, I2, D1, I1], ids=["a manifest", "an image", "the same manifest", "the same image"])
async def test_a_move_that_does_not_come_to_its_end_is_made_or_not(
    tmp_path: Path,
    before: str,
    to: Target,
    dies: bool,  # noqa: FBT001 - a case
) -> None:
    outcomes: set[Target | None] = set()
    for step in range(12):
        storage = open_folder(tmp_path / str(step))
        for target in BEFORE[before]:
            await move(Store(storage).tags, target)
        old = BEFORE[before][-1]
        stopping, driver = wrapped(storage, partial(Failing, steps=step, dies=dies))
        failed = False
        try:
            await move(Store(stopping).tags, to)
        except (Died, StorageFull):
            failed = True
        assert failed is driver.failed
        found = await target_of(Store(storage).tags)
        assert found == to if not failed else found in {old, to}
        await require_one_truth(storage, found)
        outcomes.add(found)
        # Whatever was left does not disturb who comes next.
        for target in (I2, D2, I2):
            await move(Store(storage).tags, target)
            await require_one_truth(storage, target)
        await delete(Store(storage).tags, by_v1=False)
        assert not [path for path in await everything(storage.driver) if "latest" in path]
        await storage.close()
        if not failed:
            assert old in outcomes
            return
    pytest.fail("it never came to its end")


@pytest.mark.parametrize("by_v1", [False, True], ids=["v2", "v1"])
@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("recorded", [True, False], ids=["recorded", "by others"])
async def test_a_deletion_that_is_killed_leaves_the_tag_or_nothing_of_it(
    tmp_path: Path,
    before: str,
    by_v1: bool,  # noqa: FBT001 - a case
    recorded: bool,  # noqa: FBT001 - a case
) -> None:
    """Never what it named before, although that is still in the other generation's file."""
    for step in range(12):
        storage = open_folder(tmp_path / str(step))
        for target in BEFORE[before]:
            await move(Store(storage).tags, target)
        if not recorded:
            await forget_record(storage, tmp_path / str(step), BEFORE[before])
        dying, driver = wrapped(storage, partial(Failing, steps=step, dies=True))
        with suppress(Died):
            await delete(Store(dying).tags, by_v1=by_v1)
        found = await target_of(Store(storage).tags)
        assert found in {None, BEFORE[before][-1]}
        await require_one_truth(storage, found)
        with suppress(PathNotFound):
            await delete(Store(storage).tags, by_v1=not by_v1)
        await require_one_truth(storage, None)
        left = [path for path in await everything(storage.driver) if "tag_" in path or "_tags/" in path]
        assert left == []
        await storage.close()
        if not driver.failed:
            assert step > 1 or len(BEFORE[before]) == 1
            return
    pytest.fail("it never came to its end")


async def forget_record(storage: Storage, root: Path, written: Sequence[Target]) -> None:
    """Leaves a tag as programs that know of no record would have written it, one second after the other."""
    with suppress(PathNotFound):
        await storage.driver.delete(layout.tag_record(NAME, TAG))
    for second, target in enumerate(written):
        is_v2 = isinstance(target, V2Target)
        path = layout.tag_current_link(NAME, TAG) if is_v2 else layout.v1_tag("team", "app", TAG)
        os.utime(root / path[1:], (second, second))


class Full(ForwardingDriver):
    """A driver on whose disk nothing more can be written."""

    @override
    async def write(self, path: str, content: bytes, *, durable: bool = True) -> None:
        raise StorageFull(f"no room for {len(content)} bytes at {path}, {durable}")


@pytest.mark.parametrize("before", BEFORE)
async def test_a_full_disk_keeps_no_tag_from_being_deleted(reopen: Reopen, before: str) -> None:
    storage = reopen()
    for target in BEFORE[before]:
        await move(Store(storage).tags, target)
    full, _ = wrapped(storage, Full)
    with pytest.raises(StorageFull):
        await move(Store(full).tags, D3)
    await require_one_truth(storage, BEFORE[before][-1])
    await delete(Store(full).tags, by_v1=False)
    await require_one_truth(storage, None)


# other programs


@dataclass(frozen=True)
class Volume:
    """A volume on which other programs write beside Portside, in place, as they do."""

    root: Path

    def distribution(self, target: V2Target, *, modified: float | None = None) -> None:
        link = self.root / layout.tag_current_link(NAME, TAG)[1:]
        self._write(link, str(target.digest), modified)

    def docker_registry(self, target: V1Target, *, modified: float | None = None) -> None:
        self._write(self.root / layout.v1_tag("team", "app", TAG)[1:], target.image_id, modified)

    def write(self, target: Target, *, modified: float | None = None) -> None:
        if isinstance(target, V2Target):
            self.distribution(target, modified=modified)
        else:
            self.docker_registry(target, modified=modified)

    def remove(self, target: Target) -> None:
        """Removes the tag of the generation of a target, as its program does."""
        if isinstance(target, V1Target):
            (self.root / layout.v1_tag("team", "app", TAG)[1:]).unlink()
            return
        shutil.rmtree(self.root / layout.tag(NAME, TAG)[1:])

    @staticmethod
    def _write(path: Path, text: str, modified: float | None) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w") as file:
            file.write(text)
        if modified is not None:
            os.utime(path, (modified, modified))


@pytest.fixture
def volume(tmp_path: Path) -> Volume:
    return Volume(tmp_path / "root")


@pytest.mark.parametrize(
    ("written", "target"),
    [
        ([(D1, 10.0)], D1),
        ([(I1, 10.0)], I1),
        ([(D1, 10.0), (I1, 20.0)], I1),
        ([(D1, 20.0), (I1, 10.0)], D1),
        ([(D1, 10.0), (I1, 10.0)], D1),
    ],
)
async def test_of_a_volume_that_others_have_written_the_younger_holds(
    reopen: Reopen, tmp_path: Path, written: Sequence[tuple[Target, float]], target: Target
) -> None:
    volume = Volume(tmp_path / "both")
    for each, modified in written:
        volume.write(each, modified=modified)
    storage = open_folder(volume.root)
    await require_one_truth(storage, target)
    await move(Store(storage).tags, I2)
    await require_one_truth(storage, I2)
    await move(Store(storage).tags, D2)
    await require_one_truth(storage, D2)
    await storage.close()
    await reopen().driver.ensure_durable()


@pytest.mark.parametrize("before", BEFORE)
@pytest.mark.parametrize("foreign", [D3, I2, D1, I1], ids=["v2", "v1", "v2, the same", "v1, the same"])
@pytest.mark.parametrize("clock", [1.0, None], ids=["set back", "right"])
async def test_who_writes_without_the_record_moves_the_tag_whatever_the_time(
    volume: Volume, before: str, foreign: Target, clock: float | None
) -> None:
    storage = open_folder(volume.root)
    for target in BEFORE[before]:
        await move(Store(storage).tags, target)
    is_recorded = len(BEFORE[before]) > 1
    # Where only one generation has written there is no record, and nobody can tell who was later but by the clock.
    volume.write(foreign, modified=clock if is_recorded else None)
    await require_one_truth(storage, foreign)
    for ours, theirs in ((D2, I2), (I1, D3)):
        await move(Store(storage).tags, theirs)
        await move(Store(storage).tags, ours)
        await require_one_truth(storage, ours)
        volume.write(theirs, modified=None if clock is None else clock + 1)
        await require_one_truth(storage, theirs)
    await storage.close()


@pytest.mark.parametrize("before", BEFORE)
async def test_where_another_program_removes_what_holds_the_tag_is_gone(volume: Volume, before: str) -> None:
    storage = open_folder(volume.root)
    for target in BEFORE[before]:
        await move(Store(storage).tags, target)
    volume.remove(BEFORE[before][-1])
    await require_one_truth(storage, None)
    await move(Store(storage).tags, D3)
    await require_one_truth(storage, D3)
    await storage.close()


async def test_what_does_not_hold_may_be_removed_by_anybody(volume: Volume) -> None:
    storage = open_folder(volume.root)
    for old, new in ((D1, I1), (I1, D1)):
        await move(Store(storage).tags, old)
        await move(Store(storage).tags, new)
        volume.remove(old)
        await require_one_truth(storage, new)
    await storage.close()


async def test_both_written_by_others_the_later_one_holds(volume: Volume) -> None:
    storage = open_folder(volume.root)
    for target in (D1, I1):
        await move(Store(storage).tags, target)
    volume.write(D3, modified=1000.0)
    volume.write(I2, modified=1001.0)
    await require_one_truth(storage, I2)
    volume.write(D3, modified=1001.0)
    await require_one_truth(storage, D3)
    await storage.close()


class MovedOn(ForwardingDriver):
    """A driver under which another program writes at the moment in which Portside has written."""

    volume: Volume
    path: str
    foreign: Target

    @override
    async def write(self, path: str, content: bytes, *, durable: bool = True) -> None:
        await super().write(path, content, durable=durable)
        if path == self.path:
            await asyncio.sleep(0.01)
            self.volume.write(self.foreign)


@pytest.mark.parametrize("foreign", [D3, I2], ids=["v2", "v1"])
@pytest.mark.parametrize("ours", [D2, I1], ids=["v2", "v1"])
async def test_who_writes_at_once_after_us_is_not_taken_for_us(volume: Volume, ours: Target, foreign: Target) -> None:
    storage = open_folder(volume.root)
    for target in (D1, I1, D1):
        await move(Store(storage).tags, target)
    beside, driver = wrapped(storage, MovedOn)
    driver.volume, driver.foreign = volume, foreign
    is_v2 = isinstance(ours, V2Target)
    driver.path = layout.tag_current_link(NAME, TAG) if is_v2 else layout.v1_tag("team", "app", TAG)
    await move(Store(beside).tags, ours)
    await require_one_truth(storage, foreign)
    await storage.close()


@pytest.mark.parametrize("before", [[D1, I1], [I1, D1], [D1], [I1]], ids=str)
async def test_a_file_that_is_just_being_written_is_read_again(volume: Volume, before: Sequence[Target]) -> None:
    storage = open_folder(volume.root)
    for target in before:
        await move(Store(storage).tags, target)
    new: Target = D3 if isinstance(before[-1], V2Target) else I2
    path = layout.tag_current_link(NAME, TAG) if new is D3 else layout.v1_tag("team", "app", TAG)
    (volume.root / path[1:]).write_text("")
    reading = asyncio.create_task(target_of(Store(storage).tags))
    await asyncio.sleep(0.002)
    volume.write(new)
    assert await reading == new
    await storage.close()


async def test_a_damaged_record_is_passed_over_and_written_anew(volume: Volume) -> None:
    storage = open_folder(volume.root)
    await move(Store(storage).tags, I1)
    await move(Store(storage).tags, D1)
    (volume.root / layout.tag_record(NAME, TAG)[1:]).write_bytes(b"{")
    assert await target_of(Store(storage).tags) in {D1, I1}  # as their times say
    await move(Store(storage).tags, I2)
    await require_one_truth(storage, I2)
    await storage.close()


# many at once


async def test_many_who_write_and_read_at_once_see_one_truth(tmp_path: Path) -> None:
    storages = [open_folder(tmp_path / "root") for _ in range(4)]
    written: set[Target] = set()
    is_over = False

    async def write(number: int) -> None:
        tags = Store(storages[number]).tags
        for turn in range(15):
            if number % 2:
                target: Target = V1Target(ImageId(f"{number}{turn:02}".rjust(64, "0")))
            else:
                target = V2Target(Digest.of(f"{number} {turn}".encode()))
            written.add(target)
            await move(tags, target)
            assert await target_of(tags) in written

    async def read(number: int) -> None:
        tags = Store(storages[number]).tags
        while not is_over:
            found = await target_of(tags)
            assert found in written
            assert set((await tags.targets(NAME)).values()) <= written
            assert list(await tags.page(NAME, after="", limit=2)) == [TAG]
            await asyncio.sleep(0)

    written.add(D1)
    await move(Store(storages[0]).tags, D1)
    readers = [asyncio.create_task(read(number)) for number in range(4)]
    await asyncio.gather(*(write(number) for number in range(4)))
    is_over = True
    await asyncio.gather(*readers)
    found = await target_of(Store(storages[0]).tags)
    for storage in storages:
        await require_one_truth(storage, found)
        await storage.close()


async def test_who_reads_while_it_is_deleted_never_sees_what_it_named_before(tmp_path: Path) -> None:
    storages = [open_folder(tmp_path / "root") for _ in range(2)]
    expected: set[Target | None] = {None}
    is_over = False

    async def read() -> None:
        tags = Store(storages[1]).tags
        while not is_over:
            before = set(expected)
            found = await target_of(tags)
            assert found in before | expected
            await asyncio.sleep(0)

    reader = asyncio.create_task(read())
    tags = Store(storages[0]).tags
    for turn in range(25):
        old, new = (D1, I1) if turn % 2 else (I1, D1)
        expected.add(old)
        await move(tags, old)
        expected.add(new)
        await move(tags, new)
        expected.clear()
        expected.update({new, None})
        await asyncio.sleep(0.002)
        await delete(tags, by_v1=bool(turn % 3))
        expected.clear()
        expected.add(None)
        await asyncio.sleep(0.002)
    is_over = True
    await reader
    for storage in storages:
        await storage.close()


# what conversions ask for


async def test_what_was_there_before_is_restored_if_it_is_there_still(reopen: Reopen) -> None:
    store = Store(reopen())
    digest = await put_image(store, NAME, TAG)
    await move(store.tags, I1)
    await store.tags.restore(NAME, TAG, V2Target(digest), actor=ACTOR)
    await require_one_truth(reopen(), V2Target(digest))
    for gone in (I1, D1):
        with pytest.raises(PathNotFound):
            await store.tags.restore(NAME, TAG, gone, actor=ACTOR)
    await reopen().driver.write(layout.v1_image_json(I1.image_id), b"{}")
    await store.tags.restore(NAME, TAG, I1, actor=ACTOR)
    await require_one_truth(reopen(), I1)
    with pytest.raises(PathNotFound):
        await store.tags.restore(RepositoryName("library/own"), TAG, I1, actor=ACTOR)


async def test_a_manifest_that_goes_takes_its_tags_and_leaves_those_of_images(reopen: Reopen) -> None:
    store = Store(reopen())
    digest = await put_image(store, NAME, TAG)
    for tag in ("a", "b", "gone-on"):
        await store.tags.move(NAME, TagName(tag), digest, actor=ACTOR, telling=None)
    await move(store.tags, I1, "b")
    await store.tags.move(NAME, TagName("b"), digest, actor=ACTOR, telling=None)
    await move(store.tags, I1, "gone-on")
    await store.open(NAME).delete_manifest(digest, actor=ACTOR)
    assert await store.tags.targets(NAME) == {"gone-on": I1}
    with pytest.raises(PathNotFound):
        await reopen().driver.stat(layout.tag(NAME, TagName("gone-on")))
    with pytest.raises(RegistryError):
        await store.open(NAME).get_manifest(TAG)


async def test_the_tags_of_an_image_go_and_those_of_manifests_stay(reopen: Reopen) -> None:
    tags = Store(reopen()).tags
    for target, tag in ((I1, "a"), (D1, "b"), (I1, "b"), (I1, "c"), (D1, "c"), (I2, "d")):
        await move(tags, target, tag)
    await tags.delete_those_of(NAME, I1, actor=ACTOR)
    assert await tags.targets(NAME) == {"c": D1, "d": I2}


@pytest.mark.parametrize("name", ["app", "team/app", "team/deep/app"])
def test_v1_has_a_name_for_what_its_files_can_hold(name: str) -> None:
    found = v1_name(RepositoryName(name))
    assert found is not None
    assert found.v2 == name


def test_v1_has_no_name_for_what_they_cannot_hold() -> None:
    assert v1_name(RepositoryName("library/app")) is None
    assert v1_name(RepositoryName("a/" + "/".join(["a"] * 100))) is None


@pytest.mark.parametrize("content", [b"", b"x" * 64, b"sha256:" + b"0" * 64])
async def test_what_is_no_id_is_no_tag_of_v1(reopen: Reopen, content: bytes) -> None:
    storage = reopen()
    await storage.driver.write(layout.v1_tag("team", "app", TAG), content)
    await require_one_truth_of_none(storage)
    await move(Store(storage).tags, D1)
    assert await target_of(Store(storage).tags) == D1


async def require_one_truth_of_none(storage: Storage) -> None:
    assert await target_of(Store(storage).tags) is None
    assert await Store(storage).tags.targets(NAME) == {}


class Counting(ForwardingDriver):
    """A driver that counts the files that are looked at."""

    looks = 0

    @override
    async def read(self, path: str) -> bytes:
        self.looks += 1
        return await super().read(path)

    @override
    async def stat(self, path: str) -> FileInfo:
        self.looks += 1
        return await super().stat(path)


async def test_a_page_of_very_many_tags_looks_at_no_more_files_than_are_on_it(volume: Volume) -> None:
    storage = open_folder(volume.root)
    for number in range(2000):
        tag = f"t{number:04}"
        for path in (layout.tag_current_link(NAME, TagName(tag)), layout.v1_tag("team", "app", f"v{number:04}")):
            file = volume.root / path[1:]
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(str(D1.digest))
    for target in (D1, I1):
        await move(Store(storage).tags, target, "t1000")
    counting, driver = wrapped(storage, Counting)
    tags = Store(counting).tags
    assert list(await tags.page(NAME, after="t0998", limit=4)) == ["t0999", "t1000", "t1001", "t1002"]
    assert driver.looks <= 12
    driver.looks = 0
    assert list(await tags.page(NAME, after="t1998", limit=3)) == ["t1999", "v0000", "v0001"]
    assert driver.looks == 0
    await storage.close()


@pytest.mark.parametrize(("target", "looks"), [(D1, 3), (I1, 4)])
async def test_a_tag_of_one_generation_costs_few_looks(reopen: Reopen, target: Target, looks: int) -> None:
    counting, driver = wrapped(reopen(), Counting)
    tags = Store(counting).tags
    await move(tags, target)
    await move(tags, I2, "other")  # v1 has the repository too
    driver.looks = 0
    assert await tags.target(NAME, TAG) == target
    assert driver.looks == looks


async def test_that_v2_has_nothing_is_known_and_unlearnt_at_once(tmp_path: Path) -> None:
    """A repository that only v1 has written is read without a look at v2's files, for as long as none can be there."""
    storage = open_folder(tmp_path)
    try:
        tags = Store(storage).tags
        await move(tags, I1)
        own = [layout.tag_record(NAME, TAG), layout.tag_current_link(NAME, TAG)]
        seen_by, looks = wrapped(storage, partial(Looks, paths=own))
        watched = Store(seen_by).tags
        for _ in range(60):  # folders that have just been changed prove nothing
            looks.seen = 0
            assert await target_of(watched) == I1
            if not looks.seen:
                break
            await asyncio.sleep(0.1)
        else:
            pytest.fail("v2's files were looked for each time")
        repository = tmp_path / "repositories/team/app"
        repository.rename(tmp_path / "aside")
        repository.symlink_to("/etc")  # leads out of the volume
        until = time.monotonic() + KEPT_SECONDS + 0.1  # its tag's file was kept, and is itself as it was
        while await target_of(watched) is not None:
            assert time.monotonic() < until
            await asyncio.sleep(0.05)
        repository.unlink()
        (tmp_path / "aside").rename(repository)
        assert await target_of(watched) == I1
        assert not looks.seen
        await move(tags, D1)
        assert await target_of(watched) == D1
    finally:
        await storage.close()


class Looks(ForwardingDriver):
    """Counts looks at some files."""

    def __init__(self, driver: StorageDriver, paths: Sequence[str]) -> None:
        super().__init__(driver)
        self.paths = paths
        self.seen = 0

    @override
    async def stat(self, path: str) -> FileInfo:
        self.seen += path in self.paths
        return await super().stat(path)

    @override
    async def read(self, path: str) -> bytes:
        self.seen += path in self.paths
        return await super().read(path)
