"""The commands of README that need no other program, run as they stand there."""

from __future__ import annotations

import shlex
import socket
from pathlib import Path

import pytest

from tests.support.commands import portside, running_command
from tests.support.images import make_built_image
from tests.support.old_volumes import write_0_9_1, write_2_0
from tests.support.ports import free_port
from tests.support.portside import Form, running_portside
from tests.support.readme import Step, check_printed, steps

SERVERS = steps("sh servers")
COMMANDS = steps("sh commands")


def words(step: Step) -> list[str]:
    """A command's arguments behind `portside`."""
    program, *rest = shlex.split(step.words)
    assert program.rpartition("/")[2] == "portside"
    return rest


def test_the_route_is_explained(tmp_path: Path) -> None:
    (step,) = steps("console route")
    done = portside(*words(step), folder=tmp_path)
    assert done.returncode == 0
    check_printed(step, done.stdout, {})


def write_volume(root: Path) -> None:
    image = make_built_image("readme")
    write_2_0(root, "team/app", "2015", image)
    write_0_9_1(root, "team/app", "2014", image.v1_chain(final_newline=True, closing_blocks=True))


@pytest.mark.parametrize("step", SERVERS, ids=lambda step: step.words)
def test_single_parts_serve(step: Step, tmp_path: Path) -> None:
    port = free_port()
    config = tmp_path / "config.yml"
    config.write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {tmp_path / 'data'}}}}}\n"
        f"http: {{addr: '127.0.0.1:{port}'}}\n"
    )
    here = {"/srv/registry": str(tmp_path / "data"), "/etc/docker/registry/config.yml": str(config)}
    role, *arguments = (here.get(word, word) for word in words(step))
    address = {
        "v1": {"REGISTRY_GATEWAY_V1_ADDR": f"127.0.0.1:{port}"},
        "proxy": {"REGISTRY_GATEWAY_ADDR": f"127.0.0.1:{port}"},
    }
    with running_command(role, *arguments, folder=tmp_path, environment=address.get(role)) as running:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
        assert running.end() == 0


@pytest.mark.parametrize("step", COMMANDS, ids=lambda step: step.words)
def test_commands_for_operators(step: Step, tmp_path: Path) -> None:
    """Beside a running Portside, on its volume, with its settings file, as an operator has it."""
    write_volume(tmp_path / "data")
    (tmp_path / "config.yml").write_text(
        f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {tmp_path / 'data'}}}}}\n"
        "notifications: {endpoints: [{name: builds, url: 'http://127.0.0.1:9/'}]}\n"
    )
    (tmp_path / "registry.yml").write_text(
        f"dev: {{standalone: true, storage: local, storage_path: {tmp_path / 'data'}}}\n"
    )
    with running_portside(Form.ONE, tmp_path) as server:
        address = {"REGISTRY_GATEWAY_ADDR": f"127.0.0.1:{server.address.port}"}
        done = portside(*words(step), folder=tmp_path, environment=address)
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.strip() or words(step)[0] == "health", done.stderr
