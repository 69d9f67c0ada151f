"""Listings of large folders: right at every request, whoever changes the folder, and read once."""

# ruff: noqa: ASYNC240 - the folder is in memory, and what is tested is what another program does to it

from __future__ import annotations

import asyncio
import contextlib
import errno
import random
import shutil
import time
from pathlib import Path

import pytest

from backends.storage import folder_watches, listings
from backends.storage.capabilities import list_page
from backends.storage.driver import PathNotFound
from backends.storage.filesystem import FilesystemDriver
from backends.storage.listings import Listings

FROM = 20


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that is large enough to be watched."""
    monkeypatch.setattr(listings, "WATCHED_FROM", FROM)
    path = tmp_path / "root/folder"
    path.mkdir(parents=True)
    for number in range(FROM):
        (path / f"n{number:02}").mkdir()
    return path


@pytest.fixture
def scans(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The paths that were read from the disk."""
    found: list[str] = []
    scan = Listings._scan

    def note(self: Listings, path: str, fd: int) -> object:
        found.append(path)
        return scan(self, path, fd)

    monkeypatch.setattr(Listings, "_scan", note)
    return found


async def listed(driver: FilesystemDriver, path: str = "/folder") -> list[str]:
    """Everything, by pages, which must be what a listing of everything says."""
    whole = list(await driver.list(path))
    assert list(await list_page(driver, path, start="", limit=10_000)) == whole
    return whole


async def test_changes_by_any_program_are_seen_at_once_and_the_folder_is_not_read_again(
    folder: Path, scans: list[str]
) -> None:
    driver, other = FilesystemDriver(folder.parent), FilesystemDriver(folder.parent)
    draw = random.Random(1)
    assert len(await listed(driver)) == FROM
    for turn in range(300):
        name = f"n{draw.randrange(3 * FROM):02}"
        there = (folder / name).exists()
        match draw.randrange(4):
            case 0:
                await other.write(f"/folder/{name}/link", b"")
            case 1 if there:
                await other.delete(f"/folder/{name}")
            case 2 if there:
                (folder / name).rename(folder / f"m{turn}")
            case _:
                (folder / name).mkdir(exist_ok=True)
        assert await listed(driver) == _names(folder), turn
    assert len(scans) <= 1 + 3, "it is read once more whenever it has twice as many names"
    await driver.close()
    await other.close()


async def test_readers_in_many_threads_see_what_was_done_before_they_asked(folder: Path, scans: list[str]) -> None:
    driver, other = FilesystemDriver(folder.parent), FilesystemDriver(folder.parent)
    done: set[str] = set()

    async def read() -> None:
        for _ in range(100):
            before = set(done)
            assert before <= set(await driver.list("/folder"))

    async def write() -> None:
        for number in range(100):
            await other.write(f"/folder/new{number}/link", b"")
            done.add(f"new{number}")

    await asyncio.gather(write(), *(read() for _ in range(6)))
    assert await listed(driver) == _names(folder)
    assert len(scans) <= 10
    await driver.close()
    await other.close()


