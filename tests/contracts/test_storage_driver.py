"""One suite that every storage driver passes, with a second opening of the same place in the middle of it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest

from backends.storage.capabilities import after_name, clear, list_page, list_pages, remove_empty, write_several
from backends.storage.driver import Chunk, PathNotFound, Reader, StorageDriver, StorageError
from backends.storage.filesystem import FilesystemDriver
from backends.storage.inmemory import InMemoryDriver
from portside.observe.metrics import Metrics
from portside.observe.storage_metrics import MeteredDriver
from tests.support.drivers import ForwardingDriver, links_of

Reopen = Callable[[], StorageDriver]

DEEP = "/docker/registry/v2/repositories/team/app/_uploads/0a/data"


@pytest.fixture(params=["filesystem", "walking", "inmemory", "wrapped", "metered"])
async def reopen(request: pytest.FixtureRequest, tmp_path: Path) -> AsyncIterator[Reopen]:
    """Each call opens the same place, as another process (or the same one after a restart) would."""
    opened: list[StorageDriver] = []
    if request.param == "inmemory":
        opened.append(InMemoryDriver())  # all of it is one process's

    def again() -> StorageDriver:
        if request.param == "inmemory":
            return opened[0]
        driver = FilesystemDriver(tmp_path / "root")
        if request.param == "walking":  # a kernel or a container's profile without openat2
            driver._opener.confined = driver._opener.cached = driver._opens_at_once = False
        opened.append(driver)
        if request.param == "metered":
            return MeteredDriver(driver, "filesystem", Metrics())
        return ForwardingDriver(ForwardingDriver(driver)) if request.param == "wrapped" else driver

    yield again
    for driver in opened:
        await driver.close()


async def content(reader: Reader, offset: int = 0, length: int | None = None) -> bytes:
    wanted = reader.size - offset if length is None else length
    return b"".join([bytes(chunk) async for chunk in reader.chunks(offset, wanted)])


async def test_what_was_written_is_read_after_a_reopen(reopen: Reopen) -> None:
    await reopen().write(DEEP, b"hello")
    assert await reopen().read(DEEP) == b"hello"


@pytest.mark.parametrize("size", [0, 1, 4095, 4096, 4097, 100_000])
async def test_small_files_of_every_size_come_back_whole(reopen: Reopen, size: int) -> None:
    text = bytes(range(256)) * (size // 256 + 1)
    await reopen().write("/a/file", text[:size])
    assert await reopen().read("/a/file") == text[:size]
    assert (await reopen().stat("/a/file")).size == size


async def test_a_second_write_replaces_the_first_and_open_readers_keep_what_they_opened(reopen: Reopen) -> None:
    first, second = reopen(), reopen()
    await first.write("/a/file", b"old" * 100_000)
    reader = await second.open("/a/file")
    await first.write("/a/file", b"new")
    assert await second.read("/a/file") == b"new"
    assert await content(reader) == b"old" * 100_000
    reader.close()


async def test_readers_survive_deletion(reopen: Reopen) -> None:
    first, second = reopen(), reopen()
    await first.write("/a/b/file", b"x" * 700_000)
    reader = await second.open("/a/b/file")
    await first.delete("/a")
    assert await content(reader, 5, 699_000) == b"x" * 699_000
    reader.close()
    with pytest.raises(PathNotFound):
        await second.open("/a/b/file")


async def test_a_reader_that_is_asked_for_more_than_there_is_says_so(reopen: Reopen) -> None:
    driver = reopen()
    await driver.write("/file", b"12345")
    reader = await driver.open("/file")
    with pytest.raises(StorageError):
        await content(reader, 0, 6)
    reader.close()


async def test_nothing_is_not_found_by_any_operation(reopen: Reopen) -> None:
    driver = reopen()
    await driver.write("/a/file", b"")
    for path in ("/a/none", "/none", "/a/none/deeper", "/a/file/below"):
        with pytest.raises(PathNotFound):
            await driver.read(path)
        with pytest.raises(PathNotFound):
            await driver.open(path)
        with pytest.raises(PathNotFound):
            await driver.stat(path)
        with pytest.raises(PathNotFound):
            await driver.list(path)
        with pytest.raises(PathNotFound):
            await driver.delete(path)
        with pytest.raises(PathNotFound):
            await driver.move(path, "/target")
        with pytest.raises(PathNotFound):
            await driver.writer(path, append=True)
        with pytest.raises(PathNotFound):
            await links_of(driver).link(path, "/target")
    with pytest.raises(PathNotFound):
        await driver.stat("/target")


async def test_a_folder_is_no_file(reopen: Reopen) -> None:
    driver = reopen()
    await driver.write("/a/b/file", b"content")
    assert (await driver.stat("/a/b")).is_directory
    assert not (await driver.stat("/a/b/file")).is_directory
    with pytest.raises(PathNotFound):
        await driver.read("/a/b")
    with pytest.raises(PathNotFound):
        await driver.open("/a/b")
    with pytest.raises(PathNotFound):
        await driver.writer("/a/b", append=True)
    with pytest.raises(StorageError):
        await driver.write("/a/b", b"over a folder")
    assert await driver.read("/a/b/file") == b"content"


async def test_a_listing_is_sorted_and_sees_every_change(reopen: Reopen) -> None:
    first, second = reopen(), reopen()
    for name in ("b", "a-b", "a", "B", "a.b"):
        await first.write(f"/folder/{name}/link", b"")
    assert list(await second.list("/folder")) == ["B", "a", "a-b", "a.b", "b"]
    await first.delete("/folder/a")
    assert list(await second.list("/folder")) == ["B", "a-b", "a.b", "b"]
    await first.write("/folder/0", b"")
    assert list(await second.list("/folder")) == ["0", "B", "a-b", "a.b", "b"]
    assert [name for name in await second.list("/") if name != "docker"] == ["folder"]


async def test_a_page_is_a_slice_of_the_listing(reopen: Reopen) -> None:
    first, second = reopen(), reopen()
    for name in ("b", "a-b", "a", "B", "a.b"):
        await first.write(f"/folder/{name}/link", b"")
    whole = list(await second.list("/folder"))
    for start in ("", "A", "B", "a", "a-", after_name("a"), "a.b", "b", after_name("b"), "zz", "\ud800"):
        for limit in (0, 1, 2, 5, 100):
            expected = [name for name in whole if name >= start][:limit]
            assert list(await list_page(second, "/folder", start=start, limit=limit)) == expected
    with pytest.raises(PathNotFound):
        await list_page(second, "/none", start="", limit=1)
    await first.write("/folder/a/more", b"")
    pages = [("/folder/a", ""), ("/none", ""), ("/folder/a/link", ""), ("/folder", "b"), ("/x" * 3000, "")]
    found = [list(page) for page in await list_pages(second, pages, limit=2)]
    assert found == [["link", "more"], [], [], ["b"], []]


async def test_a_folder_goes_only_while_no_file_is_in_it(reopen: Reopen) -> None:
    driver = reopen()
    await driver.write("/top/a/b/file", b"")
    await driver.write("/top/a/c/deep/file", b"")
    assert not await remove_empty(driver, "/top")
    await driver.delete("/top/a/b/file")
    assert not await remove_empty(driver, "/top")
    assert await driver.read("/top/a/c/deep/file") == b""
    assert not await remove_empty(driver, "/top/a/c/deep/file")
    await driver.delete("/top/a/c/deep")
    assert await remove_empty(driver, "/top")
    with pytest.raises(PathNotFound):
        await reopen().stat("/top")
    assert await remove_empty(driver, "/top")
    assert await remove_empty(driver, "/none/at/all")


async def test_several_files_are_written_in_their_order(reopen: Reopen) -> None:
    driver = reopen()
    await write_several(driver, [("/a/b/one", b"1"), ("/a/two", b"2"), ("/a/b/one", b"later")])
    assert [await reopen().read(path) for path in ("/a/b/one", "/a/two")] == [b"later", b"2"]
    await write_several(driver, [])
    assert list(await driver.list("/a")) == ["b", "two"]


async def test_a_folder_is_cleared_of_what_is_named_and_goes_when_that_was_all(reopen: Reopen) -> None:
    driver = reopen()
    for name in ("one", "two", "three"):
        await driver.write(f"/top/folder/{name}", b"")
    await clear(driver, "/top/folder", ["one", "three", "absent"])
    assert list(await reopen().list("/top/folder")) == ["two"]
    await clear(driver, "/top/folder", ["two"])
    with pytest.raises(PathNotFound):
        await reopen().stat("/top/folder")
    await clear(driver, "/top/folder", ["two"])
    await clear(driver, "/none/at/all", ["two"])


async def test_what_is_put_into_a_folder_while_it_is_cleared_is_there(reopen: Reopen) -> None:
    first, second = reopen(), reopen()

    async def clear_it() -> None:
        for _ in range(60):
            await clear(second, "/top/a", ["old"])

    async def write() -> None:
        for number in range(30):
            await first.write(f"/top/a/{number}", b"")
            await first.write("/top/a/old", b"")
            assert await second.read(f"/top/a/{number}") == b""
            await first.delete(f"/top/a/{number}")

    await asyncio.gather(clear_it(), clear_it(), write())


async def test_what_is_put_into_a_folder_while_it_is_removed_is_there(reopen: Reopen) -> None:
    first, second = reopen(), reopen()

    async def remove() -> None:
        for _ in range(60):
            await remove_empty(second, "/top/a")

    async def write() -> None:
        for number in range(30):
            await first.write(f"/top/a/b/{number}/file", b"")
            assert await second.read(f"/top/a/b/{number}/file") == b""
            await first.delete(f"/top/a/b/{number}")

    await asyncio.gather(remove(), remove(), write())


async def test_deleting_a_file_leaves_its_neighbours(reopen: Reopen) -> None:
    driver = reopen()
    await driver.write("/a/one", b"1")
    await driver.write("/a/one-more", b"2")
    await driver.delete("/a/one")
    assert list(await driver.list("/a")) == ["one-more"]


async def test_moving_gives_another_name_and_replaces(reopen: Reopen) -> None:
    first, second = reopen(), reopen()
    await first.write("/a/source", b"content")
    await first.move("/a/source", "/new/folders/above/target")
    assert await second.read("/new/folders/above/target") == b"content"
    with pytest.raises(PathNotFound):
        await second.stat("/a/source")
    await first.write("/a/source", b"other")
    await second.move("/a/source", "/new/folders/above/target")
    assert await first.read("/new/folders/above/target") == b"other"


async def test_a_link_is_the_same_content_and_outlives_its_source(reopen: Reopen) -> None:
    first, second = reopen(), reopen()
    await first.write("/a/source", b"content")
    assert await links_of(first).link("/a/source", "/b/c/second")
    await first.write("/a/other", b"other")
    assert await links_of(first).link("/a/other", "/b/c/replaced")
    assert await links_of(first).link("/a/source", "/b/c/replaced")
    await first.delete("/a/source")
    assert await second.read("/b/c/second") == b"content"
    assert await second.read("/b/c/replaced") == b"content"


async def test_a_writer_appends_across_reopening_and_shows_once_what_it_wrote(reopen: Reopen) -> None:
    pieces = [b"a" * 10, b"b" * 300_000, b"", b"c" * 1_200_000, b"d"]
    seen: list[bytes] = []

    def tee(chunks: Sequence[Chunk]) -> None:
        seen.extend(bytes(chunk) for chunk in chunks)

    writer = await reopen().writer(DEEP, tee=tee)
    for piece in pieces[:3]:
        await writer.write(piece)
    assert writer.size == 300_010
    await writer.close()
    await writer.close()
    assert (await reopen().stat(DEEP)).size == 300_010
    assert b"".join(seen) == b"".join(pieces[:3])
    seen.clear()
    writer = await reopen().writer(DEEP, append=True, tee=tee)
    assert writer.size == 300_010
    for piece in pieces[3:]:
        await writer.write(piece)
    await writer.sync()
    assert (await reopen().stat(DEEP)).size == writer.size == 1_500_011
    await writer.close()
    reader = await reopen().open(DEEP)
    assert await content(reader) == b"".join(pieces)
    reader.close()
    assert b"".join(seen) == b"".join(pieces[3:])


async def test_many_small_chunks_arrive_in_order(reopen: Reopen) -> None:
    writer = await reopen().writer("/file")
    chunks = [bytes([number % 256]) * (number % 7) for number in range(3000)]
    for chunk in chunks:
        await writer.write(chunk)
    await writer.flush()
    assert await reopen().read("/file") == b"".join(chunks)
    await writer.close()


async def test_flushed_bytes_are_read_by_others_while_the_writer_goes_on(reopen: Reopen) -> None:
    writer = await reopen().writer("/file")
    await writer.write(b"12345")
    await writer.flush()
    other = reopen()
    assert await other.read("/file") == b"12345"
    reader = await other.open("/file")
    await writer.write(b"678")
    await writer.close()
    assert reader.size == 5
    assert await content(reader) == b"12345"
    reader.close()


async def test_of_many_that_begin_a_writer_at_once_each_has_a_file_and_the_last_has_the_name(reopen: Reopen) -> None:
    """A driver excludes nobody; what it promises is that no file is a mixture."""
    drivers = [reopen() for _ in range(4)]
    for turn in range(10):
        path = f"/folder-{turn}/file"

        async def write(number: int, path: str = path) -> None:
            writer = await drivers[number % 4].writer(path)
            await writer.write(bytes([number]) * 1000)
            await writer.close()

        await asyncio.gather(*(write(number) for number in range(12)))
        text = await drivers[0].read(path)
        assert text == text[:1] * 1000


async def test_a_writer_begun_anew_leaves_nothing_of_what_was_there(reopen: Reopen) -> None:
    first, second = reopen(), reopen()
    await first.write("/a/blob", b"precious")
    await links_of(first).link("/a/blob", "/a/second")
    writer = await second.writer("/a/second")
    await writer.write(b"new")
    await writer.close()
    assert await first.read("/a/second") == b"new"
    assert await first.read("/a/blob") == b"precious"


async def test_a_file_that_was_moved_away_under_its_writer_goes_on_where_it_is(reopen: Reopen) -> None:
    first, second = reopen(), reopen()
    writer = await first.writer("/a/upload")
    await writer.write(b"content")
    await writer.sync()
    await first.move("/a/upload", "/blobs/x/data")
    with pytest.raises(PathNotFound):
        await second.writer("/a/upload", append=True)
    await writer.close()
    assert await second.read("/blobs/x/data") == b"content"


async def test_writers_of_different_files_do_not_hinder_one_another(reopen: Reopen) -> None:
    driver = reopen()
    writers = [await driver.writer(f"/a/{number}") for number in range(20)]
    for turn in range(5):
        for number, writer in enumerate(writers):
            await writer.write(bytes([number]) * (60_000 + turn))
    for writer in writers:
        await writer.close()
    for number in range(20):
        assert await reopen().read(f"/a/{number}") == bytes([number]) * (300_000 + 10)


async def test_many_writes_below_one_missing_folder_all_arrive(reopen: Reopen) -> None:
    drivers = [reopen(), reopen()]
    for turn in range(5):
        await asyncio.gather(*(drivers[n % 2].write(f"/turn-{turn}/deep/er/{n % 3}/{n}", b"%d" % n) for n in range(24)))
        for n in range(24):
            assert await drivers[0].read(f"/turn-{turn}/deep/er/{n % 3}/{n}") == b"%d" % n


async def test_boot_ids_are_the_same_until_the_next_reboot(reopen: Reopen) -> None:
    assert reopen().boot_id == reopen().boot_id


# what is found


async def test_what_is_found_and_what_is_not_can_be_made_durable(reopen: Reopen) -> None:
    driver = reopen()
    await driver.ensure_durable()
    await driver.ensure_durable("/a/file", "/none")
    await driver.write("/a/file", b"")
    await reopen().ensure_durable("/a/file", "/a", "/none/deeper")


async def test_a_second_link_to_the_same_name_changes_nothing(reopen: Reopen) -> None:
    driver = reopen()
    await driver.write("/a/source", b"content")
    for _ in range(3):
        assert await links_of(driver).link("/a/source", "/b/second")
    assert await driver.read("/b/second") == b"content"
    await driver.delete("/b/second")
    with pytest.raises(PathNotFound):
        await driver.stat("/b/second")
    assert await driver.read("/a/source") == b"content"


GOOD = bytes(range(251)) * 10_000
SPOILT = {
    "one byte": GOOD[:1_500_000] + b"?" + GOOD[1_500_001:],
    "shorter": GOOD[:1_200_000],
    "longer": GOOD + b"more",
    "empty": b"",
    "another": b"x" * len(GOOD),
}


@pytest.mark.parametrize("spoilt", SPOILT.values(), ids=SPOILT)
async def test_a_file_is_repaired_under_all_its_names(reopen: Reopen, spoilt: bytes) -> None:
    first, second = reopen(), reopen()
    await first.write("/blobs/data", spoilt)
    assert await links_of(first).link("/blobs/data", "/images/layer")
    assert await links_of(first).link("/blobs/data", "/images/another")
    await first.write("/upload", GOOD)
    assert await links_of(second).repair("/upload", "/blobs/data")
    for path in ("/blobs/data", "/images/layer", "/images/another"):
        assert await first.read(path) == GOOD
    with pytest.raises(PathNotFound):
        await first.stat("/upload")


async def test_of_a_file_that_is_whole_nothing_is_written(reopen: Reopen) -> None:
    driver = reopen()
    await driver.write("/blobs/data", GOOD)
    assert await links_of(driver).link("/blobs/data", "/images/layer")
    before = (await driver.stat("/images/layer")).modified
    await driver.write("/upload", GOOD)
    assert await links_of(driver).repair("/upload", "/blobs/data") == 0
    assert await driver.read("/images/layer") == GOOD
    assert (await driver.stat("/images/layer")).modified == before
    with pytest.raises(PathNotFound):
        await driver.stat("/upload")


async def test_what_a_rename_can_replace_is_not_repaired(reopen: Reopen) -> None:
    driver = reopen()
    await driver.write("/upload", b"content")
    await driver.write("/blobs/data", b"other")
    for target in ("/blobs/data", "/blobs/none", "/none/none", "/blobs"):
        assert await links_of(driver).repair("/upload", target) is None
    assert await driver.read("/upload") == b"content"
    assert await driver.read("/blobs/data") == b"other"
    await links_of(driver).link("/blobs/data", "/images/layer")
    with pytest.raises(PathNotFound):
        await links_of(driver).repair("/none", "/blobs/data")
    assert await driver.read("/blobs/data") == b"other"


# changes that meet deletions


@pytest.mark.parametrize("above", ["/a", "/a/b", "/a/b/c"])
async def test_changes_and_deletions_of_the_folders_above_never_fail_by_one_another(reopen: Reopen, above: str) -> None:
    drivers = [reopen() for _ in range(3)]
    await drivers[0].write("/source", b"source")
    done = False

    async def change(number: int) -> None:
        driver = drivers[number % 3]
        for turn in range(25):
            path = f"/a/b/c/{number % 4}/{turn}"
            match number % 5:
                case 0 | 1:
                    await driver.write(path, b"content")
                case 2:
                    writer = await driver.writer(path)
                    await writer.write(b"content")
                    await writer.close()
                case 3:
                    await driver.write(f"/sources/{number}-{turn}", b"content")
                    await driver.move(f"/sources/{number}-{turn}", path)
                case _:
                    assert await links_of(driver).link("/source", path)

    async def delete(driver: StorageDriver) -> None:
        while not done:
            with contextlib.suppress(PathNotFound):
                await driver.delete(above)
            await asyncio.sleep(0)

    deleting = [asyncio.create_task(delete(driver)) for driver in drivers[:2]]
    try:
        async with asyncio.timeout(60):
            await asyncio.gather(*(change(number) for number in range(10)))
    finally:
        done = True
        await asyncio.gather(*deleting)
    for driver in drivers:
        await driver.write("/a/b/c/last", b"last")
        assert await driver.read("/a/b/c/last") == b"last"
    assert await drivers[0].read("/source") == b"source"
