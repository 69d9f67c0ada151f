"""A whole repository is deleted: by a client, and by a command on the volume beside a running server."""

from __future__ import annotations

import asyncio
import os
import pty
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from backends.registry.store import Store
from backends.storage.factory import open_folder
from backends.v2.registry import Registry
from backends.v2.settings import V2Settings
from backends.web.gates import make_gates
from backends.web.settings import GateSettings
from tests.support.commands import portside, running_command
from tests.support.mounts import fill_up, mounted_ext4, mounted_tmpfs
from tests.support.serving_here import Client, serving_here
from tests.support.v1_volumes import pushed_by, write_images, write_tags

PATH = "_portside/repository"
DELETES = GateSettings(delete_enabled=True)


async def test_a_client_deletes_a_repository_with_all_that_is_in_it(tmp_path: Path) -> None:
    storage, other = open_folder(tmp_path), open_folder(tmp_path)
    async with (
        serving_here(Registry(Store(storage), V2Settings(), gates=make_gates(DELETES)).handle) as client,
        serving_here(Registry(Store(other), V2Settings(), gates=make_gates(DELETES)).handle) as worker,
    ):
        for name in ("team", "team/app", "team/app/below", "team/app-2"):
            await client.push_image(name, "1", "2")
        await client.begin("team/app")
        answer = await client.ask("DELETE", f"/v2/team/app/{PATH}")
        assert (answer.status, answer.body) == (202, b"")
        assert (await worker.ask("GET", "/v2/team/app/tags/list")).told == (404, "NAME_UNKNOWN")
        assert (await worker.ask("GET", "/v2/team/app/manifests/1")).told == (404, "MANIFEST_UNKNOWN")
        assert (await worker.ask("DELETE", f"/v2/team/app/{PATH}")).told == (404, "NAME_UNKNOWN")
        catalog = (await worker.ask("GET", "/v2/_catalog")).json["repositories"]
        assert catalog == ["team", "team/app/below", "team/app-2"]
        await worker.push_image("team/app", "1")
        assert (await client.ask("GET", "/v2/team/app/tags/list")).json["tags"] == ["1"]
    for each in (storage, other):
        await each.close()


@pytest.mark.parametrize(
    "path",
    [
        "/v2/team/app/",
        "/v2/team/app",
        "/v2/team/app/manifests/",
        "/v2/team/app/tags/",
        "/v2/team/app/blobs/",
        "/v2/team/app/_portside",
        "/v2/team/app/_portside/",
        "/v2/_portside/repository",
        "/v2//_portside/repository",
        "/v2/team/%2e%2e/_portside/repository",
        "/v2/*/_portside/repository",
        "/v2/TEAM/_portside/repository",
    ],
)
async def test_no_other_path_deletes_one(tmp_path: Path, path: str) -> None:
    """A script that forgets to fill in the tag or the digest deletes nothing."""
    storage = open_folder(tmp_path)
    async with serving_here(Registry(Store(storage), V2Settings(), gates=make_gates(DELETES)).handle) as client:
        await client.push_image("team/app", "1")
        assert (await client.ask("DELETE", path)).status in {301, 400, 404}
        assert (await client.ask("GET", "/v2/team/app/tags/list")).json["tags"] == ["1"]
    await storage.close()


async def test_pushes_over_http_that_meet_deletions_are_pulled_whole_or_refused(tmp_path: Path) -> None:
    storages = [open_folder(tmp_path) for _ in range(2)]
    handlers = [Registry(Store(each), V2Settings(), gates=make_gates(DELETES)).handle for each in storages]
    async with serving_here(handlers[0]) as first, serving_here(handlers[1]) as second:

        async def push(client: Client, seed: str) -> None:
            for _ in range(10):
                try:
                    await client.push_image("app", seed, seed=seed)
                except AssertionError as refused:  # the answer is its argument
                    if not any(code in str(refused) for code in ("UNKNOWN", "503")):
                        raise

        async def delete(client: Client) -> None:
            for _ in range(30):
                assert (await client.ask("DELETE", f"/v2/app/{PATH}")).status in {202, 404}
                await asyncio.sleep(0.02)

        await asyncio.gather(push(first, "a"), push(second, "b"), push(second, "c"), delete(first), delete(second))
        for seed in "abc":
            manifest = await first.ask("GET", f"/v2/app/manifests/{seed}")
            if manifest.status == 200:
                for part in (manifest.json["config"], *manifest.json["layers"]):
                    assert (await second.ask("HEAD", f"/v2/app/blobs/{part['digest']}")).status == 200
    for each in storages:
        await each.close()


@pytest.fixture(params=[mounted_tmpfs, mounted_ext4])
def disk(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Path]:
    mounted: Callable[[Path], AbstractContextManager[Path]] = request.param
    with mounted(tmp_path / "disk") as folder:
        yield folder


async def test_a_repository_is_deleted_on_a_full_disk(disk: Path, tmp_path: Path) -> None:
    storage = open_folder(disk / "data")
    async with serving_here(Registry(Store(storage), V2Settings(), gates=make_gates(DELETES)).handle) as client:
        for name in ("by/http", "by/command"):
            await client.push_image(name, "1", "2")
        fill_up(disk)
        assert (await client.ask("POST", "/v2/other/blobs/uploads/")).status == 507
        assert (await client.ask("DELETE", f"/v2/by/http/{PATH}")).status == 202
        done = await asyncio.to_thread(
            portside, "delete", "by/command", "--data", disk / "data", "--yes", folder=tmp_path
        )
        assert (done.returncode, done.stderr) == (0, "")
        assert (await client.ask("GET", "/v2/_catalog")).json["repositories"] == []
    await storage.close()


