"""Uploads: resumed by any process at any byte, one request at a time, and never a blob that its name does not fit."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial

import pytest
from typing_extensions import override

from backends.model.digest import Digest
from backends.model.errors import ErrorCode, RegistryError
from backends.model.manifests import parse_manifest
from backends.model.names import RepositoryName, TagName, UploadId
from backends.registry.store import Store
from backends.registry.upload_states import ImpossibleEvent
from backends.storage import layout
from backends.storage.driver import PathNotFound, StorageError, StorageFull
from backends.storage.storage import Storage
from tests.support.actors import ACTOR
from tests.support.counting import CountingDriver
from tests.support.drivers import Failing, ForwardingDriver, wrapped
from tests.support.serving_here import make_manifest
from tests.support.stores import everything, put_blob

Reopen = Callable[[], Storage]
NAME = RepositoryName("team/app")
CONTENT = bytes(range(256)) * 2000


async def chunks(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


async def broken_off(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece
    raise ConnectionResetError("the client is gone")


async def append(process: Store, upload: UploadId, *pieces: bytes) -> None:
    async with process.uploads.open(NAME, upload) as session:
        await session.append(chunks(*pieces))


async def commit(process: Store, upload: UploadId, digest: Digest) -> None:
    async with process.uploads.open(NAME, upload) as session:
        await session.commit(digest, actor=ACTOR)


async def stored(process: Store, digest: Digest) -> bytes:
    blob = await process.open(NAME).open_blob(digest)
    try:
        return b"".join([bytes(chunk) async for chunk in blob.reader.chunks(0, blob.size)])
    finally:
        blob.reader.close()


def code(caught: pytest.ExceptionInfo[RegistryError]) -> ErrorCode:
    return caught.value.code


@pytest.mark.parametrize("content", [b"", b"x", CONTENT, CONTENT * 5], ids=len)
async def test_an_upload_becomes_a_blob_and_nothing_else_stays(reopen: Reopen, content: bytes) -> None:
    storage = reopen()
    driver = storage.driver
    process = Store(storage)
    upload = await process.uploads.start(NAME)
    await append(process, upload, content[:100], content[100:])
    digest = Digest.of(content)
    await commit(process, upload, digest)
    assert await stored(Store(reopen()), digest) == content
    assert set(await everything(driver)) == {layout.blob_data(digest), layout.layer_link(NAME, digest)}
    with pytest.raises(RegistryError) as caught:
        await process.uploads.size(NAME, upload)
    assert code(caught) is ErrorCode.BLOB_UPLOAD_UNKNOWN


async def test_an_upload_is_sha512_when_it_is_named_so_at_the_end(reopen: Reopen) -> None:
    process = Store(reopen())
    upload = await process.uploads.start(NAME)
    await append(process, upload, CONTENT)
    digest = Digest.of(CONTENT, "sha512")
    await commit(process, upload, digest)
    assert await stored(process, digest) == CONTENT


async def test_two_processes_take_turns_and_each_hashes_only_the_gap(reopen: Reopen) -> None:
    storages, drivers = zip(*(wrapped(reopen(), CountingDriver) for _ in range(2)), strict=True)
    processes = [Store(storage) for storage in storages]
    upload = await processes[0].uploads.start(NAME)
    pieces = [CONTENT[at : at + 64_000] for at in range(0, len(CONTENT), 64_000)]
    for turn, piece in enumerate(pieces):
        await append(processes[turn % 2], upload, piece)
    digest = Digest.of(CONTENT)
    await commit(processes[len(pieces) % 2], upload, digest)
    assert await stored(Store(reopen()), digest) == CONTENT
    for driver in drivers:
        assert driver.hashed + driver.reread <= len(CONTENT)


async def test_one_process_hashes_no_byte_twice_whatever_happens_on_the_way(reopen: Reopen) -> None:
    storage, driver = wrapped(reopen(), CountingDriver)
    process = Store(storage)
    upload = await process.uploads.start(NAME)
    await append(process, upload, CONTENT[:1000])
    with pytest.raises(ConnectionResetError):
        async with process.uploads.open(NAME, upload) as session:
            await session.append(broken_off(CONTENT[1000:5000]))
    async with process.uploads.open(NAME, upload):  # a request that is refused after it has the upload
        with pytest.raises(RegistryError):
            async with process.uploads.open(NAME, upload):
                raise AssertionError("two requests have one upload")
    await append(process, upload, CONTENT[5000:])
    await commit(process, upload, Digest.of(CONTENT))
    assert (driver.hashed, driver.reread) == (len(CONTENT), 0)


async def test_a_final_put_at_another_process_reads_nothing_again(reopen: Reopen) -> None:
    first = Store(reopen())
    upload = await first.uploads.start(NAME)
    await append(first, upload, CONTENT)
    storage, driver = wrapped(reopen(), CountingDriver)
    second = Store(storage)
    await commit(second, upload, Digest.of(CONTENT))
    assert (driver.hashed, driver.reread) == (0, 0)
    assert await stored(second, Digest.of(CONTENT)) == CONTENT


@pytest.mark.parametrize(
    "record",
    [
        {"epoch": "another life of this machine"},
        {"offset": 5},
        {"offset": len(CONTENT) + 1},
        {"offset": "many"},
        {"sha256": None},
        {"layer": 5},
        {"layer": "gzip"},
        None,
    ],
)
async def test_a_record_that_cannot_vouch_for_all_bytes_is_not_believed(
    reopen: Reopen, record: dict[str, object] | None
) -> None:
    storage = reopen()
    driver = storage.driver
    first = Store(storage)
    upload = await first.uploads.start(NAME)
    await append(first, upload, CONTENT)
    path = layout.upload_progress(NAME, upload)
    lie = Digest.of(b"something else").hex
    good = json.loads(await driver.read(path))
    assert good == {"offset": len(CONTENT), "sha256": Digest.of(CONTENT).hex, "epoch": driver.boot_id}
    text = b"{half a thou" if record is None else json.dumps({**good, "sha256": lie, **record}).encode()
    await driver.write(path, text)
    second = Store(reopen())
    await commit(second, upload, Digest.of(CONTENT))
    assert await stored(second, Digest.of(CONTENT)) == CONTENT


async def test_a_request_that_only_looks_at_an_upload_does_not_make_its_hash_wrong(reopen: Reopen) -> None:
    """A refused chunk at a new worker once recorded the hash of nothing for all bytes, and an empty blob was taken."""
    first = Store(reopen())
    upload = await first.uploads.start(NAME)
    await append(first, upload, CONTENT)
    second = Store(reopen())
    with pytest.raises(RegistryError):
        async with second.uploads.open(NAME, upload):
            raise RegistryError(ErrorCode.RANGE_INVALID, "the chunk begins elsewhere")
    with pytest.raises(RegistryError) as caught:
        await commit(second, upload, Digest.of(b""))
    assert code(caught) is ErrorCode.DIGEST_INVALID


async def test_a_refused_chunk_at_a_new_worker_leaves_the_upload_good(reopen: Reopen) -> None:
    first = Store(reopen())
    upload = await first.uploads.start(NAME)
    await append(first, upload, CONTENT)
    second = Store(reopen())
    with pytest.raises(RegistryError):
        async with second.uploads.open(NAME, upload):
            raise RegistryError(ErrorCode.RANGE_INVALID, "the chunk begins elsewhere")
    await append(second, upload, b"more")
    await commit(Store(reopen()), upload, Digest.of(CONTENT + b"more"))


@pytest.mark.parametrize("steps", [0, 1, 2, 3, 5, 8, 13, 21])
async def test_a_client_that_hangs_up_while_a_gap_is_hashed_can_go_on(reopen: Reopen, steps: int) -> None:
    content = CONTENT * 8
    first = Store(reopen())
    upload = await first.uploads.start(NAME)
    await append(first, upload, content)
    second = Store(reopen())
    task = asyncio.ensure_future(append(second, upload, b"x"))
    for _ in range(steps):
        await asyncio.sleep(0.0005)
    task.cancel()
    await asyncio.wait([task])
    await asyncio.sleep(0.05)  # a thread that was opening the file is done with it
    size = await second.uploads.size(NAME, upload)
    await append(second, upload, b"rest")
    await commit(second, upload, Digest.of((content + b"x")[:size] + b"rest"))


async def test_of_two_requests_at_one_upload_one_wins_and_the_other_is_told_where_it_stands(reopen: Reopen) -> None:
    first, second = Store(reopen()), Store(reopen())
    upload = await first.uploads.start(NAME)
    async with first.uploads.open(NAME, upload) as session:
        for process in (first, second):
            for operation in (append(process, upload, b"other"), process.uploads.cancel(NAME, upload)):
                with pytest.raises(RegistryError) as caught:
                    await operation
                assert (code(caught), caught.value.status) == (ErrorCode.RANGE_INVALID, 416)
        await session.append(chunks(b"mine"))
    await commit(second, upload, Digest.of(b"mine"))


async def test_many_at_one_upload_leave_one_content_that_one_of_them_sent(reopen: Reopen) -> None:
    processes = [Store(reopen()) for _ in range(3)]
    upload = await processes[0].uploads.start(NAME)
    results = await asyncio.gather(
        *(append(processes[n % 3], upload, b"%d" % n * 300_000) for n in range(9)), return_exceptions=True
    )
    won = [n for n, result in enumerate(results) if result is None]
    assert won
    assert all(isinstance(result, RegistryError) for n, result in enumerate(results) if n not in won)
    assert await processes[1].uploads.size(NAME, upload) == 300_000 * len(won)


async def test_a_wrong_digest_discards_the_upload_and_links_nothing(reopen: Reopen) -> None:
    storage = reopen()
    driver = storage.driver
    process = Store(storage)
    upload = await process.uploads.start(NAME)
    await append(process, upload, CONTENT)
    for expected in (ErrorCode.DIGEST_INVALID, ErrorCode.BLOB_UPLOAD_UNKNOWN):
        with pytest.raises(RegistryError) as caught:
            await commit(process, upload, Digest.of(b"other"))
        assert code(caught) is expected
    assert not [path for path in await everything(driver) if path.endswith(("data", "link"))]


async def test_an_upload_of_another_repository_is_unknown(reopen: Reopen) -> None:
    process = Store(reopen())
    upload = await process.uploads.start(NAME)
    other = RepositoryName("team/other")
    with pytest.raises(RegistryError) as caught:
        await process.uploads.size(other, upload)
    assert code(caught) is ErrorCode.BLOB_UPLOAD_UNKNOWN
    with pytest.raises(RegistryError) as caught:
        await process.uploads.cancel(other, upload)
    assert code(caught) is ErrorCode.BLOB_UPLOAD_UNKNOWN
    assert await process.uploads.size(NAME, upload) == 0


async def test_an_attempt_from_another_repository_costs_an_upload_nothing(reopen: Reopen) -> None:
    """Whoever sees an upload's name in a log must not make the one whose it is pay: its running hash stays."""
    storage, counting = wrapped(reopen(), CountingDriver)
    process = Store(storage)
    upload = await process.uploads.start(NAME)
    await append(process, upload, CONTENT)
    with pytest.raises(RegistryError):
        await process.uploads.cancel(RepositoryName("team/other"), upload)
    await append(process, upload, CONTENT)
    await commit(process, upload, Digest.of(CONTENT * 2))
    assert counting.reread == 0


