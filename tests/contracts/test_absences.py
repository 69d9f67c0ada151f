"""What a driver knows to be absent is absent, whoever makes it, and at once."""

from __future__ import annotations

import asyncio
import errno
import os
import shutil
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from backends.storage.absences import BOUND, KNOWN_SECONDS, RACY_SECONDS
from backends.storage.filesystem import FilesystemDriver

OURS, THEIRS = "/docker/registry/portside/primary/tags/team/app/_tags", "/repositories/team/app"
PATHS = (OURS, THEIRS)


def make_root(root: Path) -> None:
    """Makes some of the folders above, as most volumes have."""
    (root / "docker/registry/portside/primary").mkdir(parents=True)
    (root / "repositories/other").mkdir(parents=True)


async def grow_old() -> None:
    """Waits until no folder is young."""
    await asyncio.sleep(RACY_SECONDS + 0.1)


@pytest.fixture
async def driver(tmp_path: Path) -> AsyncIterator[FilesystemDriver]:
    make_root(tmp_path / "root")
    driver = FilesystemDriver(tmp_path / "root")
    yield driver
    await driver.close()


async def learn(driver: FilesystemDriver, paths: tuple[str, ...] = PATHS) -> bool:
    """What it knows once it has been asked often enough."""
    for _ in range(20):
        if driver.are_absent(paths):
            return True
        await asyncio.sleep(0.01)
    return False


def put_it(root: Path) -> None:
    (root / THEIRS[1:]).mkdir(parents=True)


def put_the_other(root: Path) -> None:
    (root / OURS[1:]).mkdir(parents=True)


def put_a_link_above(root: Path) -> None:
    (root / "repositories/team").symlink_to("other")


def put_file_below(root: Path) -> None:
    (root / "elsewhere").mkdir()
    (root / "elsewhere/file").write_text("x")
    os.renames(root / "elsewhere/file", root / THEIRS[1:] / "tag_1")


def put_it_after_a_folder_above(root: Path) -> None:
    (root / "repositories/team").mkdir()
    (root / THEIRS[1:]).mkdir()


def put_it_in_the_place_of_a_folder(root: Path) -> None:
    shutil.rmtree(root / "repositories")
    (root / THEIRS[1:]).mkdir(parents=True)


APPEARANCES: dict[str, Callable[[Path], None]] = {
    "the path": put_it,
    "a file below it": put_file_below,
    "the other path": put_the_other,
    "it, after a folder above it": put_it_after_a_folder_above,
    "it, in the place of a folder": put_it_in_the_place_of_a_folder,
    "a link above it": put_a_link_above,
}


async def test_what_appears_is_seen_at_once(tmp_path: Path) -> None:
    for number in range(len(APPEARANCES)):
        make_root(tmp_path / str(number))
    await grow_old()
    for number, (what, appear) in enumerate(APPEARANCES.items()):
        driver = FilesystemDriver(tmp_path / str(number))
        assert await learn(driver)
        appear(tmp_path / str(number))
        assert not driver.are_absent(PATHS), what
        assert not driver.are_absent(PATHS), what
        await driver.close()


async def test_a_folder_that_another_machine_has_removed_proves_nothing(
    driver: FilesystemDriver, monkeypatch: pytest.MonkeyPatch
) -> None:
    await grow_old()
    assert await learn(driver)

    def stale(fd: int) -> os.stat_result:  # as NFS answers
        raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))

    with monkeypatch.context() as patched:
        patched.setattr(os, "fstat", stale)
        assert not driver.are_absent(PATHS)
    assert not driver.are_absent(PATHS)
    await asyncio.sleep(KNOWN_SECONDS + 0.1)
    assert await learn(driver)


async def test_a_folder_that_has_just_changed_may_change_again_unseen(driver: FilesystemDriver, tmp_path: Path) -> None:
    await grow_old()
    (tmp_path / "root/repositories/third").mkdir()
    assert not await learn(driver)
    await grow_old()
    assert await learn(driver)


async def test_what_is_asked_for_seldom_is_not_known(driver: FilesystemDriver) -> None:
    await grow_old()
    for _ in range(2):
        assert not driver.are_absent(PATHS)
        await asyncio.sleep(KNOWN_SECONDS + 0.1)
    assert not driver.are_absent(PATHS)


async def test_a_folder_far_above_that_is_replaced_is_seen_within_two_seconds(
    driver: FilesystemDriver, tmp_path: Path
) -> None:
    root = tmp_path / "root"
    (tmp_path / "new/registry/portside/primary/tags/team/app/_tags").mkdir(parents=True)
    await grow_old()
    assert await learn(driver)
    (root / "docker").rename(tmp_path / "old")
    (tmp_path / "new").rename(root / "docker")
    for _ in range(int(2 * KNOWN_SECONDS / 0.1) + 2):
        driver.are_absent(PATHS)
        await asyncio.sleep(0.1)
    assert not driver.are_absent(PATHS)


async def test_what_is_known_keeps_each_folder_open_once_and_is_bounded(driver: FilesystemDriver) -> None:
    def count() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    await grow_old()
    before = count()
    for number in range(2 * BOUND):
        assert await learn(driver, (f"{OURS}{number}", f"/repositories/team/{number}"))
    assert count() - before <= 2
    for number in range(BOUND):
        driver.are_absent((OURS, f"/repositories/team{number}"))
    driver._absences.close()  # its folders, and nothing else
    assert count() == before


async def test_without_openat2_it_is_known_too(driver: FilesystemDriver) -> None:
    driver._opener.confined = driver._opener.cached = False  # as on older kernels
    await grow_old()
    assert await learn(driver)
