"""A disk that is almost full: new uploads are refused, all else goes on, and health, metrics and log tell it."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import re
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

import pytest

from tests.support.commands import RunningCommand, running_command
from tests.support.mounts import mounted_tmpfs
from tests.support.ports import free_port
from tests.support.serving_here import Client, digest_of, make_manifest

NAME = "team/app"
ID = "b" * 64
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Running:
    """Both registries in one program over a small disk, and its metrics."""

    command: RunningCommand
    disk: Path
    v1: Client
    v2: Client
    metrics: int

    def page(self, path: str) -> tuple[int, str]:
        connection = HTTPConnection("127.0.0.1", self.metrics, timeout=10)
        connection.request("GET", path)
        answer = connection.getresponse()
        text = answer.read().decode()
        connection.close()
        return answer.status, text

    def until(self, path: str, true: Callable[[str], bool], *, seconds: float = 45.0) -> str:
        deadline = time.monotonic() + seconds
        while not true(text := self.page(path)[1]):
            assert time.monotonic() < deadline, text
            time.sleep(0.05)
        return text

    def until_room_is(self, *, low: bool) -> None:
        self.until("/metrics", lambda page: value(page, "low_room") == int(low))
        time.sleep(2.2)  # both workers have measured, unless they could not
        deadline = time.monotonic() + 45
        while not all((" room" in self.page("/debug/health")[1]) == low for _ in range(20)):
            assert time.monotonic() < deadline
            time.sleep(0.05)


def value(page: str, name: str) -> float:
    found = re.search(rf'^portside_storage_{name}{{storage="storage"}} (\S+)$', page, re.MULTILINE)
    return float(found[1]) if found is not None else -1.0


@pytest.fixture
def serve(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Starts it."""
    with contextlib.ExitStack() as stack:

        def start(lowroom: str = "", *, inodes: int = 10_000) -> Running:
            disk = stack.enter_context(mounted_tmpfs(tmp_path / "disk", size="40m", inodes=inodes))
            ports = [free_port() for _ in range(4)]
            (tmp_path / "all.yml").write_text(
                f"""
                storage: {{filesystem: {{rootdirectory: {disk}}}}}
                http: {{addr: "127.0.0.1:{ports[0]}"}}
                health: {{storagedriver: {{interval: 100ms}}}}
                gateway:
                  workers: 2
                  v1: {{addr: "127.0.0.1:{ports[1]}"}}
                  v2: {{addr: "127.0.0.1:{ports[2]}"}}
                  metrics: {{addr: "127.0.0.1:{ports[3]}"}}
                  lowroom: {{{lowroom}}}
                """
            )
            command = stack.enter_context(running_command("serve", "all.yml", folder=tmp_path))
            v1, v2 = (Client("127.0.0.1", port) for port in ports[1:3])
            return Running(command, disk, v1, v2, ports[3])

        yield start


def fill(disk: Path, *, leave: int) -> Path:
    filler = disk / "filler"
    found = os.statvfs(disk)
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, found.f_bavail * found.f_frsize - leave)
    return filler


async def refused(running: Running) -> None:
    """All that begins an upload, at either worker."""
    layer = b"a new layer"
    for _ in range(4):
        answers = [
            await running.v2.ask("POST", f"/v2/{NAME}/blobs/uploads/"),
            await running.v2.ask("POST", f"/v2/{NAME}/blobs/uploads/?digest={digest_of(layer)}", body=layer),
            await running.v2.ask("POST", f"/v2/{NAME}/blobs/uploads/?mount={digest_of(layer)}&from={NAME}"),
        ]
        for answer in answers:
            assert answer.told == (507, "INSUFFICIENT_STORAGE")
            assert "takes no new uploads for now; pulls work" in answer.json["errors"][0]["detail"]["reason"]
        answer = await running.v1.ask("PUT", f"/v1/images/{ID}/json", body=b'{"id": "%s"}' % ID.encode())
        assert answer.status == 507
        assert "takes no new uploads for now" in answer.json["error"]


