"""One suite that every storage driver passes, with a second opening of the same place in the middle of it."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest

from backends.storage.driver import Chunk, PathNotFound, Reader, StorageDriver, StorageError
from backends.storage.filesystem import FilesystemDriver
from backends.storage.inmemory import InMemoryDriver
from tests.support.drivers import ForwardingDriver, links_of

Reopen = Callable[[], StorageDriver]

DEEP = "/docker/registry/v2/repositories/team/app/_uploads/0a/data"


@pytest.fixture(params=["filesystem", "walking", "inmemory", "wrapped"])
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
            driver._opener.confined = driver._opener.cached = False
        opened.append(driver)
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
