"""What only disks do: fill up, become read-only, hold links that lead out, be mounted in pieces, show half states."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import hashlib
import os
import resource
import subprocess
import tempfile
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from pathlib import Path

import pytest
from typing_extensions import override

from backends.model.digest import Hash
from backends.storage import layout, listings
from backends.storage.disk_pace import DiskPace, Sync
from backends.storage.driver import (
    Chunk,
    InvalidPath,
    PathNotFound,
    SlowTee,
    StorageBusy,
    StorageError,
    StorageFull,
    StorageReadOnly,
    Tee,
    Writer,
)
from backends.storage.files import FileWriter
from backends.storage.filesystem import FilesystemDriver
from backends.storage.pouring import TakesAtOnce
from tests.support.mounts import fill_up, make_larger, make_read_only, mounted_tmpfs
from tests.support.steady_pace import SteadyPace
from tests.support.threads import no_more_threads
from tests.support.trees import read_tree

Open = Callable[[Path], FilesystemDriver]

TMP = layout.TEMPORARY[1:]


@pytest.fixture(params=["openat2", "walking"])
async def opening(request: pytest.FixtureRequest) -> AsyncIterator[Open]:
    opened: list[FilesystemDriver] = []

    def again(root: Path) -> FilesystemDriver:
        driver = FilesystemDriver(root)
        if request.param == "walking":  # a kernel or a container's profile without openat2
            driver._opener.confined = driver._opener.cached = driver._opens_at_once = False
        opened.append(driver)
        return driver

    yield again
    for driver in opened:
        await driver.close()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    with mounted_tmpfs(tmp_path / "disk") as folder:
        yield folder


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def write_many(writer: Writer, size: int) -> None:
    """Writes a hundred different chunks of one size."""
    for number in range(100):
        await writer.write(bytes([number]) * size)


def hashing(running: Hash) -> Tee:
    """Updates a hash with what is written."""

    def tee(chunks: Sequence[Chunk]) -> None:
        for chunk in chunks:
            running.update(chunk)

    return tee


def leftovers(root: Path) -> list[str]:
    return [path for path in map(str, root.rglob("*")) if ".tmp" in path]


# a full disk


async def test_a_small_file_that_does_not_fit_leaves_the_old_one_and_no_trace(small_disk: Path, opening: Open) -> None:
    driver = opening(small_disk)
    await driver.write("/a/file", b"old")
    filler = fill_up(small_disk)
    before = read_tree(small_disk)
    for path in ("/a/file", "/a/new", "/new/folders/above/file"):
        with pytest.raises(StorageFull):
            await driver.write(path, bytes(100_000))
    assert read_tree(small_disk) == before
    assert not leftovers(small_disk)
    assert await driver.read("/a/file") == b"old"
    filler.unlink()
    await driver.write("/new/folders/above/file", bytes(100_000))
    assert await driver.read("/new/folders/above/file") == bytes(100_000)


async def test_of_several_files_those_before_the_one_that_does_not_fit_are_there(
    small_disk: Path, opening: Open
) -> None:
    driver = opening(small_disk)
    await driver.write("/a/first", b"old")
    filler = fill_up(small_disk)
    with pytest.raises(StorageFull):
        await driver.write_several([("/a/second", bytes(100_000)), ("/a/third", b"")])
    assert await driver.list("/a") == ("first",)
    assert not leftovers(small_disk)
    await driver.clear("/a", ["first", "second"])
    assert not (small_disk / "a").exists()
    filler.unlink()


async def test_a_disk_without_inodes_is_full_too(tmp_path: Path, opening: Open) -> None:
    with mounted_tmpfs(tmp_path / "disk", inodes=40) as disk:
        driver = opening(disk)
        written: list[str] = []

        async def write_many() -> None:
            for number in range(100):
                await driver.write(f"/x/{number}/link", b"")
                written.append(f"/x/{number}/link")

        with pytest.raises(StorageFull):
            await write_many()
        assert written
        assert sorted(await driver.list("/x"), key=int) == [path.split("/")[2] for path in written]
        assert not leftovers(disk)
        await driver.delete(written[0])


def as_it_is(tee: Tee) -> Tee:
    return tee


here_and_in_threads = pytest.mark.parametrize("rated", [as_it_is, SlowTee], ids=["here", "in threads"])
whatever_the_pace = pytest.mark.parametrize("keeps_up", [False, True], ids=["a disk not known", "one that keeps up"])


@here_and_in_threads
@whatever_the_pace
async def test_a_growing_file_keeps_what_fitted_and_its_hash_is_of_that(
    small_disk: Path, opening: Open, rated: Callable[[Tee], Tee], *, keeps_up: bool
) -> None:
    driver = opening(small_disk)
    driver.pace.keeps_up = keeps_up
    running = hashlib.sha256()
    writer = await driver.writer("/upload/data", tee=rated(hashing(running)))
    with pytest.raises(StorageFull):
        await write_many(writer, 200_000)
    await writer.close()
    kept = (await driver.stat("/upload/data")).size
    assert writer.size == kept > 0
    content = (small_disk / "upload/data").read_bytes()
    assert running.hexdigest() == hashlib.sha256(content).hexdigest()
    assert content == b"".join(bytes([number]) * 200_000 for number in range(100))[:kept]
    # reads go on; and when there is room so does the upload
    reader = await driver.open("/upload/data")
    assert reader.size == kept
    reader.close()
    make_larger(small_disk)
    writer = await driver.writer("/upload/data", append=True, tee=rated(hashing(running)))
    await writer.write(b"rest")
    await writer.sync()
    await writer.close()
    assert running.hexdigest() == hashlib.sha256((small_disk / "upload/data").read_bytes()).hexdigest()


@here_and_in_threads
@whatever_the_pace
@pytest.mark.parametrize("pause", [0.0, 0.001, 0.01])
async def test_cancelled_while_the_disk_fills_length_and_hash_still_agree(
    small_disk: Path, opening: Open, rated: Callable[[Tee], Tee], pause: float, *, keeps_up: bool
) -> None:
    driver = opening(small_disk)
    driver.pace.keeps_up = keeps_up
    running = hashlib.sha256()
    writer = await driver.writer("/upload/data", tee=rated(hashing(running)))
    task = asyncio.ensure_future(write_many(writer, 300_000))
    await asyncio.sleep(pause)
    task.cancel()
    await asyncio.wait([task])
    with contextlib.suppress(StorageFull):
        await writer.flush()
    await writer.close()
    content = (small_disk / "upload/data").read_bytes()
    assert writer.size == len(content)
    assert running.hexdigest() == hashlib.sha256(content).hexdigest()
    assert content == b"".join(bytes([number]) * 300_000 for number in range(100))[: len(content)]


@pytest.mark.parametrize(("is_slow", "others", "is_here"), [(False, 0, False), (False, 5, True), (True, 5, False)])
async def test_a_tee_is_called_in_the_event_loop_when_many_write_and_a_slow_one_never(
    tmp_path: Path, opening: Open, *, is_slow: bool, others: int, is_here: bool
) -> None:
    driver = opening(tmp_path)
    where = set[int]()

    def tee(_: Sequence[Chunk]) -> None:
        where.add(threading.get_ident())

    open_too = [await driver.writer(f"/upload/other-{number}") for number in range(others)]
    writer = await driver.writer("/upload/data", tee=SlowTee(tee) if is_slow else tee)
    assert isinstance(writer, TakesAtOnce)
    for _ in range(8):
        if not writer.take((bytes(300_000),)):
            await writer.catch_up()
    await writer.flush()
    await writer.write(b"rest")
    await writer.sync()
    await writer.write(b"rest")
    await writer.close()
    for other in open_too:
        await other.close()
    assert where
    assert (threading.get_ident() in where) == is_here


@pytest.mark.parametrize(
    ("keeps_up", "is_slow", "is_here"), [(False, False, False), (True, False, True), (True, True, False)]
)
async def test_the_event_loop_writes_to_a_disk_that_keeps_up_alone(
    tmp_path: Path, opening: Open, monkeypatch: pytest.MonkeyPatch, *, keeps_up: bool, is_slow: bool, is_here: bool
) -> None:
    """write(2) waits where the kernel has too much to write, or a journal is full: for seconds."""
    where = set[bool]()
    here, real = threading.get_ident(), os.writev

    def writev(fd: int, buffers: Sequence[Chunk]) -> int:
        where.add(threading.get_ident() == here)
        return real(fd, buffers)

    monkeypatch.setattr(os, "writev", writev)
    running = hashlib.sha256()
    driver = opening(tmp_path)
    driver.pace = SteadyPace(keeps_up=keeps_up)
    tee = hashing(running)
    writer = await driver.writer("/upload/data", tee=SlowTee(tee) if is_slow else tee)
    assert isinstance(writer, FileWriter)
    for _ in range(30):
        if not writer.take((bytes(100_000), bytes(10))):
            await writer.catch_up()
        await writer._await_room()  # whoever asks for it has locked the file
    await writer.flush()
    assert where == {is_here}
    await writer.sync()
    await writer.write(b"rest")
    await writer.close()
    content = bytes(30 * 100_010) + b"rest"
    assert (tmp_path / "upload/data").read_bytes() == content
    assert running.hexdigest() == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("others", [0, 5])
async def test_after_an_fsync_that_failed_length_and_hash_still_agree(
    tmp_path: Path, opening: Open, monkeypatch: pytest.MonkeyPatch, others: int
) -> None:
    driver = opening(tmp_path)
    running = hashlib.sha256()
    open_too = [await driver.writer(f"/upload/other-{number}") for number in range(others)]
    writer = await driver.writer("/upload/data", tee=hashing(running))
    await writer.write(b"x" * 1000)

    def fsync(_: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", fsync)
        with pytest.raises(StorageError):
            await writer.sync()
    await writer.write(b"rest")
    await writer.sync()
    await writer.close()
    for other in open_too:
        await other.close()
    content = (tmp_path / "upload/data").read_bytes()
    assert content == b"x" * 1000 + b"rest"
    assert running.hexdigest() == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("keeps_up", [True, False])
async def test_a_disk_that_makes_writes_wait_is_not_believed_wherever_they_are(
    tmp_path: Path, opening: Open, monkeypatch: pytest.MonkeyPatch, *, keeps_up: bool
) -> None:
    """The kernel makes who writes to it wait; what it has written meanwhile makes an fsync look fast."""
    real = os.writev

    def writev(fd: int, buffers: Sequence[Chunk]) -> int:
        time.sleep(0.02)
        return real(fd, buffers)

    driver = opening(tmp_path)
    driver.pace.keeps_up = keeps_up
    writer = await driver.writer("/upload/data")
    monkeypatch.setattr(os, "writev", writev)
    await writer.write(bytes(1_100_000))
    await writer.flush()
    monkeypatch.setattr(os, "writev", real)
    await writer.write(bytes(5_000_000))
    await writer.sync()
    await writer.close()
    driver.pace.sync_ended(driver.pace.sync_began(), 5_000_000, 0.001)
    assert not driver.pace.keeps_up


async def test_a_disk_is_believed_after_a_large_sync_and_not_after_a_small_one(tmp_path: Path, opening: Open) -> None:
    driver = opening(tmp_path)
    told: list[tuple[int, float | None]] = []

    class Told(DiskPace):
        @override
        def sync_ended(self, sync: Sync, size: int, seconds: float | None) -> None:
            told.append((size, seconds))
            super().sync_ended(sync, size, seconds)

    driver.pace = Told()
    writer = await driver.writer("/upload/data")
    await writer.write(b"x" * 300_000)
    await writer.sync()
    assert not driver.pace.keeps_up
    await writer.write(b"x" * 5_000_000)
    await writer.sync()
    await writer.close()
    assert [size for size, _ in told] == [300_000, 5_300_000]
    assert all(seconds is not None and 0 < seconds < 60 for _, seconds in told)


async def test_where_no_more_threads_may_be_files_grow_with_those_that_there_are(tmp_path: Path, opening: Open) -> None:
    driver = opening(tmp_path)
    running = hashlib.sha256()
    writer = await driver.writer("/upload/data", tee=hashing(running))
    busy = threading.Event()
    waiting = [driver.submit(busy.wait, 10)]
    with no_more_threads():
        growing = asyncio.create_task(write_many(writer, 200_000))
        waiting += [driver.submit(busy.wait, 10) for _ in range(3)]
        await asyncio.sleep(0.01)
        busy.set()
        await growing
        await writer.sync()
        await writer.close()
    await asyncio.gather(*waiting)
    content = b"".join(bytes([number]) * 200_000 for number in range(100))
    assert (tmp_path / "upload/data").read_bytes() == content
    assert running.hexdigest() == hashlib.sha256(content).hexdigest()


async def test_without_any_thread_storage_is_busy_and_nothing_is_done_later(tmp_path: Path, opening: Open) -> None:
    driver = opening(tmp_path)
    with no_more_threads(), pytest.raises(StorageBusy, match="thread"):
        await driver.write("/file", b"first")
    await driver.write("/other", b"second")
    assert not (tmp_path / "file").exists()


async def test_what_is_taken_and_what_is_written_is_in_order(tmp_path: Path, opening: Open) -> None:
    driver = opening(tmp_path)
    running = hashlib.sha256()
    writer = await driver.writer("/upload/data", tee=hashing(running))
    assert isinstance(writer, TakesAtOnce)
    content = bytearray()
    for number in range(60):
        chunk = bytes([number]) * 70_000
        content += chunk
        if number % 3:
            await writer.write(chunk)
        elif not writer.take((chunk[:100], chunk[100:])):
            await writer.catch_up()
        if number % 7 == 0:
            driver._moving += 5 if number % 2 else -5  # as if others came and went
        driver.pace.keeps_up = number % 10 < 5  # as if the disk were slow now and then
        if number % 7 == 0:
            await asyncio.sleep(0.01)
    await writer.sync()
    await writer.close()
    assert (tmp_path / "upload/data").read_bytes() == content
    assert running.hexdigest() == hashlib.sha256(content).hexdigest()


@whatever_the_pace
async def test_whoever_takes_too_much_for_a_full_disk_learns_it_there(
    small_disk: Path, opening: Open, *, keeps_up: bool
) -> None:
    driver = opening(small_disk)
    driver.pace.keeps_up = keeps_up
    running = hashlib.sha256()
    writer = await driver.writer("/upload/data", tee=hashing(running))
    assert isinstance(writer, TakesAtOnce)

    async def take_all() -> None:
        for number in range(100):
            if not writer.take((bytes([number]) * 200_000,)):
                await asyncio.sleep(0.02)  # the thread is done: the next one finds that out
                if number % 2:
                    await writer.catch_up()

    with pytest.raises(StorageFull):
        await take_all()
    await writer.close()
    content = (small_disk / "upload/data").read_bytes()
    assert len(content) == writer.size > 0
    assert running.hexdigest() == hashlib.sha256(content).hexdigest()


async def test_on_a_full_disk_files_are_still_moved_linked_and_deleted(small_disk: Path, opening: Open) -> None:
    driver = opening(small_disk)
    await driver.write("/a/one", b"1")
    await driver.write("/b/two", b"2")
    fill_up(small_disk)
    await driver.move("/a/one", "/b/one")
    assert await driver.read("/b/one") == b"1"
    await driver.delete("/b/two")
    assert list(await driver.list("/b")) == ["one"]


# a disk that refuses


async def test_a_read_only_mount_is_read_and_says_so_when_written(small_disk: Path, opening: Open) -> None:
    await opening(small_disk).write("/a/file", b"content")
    driver = opening(small_disk)
    make_read_only(small_disk)
    assert await driver.read("/a/file") == b"content"
    assert list(await driver.list("/a")) == ["file"]
    for operation in (
        driver.write("/a/file", b"x"),
        driver.write("/new/file", b"x"),
        driver.writer("/a/new"),
        driver.writer("/a/file", append=True),
        driver.move("/a/file", "/b"),
        driver.link("/a/file", "/b"),
        driver.delete("/a/file"),
    ):
        with pytest.raises(StorageReadOnly):
            await operation
    assert await driver.read("/a/file") == b"content"


async def test_a_read_only_mount_without_our_folder_is_served_too(small_disk: Path, opening: Open) -> None:
    (small_disk / "file").write_bytes(b"content")
    make_read_only(small_disk)
    driver = opening(small_disk)
    assert await driver.read("/file") == b"content"
    with pytest.raises(StorageReadOnly):
        await driver.write("/other", b"")


def test_a_root_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StorageError):
        FilesystemDriver(tmp_path / "file" / "root")
    with pytest.raises(StorageError):
        FilesystemDriver(tmp_path / "file")


# links that lead out


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A folder beside the root that nobody may touch."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / "secret").write_bytes(b"secret")
    return folder


@pytest.mark.parametrize("relative", [True, False])
async def test_links_that_lead_out_of_the_root_are_never_followed(
    tmp_path: Path,
    outside: Path,
    opening: Open,
    relative: bool,  # noqa: FBT001 - a table's column
) -> None:
    root = tmp_path / "root"
    (root / "a").mkdir(parents=True)
    (root / "a/folder").symlink_to(Path("../../outside") if relative else outside)
    (root / "a/file").symlink_to(Path("../../outside/secret") if relative else outside / "secret")
    (root / "a/new").symlink_to(Path("../../outside/made") if relative else outside / "made")
    (root / "own").write_bytes(b"own")
    before = read_tree(outside)
    driver = opening(root)
    for path in ("/a/folder/secret", "/a/file", "/a/new"):
        for reading in (driver.read(path), driver.open(path), driver.stat(path), driver.writer(path, append=True)):
            with pytest.raises(InvalidPath):
                await reading
    with pytest.raises(InvalidPath):
        await driver.list("/a/folder")
    for writing in (
        driver.write("/a/folder/secret", b"x"),
        driver.write("/a/folder/deep/er", b"x"),
        driver.writer("/a/folder/new"),
        driver.move("/own", "/a/folder/own"),
        driver.move("/a/folder/secret", "/stolen"),
        driver.link("/a/folder/secret", "/stolen"),
        driver.delete("/a/folder/secret"),
    ):
        with pytest.raises(StorageError):
            await writing
    with contextlib.suppress(StorageError):
        assert not await driver.link("/own", "/a/folder/own")
    await driver.write("/a/file", b"replaced, not followed")
    await driver.delete("/a/folder")
    assert read_tree(outside) == before
    assert await driver.read("/a/file") == b"replaced, not followed"
    assert await driver.read("/own") == b"own"


LONG = "x" * 256


@pytest.mark.parametrize("path", [f"/{LONG}", f"/a/{LONG}", f"/{LONG}/a", "/loop", "/loop/a", "/a/to-loop/b"])
async def test_a_path_that_cannot_be_is_told_apart_from_an_absent_one(tmp_path: Path, opening: Open, path: str) -> None:
    root = tmp_path / "root"
    (root / "a").mkdir(parents=True)
    (root / "loop").symlink_to("loop")
    (root / "a/to-loop").symlink_to("../loop")
    (root / "own").write_bytes(b"own")
    before = read_tree(root)
    driver = opening(root)
    operations = [
        driver.read(path),
        driver.open(path),
        driver.stat(path),
        driver.list(path),
        driver.writer(path, append=True),
        driver.move(f"{path}/a", "/own"),
        driver.link(f"{path}/a", "/own"),
        driver.delete(f"{path}/a"),
        driver.write(f"{path}/a", b"x"),
        driver.write(f"{path}/a/b/c", b"x"),
        driver.writer(f"{path}/a"),
        driver.move("/own", f"{path}/a"),
        driver.link("/own", f"{path}/a"),
    ]
    for operation in operations:
        with pytest.raises(InvalidPath):
            await operation
    assert read_tree(root) == before
    assert not leftovers(root)


async def test_without_descriptors_it_is_busy_and_works_again_later(tmp_path: Path, opening: Open) -> None:
    driver = opening(tmp_path)
    await driver.write("/a/file", bytes(10_000))
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (3, hard))
    try:
        for operation in (
            lambda: driver.read("/a/file"),
            lambda: driver.open("/a/file"),
            lambda: driver.write("/a/other", b""),
            lambda: driver.list("/a"),
        ):
            with pytest.raises(StorageBusy):
                await operation()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert await driver.read("/a/file") == bytes(10_000)
    assert list(await driver.list("/a")) == ["file"]


# links within


async def walk(driver: FilesystemDriver, path: str = "/") -> list[str]:
    """All folders that a walk meets, as the catalog walks."""
    try:
        names = await driver.list(path)
    except PathNotFound:
        return []
    found = [path]
    for name in names:
        found += await walk(driver, f"{path.rstrip('/')}/{name}")
    return found


async def test_a_walk_comes_to_an_end_whatever_links_there_are_and_meets_nothing_by_going_in_circles(
    tmp_path: Path, opening: Open
) -> None:
    root = tmp_path / "root"
    (root / "a/b/c").mkdir(parents=True)
    (root / "d/e").mkdir(parents=True)
    (root / "f/g").mkdir(parents=True)
    for link, target in {
        "self": ".",
        "a/up": "..",
        "a/b/top": "../..",
        "a/b/itself": "itself",
        "a/b/out": "../../../outside",
        "a/b/dangling": "nothing",
        "a/b/way/there": "../../d",  # its folder is missing: made below
        "a/other": "../d",
        "d/e/back": "../../a",
        "d/third": "../f",
    }.items():
        (root / link).parent.mkdir(exist_ok=True)
        (root / link).symlink_to(target)
    (tmp_path / "outside/secret").mkdir(parents=True)
    driver = opening(root)
    async with asyncio.timeout(5):
        met = await walk(driver)
    plain = ["/", "/a", "/a/b", "/a/b/c", "/a/b/way", "/d", "/d/e", "/f", "/f/g"]
    if driver._opener.confined:
        # What a link leads to is there; a link that is met behind a link is not.
        through = ["/a/other", "/a/other/e", "/d/e/back", "/d/e/back/b", "/d/e/back/b/c", "/d/e/back/b/way"]
        through += ["/d/third", "/d/third/g"]
        assert sorted(met) == sorted([*plain, *through])
    else:
        assert sorted(met) == plain


async def test_links_to_files_within_are_listed_and_followed(tmp_path: Path, opening: Open) -> None:
    root = tmp_path / "root"
    (root / "tags").mkdir(parents=True)
    (root / "tags/tag_1").write_bytes(b"one")
    (root / "tags/tag_latest").symlink_to("tag_1")
    (root / "tags/tag_gone").symlink_to("tag_0")
    driver = opening(root)
    if driver._opener.confined:
        assert list(await driver.list("/tags")) == ["tag_1", "tag_latest"]
        assert await driver.read("/tags/tag_latest") == b"one"
        (root / "tags/tag_0").write_bytes(b"zero")
        (root / "tags/tag_1").unlink()
        assert list(await driver.list("/tags")) == ["tag_0", "tag_gone"]
    else:
        assert list(await driver.list("/tags")) == ["tag_1"]


async def test_our_own_folder_is_not_made_through_a_link(tmp_path: Path, outside: Path, opening: Open) -> None:
    root = tmp_path / "root"
    root.mkdir()
    (root / "docker").symlink_to(outside)
    driver = opening(root)
    with pytest.raises(StorageError):
        await driver.write("/file", b"x")
    assert sorted(read_tree(outside)) == ["secret"]


async def test_a_pipe_in_a_foreign_volume_holds_up_nobody(tmp_path: Path, opening: Open) -> None:
    root = tmp_path / "root"
    root.mkdir()
    os.mkfifo(root / "link")
    driver = opening(root)
    async with asyncio.timeout(5):
        with pytest.raises(PathNotFound):
            await driver.read("/link")
        with pytest.raises(PathNotFound):
            await driver.open("/link")


# volumes in pieces


async def test_moving_and_linking_work_where_a_folder_is_another_file_system(tmp_path: Path, opening: Open) -> None:
    root = tmp_path / "root"
    with mounted_tmpfs(root / "images") as images:
        driver = opening(root)
        content = bytes(range(256)) * 4000
        await driver.write("/blobs/x/data", content)
        assert not await driver.link("/blobs/x/data", "/images/id/layer")
        assert not list(images.iterdir())
        await driver.write("/staging/id/layer", content)
        await driver.move("/staging/id/layer", "/images/id/layer")
        assert await driver.read("/images/id/layer") == content
        with pytest.raises(PathNotFound):
            await driver.stat("/staging/id/layer")
        await driver.write("/staging/id/layer", b"second")
        await driver.move("/staging/id/layer", "/images/id/layer")
        assert await driver.read("/images/id/layer") == b"second"
        await driver.write("/images/id/json", b"{}")
        writer = await driver.writer("/images/other/deep/layer")
        await writer.write(b"x")
        await writer.close()
        await driver.delete("/images/id")
        assert list(await driver.list("/images")) == ["other"]
        assert not leftovers(root)


async def test_a_move_that_does_not_fit_on_the_other_file_system_leaves_the_source(
    tmp_path: Path, opening: Open
) -> None:
    root = tmp_path / "root"
    with mounted_tmpfs(root / "images", size="1m") as images:
        driver = opening(root)
        await driver.write("/staging/layer", bytes(3_000_000))
        with pytest.raises(StorageFull):
            await driver.move("/staging/layer", "/images/id/layer")
        assert (await driver.stat("/staging/layer")).size == 3_000_000
        assert not list(images.iterdir())


# several names


async def test_repairing_keeps_one_file_and_takes_no_room_for_it(small_disk: Path, opening: Open) -> None:
    driver = opening(small_disk)
    content = os.urandom(2_000_000)
    await driver.write("/blobs/data", content[:1_000_000] + b"?" + content[1_000_001:])
    assert await driver.link("/blobs/data", "/images/layer")
    await driver.write("/upload", content)
    fill_up(small_disk)
    assert await driver.repair("/upload", "/blobs/data")
    blob, layer = small_disk / "blobs/data", small_disk / "images/layer"
    assert blob.samefile(layer)
    assert blob.stat().st_nlink == 2
    assert layer.read_bytes() == content


async def test_what_may_not_be_written_is_not_repaired_but_told(small_disk: Path, opening: Open) -> None:
    driver = opening(small_disk)
    await driver.write("/blobs/data", b"wrong")
    assert await driver.link("/blobs/data", "/images/layer")
    await driver.write("/upload", b"right")
    subprocess.run(["chattr", "+i", small_disk / "blobs/data"], check=True)  # noqa: ASYNC221 - quick
    try:
        with pytest.raises(StorageReadOnly):
            await driver.repair("/upload", "/blobs/data")
    finally:
        subprocess.run(["chattr", "-i", small_disk / "blobs/data"], check=True)  # noqa: ASYNC221 - quick
    assert await driver.read("/upload") == b"right"


async def test_a_file_that_has_another_name_does_not_grow(tmp_path: Path, opening: Open) -> None:
    """A power cut may bring back the name that a blob had while it was an upload."""
    driver = opening(tmp_path)
    await driver.write("/upload/data", b"content")
    assert await driver.link("/upload/data", "/blobs/data")
    with pytest.raises(PathNotFound):
        await driver.writer("/upload/data", append=True)
    assert await driver.read("/blobs/data") == b"content"


async def test_no_temporary_name_is_left_of_a_link_that_was_there(tmp_path: Path, opening: Open) -> None:
    driver = opening(tmp_path)
    await driver.write("/a", b"content")
    for _ in range(2):
        assert await driver.link("/a", "/b")
    assert (tmp_path / "a").stat().st_nlink == 2
    assert not leftovers(tmp_path)


# half states


async def test_an_observer_sees_files_whole_or_not_at_all(tmp_path: Path) -> None:
    """A thread looks at the folder as fast as it can while files come, are replaced and go, folders and all."""
    root = tmp_path / "root"
    driver = FilesystemDriver(root)
    contents = [bytes([number]) * 200_000 for number in range(4)]
    wrong: list[str] = []
    looks = 0
    done = threading.Event()

    def look() -> None:
        nonlocal looks
        whole = {hashlib.sha256(content).digest() for content in contents}
        while not done.is_set():
            looks += 1
            try:
                names = [path.name for path in (root / "repositories").iterdir()]
            except FileNotFoundError:
                continue
            for name in names:
                if name.startswith("."):
                    wrong.append(f"temporary {name} is seen")
                try:
                    content = (root / "repositories" / name / "deep" / "link").read_bytes()
                except FileNotFoundError:
                    # it may have gone between the two looks; a folder that is still there lacks its file
                    if (root / "repositories" / name).exists() and not (root / "repositories" / name / "deep").exists():
                        wrong.append(f"{name} is an empty folder")
                    continue
                if hashlib.sha256(content).digest() not in whole:
                    wrong.append(f"{name} has {len(content)} bytes")

    thread = threading.Thread(target=look)
    thread.start()
    try:
        for turn in range(12):
            for content in contents:
                await driver.write(f"/repositories/{turn}/deep/link", content)
            await driver.write("/staged", contents[turn % 4])
            await driver.move("/staged", f"/repositories/moved-{turn}/deep/link")
            await driver.link(f"/repositories/{turn}/deep/link", f"/repositories/linked-{turn}/deep/link")
            for name in (f"{turn}", f"moved-{turn}", f"linked-{turn}"):
                await driver.delete(f"/repositories/{name}")
    finally:
        done.set()
        thread.join()
        await driver.close()
    assert not wrong, wrong[:5]
    assert looks > 50


async def test_a_listing_is_never_older_than_the_last_change(tmp_path: Path) -> None:
    root = tmp_path / "root"
    driver, other = FilesystemDriver(root), FilesystemDriver(root)
    for number in range(5):
        await driver.write(f"/folder/{number}", b"")
    old = time.time() - 1000
    os.utime(root / "folder", (old, old))  # settled long ago, as far as the time of modification tells
    await asyncio.sleep(2.2)
    assert len(await driver.list("/folder")) == 5
    assert len(await driver.list("/folder")) == 5
    await other.write("/folder/new", b"")
    os.utime(root / "folder", (old, old))  # what a restored backup does
    assert "new" in await driver.list("/folder")
    await other.delete("/folder")
    with pytest.raises(PathNotFound):
        await driver.list("/folder")
    await other.write("/folder/again", b"")
    os.utime(root / "folder", (old, old))
    assert list(await driver.list("/folder")) == ["again"]
    await driver.close()
    await other.close()


async def test_listings_are_kept_within_a_bound_of_names(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listings, "NAMES_KEPT", 100)
    monkeypatch.setattr(listings, "RACY_MTIME_SECONDS", 0)
    driver = FilesystemDriver(tmp_path / "root")
    for folder, size in (("a", 30), ("b", 30), ("c", 30), ("large", 60), ("empty", 0)):
        (tmp_path / "root" / folder).mkdir()
        for number in range(size):
            (tmp_path / "root" / folder / str(number)).touch()
    for folder, size in (("a", 30), ("b", 30), ("large", 60), ("c", 30), ("empty", 0)) * 2:
        assert len(await driver.list(f"/{folder}")) == size
        kept = driver._listings._kept
        assert sum(len(each.names) for part in (kept, kept._old) for each in part.values()) <= 100
        assert (f"/{folder}" in kept) is (folder != "large")
    await driver.close()


# other processes


async def test_what_killed_processes_left_is_swept_and_what_is_under_way_is_not(tmp_path: Path) -> None:
    tmp = tmp_path / "root" / TMP
    (tmp / ".old-folder.tmp" / "deep").mkdir(parents=True)
    (tmp / ".old-folder.tmp" / "deep" / "data").write_bytes(b"x")
    (tmp / ".old.tmp").write_bytes(b"x")
    (tmp / "link.tmp").symlink_to(tmp_path / "kept")
    (tmp_path / "kept").mkdir()
    (tmp / ".young.tmp").write_bytes(b"x")
    long_ago = time.time() - 10_000
    (tmp / ".large.tmp" / "deep").mkdir(parents=True)
    (tmp / ".large.tmp" / "deep" / "data").write_bytes(b"still being copied")
    removed = f".{int(time.time()):x}-{'0' * 16}.tmp"
    (tmp / removed).mkdir()  # an old folder that is being taken apart: it has got this name just now
    for name in (
        *(".old-folder.tmp/deep/data", ".old-folder.tmp/deep", ".old-folder.tmp", ".old.tmp"),
        *(".large.tmp/deep", ".large.tmp", removed),
    ):
        os.utime(tmp / name, (long_ago, long_ago))
    os.utime(tmp / "link.tmp", (long_ago, long_ago), follow_symlinks=False)
    driver = FilesystemDriver(tmp_path / "root")
    await driver.write("/file", b"")
    young = {".young.tmp", ".large.tmp", removed}
    assert {path.name for path in tmp.iterdir()} == young
    assert "kept" in read_tree(tmp_path)
    await driver.close()


async def test_a_root_that_was_emptied_under_us_is_written_again(tmp_path: Path, opening: Open) -> None:
    root = tmp_path / "root"
    driver = opening(root)
    await driver.write("/a/file", b"x")
    subprocess.run(["rm", "-r", *root.iterdir()], check=True)  # noqa: ASYNC221 - quick
    await driver.write("/a/file", b"y")
    assert await driver.read("/a/file") == b"y"


# cancellation


async def test_no_descriptor_is_lost_when_requests_are_cancelled(tmp_path: Path, opening: Open) -> None:
    driver = opening(tmp_path / "root")
    await driver.write("/a/file", bytes(2_000_000))
    before = open_descriptors()
    for turn in range(60):
        tasks: list[asyncio.Task[object]] = [
            asyncio.create_task(driver.open("/a/file")),
            asyncio.create_task(driver.writer("/a/file", append=True)),
            asyncio.create_task(driver.writer(f"/a/new-{turn}")),
        ]
        for _ in range(turn % 4):
            await asyncio.sleep(0)
        await asyncio.sleep(0.0003 * (turn % 3))
        for task in tasks:
            task.cancel()
        for result in await asyncio.gather(*tasks, return_exceptions=True):
            if isinstance(result, BaseException):
                assert isinstance(result, asyncio.CancelledError), result
            else:
                closing = result.close()  # type: ignore[attr-defined] # a reader or a writer
                if closing is not None:
                    await closing
    await asyncio.gather(*(driver.stat("/a/file") for _ in range(50)))
    await until(lambda: open_descriptors() == before)
    writer = await driver.writer("/a/file", append=True)
    await writer.close()


@pytest.mark.parametrize("what", ["write", "sync", "read"])
async def test_cancelling_never_closes_a_descriptor_under_a_thread(
    tmp_path: Path, memory: Path, opening: Open, what: str
) -> None:
    """A closed descriptor's number goes to the next file at once: what a thread still wrote would land there."""
    driver = opening(memory if what == "read" else tmp_path / "root")
    driver._opener.cached = False
    await driver.write("/source", os.urandom(3_000_000))
    victim = tmp_path / "victim"
    victim.write_bytes(b"untouched")
    for turn in range(40):

        async def work(turn: int = turn) -> None:
            if what == "read":
                reader = await driver.open("/source")
                try:
                    async for _ in reader.chunks(0, reader.size):
                        await asyncio.sleep(0)
                finally:
                    reader.close()
                return
            writer = await driver.writer(f"/target-{turn}")
            try:
                for _ in range(4):
                    await writer.write(bytes(1_500_000))
                if what == "sync":
                    await writer.sync()
            finally:
                await writer.close()

        task = asyncio.ensure_future(work())
        await asyncio.sleep(0.0004 * (turn % 15))
        task.cancel()
        await asyncio.wait([task])
        fds = [os.open(victim, os.O_RDWR) for _ in range(3)]
        await asyncio.sleep(0.002)
        for fd in fds:
            assert os.read(fd, 100) == b"untouched"
            os.close(fd)
        assert task.cancelled() or task.exception() is None
    assert victim.read_bytes() == b"untouched"


