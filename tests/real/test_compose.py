"""The three containers: built, up, used as the 2015 guide's acceptance steps say (DEPLOYMENT_GUIDE D), and down."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.real.conftest import FOLDER, small_image, trusted
from tests.support.baseimage import import_base_image
from tests.support.docker import Docker as OldDocker
from tests.support.dockerd import Docker
from tests.support.images import make_image
from tests.support.programs import find_program, free_port
from tests.support.wire import Address

pytestmark = [pytest.mark.real, pytest.mark.timeout(600)]

ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True, slots=True)
class Stack:
    """The running stack."""

    docker: Docker
    port: int
    ca: Path

    @property
    def address(self) -> Address:
        return Address("localhost", self.port, self.ca)

    def container(self, service: str) -> str:
        found = self.docker.run("ps", "-q", "--filter", f"label=com.docker.compose.service={service}").split()
        assert len(found) == 1, f"{service}: {found}"
        return found[0]

    def published(self, service: str) -> int:
        return int(self.docker.run("port", self.container(service), "5000").splitlines()[0].rpartition(":")[2])


@pytest.fixture(scope="module")
def stack(docker: Docker) -> Iterator[Stack]:
    compose = find_program("docker-compose")
    port = free_port()
    environment = docker.environment(BASE_IMAGE=import_base_image(docker), PORTSIDE_PORT=str(port))

    def run(*arguments: str) -> None:
        done = subprocess.run(
            [compose, *arguments], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"docker-compose {' '.join(arguments)}:\n{done.stdout}\n{done.stderr}"

    run("build", "-q", "proxy")
    run("up", "-d")
    try:
        folder = FOLDER / "compose"
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        made = Stack(docker, port, folder / "ca.crt")
        _wait_until_healthy(made)
        docker.run("cp", f"{made.container('proxy')}:/certs/ca.crt", str(made.ca))
        yield made
    finally:
        run("down", "-v")


def _wait_until_healthy(stack: Stack) -> None:
    deadline = time.monotonic() + 90
    while time.monotonic() < deadline:
        states = stack.docker.run("ps", "--format", "{{.Status}}").splitlines()
        if len(states) == 3 and all("(healthy)" in state for state in states):
            return
        time.sleep(1)
    raise AssertionError(stack.docker.run("ps", "-a") + stack.docker.run("logs", stack.container("proxy")))


def test_only_the_proxy_has_a_fixed_port(stack: Stack) -> None:
    assert stack.published("proxy") == stack.port
    assert stack.published("registryv1") != stack.published("registryv2")


def test_a_new_client_lands_in_v2(stack: Stack) -> None:
    name = f"localhost:{stack.port}/registry_one:latest"
    small_image(stack.docker, name)
    with trusted(f"localhost:{stack.port}", stack.ca):
        stack.docker.run("push", name)
    url = f"http://localhost:{stack.published('registryv2')}/v2/registry_one/tags/list"
    with urllib.request.urlopen(url) as answer:
        body = answer.read()
        assert answer.headers["Docker-Distribution-Api-Version"] == "registry/2.0"
        assert answer.headers["Content-Type"] == "application/json; charset=utf-8"
    assert body == b'{"name":"registry_one","tags":["latest"]}\n'


def test_an_old_client_lands_in_v1_and_stays_through_a_restart(stack: Stack) -> None:
    image = make_image("team/old")
    assert OldDocker("1.5.0", stack.address).push("team/old", "b", image).statement == "ok v1"
    url = f"http://localhost:{stack.published('registryv1')}/v1/repositories/team/old/tags"
    with urllib.request.urlopen(url) as answer:
        assert list(json.load(answer)) == ["b"]
    stack.docker.run("restart", "-t", "10", stack.container("registryv1"))
    _wait_until_healthy(stack)
    assert OldDocker("1.0.1", stack.address).pull("team/old", "b").statement == "ok v1"


def test_nothing_runs_as_root_and_the_root_filesystem_is_read_only(stack: Stack) -> None:
    for service in ("proxy", "registryv1", "registryv2"):
        inspected = json.loads(stack.docker.run("inspect", stack.container(service)))[0]
        assert inspected["Config"]["User"] == "5000:5000"
        assert inspected["HostConfig"]["ReadonlyRootfs"] is True
        assert inspected["HostConfig"]["CapDrop"] == ["ALL"]
    log = stack.docker.run("logs", stack.container("proxy"))
    assert "docker cp" in log