@pytest.mark.parametrize("user", ["bob", "", "alic", "alice2"])
async def test_an_upload_is_there_for_the_user_alone_who_has_begun_it(reopen: Reopen, user: str) -> None:
    processes = [Store(reopen()), Store(reopen())]
    upload = await processes[0].uploads.start(NAME, user="alice")
    for process in processes:
        uploads = process.uploads
        for attempt in (uploads.size(NAME, upload, user=user), uploads.cancel(NAME, upload, user=user)):
            with pytest.raises(RegistryError) as caught:
                await attempt
            assert code(caught) is ErrorCode.BLOB_UPLOAD_UNKNOWN
        async with uploads.open(NAME, upload, user="alice") as session:
            await session.append(chunks(CONTENT))
            with pytest.raises(RegistryError) as caught:  # not even that it is being written
                await uploads.cancel(NAME, upload, user=user)
            assert code(caught) is ErrorCode.BLOB_UPLOAD_UNKNOWN
    assert await processes[1].uploads.size(NAME, upload, user="alice") == 2 * len(CONTENT)


@pytest.mark.parametrize("begun_by", [None, ""])
async def test_an_upload_that_nobody_with_a_name_has_begun_is_everybodys(reopen: Reopen, begun_by: str | None) -> None:
    """It was begun before there was access control, or where everybody may push."""
    upload = await Store(reopen()).uploads.start(NAME, user=begun_by)
    for user in ("alice", "", None):
        assert await Store(reopen()).uploads.size(NAME, upload, user=user) == 0


