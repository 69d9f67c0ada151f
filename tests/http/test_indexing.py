"""Real processes over a volume that has referrers and no index of them: it is made, once for each start."""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import time
from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from backends.storage import layout
from backends.storage.factory import open_folder
from tests.support.commands import portside, running_command, starting_command
from tests.support.ports import free_port
from tests.support.programs import docker_registry
from tests.support.serving_here import OCI_MANIFEST, Client, describe, digest_of, make_manifest

NAME = "team/app"
CONFIG, LAYER = b"{}", b"a layer"
SUBJECT = b"a subject that need not exist"
DONE = "the index of referrers is complete"


async def test_a_volume_without_an_index_gets_one(tmp_path: Path) -> None:
    data, ports = tmp_path / "data", [free_port(), free_port()]
    settings = {
        "storage": {"filesystem": {"rootdirectory": str(data)}},
        "gateway": {
            "workers": 2,
            "v2": {"addr": f"127.0.0.1:{ports[0]}"},
            "metrics": {"addr": f"127.0.0.1:{ports[1]}"},
        },
    }
    (tmp_path / "v2.yml").write_text(json.dumps(settings))
    client, metrics = Client("127.0.0.1", ports[0]), Client("127.0.0.1", ports[1])
    index = data / "docker/registry/portside/index"
    referrers = [make_manifest(CONFIG, LAYER, subject=describe(SUBJECT, OCI_MANIFEST), n=n) for n in range(3)]
    with running_command("v2", "v2.yml", folder=tmp_path) as running:
        for blob in (CONFIG, LAYER):
            await client.push_blob(NAME, blob)
        for content in (make_manifest(CONFIG, LAYER), *referrers):
            assert (await client.put_manifest(NAME, digest_of(content), content)).status == 201
        await marked(index)
    shutil.rmtree(index)
    with running_command("v2", "v2.yml", folder=tmp_path) as running:
        await marked(index)
        answer = await client.ask("GET", f"/v2/{NAME}/referrers/{digest_of(SUBJECT)}")
        assert [each["digest"] for each in answer.json["manifests"]] == sorted(map(digest_of, referrers))
        await asyncio.to_thread(running.wait_for_line, running.err, f"{DONE}: 4 manifests, 3 of them referrers")
        await asyncio.sleep(3.5)  # the other worker has asked by now
        assert running.err.read_text().count(DONE) == 1
        page = (await metrics.ask("GET", "/metrics")).body.decode()
        assert 'portside_index_manifests_total{referrer="yes"} 3.0' in page
        assert 'portside_index_manifests_total{referrer="no"} 1.0' in page


async def test_a_read_only_registry_writes_no_index(tmp_path: Path) -> None:
    data, port = tmp_path / "data", free_port()
    data.mkdir()
    settings = {
        "storage": {"filesystem": {"rootdirectory": str(data)}, "maintenance": {"readonly": {"enabled": True}}},
        "gateway": {"v2": {"addr": f"127.0.0.1:{port}"}},
    }
    (tmp_path / "v2.yml").write_text(json.dumps(settings))
    with running_command("v2", "v2.yml", folder=tmp_path):
        await asyncio.sleep(3.5)
        answer = await Client("127.0.0.1", port).ask("GET", f"/v2/{NAME}/referrers/{digest_of(SUBJECT)}")
        assert (answer.status, answer.json["manifests"]) == (200, [])
    assert not (data / "docker/registry/portside/index").exists()


async def marked(index: Path, *, seconds: float = 45.0) -> None:
    """Waits until the pass has seen everything."""
    deadline = time.monotonic() + seconds
    while not (index / "referrers-built").exists():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)


def settings_of(folder: Path, port: int, **gateway: Any) -> Path:
    """A settings file for a registry on `folder`/data."""
    settings = {
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}},
        "gateway": {"workers": 1, "v2": {"addr": f"127.0.0.1:{port}"}, "profile": "oci", **gateway},
    }
    path = folder / "v2.yml"
    path.write_text(json.dumps(settings))
    return path


async def push(client: Client, *contents: bytes) -> None:
    for blob in (CONFIG, LAYER):
        await client.push_blob(NAME, blob)
    for content in contents:
        assert (await client.put_manifest(NAME, digest_of(content), content)).status == 201


async def referrers_at(client: Client) -> list[str]:
    answer = await client.ask("GET", f"/v2/{NAME}/referrers/{digest_of(SUBJECT)}")
    return [each["digest"] for each in answer.json["manifests"]]


async def appears(client: Client, digests: Sequence[str], *, seconds: float = 45.0) -> None:
    deadline = time.monotonic() + seconds
    while await referrers_at(client) != sorted(digests):
        assert time.monotonic() < deadline, await referrers_at(client)
        await asyncio.sleep(0.05)