async def test_new_uploads_are_refused_before_the_disk_is_full_and_all_else_goes_on(
    serve: Callable[..., Running],
) -> None:
    running = serve()
    v1, v2 = running.v1, running.v2
    manifest = await v2.push_image(NAME, "kept")
    config, layer = b"image config", b"image layer"
    begun = await v2.begin(NAME)
    announced = await v1.ask("PUT", f"/v1/images/{'a' * 64}/json", body=b'{"id": "%s"}' % (b"a" * 64))
    assert announced.status == 200
    filler = fill(running.disk, leave=1 * MIB)
    await asyncio.to_thread(running.until_room_is, low=True)
    await refused(running)
    assert (await v1.ask("PUT", f"/v1/images/{'a' * 64}/layer", body=b"layer")).status == 507
    # what is in progress goes on, and what is small is written
    assert (await v2.ask("PATCH", begun, body=b"more")).status == 202
    assert (await v2.ask("PUT", f"{begun}?digest={digest_of(b'more')}")).status == 201
    assert (await v2.put_manifest(NAME, "new-tag", manifest)).status == 201
    other = make_manifest(config, layer, annotations={"a": "b"})
    assert (await v2.put_manifest(NAME, "new-manifest", other)).status == 201
    mounting = f"/v2/team/other/blobs/uploads/?mount={digest_of(layer)}&from={NAME}"
    assert (await v2.ask("POST", mounting)).status == 201
    assert (await v2.ask("GET", f"/v2/{NAME}/manifests/kept")).body == manifest
    assert (await v2.ask("GET", f"/v2/{NAME}/blobs/{digest_of(layer)}")).body == layer
    assert (await v2.ask("GET", "/v2/")).status == 200
    # told
    status, body = await asyncio.to_thread(running.page, "/debug/health")
    assert status == 200
    assert re.fullmatch(
        # The background pass over the volume may have noted something meanwhile, or removed it.
        r"(1\.[01] MiB|(9\d|10[0-2])\d\.\d KiB) of 40\.0 MiB are free; pulls work,"
        r" new uploads are refused until 2\.2 MiB are",
        json.loads(body)["storage room"],
    )
    page = (await asyncio.to_thread(running.page, "/metrics"))[1]
    assert 0 < value(page, "free_bytes") < 2 * MIB
    assert value(page, "size_bytes") == 40 * MIB
    assert value(page, "size_files") == 10_000
    assert 0 < value(page, "free_files") < 10_000
    filler.unlink()
    await asyncio.to_thread(running.until_room_is, low=False)
    for _ in range(4):
        await v2.push_image(NAME, "again")
        assert (await v1.ask("PUT", f"/v1/images/{ID}/json", body=b'{"id": "%s"}' % ID.encode())).status == 200
    await asyncio.to_thread(running.until, "/debug/health", lambda body: body == "{}\n")
    told = [line for line in running.command.err.read_text().splitlines() if "storage room" in line]
    assert len(told) == 2, told  # once a change: not a line a request, not a line a worker
    assert "level=warning" in told[0]
    assert "new uploads are refused" in told[0]
    assert "level=info" in told[1]
    assert "healthy again" in told[1]


async def test_files_can_be_short_too(serve: Callable[..., Running]) -> None:
    running = serve(inodes=1000)
    await running.v2.push_image(NAME, "kept")
    for number in range(930):
        (running.disk / f"file{number}").touch()
    await asyncio.to_thread(running.until_room_is, low=True)
    await refused(running)
    assert (
        "of 1000 inodes are free; pulls work, new uploads are refused until 55 are"
        in (await asyncio.to_thread(running.page, "/debug/health"))[1]
    )


async def test_a_restart_does_not_forget(serve: Callable[..., Running], tmp_path: Path) -> None:
    """It is measured before the first request, not some seconds later."""
    disk = tmp_path / "disk"
    with mounted_tmpfs(disk, size="40m"):
        fill(disk, leave=MIB)
        port = free_port()
        (tmp_path / "v2.yml").write_text(
            f"storage: {{filesystem: {{rootdirectory: {disk}}}}}\ngateway: {{v2: {{addr: '127.0.0.1:{port}'}}}}"
        )
        with running_command("v2", "v2.yml", folder=tmp_path):
            answer = await Client("127.0.0.1", port).ask("POST", f"/v2/{NAME}/blobs/uploads/")
            assert answer.told == (507, "INSUFFICIENT_STORAGE")


@pytest.mark.parametrize(
    ("lowroom", "low"), [("percent: 0", False), ("bytes: 512KiB", False), ("percent: 90, bytes: 35MiB", True)]
)
async def test_how_much_is_a_setting(serve: Callable[..., Running], lowroom: str, low: bool) -> None:  # noqa: FBT001 - a column of the table
    running = serve(lowroom)
    fill(running.disk, leave=1 * MIB if not low else 34 * MIB)
    await asyncio.to_thread(running.until_room_is, low=low)
    if low:
        await refused(running)
    else:
        assert (await running.v2.ask("POST", f"/v2/{NAME}/blobs/uploads/")).status == 202