# the command


@pytest.fixture
def volume(tmp_path: Path) -> Path:
    """A volume with two repositories."""

    async def fill() -> None:
        storage = open_folder(tmp_path / "data")
        async with serving_here(Registry(Store(storage), V2Settings()).handle) as client:
            await client.push_image("team/app", "1", "2")
            await client.push_image("team/app/below", "1")
        await storage.close()

    asyncio.run(fill())
    return tmp_path


def catalog(folder: Path) -> list[str]:
    async def ask() -> list[str]:
        storage = open_folder(folder / "data")
        try:
            return list(await Store(storage).list_repositories(after="", limit=10))
        finally:
            await storage.close()

    return asyncio.run(ask())


def test_the_command_says_what_it_would_delete_and_deletes_it_when_told_to(volume: Path) -> None:
    done = portside("delete", "team/app", "--dry-run", folder=volume)
    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        "would delete team/app: 2 tags, 1 manifest, 2 blobs\n",
        "",
    )
    done = portside("delete", "team/app", folder=volume)
    assert (done.returncode, done.stdout) == (1, "")
    assert "nobody is there to ask: --yes would delete team/app: 2 tags" in done.stderr
    assert catalog(volume) == ["team/app", "team/app/below"]
    done = portside("delete", "team/app", "--yes", folder=volume)
    assert (done.returncode, done.stdout, done.stderr) == (
        0,
        "deleted team/app: 2 tags, 1 manifest, 2 blobs; a garbage collection frees the disk\n",
        "",
    )
    assert catalog(volume) == ["team/app/below"]


def test_the_command_says_that_images_of_v1_stay(tmp_path: Path) -> None:
    images = pushed_by("1.5.0")
    write_images(tmp_path, images)
    write_tags(tmp_path, "team/old", {"1": images[-1].id})
    done = portside("delete", "team/old", "--yes", "--data", tmp_path, folder=tmp_path)
    assert done.stdout == "deleted team/old: 1 tag of v1; images of v1 stay on the disk\n"
    assert (tmp_path / "images" / images[-1].id / "layer").exists()


@pytest.mark.parametrize(("typed", "left"), [("y\n", ["team/app/below"]), ("n\n", ["team/app", "team/app/below"])])
def test_on_a_terminal_it_asks(volume: Path, typed: str, left: list[str]) -> None:
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "portside.cli", "delete", "team/app"]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    process = subprocess.Popen(command, cwd=volume, env=environment, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    said = b""
    while b"[y/N]" not in said:
        assert select.select([ours], [], [], 20)[0], said
        said += os.read(ours, 4096)
    os.write(ours, typed.encode())
    assert process.wait(20) == (0 if left == ["team/app/below"] else 1)
    os.close(ours)
    assert b"Delete team/app: 2 tags, 1 manifest, 2 blobs?" in said
    assert catalog(volume) == left


def test_it_works_beside_a_server_where_clients_may_not_delete(volume: Path) -> None:
    with running_command("v2", "--addr", "127.0.0.1:0", "--data", "data", folder=volume) as running:
        client = Client("127.0.0.1", running.port("v2"))
        answer = asyncio.run(client.ask("DELETE", f"/v2/team/app/{PATH}"))
        assert answer.told == (405, "UNSUPPORTED")
        assert asyncio.run(client.ask("GET", "/v2/team/app/tags/list")).status == 200
        assert portside("delete", "team/app", "--yes", folder=volume).returncode == 0
        assert asyncio.run(client.ask("GET", "/v2/team/app/tags/list")).told == (404, "NAME_UNKNOWN")
        assert running.end() == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["never/was", "--yes"], "there is no repository never/was; nothing is deleted"),
        (["team/app:1", "--yes"], "name a whole one, or have a client DELETE /v2/team/app/manifests/1"),
        (["team/app@sha256:0a", "--yes"], "have a client DELETE /v2/team/app/manifests/sha256:0a"),
        (["", "--yes"], "is not a valid repository name"),
        (["team/app", "--yes", "--data", "nowhere"], "there is no folder"),
        (["team/app", "--yes", "readonly.yml"], "this registry is read-only"),
        (["team/app", "--yes", "proxy.yml"], "these settings have no registry"),
        (["team/app", "--yes", "inmemory.yml"], "storage inmemory lives in the server's process"),
    ],
)
def test_the_command_says_why_it_cannot(volume: Path, arguments: list[str], words: str) -> None:
    (volume / "inmemory.yml").write_text("storage: inmemory\n")
    read_only = "storage:\n  filesystem:\n    rootdirectory: data\n  maintenance:\n    readonly:\n      enabled: true\n"
    (volume / "readonly.yml").write_text(read_only)
    elsewhere = "{upstream: 'http://registry:5000'}"
    (volume / "proxy.yml").write_text(f"gateway:\n  v1: {elsewhere}\n  v2: {elsewhere}\n")
    done = portside("delete", *arguments, folder=volume)
    assert (done.returncode, done.stdout) == (1, "")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert catalog(volume) == ["team/app", "team/app/below"]
