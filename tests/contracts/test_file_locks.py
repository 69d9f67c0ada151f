"""What only locks in a file meet: other processes, kills, a folder that refuses, somebody who tidies up."""

from __future__ import annotations

import asyncio
import fcntl
import os
import subprocess
import sys
from pathlib import Path

import pytest

from backends.storage import file_locks, layout
from backends.storage.driver import StorageError, StorageReadOnly
from backends.storage.file_locks import FileLocks
from backends.storage.locks import LockHeld
from tests.support.mounts import fill_up, make_read_only, mounted_ext4, mounted_tmpfs
from tests.support.trees import read_tree

FILE = layout.LOCKS[1:]
ROOT = Path(__file__).parents[2]
HOLDER = """
import asyncio, sys
from pathlib import Path
from backends.storage.file_locks import FileLocks

async def hold():
    async with FileLocks(Path(sys.argv[1])).hold("a"):
        print("inside", flush=True)
        await asyncio.sleep(600)

asyncio.run(hold())
"""


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_a_lock_holds_across_processes_and_goes_with_its_process(tmp_path: Path) -> None:
    locks = FileLocks(tmp_path)
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, text=True) as holder:  # noqa: ASYNC220 - it is waited for
        assert holder.stdout is not None
        assert holder.stdout.readline() == "inside\n"
        with pytest.raises(LockHeld):
            async with locks.hold("a", patience=0.1):
                pytest.fail("two hold one lock")
        async with locks.hold("b"):
            holder.kill()
            holder.wait()
            async with locks.hold("a", patience=5):
                pass
    await locks.close()


async def test_locks_leave_one_empty_file_however_many_there_were(tmp_path: Path) -> None:
    locks = FileLocks(tmp_path)
    for number in range(300):
        async with locks.hold(f"name {number}"):
            pass
    await locks.close()
    assert not read_tree(tmp_path), "there is more than the file of locks"
    assert (tmp_path / FILE).stat().st_size == 0


async def test_a_file_that_somebody_removed_is_made_again_and_everybody_meets_there(tmp_path: Path) -> None:
    first, second = FileLocks(tmp_path), FileLocks(tmp_path)
    async with first.hold("a"), second.hold("b"):
        pass
    subprocess.run(["rm", "-r", tmp_path / "docker"], check=True)  # noqa: ASYNC221 - quick
    async with first.hold("a"):
        with pytest.raises(LockHeld):
            async with second.hold("a"):
                pytest.fail("two hold one lock")
    await first.close()
    await second.close()


async def test_a_folder_that_refuses_is_told_at_once(tmp_path: Path) -> None:
    with mounted_tmpfs(tmp_path / "disk") as disk:
        make_read_only(disk)
        locks = FileLocks(disk)
        async with asyncio.timeout(5):
            with pytest.raises(StorageReadOnly):
                async with locks.hold("a", patience=300):
                    pytest.fail("there is no lock")
        await locks.close()


async def test_locks_that_nobody_holds_keep_no_volume_from_becoming_read_only(tmp_path: Path) -> None:
    with mounted_tmpfs(tmp_path / "disk") as disk:
        locks = FileLocks(disk)
        async with locks.hold("a"):
            pass
        make_read_only(disk)
        await locks.close()


@pytest.mark.parametrize("link", ["docker", FILE])
async def test_the_file_is_not_made_through_a_symbolic_link(tmp_path: Path, link: str) -> None:
    outside, root = tmp_path / "outside", tmp_path / "root"
    outside.mkdir()
    (root / link).parent.mkdir(parents=True)
    (root / link).symlink_to(outside if link == "docker" else outside / "locks")
    locks = FileLocks(root)
    async with asyncio.timeout(5):
        with pytest.raises(StorageError):
            async with locks.hold("a", patience=300):
                pytest.fail("there is no lock")
    assert not read_tree(outside)
    await locks.close()


async def test_closing_leaves_no_descriptor(tmp_path: Path) -> None:
    before = open_descriptors()
    for _ in range(3):
        locks = FileLocks(tmp_path)
        async with locks.hold("a"):
            pass
        await locks.close()
    assert open_descriptors() == before


async def test_who_asks_once_waits_while_another_process_creates_the_file(tmp_path: Path) -> None:
    """On a new volume a worker that starts creates the file; the first push of another worker must not fail by that."""
    locks = FileLocks(tmp_path)
    creating = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    fcntl.flock(creating, fcntl.LOCK_EX)
    asyncio.get_running_loop().call_later(0.3, os.close, creating)
    async with locks.hold("an upload"):
        assert (tmp_path / FILE).exists()
        another = FileLocks(tmp_path)
        begun = asyncio.get_running_loop().time()
        with pytest.raises(LockHeld):
            async with another.hold("an upload"):
                pytest.fail("two hold one lock")
        assert asyncio.get_running_loop().time() - begun < file_locks.EXCLUDED_SECONDS / 2
        await another.close()
    await locks.close()


async def test_where_there_is_no_room_for_the_file_a_process_holds_all_locks_until_there_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another program's volume has no such file; on a disk that is full, deleting must work all the same."""
    monkeypatch.setattr(file_locks, "EXCLUDED_SECONDS", 0.05)
    with mounted_ext4(tmp_path / "disk") as root:
        filler = fill_up(root)
        before = open_descriptors()
        locks, another = FileLocks(root), FileLocks(root)
        async with locks.hold("an upload"), locks.hold("a blob"), locks.hold("a tag"):
            for name in ("a tag", "something else"):
                with pytest.raises(LockHeld):
                    async with another.hold(name, patience=0.05):
                        pytest.fail("two hold one lock")
            with pytest.raises(LockHeld):
                async with locks.hold("a blob", patience=0.05):
                    pytest.fail("two hold one lock")
            filler.unlink()
            for holder, name in ((another, "an upload"), (locks, "an upload")):  # the file may be made only later
                with pytest.raises(LockHeld):
                    async with holder.hold(name, patience=0.05):
                        pytest.fail("two hold one lock")
            assert not (root / FILE).exists()
        async with another.hold("a blob"), locks.hold("a tag"):
            assert (root / FILE).exists()
            with pytest.raises(LockHeld):
                async with locks.hold("a blob", patience=0.05):
                    pytest.fail("two hold one lock")
        await locks.close()
        await another.close()
        assert open_descriptors() == before


async def test_many_that_need_the_file_first_make_one_and_exclude_one_another(tmp_path: Path) -> None:
    for number in range(20):
        root = tmp_path / str(number)
        root.mkdir()
        processes = [FileLocks(root) for _ in range(6)]
        inside = 0

        async def enter(locks: FileLocks) -> None:
            nonlocal inside
            async with locks.hold("a", patience=10):
                inside += 1
                assert inside == 1
                await asyncio.sleep(0)
                inside -= 1

        await asyncio.gather(*(enter(locks) for locks in processes for _ in range(2)))
        for locks in processes:
            await locks.close()
