"""The index of referrers: never without a referrer that is there, and made again from what is stored."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from typing_extensions import override

from backends.model.digest import Digest
from backends.model.manifests import parse_manifest
from backends.model.media_types import OCI_MANIFEST
from backends.model.names import RepositoryName, TagName
from backends.registry.index_pass import IndexPass
from backends.registry.index_settings import IndexSettings
from backends.registry.indexing import Indexer
from backends.registry.store import Store
from backends.storage import layout
from backends.storage.driver import PathNotFound, StorageBusy, StorageError, StorageFull
from backends.storage.storage import Storage
from tests.support.actors import ACTOR
from tests.support.drivers import Died, Failing, ForwardingDriver, wrapped
from tests.support.serving_here import describe, make_manifest
from tests.support.stores import CONFIG, LAYER, everything, put_image

Reopen = Callable[[], Storage]
NAME, OTHER = RepositoryName("team/app"), RepositoryName("team/other")
SUBJECT = b"a subject that need not exist"
TO = Digest.of(SUBJECT)


def make_referrer(seed: str, **more: Any) -> bytes:
    return make_manifest(
        CONFIG, LAYER, subject=describe(SUBJECT, OCI_MANIFEST), annotations={"seed": seed}, artifactType="a/b", **more
    )


async def put(
    store: Store, content: bytes, *, tag: str | None = None, name: RepositoryName = NAME, algorithm: str = "sha256"
) -> Digest:
    digest = Digest.of(content, algorithm)
    tag_name = None if tag is None else TagName(tag)
    await store.open(name).put_manifest(parse_manifest(content, ""), digest, tag_name, actor=ACTOR)
    return digest


async def listed(
    store: Store, *, artifact_type: str | None = None, name: RepositoryName = NAME, subject: Digest = TO
) -> Sequence[str]:
    page = await store.open(name).referrers(subject, artifact_type=artifact_type, after="", limit=1000)
    assert page.last == ""
    return [json.loads(each)["digest"] for each in page.descriptors]


async def test_referrers_come_and_go_with_their_manifests(reopen: Reopen) -> None:
    store, other = Store(reopen()), Store(reopen())
    await put_image(store, NAME, None)
    await put_image(store, OTHER, None)
    digests = [await put(store, make_referrer(str(number))) for number in range(3)]
    digests.append(await put(store, make_referrer("0"), algorithm="sha512"))
    elsewhere = await put(store, make_referrer("0"), name=OTHER)
    for each in (store, other):
        assert await listed(each) == sorted(map(str, digests))
        assert await listed(each, name=OTHER) == [str(elsewhere)]
        assert await listed(each, artifact_type="a/b") == sorted(map(str, digests))
        assert await listed(each, artifact_type="a/c") == []
    await other.open(NAME).delete_manifest(digests[1], actor=ACTOR)
    for each in (store, other):
        assert await listed(each) == sorted(map(str, [digests[0], *digests[2:]]))
    with pytest.raises(PathNotFound):
        await store.storage.driver.stat(layout.referrer(NAME, TO, digests[1]))


async def test_deleting_a_subject_keeps_its_referrers(reopen: Reopen) -> None:
    store = Store(reopen())
    subject = await put_image(store, NAME, None)
    image = make_manifest(CONFIG, LAYER)
    referrer = await put(store, make_manifest(CONFIG, LAYER, subject=describe(image, OCI_MANIFEST)))
    await store.open(NAME).delete_manifest(subject, actor=ACTOR)
    assert await listed(store, subject=subject) == [str(referrer)]


async def test_a_push_that_dies_never_leaves_a_referrer_that_is_not_listed(reopen: Reopen) -> None:
    """Whatever step is its last: what the repository has, the listing has, and nothing else."""
    await put_image(Store(reopen()), NAME, None)
    for steps in range(12):
        content = make_referrer(f"dies {steps}")
        failing, driver = wrapped(reopen(), partial(Failing, steps=steps, dies=True))
        with suppress(Died):
            await put(Store(failing), content, tag="latest")
        fresh = Store(reopen())
        has = await fresh.open(NAME).has_manifest(Digest.of(content))
        assert (str(Digest.of(content)) in await listed(fresh)) == has
        if not driver.failed:
            assert has
            return
    raise AssertionError("a manifest takes more steps than the test goes")


async def test_a_referrer_that_finds_no_room_leaves_nothing(reopen: Reopen) -> None:
    await put_image(Store(reopen()), NAME, TagName("old"))
    content = make_referrer("full")
    before = await everything(reopen().driver)
    for steps in range(12):
        failing, driver = wrapped(reopen(), partial(Failing, steps=steps, dies=False))
        try:
            await put(Store(failing), content, tag="new")
        except StorageFull:
            assert await everything(reopen().driver) == before, steps
        if not driver.failed:
            assert steps == 5
            return
    raise AssertionError("a manifest takes more steps than the test goes")


async def test_a_page_shows_only_manifests_that_are_there(reopen: Reopen) -> None:
    """An entry alone means nothing; a damaged one is read from its manifest; strange files are passed over."""
    store = Store(reopen())
    await put_image(store, NAME, None)
    there = [await put(store, make_referrer(str(number))) for number in range(2)]
    driver = store.storage.driver
    gone = Digest.of(b"gone")
    await driver.write(layout.referrer(NAME, TO, gone), json.dumps({"digest": str(gone)}).encode())
    await driver.write(layout.referrers(NAME, TO) + "/strange", b"{}")
    await driver.write(layout.referrer(NAME, TO, there[0]), b'{"half')
    assert await listed(store) == sorted(map(str, there))
    assert await listed(store, artifact_type="a/b") == sorted(map(str, there))


async def test_pages_end_at_a_number_and_at_a_size(reopen: Reopen, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(reopen())
    await put_image(store, NAME, None)
    digests = sorted([str(await put(store, make_referrer(str(number)))) for number in range(7)])
    size = len((await store.open(NAME).referrers(TO, artifact_type=None, after="", limit=1)).descriptors[0])
    for limit, most, pages in ((3, 10**6, [3, 3, 1]), (7, 10**6, [7]), (7, 2 * size, [2, 2, 2, 1]), (7, 1, [1] * 7)):
        monkeypatch.setattr("backends.registry.referrers.PAGE_BYTES", most)
        found: list[list[str]] = []
        after = ""
        while True:
            page = await store.open(NAME).referrers(TO, artifact_type=None, after=after, limit=limit)
            found.append([json.loads(each)["digest"] for each in page.descriptors])
            after = page.last
            if not after:
                break
        assert [len(each) for each in found] == pages
        assert [digest for each in found for digest in each] == digests


async def test_what_was_stored_before_is_indexed_once(reopen: Reopen) -> None:
    storage = reopen()
    store = Store(storage)
    for name in (NAME, OTHER):
        await put_image(store, name, None)
    digests = [await put(store, make_referrer(str(number))) for number in range(3)]
    elsewhere = await put(store, make_referrer("0"), name=OTHER, algorithm="sha512")
    escaped = make_referrer("escaped").replace(b'"subject"', b'"\\u0073ubject"')
    digests.append(await put(store, escaped))
    deleted = await put(store, make_referrer("deleted"))
    await store.open(NAME).delete_manifest(deleted, actor=ACTOR)
    before = [path for path in await everything(storage.driver) if path.startswith(layout.INDEX)]
    await storage.driver.delete(layout.INDEX)
    assert await listed(store) == []
    # as another program leaves it: one damaged manifest, one whose content is gone
    for content in (b'{"subject": broken', b""):
        digest = Digest.of(content + b".")
        await storage.driver.write(layout.revision_link(NAME, digest), str(digest).encode())
        if content:
            await storage.driver.write(layout.blob_data(digest), content)
    seen: list[bool] = []
    assert await Indexer(reopen(), on_manifest=seen.append).tick()
    assert await listed(store) == sorted(map(str, digests))
    assert await listed(store, name=OTHER) == [str(elsewhere)]
    assert (seen.count(True), seen.count(False)) == (5, 4)
    after = [path for path in await everything(storage.driver) if path.startswith(layout.INDEX)]
    assert sorted(after) == sorted(
        [layout.REFERRERS_BUILT, *(each for each in before if each.startswith(layout.INDEX))]
    )
    assert await Indexer(reopen(), on_manifest=seen.append).tick()
    assert len(seen) == 9


@pytest.mark.parametrize(
    ("noted", "is_due"),
    [
        (None, True),
        (b"", True),  # an earlier Portside did not note when
        (b"nan", True),
        (b"x", True),
        (-3700.0, True),
        (-3500.0, False),
        (200.0, False),  # another machine's clock
        (3600.0, True),
    ],
)
@pytest.mark.parametrize("interval", [3600.0, 0.0])
async def test_a_pass_is_due_after_an_interval(
    reopen: Reopen,
    noted: bytes | float | None,
    is_due: bool,  # noqa: FBT001 - a table's column
    interval: float,
) -> None:
    storage = reopen()
    await put_image(Store(storage), NAME, None)
    if noted is not None:
        text = noted if isinstance(noted, bytes) else f"{time.time() + noted:.3f}".encode()
        await storage.driver.write(layout.REFERRERS_BUILT, text)
    seen: list[bool] = []
    indexer = Indexer(storage, IndexSettings(interval), on_manifest=seen.append)
    assert await indexer.tick()
    assert bool(seen) == (is_due and (interval > 0 or noted != -3700.0))
    assert await indexer.tick()
    assert len(seen) <= 1


async def test_what_was_seen_before_the_program_started_is_looked_at_once_more(reopen: Reopen) -> None:
    storage = reopen()
    await put_image(Store(storage), NAME, None)
    assert await Indexer(storage).tick()
    seen: list[bool] = []
    restarted = Indexer(storage, started=time.time() + 1.0, on_manifest=seen.append)
    await restarted.tick()
    assert len(seen) == 1
    same = Indexer(storage, started=time.time() - 60.0, on_manifest=seen.append)
    await same.tick()
    assert len(seen) == 1


async def test_blobs_of_an_old_volume_get_a_hint_unless_one_that_holds_is_there(reopen: Reopen) -> None:
    storage = reopen()
    store = Store(storage)
    for name in (NAME, OTHER):
        await put_image(store, name, None)
    await storage.driver.delete(layout.INDEX)
    # the one of these digests is where its own hint would be, and is out of date; another is as good as a new one
    stale, kept = Digest.of(CONFIG), Digest.of(LAYER)
    gone = Digest("sha256", stale.hex[:4] + "0" * 60)
    await storage.driver.write(layout.holder_hint(gone), f"{gone} {NAME}".encode())
    await storage.driver.write(layout.holder_hint(kept), f"{kept} {OTHER}".encode())
    third = RepositoryName("team/third")
    assert not await store.open(third).mount_from_any(stale, actor=ACTOR)
    assert await Indexer(reopen()).tick()
    assert await storage.driver.read(layout.holder_hint(stale)) == f"{stale} {NAME}".encode()
    assert await storage.driver.read(layout.holder_hint(kept)) == f"{kept} {OTHER}".encode()
    for blob in (stale, kept):
        assert await store.open(third).mount_from_any(blob, actor=ACTOR)


async def test_entries_of_manifests_that_another_program_has_deleted_are_removed(reopen: Reopen) -> None:
    storage = reopen()
    store = Store(storage)
    await put_image(store, NAME, None)
    kept, gone = await put(store, make_referrer("kept")), await put(store, make_referrer("gone"), algorithm="sha512")
    await storage.driver.delete(layout.revision_link(NAME, gone))
    assert [*await storage.driver.list(layout.referrers(NAME, TO))] == [f"sha256-{kept.hex}", f"sha512-{gone.hex}"]
    assert (await IndexPass(reopen()).run()).forgotten == 1
    assert [*await storage.driver.list(layout.referrers(NAME, TO))] == [f"sha256-{kept.hex}"]
    assert await listed(store) == [str(kept)]


async def test_a_long_pass_says_how_far_it_is(
    reopen: Reopen, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    storage = reopen()
    await put_image(Store(storage), NAME, None)
    await put(Store(storage), make_referrer("one"))
    monkeypatch.setattr("backends.registry.schedule.TOLD_SECONDS", 0.0)
    with caplog.at_level("INFO", "portside.indexing"):
        assert await Indexer(storage).tick()
    said = [record.getMessage() for record in caplog.records]
    assert said[1].startswith("making the index of referrers: 2 manifests, 1 of them referrers")
    assert said[1].endswith("; now at team/app")
    assert said[-1].startswith("the index of referrers is complete: 2 manifests, 1 of them referrers")


async def test_a_pass_rests_longer_than_it_works(reopen: Reopen, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = reopen()
    store = Store(storage)
    await put_image(store, NAME, None)
    for number in range(20):
        await put(store, make_referrer(str(number)))
    monkeypatch.setattr("backends.registry.index_pass.WORKING_SECONDS", 0.0)
    took: list[float] = []
    for rest in (0.0, 9.0):
        begun = time.perf_counter()
        progress = await IndexPass(storage, rest=rest).run()
        took.append(time.perf_counter() - begun)
        assert (progress.manifests, progress.referrers) == (21, 20)
    assert took[1] > 4 * took[0]


async def test_one_process_at_a_time_indexes_and_what_failed_is_done_again(reopen: Reopen) -> None:
    storage = reopen()
    await put_image(Store(storage), NAME, None)
    digest = await put(Store(storage), make_referrer("one"))
    await storage.driver.delete(layout.INDEX)
    async with storage.locks.hold(layout.INDEXER_LOCK):
        assert not await Indexer(reopen()).tick()
    for steps in range(2):
        full, _ = wrapped(reopen(), partial(Failing, steps=steps, dies=False))
        with pytest.raises(StorageFull):
            await Indexer(full).tick()
        with pytest.raises(PathNotFound):
            await storage.driver.stat(layout.REFERRERS_BUILT)
    assert await Indexer(reopen()).tick()
    assert await listed(Store(reopen())) == [str(digest)]


async def test_a_pass_that_failed_begins_again_by_itself(
    reopen: Reopen, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The warning says that it is not complete; a machine that is busy for a moment is not worth one."""
    storage = reopen()
    await put_image(Store(storage), NAME, None)
    digest = await put(Store(storage), make_referrer("one"))
    for name in ("FIRST_SECONDS", "AGAIN_SECONDS", "SOON_SECONDS"):
        monkeypatch.setattr(f"backends.registry.schedule.{name}", 0.01)
    for error, warnings in ((StorageFull("no room"), 1), (StorageBusy("too many open files"), 0)):
        await storage.driver.delete(layout.INDEX)
        caplog.clear()
        failing, driver = wrapped(reopen(), FailsOnce)
        driver.error = error
        watching = asyncio.create_task(Indexer(failing).watch())
        async with asyncio.timeout(10):
            while await listed(Store(reopen())) != [str(digest)]:  # noqa: ASYNC110 - storage tells nobody
                await asyncio.sleep(0.01)
        watching.cancel()
        assert driver.error is None
        assert [record.levelname for record in caplog.records].count("WARNING") == warnings