@pytest.mark.real
@pytest.mark.parametrize("program", ["docker-registry", "registry"])
async def test_what_another_registry_has_written_appears_at_the_next_start_and_by_the_command(
    tmp_path: Path, program: str
) -> None:
    first, second, third = (
        make_manifest(CONFIG, LAYER, subject=describe(SUBJECT, OCI_MANIFEST), n=number) for number in range(3)
    )
    port = free_port()
    client = Client("127.0.0.1", port)
    settings = settings_of(tmp_path, port)
    with running_command("v2", settings, folder=tmp_path):
        await push(client, first)
        await marked(tmp_path / "data/docker/registry/portside/index")
    with docker_registry(tmp_path, program=program) as address:
        await push(Client("127.0.0.1", address.port), second)
    with running_command("v2", settings, folder=tmp_path):
        assert await referrers_at(client) == [digest_of(first)]
        await appears(client, [digest_of(first), digest_of(second)])
        with docker_registry(tmp_path, program=program) as address:
            other = Client("127.0.0.1", address.port)
            await push(other, third)
            await other.push_blob(NAME, b"a blob that the other registry has got")
            blob = await other.push_blob("team/other", b"another blob of the other registry")
            await other.push_image("team/other")
            assert await referrers_at(client) == sorted(map(digest_of, (first, second)))
            assert (await client.ask("POST", f"/v2/team/third/blobs/uploads/?mount={blob}")).status == 202
            done = portside("reindex", settings, folder=tmp_path)
            assert (done.returncode, done.stderr) == (0, "")
            assert "is complete: 4 manifests, 3 of them referrers, 0 damaged; " in done.stdout
            assert await referrers_at(client) == sorted(map(digest_of, (first, second, third)))
            assert (await client.ask("POST", f"/v2/team/third/blobs/uploads/?mount={blob}")).status == 201
            assert (await client.ask("GET", f"/v2/team/third/blobs/{blob}")).status == 200


async def test_what_another_program_has_written_appears_after_an_interval(tmp_path: Path) -> None:
    port = free_port()
    client = Client("127.0.0.1", port)
    content = make_manifest(CONFIG, LAYER, subject=describe(SUBJECT, OCI_MANIFEST))
    index = tmp_path / "data/docker/registry/portside/index"
    with running_command("v2", settings_of(tmp_path, port, index={"interval": "1ms"}), folder=tmp_path):
        await push(client, content)
        await marked(index)
    # a start that finds a pass of its own time, as a worker that replaces another does
    (index / "referrers-built").write_text(f"{time.time() + 60:.3f}\n")
    shutil.rmtree(index / "referrers")
    with running_command("v2", settings_of(tmp_path, port), folder=tmp_path):
        await asyncio.sleep(3.5)
        assert await referrers_at(client) == []
    with running_command("v2", settings_of(tmp_path, port, index={"interval": "1ms"}), folder=tmp_path):
        (index / "referrers-built").write_text(f"{time.time():.3f}\n")
        await appears(client, [digest_of(content)])


async def test_the_command_waits_for_a_pass_in_progress(tmp_path: Path) -> None:
    port = free_port()
    client = Client("127.0.0.1", port)
    settings = settings_of(tmp_path, port)
    with running_command("v2", settings, folder=tmp_path):
        await push(client, make_manifest(CONFIG, LAYER))
        await marked(tmp_path / "data/docker/registry/portside/index")
    storage, stack = open_folder(tmp_path / "data"), ExitStack()
    async with storage.locks.hold(layout.INDEXER_LOCK):
        running = stack.enter_context(starting_command("reindex", "--data", tmp_path / "data", folder=tmp_path))
        await asyncio.to_thread(running.wait_for_line, running.err, "another process is looking through it")
        assert running.process.poll() is None
    with stack:
        line = await asyncio.to_thread(running.wait_for_line, running.out, "is complete")
        assert "1 manifests, 0 of them referrers" in line
        assert running.process.wait(10) == 0
    await storage.close()


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--data", "nowhere"], "nowhere: name the data folder"),
        (["inmemory.yml"], "storage inmemory lives in the server's process"),
        (["missing.yml"], "the settings file missing.yml cannot be read"),
        (["--data", "foreign"], "belongs to uid 12345, which could not change what root makes there"),
        (["--data", "taken"], "index/referrers-built: a folder in the registry's data stands where a file should be"),
    ],
)
def test_the_command_says_why_it_cannot(tmp_path: Path, arguments: list[str], words: str) -> None:
    (tmp_path / "inmemory.yml").write_text("storage: inmemory\n")
    foreign = tmp_path / "foreign/docker/registry/v2/repositories"
    foreign.mkdir(parents=True)
    os.chown(foreign, 12345, 12345)
    (tmp_path / "taken/docker/registry/v2/repositories").mkdir(parents=True)
    (tmp_path / "taken/docker/registry/portside").mkdir()
    (tmp_path / "taken/docker/registry/portside/index").touch()  # a file where a folder is to be
    done = portside("reindex", *arguments, folder=tmp_path)
    assert (done.returncode, done.stdout) == (1, "")
    assert words in done.stderr
    assert done.stderr.count("\n") == 1
    assert not (tmp_path / "nowhere").exists()
    assert not (tmp_path / "foreign/docker/registry/portside").exists()
