"""Real processes over a volume that docker-registry has written: one of them reads its layers, once for each start."""

from __future__ import annotations

import asyncio
import gzip
import json
import time
from pathlib import Path

import pytest

from backends.model.digest import Digest
from backends.storage import layout
from tests.support.commands import running_command
from tests.support.ports import free_port
from tests.support.serving_here import Client

IDS = [letter * 64 for letter in "abc"]
DONE = "the layers of old images are known"


def layer_of(image_id: str) -> bytes:
    return gzip.compress(image_id.encode() * 1000, mtime=0)


def write_volume(data: Path) -> None:
    """Three images, of which a tag names the topmost."""
    for number, image_id in enumerate(IDS):
        folder = data / "images" / image_id
        folder.mkdir(parents=True)
        parent = {"parent": IDS[number - 1]} if number else {}
        (folder / "json").write_text(json.dumps({"id": image_id, **parent}))
        (folder / "layer").write_bytes(layer_of(image_id))
        (folder / "ancestry").write_text(json.dumps(IDS[number::-1]))
    (data / "repositories/library/old").mkdir(parents=True)
    (data / "repositories/library/old/tag_latest").write_text(IDS[-1])


def settings_of(folder: Path, metrics: int, **more: object) -> Path:
    path = folder / "portside.yml"
    gateway = {
        "addr": f"127.0.0.1:{free_port()}",
        "certs": str(folder / "certs"),
        "workers": 2,
        "v1": {"addr": ""},
        "v2": {"addr": ""},
        "metrics": {"addr": f"127.0.0.1:{metrics}"},
        **more,
    }
    storage = {"filesystem": {"rootdirectory": str(folder / "data")}}
    path.write_text(json.dumps({"storage": storage, "gateway": gateway}))
    return path


async def test_one_worker_reads_them_and_says_so(tmp_path: Path) -> None:
    write_volume(tmp_path / "data")
    port = free_port()
    settings_of(tmp_path, port)
    with running_command("serve", "portside.yml", folder=tmp_path) as running:
        wanted = f"{DONE}: 1 of 1 images looked at; 3 layers"
        await asyncio.to_thread(running.wait_for_line, running.err, wanted)
        await asyncio.sleep(3.5)  # the other worker has asked by now
        assert running.err.read_text().count(DONE) == 1
        page = (await Client("127.0.0.1", port).ask("GET", "/metrics")).body.decode()
        assert 'portside_layers_read_total{reason="background"} 3.0' in page
        assert 'portside_layers_background{state="done"} 1.0' in page
        assert 'portside_layers_background{state="found"} 1.0' in page
    for image_id in IDS:
        note = tmp_path / "data" / layout.layer_facts(Digest.of(layer_of(image_id))).lstrip("/")
        assert note.read_bytes().startswith(b"gzip 64000 full sha256:")
    with running_command("serve", "portside.yml", folder=tmp_path) as running:
        marked = tmp_path / "data" / layout.LAYERS_READ.lstrip("/")
        await until_written(marked, since=time.time())
        assert DONE not in running.err.read_text()  # there was nothing left to read


async def until_written(path: Path, *, since: float) -> None:
    async with asyncio.timeout(20):
        while not is_written(path, since=since):  # noqa: ASYNC110 - another process writes it
            await asyncio.sleep(0.1)


def is_written(path: Path, *, since: float) -> bool:
    return path.exists() and path.stat().st_mtime >= since


@pytest.mark.parametrize(
    "more",
    [
        {"gateway": {"conversions": {"background": False}}},
        {"storage": {"maintenance": {"readonly": {"enabled": True}}}},
    ],
    ids=["turned off", "read-only"],
)
async def test_nothing_is_read_where_that_is_not_wanted(tmp_path: Path, more: dict[str, dict[str, object]]) -> None:
    write_volume(tmp_path / "data")
    path = settings_of(tmp_path, free_port())
    settings = json.loads(path.read_text())
    for section, values in more.items():
        settings[section] = {**settings[section], **values}
    path.write_text(json.dumps(settings))
    with running_command("serve", "portside.yml", folder=tmp_path):
        await asyncio.sleep(4.5)
    index = tmp_path / "data" / layout.INDEX.lstrip("/")
    assert not (index / "layers").exists()
    assert not (index / "layers-read").exists()