async def test_workers_that_begin_at_once_make_one_folder_of_temporary_files(tmp_path: Path) -> None:
    before = open_descriptors()
    drivers = [FilesystemDriver(tmp_path / "root") for _ in range(4)]
    await asyncio.gather(*(driver.write(f"/{n}/{m}", b"") for n, driver in enumerate(drivers) for m in range(8)))
    # the root, our two folders, a file of its own and those of the others
    assert open_descriptors() <= before + len(drivers) * (3 + len(drivers))
    for driver in drivers:
        await driver.close()
    assert open_descriptors() == before
    assert not list((tmp_path / "root" / layout.UNSYNCED[1:]).iterdir())


@pytest.fixture
def memory() -> Iterator[Path]:
    """A folder on a file system that never answers at once: every read of it is a thread's."""
    place = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=place if place.is_dir() else None) as folder:
        yield Path(folder)


async def until(condition: Callable[[], bool]) -> None:
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it never came to pass")


async def test_what_no_registry_has_written_is_told_apart(tmp_path: Path, opening: Open) -> None:
    """A volume may come from strangers: a folder where a file should be, a pipe, a small file of many megabytes."""
    (tmp_path / "folder/below").mkdir(parents=True)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_bytes(b"")
    (tmp_path / "large").touch()
    os.truncate(tmp_path / "large", 9 << 20)
    driver = opening(tmp_path)
    for path in ("/folder", "/file/below"):
        with pytest.raises(InvalidPath, match="stands"):
            await driver.write(path, b"x")
        with pytest.raises(InvalidPath, match="stands"):
            await driver.writer(path)
    for path in ("/large", "/folder", "/pipe"):
        with pytest.raises(PathNotFound):
            await driver.read(path)
    with pytest.raises(PathNotFound):
        await driver.writer("/pipe", append=True)
    await driver.write("/large", b"small")
    assert await driver.read("/large") == b"small"