async def test_without_access_control_nobody_looks_whose_an_upload_is(reopen: Reopen) -> None:
    storage = reopen()
    upload = await Store(storage).uploads.start(NAME, user="alice")
    reading: list[str] = []

    class Noting(ForwardingDriver):
        @override
        async def read(self, path: str) -> bytes:
            reading.append(path)
            return await super().read(path)

    watched, _ = wrapped(storage, Noting)
    assert await Store(watched).uploads.size(NAME, upload) == 0
    assert reading == []
    assert await Store(watched).uploads.size(NAME, upload, user="alice") == 0
    assert reading == [layout.upload_owner(NAME, upload)]


async def test_a_cancelled_upload_is_gone(reopen: Reopen) -> None:
    storage = reopen()
    driver = storage.driver
    process = Store(storage)
    upload = await process.uploads.start(NAME)
    await append(process, upload, CONTENT)
    await process.uploads.cancel(NAME, upload)
    with pytest.raises(RegistryError):
        await Store(reopen()).uploads.size(NAME, upload)
    assert not [path for path in await everything(driver) if str(upload) in path]


class HangingUp(ForwardingDriver):
    """A driver whose client hangs up when something of the kind is written."""

    word = "\0"
    task: asyncio.Task[None] | None = None

    @override
    async def write(self, path: str, content: bytes, *, durable: bool = True) -> None:
        if self.word in path and self.task is not None:
            self.task.cancel()
        await super().write(path, content, durable=durable)


