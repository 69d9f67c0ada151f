"""A file that is kept is never taken for what it was, whoever changes it, and however."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import suppress
from pathlib import Path

import pytest

from backends.storage import kept_files
from backends.storage.driver import FileInfo, PathNotFound, StorageError
from backends.storage.filesystem import FilesystemDriver
from backends.storage.kept_files import KEPT_SECONDS, LARGEST, RACY_SECONDS
from backends.storage.mounts import tells_changes

FILE = "/repositories/team/app/link"
OLD, NEW = b"sha256:aaaa", b"sha256:bbbb"


async def grow_old() -> None:
    """Waits until no file is young."""
    await asyncio.sleep(RACY_SECONDS + 0.1)


def make(root: Path) -> Path:
    file = root / FILE[1:]
    file.parent.mkdir(parents=True)
    file.write_bytes(OLD)
    return file


def is_kept(driver: FilesystemDriver, path: str = FILE) -> bool:
    assert driver._kept is not None
    return driver._kept.content(path) is not None


async def learn(driver: FilesystemDriver, path: str = FILE) -> bool:
    """Reads a file as often as it takes to be kept; whether it is."""
    for _ in range(3):
        await driver.read(path)
    return is_kept(driver, path)


@pytest.fixture
async def driver(tmp_path: Path) -> AsyncIterator[FilesystemDriver]:
    if not tells_changes(str(tmp_path)):
        pytest.skip("the file system of the tests keeps no files: see backends/storage/mounts.py")
    make(tmp_path / "root")
    driver = FilesystemDriver(tmp_path / "root")
    yield driver
    await driver.close()


def write_in_place(file: Path) -> None:
    file.write_bytes(NEW)


def write_in_place_and_set_the_time_back(file: Path) -> None:
    before = file.stat()
    file.write_bytes(NEW)
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))


def write_part(file: Path) -> None:
    with file.open("r+b") as opened:
        opened.seek(7)
        opened.write(b"bbbb")


def replace(file: Path) -> None:
    file.with_suffix(".new").write_bytes(NEW)
    file.with_suffix(".new").replace(file)


def remove_and_write(file: Path) -> None:
    file.unlink()
    file.write_bytes(NEW)


def move_away_and_write(file: Path) -> None:
    file.rename(file.with_suffix(".old"))
    file.write_bytes(NEW)


def remove_the_folder_and_write(file: Path) -> None:
    shutil.rmtree(file.parents[1])
    file.parent.mkdir(parents=True)
    file.write_bytes(NEW)


def write_by_another_name(file: Path) -> None:
    os.link(file, file.with_suffix(".other"))
    file.with_suffix(".other").write_bytes(NEW)


def write_by_another_process(file: Path) -> None:
    subprocess.run(
        [sys.executable, "-c", "import sys; open(sys.argv[1], 'r+b').write(b'sha256:bbbb')", str(file)], check=True
    )


CHANGES = [
    write_in_place,
    write_in_place_and_set_the_time_back,
    write_part,
    replace,
    remove_and_write,
    move_away_and_write,
    remove_the_folder_and_write,
    write_by_another_name,
    write_by_another_process,
]


@pytest.fixture(scope="module")
def grown(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Old files, one for each change, so that the tests wait once."""
    folder = tmp_path_factory.mktemp("kept")
    for change in CHANGES:
        make(folder / change.__name__)
    return folder


@pytest.mark.parametrize("change", CHANGES)
async def test_a_change_is_seen_at_once(change: Callable[[Path], None], grown: Path) -> None:
    file = grown / change.__name__ / FILE[1:]
    await asyncio.sleep(max(0.0, file.stat().st_ctime + RACY_SECONDS + 0.1 - time.time()))
    driver = FilesystemDriver(grown / change.__name__)
    assert await learn(driver)
    change(file)
    assert await driver.read(FILE) == NEW
    await driver.close()


async def write_here(driver: FilesystemDriver, _root: Path) -> None:
    await driver.write(FILE, NEW)


async def move_here(driver: FilesystemDriver, _root: Path) -> None:
    await driver.write("/other", NEW)
    await driver.move("/other", FILE)


async def delete_here(driver: FilesystemDriver, _root: Path) -> None:
    await driver.delete(FILE)


async def delete_a_folder_above_here(driver: FilesystemDriver, _root: Path) -> None:
    await driver.delete("/repositories/team")


async def delete_elsewhere(_driver: FilesystemDriver, root: Path) -> None:
    other = FilesystemDriver(root)
    await other.delete("/repositories", durable=False)
    await other.close()


async def unlink(_driver: FilesystemDriver, root: Path) -> None:
    (root / FILE[1:]).unlink()


async def put_a_folder_there(_driver: FilesystemDriver, root: Path) -> None:
    (root / FILE[1:]).unlink()
    (root / FILE[1:]).mkdir()


async def put_a_link_that_leads_out_there(_driver: FilesystemDriver, root: Path) -> None:
    (root.parent / "outside").write_bytes(NEW)
    (root / FILE[1:]).unlink()
    (root / FILE[1:]).symlink_to(root.parent / "outside")


@pytest.mark.parametrize("do", [write_here, move_here])
async def test_what_this_driver_writes_is_read_at_once(
    do: Callable[[FilesystemDriver, Path], Awaitable[None]], driver: FilesystemDriver, tmp_path: Path
) -> None:
    await grow_old()
    assert await learn(driver)
    await do(driver, tmp_path / "root")
    assert await driver.read(FILE) == NEW


