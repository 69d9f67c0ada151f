"""Real processes on one volume: what killed ones left is purged, once, and a slow push beside it is not."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import time
from pathlib import Path

from tests.support.commands import RunningCommand, running_command
from tests.support.mounts import mounted_tmpfs
from tests.support.ports import free_port
from tests.support.serving_here import Client, digest_of
from tests.support.trees import read_tree
from tests.support.upstreams import Peer
from tests.support.v1server import make_pushed

NAME = "team/app"
V1 = make_pushed("c" * 64, layer=b"a layer of an old client")


def write_settings(folder: Path, data: Path, purging: str, more: str = "") -> tuple[Client, Client, int]:
    """Writes all.yml; returns clients of v1 and v2, and the port of the metrics."""
    folder.mkdir(exist_ok=True)
    ports = [free_port() for _ in range(4)]
    (folder / "all.yml").write_text(
        f"""
        storage:
          filesystem: {{rootdirectory: {data}}}
          maintenance: {{uploadpurging: {{{purging}}}}}
        http: {{addr: "127.0.0.1:{ports[0]}"}}
        gateway:
          workers: 2
          v1: {{addr: "127.0.0.1:{ports[1]}"}}
          v2: {{addr: "127.0.0.1:{ports[2]}"}}
          metrics: {{addr: "127.0.0.1:{ports[3]}"}}
          {more}
        """
    )
    return Client("127.0.0.1", ports[1]), Client("127.0.0.1", ports[2]), ports[3]


def left(data: Path) -> set[str]:
    """The names of uploads, and the ids of staged v1 images, that are there."""
    marks = ("/_uploads/", "/staging/")
    tree = read_tree(data)
    return {path.partition(mark)[2].partition("/")[0] for path in tree for mark in marks if mark in path}


async def until(data: Path, wanted: set[str], *, seconds: float = 45.0) -> None:
    deadline = time.monotonic() + seconds
    while (found := left(data)) != wanted:
        assert time.monotonic() < deadline, (found, wanted)
        await asyncio.sleep(0.05)


def workers(running: RunningCommand) -> list[int]:
    parent = running.process.pid
    return [int(pid) for pid in Path(f"/proc/{parent}/task/{parent}/children").read_text().split()]


async def begin_slowly(peer: Peer, method: str, target: str, size: int) -> None:
    """Sends the head of a request and one byte of its body."""
    await peer.send(f"{method} {target} HTTP/1.1\r\nHost: x\r\nContent-Length: {size}\r\n\r\n", b"x")


async def test_what_killed_processes_left_goes_and_a_slow_push_stays(tmp_path: Path) -> None:
    data = tmp_path / "data"
    purging = "age: 1s, interval: 1s"
    one = write_settings(tmp_path / "one", data, purging)
    two = write_settings(tmp_path / "two", data, purging)
    with (
        running_command("serve", "all.yml", folder=tmp_path / "one") as first,
        running_command("serve", "all.yml", folder=tmp_path / "two") as second,
    ):
        v1, v2, metrics = one
        content = b"x" * 10
        slow, killed = await v2.begin(NAME), await v2.begin(NAME)
        assert (await v2.ask("PATCH", killed, body=b"y" * 5000)).status == 202
        images = {"slow": make_pushed("a" * 64, layer=content), "killed": make_pushed("b" * 64, layer=content)}
        for image in images.values():
            assert (await v1.ask("PUT", f"/v1/images/{image.id}/json", body=image.json)).status == 200
        dying = two[1]
        async with v2.connection() as upload, v1.connection() as layer, dying.connection() as dies:
            await begin_slowly(upload, "PATCH", slow, len(content))
            await begin_slowly(layer, "PUT", f"/v1/images/{images['slow'].id}/layer", len(content))
            await begin_slowly(dies, "PATCH", killed, 10_000)
            await asyncio.sleep(0.3)
            for pid in workers(second):
                os.kill(pid, signal.SIGKILL)
            ids = {path.rpartition("/")[2] for path in (slow,)}
            await until(data, {*ids, images["slow"].id})
            await asyncio.sleep(2.5)  # it is looked for again and again
            assert left(data) == {*ids, images["slow"].id}
            for peer in (upload, layer):
                await peer.send("", content[1:])
            assert (await upload.read_head()).status == 202
            assert (await layer.read_head()).status == 200
        assert (await v2.ask("PUT", f"{slow}?digest={digest_of(content)}")).status == 201
        payload = {"X-Docker-Checksum-Payload": images["slow"].payload}
        assert (await v1.ask("PUT", f"/v1/images/{images['slow'].id}/checksum", payload)).status == 200
        assert (await v1.ask("GET", f"/v1/images/{images['slow'].id}/layer")).body == content
        assert (await v2.ask("GET", f"/v2/{NAME}/blobs/{digest_of(content)}")).body == content
        await until(data, set())
        assert not list((data / "docker/registry/portside/tmp").iterdir())
        page = (await Client("127.0.0.1", metrics).ask("GET", "/metrics")).body.decode()
        other = (await Client("127.0.0.1", two[2]).ask("GET", "/metrics")).body.decode()
        lines = [line for each in (first, second) for line in each.err.read_text().splitlines() if "purged " in line]
        assert len(lines) == 2, lines  # each of them once, whoever looked
        assert any(f"v2 upload {NAME} {killed.rpartition('/')[2]} (4.9 KiB" in line for line in lines)
        assert any(f"v1 image {images['killed'].id} (" in line for line in lines)
        assert sum(value(each, "v2 upload") for each in (page, other)) == 1
        assert sum(value(each, "v1 image") for each in (page, other)) == 1


def value(page: str, kind: str, name: str = "portside_purged_total") -> float:
    found = re.search(rf'^{name}{{kind="{kind}"}} (\S+)$', page, re.MULTILINE)
    return float(found[1]) if found is not None else 0.0


async def test_a_dry_run_and_none_take_nothing(tmp_path: Path) -> None:
    for name, purging, tells in (
        ("dry", "age: 1s, interval: 1s, dryrun: true", True),
        ("off", "enabled: false", False),
    ):
        data = tmp_path / name / "data"
        _, v2, _ = write_settings(tmp_path / name, data, purging)
        with running_command("serve", "all.yml", folder=tmp_path / name) as running:
            upload = (await v2.begin(NAME)).rpartition("/")[2]
            if tells:
                await asyncio.to_thread(running.wait_for_line, running.err, f"would purge v2 upload {NAME} {upload}")
            else:
                await asyncio.sleep(2.5)
                assert "purge" not in running.err.read_text()
            assert left(data) == {upload}


async def test_a_disk_that_abandoned_uploads_filled_has_room_again_by_itself(tmp_path: Path) -> None:
    """The oldest go first, those of the last hour stay, and a restart is not needed, nor does it hurt."""
    with mounted_tmpfs(tmp_path / "disk", size="20m") as disk:
        _, v2, _ = write_settings(tmp_path, disk, "interval: 4s", "lowroom: {percent: 20}")
        with running_command("serve", "all.yml", folder=tmp_path):
            uploads = []
            for _ in range(4):
                uploads.append(await v2.begin(NAME))
                assert (await v2.ask("PATCH", uploads[-1], body=os.urandom(3_500_000))).status == 202
            young = await v2.begin(NAME)
        ids = [path.rpartition("/")[2] for path in uploads]
        for hours, upload in zip((2, 9, 5, 7), ids, strict=True):
            folder = disk / "docker/registry/v2/repositories" / NAME / "_uploads" / upload
            for path in (*folder.iterdir(), folder):
                os.utime(path, (time.time() - hours * 3600,) * 2)
        (disk / "filler").write_bytes(bytes(3_000_000))
        with running_command("serve", "all.yml", folder=tmp_path) as running:
            assert (await v2.ask("POST", f"/v2/{NAME}/blobs/uploads/")).status == 507
            deadline = time.monotonic() + 20
            while (answer := await v2.ask("POST", f"/v2/{NAME}/blobs/uploads/")).status != 202:
                assert time.monotonic() < deadline, answer
                await asyncio.sleep(0.1)
            assert (await v2.ask("DELETE", answer.path)).status == 204
            assert left(disk) == {ids[0], ids[2], ids[3], young.rpartition("/")[2]}
            line = running.wait_for_line(running.err, "purged v2 upload")
            assert f"{ids[1]} (3.3 MiB, untouched for 9 hours)" in line
            assert json.loads((await v2.ask("GET", "/debug/health")).body).keys() <= {"storage room"}
