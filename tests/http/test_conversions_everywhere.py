"""A v1 image pulled by a v2 client, from the tag to the last layer, whichever processes and roots there are.

The programs are real: `serve` with two workers, or `v1` and `v2` by themselves; one root, or two. What was shown once
is there after all of them were killed and started again.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from backends.model import jws
from backends.model.media_types import MANIFEST_LIST, OCI_INDEX, OCI_MANIFEST, SCHEMA1_SIGNED, SCHEMA2
from tests.support.commands import RunningCommand, children, running_command
from tests.support.derivations import v1_example
from tests.support.formats import example
from tests.support.serving_here import Answer, Client, digest_of
from tests.support.v1server import RunningRegistry

NAME, TAG = "team/old", "latest"
OFF = {f"REGISTRY_GATEWAY_{which}": "127.0.0.1:0" for which in ("ADDR", "V1_ADDR", "V2_ADDR", "METRICS_ADDR")}
DOCKER_29 = {
    "User-Agent": "docker/29.0.0 go/go1.25 kernel/6.1 os/linux arch/amd64",
    "Accept": f"{SCHEMA2}, {MANIFEST_LIST}, {OCI_MANIFEST}, {OCI_INDEX}",
}
ONLY_OCI = {"User-Agent": "oras/1.3", "Accept": f"{OCI_MANIFEST}, {OCI_INDEX}"}
DOCKER_1_9 = {"User-Agent": "docker/1.9.1 go/go1.4.3 kernel/3.16 os/linux arch/amd64"}
WANTED = {SCHEMA2: DOCKER_29, OCI_MANIFEST: ONLY_OCI, SCHEMA1_SIGNED: DOCKER_1_9}


@dataclass(frozen=True, slots=True)
class Running:
    """Both registries, wherever they run."""

    v1: RunningRegistry
    v2: Client


@contextlib.asynccontextmanager
async def running(folder: Path, *, apart: bool, roots: int, killed: bool = False) -> AsyncIterator[Running]:
    environment = {**OFF, "REGISTRY_STORAGE_FILESYSTEM_ROOTDIRECTORY": str(folder / "data")}
    if roots == 2:
        environment["REGISTRY_GATEWAY_V1_STORAGEPATH"] = str(folder / "v1-data")
    with contextlib.ExitStack() as stack:
        started: dict[str, RunningCommand] = {}
        for role in ("v1", "v2") if apart else ("serve",):
            (folder / role).mkdir(exist_ok=True)
            command = running_command(role, "--workers", "2", folder=folder / role, environment=environment)
            started[role] = stack.enter_context(command)
        ports = [(started.get(role) or started["serve"]).port(role) for role in ("v1", "v2")]
        yield Running(RunningRegistry(ports[0]), Client("127.0.0.1", ports[1]))
        for each in started.values() if killed else ():
            for pid in children(each.process.pid):
                os.kill(pid, signal.SIGKILL)
            each.process.kill()


async def pull(client: Client, media_type: str) -> Answer:
    """Pulls as Docker does: HEAD for the tag, GET for the digest, the configuration, each layer."""
    head = await client.ask("HEAD", f"/v2/{NAME}/manifests/{TAG}", WANTED[media_type])
    assert (head.status, head["Content-Type"]) == (200, media_type), head
    got = await client.ask("GET", f"/v2/{NAME}/manifests/{TAG}", WANTED[media_type])
    assert got["Docker-Content-Digest"] == head["Docker-Content-Digest"]
    assert head["Content-Length"] == str(len(got.body))
    manifest = await client.ask("GET", f"/v2/{NAME}/manifests/{head['Docker-Content-Digest']}")
    assert manifest.body == got.body
    await require_whole(client, manifest)
    return manifest


async def require_whole(client: Client, manifest: Answer) -> None:
    assert manifest.status == 200, manifest
    document = json.loads(manifest.body)
    images = v1_example()
    if "fsLayers" in document:
        jws.verify(manifest.body)
        named = [each["blobSum"] for each in document["fsLayers"]]
        assert named == [digest_of(image.layer) for image in reversed(images)]
    else:
        config = await client.ask("GET", f"/v2/{NAME}/blobs/{document['config']['digest']}")
        assert config.body == example("v1-pushed-by-docker-1.5.0/expected-config.json")
        named = [each["digest"] for each in document["layers"]]
        assert named == [digest_of(images[0].layer), digest_of(images[2].layer)]
    contents = {digest_of(image.layer): image.layer for image in images}
    for digest in named:
        layer = await client.ask("GET", f"/v2/{NAME}/blobs/{digest}")
        assert (layer.status, layer.body) == (200, contents[digest])
        part = await client.ask("GET", f"/v2/{NAME}/blobs/{digest}", {"Range": "bytes=1-3"})
        assert (part.status, part.body) == (206, contents[digest][1:4])


@pytest.mark.parametrize("roots", [1, 2])
@pytest.mark.parametrize("apart", [False, True], ids=["serve", "v1 and v2 apart"])
async def test_a_v1_image_is_pulled_in_every_form_and_after_a_kill(tmp_path: Path, *, apart: bool, roots: int) -> None:
    async with running(tmp_path, apart=apart, roots=roots, killed=True) as first:
        await first.v1.push(NAME, TAG, v1_example())
        shown = {media_type: await pull(first.v2, media_type) for media_type in WANTED}
        # Whichever worker takes a connection knows what another one has made.
        again = await asyncio.gather(*[pull(first.v2, media_type) for media_type in WANTED for _ in range(5)])
        assert {each.body for each in again} == {each.body for each in shown.values()}
    async with running(tmp_path, apart=apart, roots=roots) as second:
        for answer in shown.values():
            digest = answer["Docker-Content-Digest"]
            manifest = await second.v2.ask("GET", f"/v2/{NAME}/manifests/{digest}")
            assert (manifest.body, manifest["Content-Type"]) == (answer.body, answer["Content-Type"])
            await require_whole(second.v2, manifest)
        for media_type, answer in shown.items():
            assert (await pull(second.v2, media_type)).body == answer.body


@pytest.mark.parametrize("roots", [1, 2])
async def test_what_is_pushed_back_by_digest_names_the_original_again(tmp_path: Path, roots: int) -> None:
    """And the v1 client sees its image under the new tag."""
    async with running(tmp_path, apart=True, roots=roots) as here:
        images = v1_example()
        await here.v1.push(NAME, TAG, images)
        manifest = await pull(here.v2, SCHEMA2)
        for digest in (
            each["digest"] for each in [json.loads(manifest.body)["config"], *json.loads(manifest.body)["layers"]]
        ):
            assert (await here.v2.ask("HEAD", f"/v2/{NAME}/blobs/{digest}")).status == 200
        assert (await here.v2.put_manifest(NAME, "back", manifest.body, SCHEMA2)).status == 201
        got = await here.v1.ask("GET", f"/v1/repositories/{NAME}/tags/back")
        assert got.json == images[-1].id
        tags = await here.v2.ask("GET", f"/v2/{NAME}/tags/list")
        assert json.loads(tags.body)["tags"] == ["back", TAG]