async def test_a_commit_goes_to_its_end_when_its_client_hangs_up(reopen: Reopen) -> None:
    storage, client = wrapped(reopen(), HangingUp)
    process = Store(storage)
    upload = await process.uploads.start(NAME)
    await append(process, upload, CONTENT)
    client.word = "_layers"
    client.task = asyncio.ensure_future(commit(process, upload, Digest.of(CONTENT)))
    with pytest.raises(asyncio.CancelledError):
        await client.task
    assert await stored(Store(reopen()), Digest.of(CONTENT)) == CONTENT
    assert not [path for path in await everything(reopen().driver) if "/_uploads/" in path]


async def test_who_hangs_up_while_the_content_is_verified_can_finish_without_a_second_reading(reopen: Reopen) -> None:
    storage, driver = wrapped(reopen(), CountingDriver)
    process = Store(storage)
    upload = await process.uploads.start(NAME)
    async with process.uploads.open(NAME, upload) as session:
        await session.append(chunks(CONTENT))
        finishing = asyncio.ensure_future(session.commit(Digest.of(CONTENT), actor=ACTOR))
        await asyncio.sleep(0)
        finishing.cancel()
        await asyncio.wait([finishing])
        assert finishing.cancelled()
    await commit(process, upload, Digest.of(CONTENT))
    assert (driver.hashed, driver.reread) == (len(CONTENT), 0)


async def test_who_hangs_up_while_another_commits_the_same_blob_can_finish_later(reopen: Reopen) -> None:
    process = Store(reopen())
    upload = await process.uploads.start(NAME)
    await append(process, upload, CONTENT)
    async with reopen().locks.hold(layout.blob_lock(Digest.of(CONTENT))):
        waiting = asyncio.ensure_future(commit(process, upload, Digest.of(CONTENT)))
        await asyncio.sleep(0.2)
        assert not waiting.done()
        waiting.cancel()
        await asyncio.wait([waiting])
    assert await process.uploads.size(NAME, upload) == len(CONTENT)
    await commit(process, upload, Digest.of(CONTENT))
    assert await stored(process, Digest.of(CONTENT)) == CONTENT


# storage that fails


@pytest.mark.parametrize("linked", [False, True], ids=["new", "linked already"])
@pytest.mark.parametrize("together", [False, True], ids=["in steps", "at once"])
async def test_whatever_step_finds_no_room_nothing_of_the_upload_is_left(
    reopen: Reopen, *, linked: bool, together: bool
) -> None:
    """Each change in turn is the one that finds the disk full."""
    digest = Digest.of(CONTENT)
    link = layout.layer_link(NAME, digest)
    if linked:  # by a push whose blob was lost since
        await reopen().driver.write(link, str(digest).encode())
    before = await everything(reopen().driver)
    failed = 0
    for steps in range(20):
        storage, full = wrapped(reopen(), partial(Failing, steps=steps, dies=False))
        process = Store(storage)
        try:
            if together:
                await process.uploads.receive(NAME, chunks(CONTENT[:9], CONTENT[9:]), digest, actor=ACTOR)
            else:
                upload = await process.uploads.start(NAME)
                await append(process, upload, CONTENT[:9])
                await append(process, upload, CONTENT[9:])
                await commit(process, upload, digest)
        except StorageFull:
            failed += 1
            assert await everything(full.driver) == before
            continue
        if not full.failed:
            break
        # only a note found no room: on how far it has come, or where the blob is; both are written for speed alone
        assert await stored(Store(reopen()), digest) == CONTENT
        with contextlib.suppress(PathNotFound):
            await full.driver.delete(layout.HOLDERS)
        await full.driver.delete(layout.blob_data(digest))
        if not linked:
            await full.driver.delete(link)
    assert failed >= 6
    assert await stored(Store(reopen()), digest) == CONTENT
    assert not [path for path in await everything(reopen().driver) if "/_uploads/" in path]