class FailsOnce(ForwardingDriver):
    """A driver that raises an error at the next write."""

    error: StorageError | None

    @override
    async def write(self, path: str, content: bytes, *, durable: bool = True) -> None:
        if self.error is not None:
            error, self.error = self.error, None
            raise error
        await super().write(path, content, durable=durable)


class DeletedMeanwhile(ForwardingDriver):
    """A driver where something happens after a file was read for the first time."""

    path: str
    meanwhile: Callable[[], Awaitable[None]]

    @override
    async def read(self, path: str) -> bytes:
        content = await super().read(path)
        if path == self.path:
            self.path = ""
            await self.meanwhile()
        return content


async def test_what_is_deleted_while_it_is_indexed_leaves_no_entry(reopen: Reopen) -> None:
    storage = reopen()
    store = Store(storage)
    await put_image(store, NAME, None)
    digest = await put(store, make_referrer("one"))
    await storage.driver.delete(layout.INDEX)
    watched, driver = wrapped(reopen(), DeletedMeanwhile)
    driver.path = layout.blob_data(digest)
    driver.meanwhile = partial(store.open(NAME).delete_manifest, digest, actor=ACTOR)
    assert await Indexer(watched).tick()
    assert driver.path == ""
    assert [path for path in await everything(storage.driver) if path.startswith(layout.INDEX)] == [
        layout.REFERRERS_BUILT
    ]