async def test_what_changes_while_the_folder_is_read_is_seen(
    folder: Path, scans: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = FilesystemDriver(folder.parent)
    sort = listings._sort

    def change_meanwhile(names: list[str]) -> list[str]:
        (folder / "meanwhile").mkdir()
        (folder / "n00").rmdir()
        return sort(names)

    monkeypatch.setattr(listings, "_sort", change_meanwhile)
    assert await listed(driver) == _names(folder)
    assert scans == ["/folder"]
    await driver.close()


async def test_of_many_that_ask_first_one_reads_the_folder(folder: Path, scans: list[str]) -> None:
    driver = FilesystemDriver(folder.parent)
    await asyncio.gather(*(driver.list("/folder") for _ in range(20)))
    assert scans == ["/folder"]
    await driver.close()


async def test_a_folder_that_was_removed_and_made_again_is_another_one(folder: Path) -> None:
    driver = FilesystemDriver(folder.parent)
    for turn in range(5):
        await driver.list("/folder")
        shutil.rmtree(folder)
        with pytest.raises(PathNotFound):
            await driver.list("/folder")
        folder.mkdir()
        for number in range(FROM + turn):
            (folder / f"t{turn}-{number:02}").mkdir()
        assert await listed(driver) == _names(folder)
    folder.rename(folder.parent / "elsewhere")
    with pytest.raises(PathNotFound):
        await driver.list("/folder")
    assert len(await listed(driver, "/elsewhere")) == FROM + 4
    await driver.close()


async def test_more_changes_than_the_kernel_remembers_are_seen_too(folder: Path, scans: list[str]) -> None:
    driver = FilesystemDriver(folder.parent)
    await driver.list("/folder")
    limit = int(Path("/proc/sys/fs/inotify/max_queued_events").read_text(encoding="ascii"))
    assert limit < 100_000, "too many to fill in a test"
    for number in range(limit // 2 + 100):  # two events each
        (folder / f"x{number}").mkdir()
        (folder / f"x{number}").rmdir()
    (folder / "last").mkdir()
    assert await listed(driver) == _names(folder)
    assert scans == ["/folder"] * 2
    (folder / "later").mkdir()
    assert "later" in await listed(driver)
    assert scans == ["/folder"] * 2
    await driver.close()


async def test_a_symbolic_link_that_appears_is_followed_or_left_out(folder: Path) -> None:
    driver = FilesystemDriver(folder.parent)
    (folder.parent / "other").mkdir()
    await driver.list("/folder")
    (folder / "good").symlink_to("../other")
    (folder / "broken").symlink_to("nowhere")
    assert await listed(driver) == ["good", *(f"n{number:02}" for number in range(FROM))]
    (folder / "good").unlink()
    (folder / "broken").unlink()
    assert len(await listed(driver)) == FROM
    await driver.close()


async def test_temporary_names_are_left_out(folder: Path) -> None:
    driver = FilesystemDriver(folder.parent)
    await driver.list("/folder")
    (folder / ".1-0.tmp").mkdir()
    assert len(await listed(driver)) == FROM
    (folder / ".1-0.tmp").rename(folder / "there")
    assert "there" in await listed(driver)
    (folder / "there").rename(folder / ".1-0.tmp")
    assert len(await listed(driver)) == FROM
    await driver.close()


async def test_one_folder_under_two_paths(folder: Path) -> None:
    driver = FilesystemDriver(folder.parent)
    (folder.parent / "alias").symlink_to("folder")
    for turn in range(4):
        (folder / f"t{turn}").mkdir()
        for path in ("/alias", "/folder")[:: 1 if turn % 2 else -1]:
            assert await listed(driver, path) == _names(folder)
    await driver.close()


@pytest.mark.parametrize("why", ["no instance", "no watch", "unknown file system"])
async def test_where_the_kernel_cannot_watch_it_is_read_after_each_change(
    folder: Path, scans: list[str], monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, why: str
) -> None:
    if why == "unknown file system":
        monkeypatch.setattr(folder_watches, "_LOCAL", {})
    else:
        monkeypatch.setattr(folder_watches.FolderWatches, "_call", _refuses(why == "no instance"))
    driver = FilesystemDriver(folder.parent)
    for turn in range(3):
        (folder / f"t{turn}").mkdir()
        assert await listed(driver) == _names(folder)
    assert len(scans) == 6
    if why != "unknown file system":
        assert "cannot be watched" in caplog.text
        assert "fs.inotify.max_user" in caplog.text
    await driver.close()


def _refuses(every: bool) -> object:  # noqa: FBT001 - a fixture of its own would say no more
    call = folder_watches.FolderWatches._call

    def refuse(self: folder_watches.FolderWatches, name: str, *arguments: object) -> int:
        if every or name == "inotify_add_watch":
            raise OSError(errno.EMFILE if every else errno.ENOSPC, "the limit")
        return call(self, name, *arguments)

    return refuse


async def test_a_change_without_an_event_is_seen_by_the_folders_time(
    folder: Path, scans: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    driver = FilesystemDriver(folder.parent)
    await driver.list("/folder")
    read = folder_watches.FolderWatches.read
    monkeypatch.setattr(folder_watches.FolderWatches, "read", lambda self: iter(list(read(self))[:0]))
    time.sleep(0.01)  # noqa: ASYNC251 - the kernel's clock for files ticks every few milliseconds
    (folder / "unheard-of").mkdir()
    assert "unheard-of" in await listed(driver)
    assert len(scans) > 1
    await driver.close()


async def test_what_is_not_kept_any_more_is_not_watched_any_more(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(listings, "NAMES_KEPT", 4 * FROM)
    driver = FilesystemDriver(folder.parent)
    for number in range(6):
        shutil.copytree(folder, folder.parent / f"copy{number}")
    for number in range(6):
        assert len(await listed(driver, f"/copy{number}")) == FROM
        watched = driver._listings._watched
        assert len(watched) <= 4
    assert _watches() == len(driver._listings._watched)
    await driver.close()
    assert _watches() == 0


def _watches() -> int:
    """How many folders the kernel watches for this process."""
    count = 0
    for each in Path("/proc/self/fdinfo").iterdir():
        with contextlib.suppress(FileNotFoundError):
            count += each.read_text(encoding="ascii").count("inotify wd:")
    return count


def _names(folder: Path) -> list[str]:
    return sorted(each.name for each in folder.iterdir())
