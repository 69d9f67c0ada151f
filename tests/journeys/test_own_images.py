"""Commands on a volume where two teams have pushed the same ids: each tag is shown and migrated with its own image."""

from __future__ import annotations

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from backends.model.conversion.plans import Form
from backends.registry.store import Store
from backends.storage import layout
from backends.storage.factory import open_folder
from portside.inspecting.command import inspect
from tests.support.commands import portside
from tests.support.layers import unpack
from tests.support.tenants import Tenant, chain_of
from tests.support.v1server import Pushed

A, B, V1_ALONE = "a-team/app", "b-team/app", "b-team/app_"
OURS, THEIRS = chain_of("A", "1", "2"), chain_of("B's, of these many different letters: zyxwvutsrq,", "1", "2")


@pytest.fixture
async def volume(tmp_path: Path) -> Path:
    root = tmp_path / "data"
    storage = open_folder(root)
    store = Store(storage, own_images=True)
    await Tenant(store, A).push(*OURS, tag="1.0")
    for name in (B, V1_ALONE):
        await Tenant(store, name).push(*THEIRS, tag="1.0")
    await store.close()
    await storage.close()
    return root


def look(root: Path, text: str) -> Any:
    return json.loads(inspect(text, None, {}, {"data": str(root)}, converts=False, width=None, as_json=True))


def size_of(chain: list[Pushed]) -> int:
    return sum(len(image.layer) for image in chain)


async def test_inspecting_shows_the_size_of_each_ones_image(volume: Path) -> None:
    assert size_of(OURS) != size_of(THEIRS)
    for name, chain in ((A, OURS), (B, THEIRS)):
        shown = await asyncio.to_thread(look, volume, f"{name}:1.0")
        assert shown["stored"]["total"] == size_of(chain), shown["stored"]
        assert {each["state"] for each in shown["clients"]} == {"stored", "computed"}
    with_layers = [await asyncio.to_thread(look, volume, f"{name}:1.0") for name in (A, B)]
    digests = [{each["digest"] for each in shown["clients"] if each["digest"]} for shown in with_layers]
    assert not digests[0] & digests[1]


async def test_migrating_makes_of_each_tag_what_its_own_image_is(volume: Path) -> None:
    async def migrate(*what: str) -> subprocess.CompletedProcess[str]:
        return await asyncio.to_thread(portside, "migrate", *what, "--data", str(volume), folder=volume.parent)

    planned = await migrate("plan", "--map", f"{V1_ALONE}=b-team/renamed")
    assert "push it as b-team/renamed:1.0" in planned.stdout, planned.stdout
    await migrate("run")
    verified = await migrate("verify")
    assert verified.returncode in {0, 1}, verified.stderr
    storage = open_folder(volume)
    store = Store(storage, own_images=True)
    for name, chain in ((A, OURS), (B, THEIRS)):
        _, layers = await Tenant(store, name).pull_as(Form.OCI_MANIFEST, "1.0")
        assert layers == [unpack(image.layer) for image in chain]
    await store.close()
    await storage.close()


async def test_docker_registry_finds_the_image_that_was_there_first_under_both_tags(volume: Path) -> None:
    """It knows ids alone; `docs/access-control.md` says so."""
    for name in (A, B):
        image_id = (volume / f"repositories/{name}/tag_1.0").read_text()
        assert (volume / f"images/{image_id}/json").read_bytes() == OURS[1].json
    assert not (volume / layout.V1_COPIES[1:] / A / OURS[1].id / "json").exists()
