"""The program gives names from before docker-registry 0.8.1 new ones soon after its start, unless it may not write."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import yaml

from tests.support.commands import running_command
from tests.support.ports import free_port
from tests.support.trees import read_tree, write_tree
from tests.support.v1_volumes import write_images
from tests.support.v1server import RunningRegistry, make_pushed

IMAGE = make_pushed("a")


@pytest.mark.parametrize(("command", "read_only"), [("v1", False), ("serve", False), ("v1", True)])
async def test_old_names_are_found_soon_after_a_start(tmp_path: Path, command: str, *, read_only: bool) -> None:
    root, port = tmp_path / "volume", free_port()
    write_images(root, [IMAGE])
    write_tree(root, {"repositories/team/b%2Fc/tag_1.0+5": IMAGE.id, "repositories/team/b%2Fc/_index_images": "[]"})
    config = tmp_path / "config.yml"
    settings = {
        "version": 0.1,
        "log": {"accesslog": {"disabled": True}},
        "storage": {
            "filesystem": {"rootdirectory": str(root)},
            "maintenance": {"readonly": {"enabled": read_only}},
        },
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    config.write_text(yaml.safe_dump(settings))
    before = read_tree(root)
    with running_command(command, config, folder=tmp_path, port=port):
        registry = RunningRegistry(port)

        async def tags() -> object:
            return (await registry.ask("GET", "/v1/repositories/team/b/c/tags")).json

        async with asyncio.timeout(20):
            waited = 0.0
            while await tags() != {"1.0+5": IMAGE.id} and not (read_only and waited > 4):
                await asyncio.sleep(0.1)
                waited += 0.1
        if read_only:
            assert read_tree(root).items() >= before.items()
        else:
            assert (await registry.ask("GET", "/v1/repositories/team/b/c/tags/1.0%2B5")).json == IMAGE.id
            assert not (root / "repositories/team/b%2Fc").exists()
