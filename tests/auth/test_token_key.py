"""The key of Portside's own tokens: one for an installation."""

from __future__ import annotations

import asyncio
import multiprocessing
import stat
from pathlib import Path

import pytest

from backends.auth.token_key import KEY_BYTES, TokenKey
from backends.storage import layout
from backends.storage.driver import StorageError
from backends.storage.factory import open_folder
from backends.storage.storage import Storage


@pytest.fixture
def storage(tmp_path: Path) -> Storage:
    return open_volume(str(tmp_path))


def open_volume(folder: str) -> Storage:
    return open_folder(Path(folder))


def read_in_another_process(folder: str) -> bytes:
    return asyncio.run(TokenKey(open_volume(folder)).get())


def test_all_processes_have_the_same_even_if_all_need_it_first_at_once(tmp_path: Path) -> None:
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        keys = set(pool.map(read_in_another_process, [str(tmp_path)] * 8, chunksize=1))
    assert len(keys) == 1
    assert len(keys.pop()) == KEY_BYTES


async def test_it_is_the_same_after_a_restart_and_another_on_another_volume(storage: Storage, tmp_path: Path) -> None:
    key = await TokenKey(storage).get()
    assert await TokenKey(storage).get() == key
    assert await TokenKey(open_volume(str(tmp_path / "other"))).get() != key


async def test_other_users_of_the_machine_cannot_read_it(storage: Storage, tmp_path: Path) -> None:
    await TokenKey(storage).get()
    path = tmp_path / layout.TOKEN_KEY.lstrip("/")
    assert stat.S_IMODE(path.stat().st_mode) & stat.S_IRWXO == 0


async def test_the_secret_of_the_settings_makes_it_alone(storage: Storage, tmp_path: Path) -> None:
    key = await TokenKey(storage, secret="as in config.yml", writes=False).get()
    assert key == await TokenKey(open_volume(str(tmp_path / "other")), secret="as in config.yml").get()
    assert key != await TokenKey(storage, secret="as in config.yaml").get()
    with pytest.raises(StorageError):
        await storage.driver.read(layout.TOKEN_KEY)


async def test_a_read_only_registry_uses_the_one_that_is_there_and_says_what_to_do_without(storage: Storage) -> None:
    with pytest.raises(StorageError, match=r"set http\.secret"):
        await TokenKey(storage, writes=False).get()
    key = await TokenKey(storage).get()
    assert await TokenKey(storage, writes=False).get() == key


async def test_a_file_that_is_no_key_is_replaced_and_that_is_said(
    storage: Storage, caplog: pytest.LogCaptureFixture
) -> None:
    await storage.driver.write(layout.TOKEN_KEY, b"")
    key = await TokenKey(storage).get()
    assert await storage.driver.read(layout.TOKEN_KEY) == key
    assert "is not a key for tokens (0 bytes)" in caplog.text
