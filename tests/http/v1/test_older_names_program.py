"""Names from before docker-registry 0.8.1 stay what they are at a start, and are found after `portside v1 rename`."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from tests.support.commands import portside, running_command
from tests.support.ports import free_port
from tests.support.trees import read_tree, write_tree
from tests.support.v1_volumes import write_images
from tests.support.v1server import RunningRegistry, make_pushed

IMAGE = make_pushed("a")
TAGS = "/v1/repositories/team/b/c/tags"


@pytest.mark.parametrize("command", ["v1", "serve"])
async def test_old_names_are_found_beside_a_running_server_once_they_are_renamed(tmp_path: Path, command: str) -> None:
    root, port = tmp_path / "volume", free_port()
    write_images(root, [IMAGE])
    write_tree(root, {"repositories/team/b%2Fc/tag_1.0+5": IMAGE.id, "repositories/team/b%2Fc/_index_images": "[]"})
    config = tmp_path / "config.yml"
    settings = {
        "version": 0.1,
        "log": {"accesslog": {"disabled": True}},
        "storage": {"filesystem": {"rootdirectory": str(root)}},
        "http": {"addr": f"127.0.0.1:{port}"},
    }
    config.write_text(yaml.safe_dump(settings))
    before = read_tree(root)
    with running_command(command, config, folder=tmp_path, port=port):
        registry = RunningRegistry(port)
        assert (await registry.ask("GET", TAGS)).status == 404
        assert read_tree(root).items() >= before.items()
        done = portside("v1", "rename", config, folder=tmp_path)
        assert done.returncode == 0, done.stderr
        assert (await registry.ask("GET", TAGS)).json == {"1.0+5": IMAGE.id}
        assert (await registry.ask("GET", f"{TAGS}/1.0%2B5")).json == IMAGE.id
    assert not (root / "repositories/team/b%2Fc").exists()
