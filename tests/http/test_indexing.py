"""Real processes over a volume that has referrers and no index of them: it is made, once."""

from __future__ import annotations

import asyncio
import json
import shutil
import time
from pathlib import Path

from tests.support.commands import running_command
from tests.support.ports import free_port
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


async def marked(index: Path, *, seconds: float = 20.0) -> None:
    """Waits until the pass has seen everything."""
    deadline = time.monotonic() + seconds
    while not (index / "referrers-built").exists():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.05)
