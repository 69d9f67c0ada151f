"""Being alone at something: one at a time, across processes, and no ruin ever holds anybody up."""

from __future__ import annotations

import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from backends.model.errors import RegistryError
from backends.registry.exclusive_lock import exclusive_lock
from backends.storage.driver import PathNotFound, StorageDriver
from backends.storage.filesystem import FilesystemDriver

PATH = "/docker/registry/portside/primary/v1/locks/ns/r"
ROOT = Path(__file__).parents[2]
HOLDER = f"""
import asyncio, sys
from pathlib import Path
from backends.registry.exclusive_lock import exclusive_lock
from backends.storage.filesystem import FilesystemDriver

async def hold():
    async with exclusive_lock(FilesystemDriver(Path(sys.argv[1])), {PATH!r}):
        print("inside", flush=True)
        await asyncio.sleep(600)

asyncio.run(hold())
"""


async def test_many_are_alone_one_after_another_and_leave_nothing(reopen: Callable[[], StorageDriver]) -> None:
    inside = 0
    most = 0

    async def enter(driver: StorageDriver) -> None:
        nonlocal inside, most
        for _ in range(5):
            async with exclusive_lock(driver, PATH):
                inside += 1
                most = max(most, inside)
                await asyncio.sleep(0.001)
                inside -= 1

    drivers = [reopen() for _ in range(4)]
    await asyncio.gather(*(enter(driver) for driver in drivers))
    assert most == 1
    with pytest.raises(PathNotFound):
        await drivers[0].stat(PATH)


async def test_whoever_waits_too_long_is_told_to_come_again(reopen: Callable[[], StorageDriver]) -> None:
    async with exclusive_lock(reopen(), PATH):
        with pytest.raises(RegistryError, match="again later") as raised:
            async with exclusive_lock(reopen(), PATH, patience=0.05):
                pytest.fail("two are alone")
        assert raised.value.status == 503


async def test_a_failure_inside_gives_the_place_free(reopen: Callable[[], StorageDriver]) -> None:
    with pytest.raises(ValueError, match="inside"):
        async with exclusive_lock(reopen(), PATH):
            raise ValueError("inside")
    async with exclusive_lock(reopen(), PATH, patience=0):
        pass


def test_a_process_that_is_killed_gives_the_place_free(tmp_path: Path) -> None:
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, cwd=ROOT, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "inside\n"

        async def enter(patience: float) -> None:
            driver = FilesystemDriver(tmp_path)
            try:
                async with exclusive_lock(driver, PATH, patience=patience):
                    pass
            finally:
                await driver.close()

        with pytest.raises(RegistryError):
            asyncio.run(enter(0.1))
        holder.send_signal(signal.SIGKILL)
        holder.wait()
        asyncio.run(enter(5))