class LateFull(ForwardingDriver):
    """A driver (with links) that finds no room for a blob, before it is there or only for what comes after.

    Others go on meanwhile (`meanwhile`), between the moment at which a link can be seen and the one at which it fails.
    """

    meanwhile: Callable[[], Awaitable[None]] | None = None
    appears = False

    @override
    async def move(self, source: str, target: str) -> None:
        if self.appears:
            await super().move(source, target)
        if self.meanwhile is not None:
            await self.meanwhile()
            raise StorageFull("no room")

    async def repair(self, source: str, target: str) -> int | None:  # noqa: ARG002 - no file has two names
        return None

    async def link(self, source: str, target: str) -> bool:  # noqa: ARG002 - likewise
        return False


@pytest.mark.parametrize("appears", [False, True], ids=["another repository's", "its own"])
async def test_a_link_whose_blob_others_have_found_is_not_taken_back(reopen: Reopen, *, appears: bool) -> None:
    """A second client finds the blob here while the first one's push of it fails, sends nothing, and tags its image."""
    content, config = b"a layer", b"{}"
    other = Store(reopen())
    await put_blob(other, NAME, config)
    if not appears:
        await put_blob(other, RepositoryName("team/other"), content)
    storage, driver = wrapped(reopen(), LateFull)
    driver.appears = appears
    process = Store(storage)
    upload = await process.uploads.start(NAME)
    await append(process, upload, content)
    manifest = make_manifest(config, content)

    async def push_what_relies_on_it() -> None:
        assert await other.open(NAME).has_blob(Digest.of(content))
        await other.open(NAME).put_manifest(
            parse_manifest(manifest, ""), Digest.of(manifest), TagName("acknowledged"), actor=ACTOR
        )

    driver.meanwhile = push_what_relies_on_it
    with pytest.raises(StorageFull):
        await commit(process, upload, Digest.of(content))
    assert await stored(other, Digest.of(content)) == content
    assert not [path for path in await everything(reopen().driver) if "/_uploads/" in path]


class Refusing(ForwardingDriver):
    """A driver on a disk that fails at one kind of path, and tells so."""

    word = ""

    @override
    async def write(self, path: str, content: bytes, *, durable: bool = True) -> None:
        if self.word and self.word in path:
            raise StorageError("input/output error")
        await super().write(path, content, durable=durable)

    @override
    async def delete(self, path: str, *, durable: bool = True) -> None:
        if self.word and self.word in path:
            raise StorageError("input/output error")
        await super().delete(path, durable=durable)


async def test_an_upload_that_met_a_failure_of_the_disk_can_be_finished_later(reopen: Reopen) -> None:
    storage, disk = wrapped(reopen(), Refusing)
    process = Store(storage)
    upload = await process.uploads.start(NAME)
    await append(process, upload, CONTENT)
    disk.word = "_layers"
    with pytest.raises(StorageError):
        await commit(process, upload, Digest.of(CONTENT))
    assert await process.uploads.size(NAME, upload) == len(CONTENT)
    disk.word = ""
    await commit(process, upload, Digest.of(CONTENT))
    assert await stored(process, Digest.of(CONTENT)) == CONTENT


async def test_what_could_not_be_taken_away_is_logged_and_the_blob_is_there_all_the_same(
    reopen: Reopen, caplog: pytest.LogCaptureFixture
) -> None:
    storage, disk = wrapped(reopen(), Refusing)
    process = Store(storage)
    upload = await process.uploads.start(NAME)
    await append(process, upload, CONTENT)
    disk.word = "_uploads"
    await commit(process, upload, Digest.of(CONTENT))
    assert await stored(process, Digest.of(CONTENT)) == CONTENT
    assert f"upload {upload} of {NAME} could not be removed and will be purged later" in caplog.text


async def test_after_its_end_an_upload_takes_nothing(reopen: Reopen) -> None:
    process = Store(reopen())
    upload = await process.uploads.start(NAME)
    async with process.uploads.open(NAME, upload) as session:
        await session.append(chunks(CONTENT))
        await session.commit(Digest.of(CONTENT), actor=ACTOR)
        with pytest.raises(ImpossibleEvent):
            await session.append(chunks())
        with pytest.raises(ImpossibleEvent):
            await session.discard()
