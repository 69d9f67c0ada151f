"""v1 with a root of its own: both registries in one process are over one store all the same."""

from __future__ import annotations

from pathlib import Path

import aiohttp
import pytest

from tests.support.commands import running_command
from tests.support.serving_here import Client
from tests.support.v1server import RunningRegistry, make_pushed


@pytest.mark.parametrize("storagepath", ["", "v1-data"], ids=["one root", "two roots"])
async def test_search_finds_what_was_pushed_to_either(tmp_path: Path, storagepath: str) -> None:
    environment = {
        "REGISTRY_GATEWAY_ADDR": "127.0.0.1:0",
        "REGISTRY_GATEWAY_V1_ADDR": "127.0.0.1:0",
        "REGISTRY_GATEWAY_V2_ADDR": "127.0.0.1:0",
        "REGISTRY_GATEWAY_METRICS_ADDR": "127.0.0.1:0",
        **({"REGISTRY_GATEWAY_V1_STORAGEPATH": storagepath} if storagepath else {}),
    }
    with running_command("serve", "--workers", "2", folder=tmp_path, environment=environment) as running:
        await Client("127.0.0.1", running.port("v2")).push_image("team/new", "latest")
        await RunningRegistry(running.port("v1")).push("team/old", "latest", [make_pushed("a")])
        async with (
            aiohttp.ClientSession() as client,
            client.get(f"http://127.0.0.1:{running.port('v1')}/v1/search?q=team") as answer,
        ):
            found = await answer.json()
    assert [each["name"] for each in found["results"]] == ["team/new", "team/old"]
    assert (tmp_path / (storagepath or "data") / "images").is_dir()
    assert (tmp_path / "data" / "docker" / "registry" / "v2" / "repositories" / "team" / "new").is_dir()