@pytest.mark.parametrize(
    "do",
    [
        delete_here,
        delete_a_folder_above_here,
        delete_elsewhere,
        unlink,
        put_a_folder_there,
        put_a_link_that_leads_out_there,
    ],
)
async def test_what_has_gone_is_gone_at_once(
    do: Callable[[FilesystemDriver, Path], Awaitable[None]], driver: FilesystemDriver, tmp_path: Path
) -> None:
    await grow_old()
    assert await learn(driver)
    await do(driver, tmp_path / "root")
    for _ in range(2):
        with pytest.raises(StorageError):
            await driver.read(FILE)
    if do is not put_a_folder_there:
        with pytest.raises(StorageError):
            await driver.stat(FILE)


async def test_what_has_just_changed_may_change_again_unseen(driver: FilesystemDriver, tmp_path: Path) -> None:
    await grow_old()
    write_in_place(tmp_path / "root" / FILE[1:])
    assert not await learn(driver)
    await grow_old()
    assert await learn(driver)


async def test_what_is_read_seldom_is_not_kept(driver: FilesystemDriver) -> None:
    await grow_old()
    for _ in range(3):
        await driver.read(FILE)
        assert not is_kept(driver)
        await asyncio.sleep(KEPT_SECONDS + 0.1)


async def test_a_folder_above_that_is_moved_away_is_seen_after_a_second(
    driver: FilesystemDriver, tmp_path: Path
) -> None:
    await grow_old()
    assert await learn(driver)
    (tmp_path / "root/repositories/team").rename(tmp_path / "root/repositories/before")
    await asyncio.sleep(KEPT_SECONDS + 0.1)
    with pytest.raises(PathNotFound):
        await driver.read(FILE)


async def test_one_of_several_names_of_a_file_is_gone_at_once(driver: FilesystemDriver, tmp_path: Path) -> None:
    os.link(tmp_path / "root" / FILE[1:], tmp_path / "root/other")
    await grow_old()
    assert await learn(driver)
    assert await learn(driver, "/other")
    (tmp_path / "root/other").unlink()
    with pytest.raises(PathNotFound):
        await driver.read("/other")
    with pytest.raises(PathNotFound):
        await driver.stat("/other")
    assert await driver.read(FILE) == OLD


async def test_what_was_looked_at_is_read_and_what_was_read_is_looked_at(
    driver: FilesystemDriver, tmp_path: Path
) -> None:
    file = tmp_path / "root" / FILE[1:]
    await grow_old()
    for _ in range(3):
        assert (await driver.stat(FILE)).size == len(OLD)
    assert await driver.read(FILE) == OLD
    assert await learn(driver)
    assert await driver.stat(FILE) == FileInfo(len(OLD), file.stat().st_mtime, is_directory=False)
    file.write_bytes(NEW + NEW)
    assert (await driver.stat(FILE)).size == 2 * len(NEW)
    assert (await driver.stat(FILE)).modified == file.stat().st_mtime
    assert await driver.read(FILE) == NEW + NEW


async def test_a_folder_is_looked_at_each_time(driver: FilesystemDriver, tmp_path: Path) -> None:
    folder = tmp_path / "root/repositories/team"
    await grow_old()
    for _ in range(3):
        assert (await driver.stat("/repositories/team")).is_directory
    (folder / "another").mkdir()
    assert (await driver.stat("/repositories/team")).modified == folder.stat().st_mtime


async def test_descriptors_are_bounded_and_given_back(
    driver: FilesystemDriver, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def count() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    monkeypatch.setattr(kept_files, "BOUND", 8)
    other = FilesystemDriver(tmp_path / "root")
    for number in range(40):
        (tmp_path / f"root/{number}").write_bytes(OLD)
    await grow_old()
    before = count()
    for number in range(40):
        assert await learn(other, f"/{number}")
    assert count() - before <= 8
    for number in range(40):
        (tmp_path / f"root/{number}").unlink()
        with pytest.raises(PathNotFound):
            await other.read(f"/{number}")
    assert count() == before
    await other.close()


async def test_what_is_large_gives_its_room_back_when_somebody_removes_it(
    driver: FilesystemDriver, tmp_path: Path
) -> None:
    """A garbage collector, for one: nobody may ask for the file again for long."""
    blob = tmp_path / "root/blob"
    blob.write_bytes(bytes(LARGEST + 1))
    await grow_old()
    for _ in range(3):
        assert (await driver.stat("/blob")).size == LARGEST + 1
    inode = blob.stat().st_ino
    blob.unlink()
    assert inode not in open_inodes()


def open_inodes() -> set[int]:
    found: set[int] = set()
    for fd in Path("/proc/self/fd").iterdir():
        with suppress(FileNotFoundError):
            found.add(fd.stat().st_ino)
    return found


async def test_where_times_tell_nothing_no_file_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make(tmp_path / "root")
    monkeypatch.setattr("backends.storage.filesystem.tells_changes", lambda _folder: False)
    driver = FilesystemDriver(tmp_path / "root")
    assert driver._kept is None
    assert [await driver.read(FILE) for _ in range(3)] == [OLD] * 3
    await driver.close()
