"""Who waits for a conversion when a process is told to end is told at once to ask again: another one goes on."""

from __future__ import annotations

import asyncio
import gzip
import json
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.commands import RunningCommand, running_command
from tests.support.images import V1Image, make_image
from tests.support.old_volumes import write_0_9_1
from tests.support.serving_here import OCI_MANIFEST, Answer, Client, describe
from tests.support.v1server import make_pushed

DRAIN_SECONDS = 30
SETTINGS = f"""
storage: {{filesystem: {{rootdirectory: data}}}}
http: {{draintimeout: {DRAIN_SECONDS}s}}
gateway:
  certs: certs
  addr: 127.0.0.1:0
  workers: 1
  v1: {{addr: "127.0.0.1:0"}}
  v2: {{addr: "127.0.0.1:0"}}
  metrics: {{addr: ""}}
  conversions: {{background: false}}
"""
SLOW_LAYER = gzip.compress(bytes(50_000_000), 6, mtime=0) * 400
"""20 GB of zeros."""


@pytest.fixture
def running(tmp_path: Path) -> Iterator[RunningCommand]:
    (tmp_path / "portside.yml").write_text(SETTINGS)
    chain = make_image("slow", layers=1).v1_chain(final_newline=True, closing_blocks=True)
    write_0_9_1(tmp_path / "data", "old/slow", "b", [V1Image(each.id, each.json, SLOW_LAYER) for each in chain])
    with running_command("serve", "portside.yml", folder=tmp_path) as started:
        yield started


@dataclass(frozen=True, slots=True)
class Waited:
    """An answer, and how long after the signal it came."""

    answer: Answer
    seconds: float


async def end_while_it_waits(
    running: RunningCommand,
    client: Client,
    path: str,
    *,
    method: str = "GET",
    body: bytes | None = None,
    **headers: str,
) -> Waited:
    asking = asyncio.create_task(client.ask(method, path, headers=headers, body=body))
    await asyncio.sleep(1.5)
    assert not asking.done(), f"it did not wait: {asking.result()}"
    began = time.monotonic()
    running.process.send_signal(signal.SIGTERM)
    answer = await asking
    seconds = time.monotonic() - began
    assert await asyncio.to_thread(running.process.wait, DRAIN_SECONDS / 2) == 0
    return Waited(answer, seconds)


@pytest.mark.parametrize(("asked", "status"), [("", 307), ("?portside-wait=8", 503)])
async def test_a_client_of_v2_that_waits_for_a_conversion(running: RunningCommand, asked: str, status: int) -> None:
    client = Client("127.0.0.1", running.port("v2"))
    waited = await end_while_it_waits(running, client, f"/v2/old/slow/manifests/b{asked}", Accept=OCI_MANIFEST)
    assert waited.answer.status == status
    assert waited.answer["Location" if status == 307 else "Retry-After"]
    assert waited.seconds < DRAIN_SECONDS / 2


async def push_slow_to_v2(running: RunningCommand) -> str:
    """Pushes `new:1`, of whose layer nobody knows what it holds; returns its id for clients of v1."""
    v2 = Client("127.0.0.1", running.port("v2"))
    config = {"architecture": "amd64", "os": "linux", "rootfs": {"type": "layers", "diff_ids": [f"sha256:{'0' * 64}"]}}
    content = json.dumps(config).encode()
    document = {
        "schemaVersion": 2,
        "mediaType": OCI_MANIFEST,
        "config": describe(content, "application/vnd.oci.image.config.v1+json"),
        "layers": [describe(SLOW_LAYER, "application/vnd.oci.image.layer.v1.tar+gzip")],
    }
    for blob in (content, SLOW_LAYER):
        await v2.push_blob("new", blob)
    assert (await v2.put_manifest("new", "1", json.dumps(document).encode())).status == 201
    v1 = Client("127.0.0.1", running.port("v1"))
    image_id = json.loads((await v1.ask("GET", "/v1/repositories/new/tags/1")).body)
    assert (await v1.ask("GET", f"/v1/images/{image_id}/ancestry")).status == 200
    return str(image_id)


async def test_a_client_of_v1_that_waits_for_a_layer(running: RunningCommand) -> None:
    image_id = await push_slow_to_v2(running)
    v1 = Client("127.0.0.1", running.port("v1"))
    waited = await end_while_it_waits(running, v1, f"/v1/images/{image_id}/layer")
    assert waited.answer.status == 307
    assert waited.seconds < DRAIN_SECONDS / 2


@pytest.mark.parametrize("what", ["a tag", "a child"])
async def test_a_client_of_v1_that_pushes_what_rests_on_such_a_layer(running: RunningCommand, what: str) -> None:
    image_id = await push_slow_to_v2(running)
    v1 = Client("127.0.0.1", running.port("v1"))
    if what == "a tag":
        path, body = "/v1/repositories/team/other/tags/1", json.dumps(image_id).encode()
    else:
        child = make_pushed("c", parent=image_id)
        path, body = f"/v1/images/{child.id}/json", child.json
    waited = await end_while_it_waits(running, v1, path, method="PUT", body=body)
    assert waited.answer.status == 503
    assert waited.answer["Retry-After"]
    assert "push it again later" in waited.answer.json["error"]
    assert waited.seconds < DRAIN_SECONDS / 2
