"""The three containers: built, up, used as the 2015 guide's acceptance steps say (DEPLOYMENT_GUIDE D), and down."""

from __future__ import annotations

import hashlib
import http.client
import json
import os
import re
import ssl
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
import yaml

from tests.real.conftest import ROOT, copy_tree, curl, small_image, trusted
from tests.support.docker import Docker as OldDocker
from tests.support.dockerd import Docker
from tests.support.images import make_image
from tests.support.leftovers import FOLDER
from tests.support.ports import free_port
from tests.support.programs import find_program
from tests.support.readme import steps
from tests.support.v1_calls import Login
from tests.support.wire import Address

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("real"), pytest.mark.timeout(600)]

SERVICES = ("proxy", "registryv1", "registryv2")
PLUGINS = ("/usr/libexec/docker/cli-plugins", "/usr/lib/docker/cli-plugins", "~/.docker/cli-plugins")


def tools() -> list[str]:
    """Debian's docker-compose always; the second generation where it is installed (Debian 12 has no package of it)."""
    newer = any((Path(folder).expanduser() / "docker-compose").exists() for folder in PLUGINS)
    return ["docker-compose", *(["docker compose"] if newer else [])]


@dataclass(frozen=True, slots=True)
class Stack:
    """The running stack, and the program that runs it."""

    docker: Docker
    tree: Path
    tool: tuple[str, ...]
    environment: dict[str, str]
    port: int
    ca: Path

    def compose(self, *arguments: str, folder: str = ".") -> str:
        done = subprocess.run(
            [*self.tool, *arguments],
            cwd=self.tree / folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"{' '.join([*self.tool, *arguments])}:\n{done.stdout}"
        return done.stdout

    @property
    def address(self) -> Address:
        return Address("localhost", self.port, self.ca)

    def container(self, service: str) -> str:
        found = self.docker.run("ps", "-aq", "--filter", f"label=com.docker.compose.service={service}").split()
        assert len(found) == 1, f"{service}: {found}"
        return found[0]

    def published(self, service: str) -> int:
        return int(self.docker.run("port", self.container(service), "5000").splitlines()[0].rpartition(":")[2])

    def wait_until_healthy(self) -> None:
        """Waits until `docker ps` shows all three as healthy."""
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            states = self.docker.run("ps", "--format", "{{.Status}}").splitlines()
            if len(states) == len(SERVICES) and all("(healthy)" in state for state in states):
                return
            time.sleep(0.5)
        raise AssertionError(self.docker.run("ps", "-a") + self.compose("logs"))

    def copy_ca(self) -> None:
        """Copies the CA out by the very line that the proxy's log shows."""
        log = self.docker.run("logs", self.container("proxy"))
        line = re.search(r"copy it to them with: (docker cp [^\"]*)\" ", log)
        assert line is not None, log
        assert "certs.d" not in log  # nobody can reach this container by its own port
        path = f"{Path('/usr/bin')}:{os.environ['PATH']}"
        subprocess.run(["sh", "-ec", line[1]], cwd=self.ca.parent, env={**self.environment, "PATH": path}, check=True)


@pytest.fixture(scope="module", params=tools())
def stack(request: pytest.FixtureRequest, docker: Docker, base_image: str, wheels: Path) -> Iterator[Stack]:
    """Builds without any package index, brings up, waits, copies the CA out; in the end takes all down."""
    tree = copy_tree(FOLDER / "compose", wheels)
    tool = (find_program("docker-compose"),) if request.param == "docker-compose" else ("/usr/bin/docker", "compose")
    port = free_port()
    environment = docker.environment(BASE_IMAGE=base_image, PORTSIDE_PORT=str(port), PIP_NO_INDEX="1")
    environment["PORTSIDE_NAMES"] = "[registry.example]"
    made = Stack(docker, tree, tool, environment, port, tree / "ca.crt")
    made.compose("build", "-q")
    made.compose("up", "-d")
    try:
        made.wait_until_healthy()
        made.copy_ca()
        yield made
    finally:
        made.compose("down", "-v")
        assert docker.run("ps", "-aq") + docker.run("volume", "ls", "-q") == ""


def test_docker_ps_shows_three_and_only_the_proxy_has_a_fixed_port(stack: Stack) -> None:
    assert stack.published("proxy") == stack.port
    assert stack.published("registryv1") != stack.published("registryv2")
    for folder in (".", "compose"):  # the same project from both
        assert len(stack.compose("ps", "-q", folder=folder).split()) == len(SERVICES)


def test_the_readmes_commands(stack: Stack) -> None:
    up, ps = steps("sh compose")
    assert up.words.split()[:2] == ["docker", "compose"]
    assert "docker-compose up" in up.command
    stack.compose(*up.words.split()[2:], "-d")
    shown = stack.docker.run(*ps.words.split()[1:])
    assert len(shown.splitlines()) == 1 + len(SERVICES)
    assert f":{stack.port}->5000/tcp" in shown


def test_without_an_override_the_port_is_5000(stack: Stack) -> None:
    environment = {name: value for name, value in stack.environment.items() if name != "PORTSIDE_PORT"}
    done = subprocess.run(
        [*stack.tool, "config"], cwd=stack.tree, env=environment, capture_output=True, text=True, check=True
    )
    assert re.search(r"published: \"?5000\b", done.stdout)


@pytest.mark.parametrize("tool", tools())
def test_a_folder_of_the_host_holds_the_data_of_both_registries(tool: str) -> None:
    words = [find_program("docker-compose")] if tool == "docker-compose" else ["/usr/bin/docker", "compose"]
    for folder, data in ((None, "data"), ("/srv/registry", "/srv/registry")):
        environment = {**os.environ, **({"PORTSIDE_DATA": folder} if folder else {})}
        done = subprocess.run([*words, "config"], cwd=ROOT, env=environment, capture_output=True, text=True, check=True)
        mounts = {
            name: [each for each in service["volumes"] if "/data" in str(each)]
            for name, service in yaml.safe_load(done.stdout)["services"].items()
        }
        # The proxy sends large files that the registries hand over, and only reads there.
        (read,) = mounts["proxy"]
        assert read.endswith(":/data:ro") if isinstance(read, str) else read["read_only"]
        assert data in re.split(r"[:\s,'{}]+", str(read))
        assert mounts["registryv1"] == mounts["registryv2"] != []
        assert data in re.split(r"[:\s,'{}]+", str(mounts["registryv1"][0]))


def test_curl_is_refused_until_it_trusts_the_copied_ca(stack: Stack) -> None:
    url = f"https://localhost:{stack.port}/v2/"
    assert curl(url, check=False).startswith("status 60")
    answer = curl("--cacert", str(stack.ca), url)
    assert answer.startswith("HTTP/1.1 200")
    assert "docker-distribution-api-version: registry/2.0" in answer.lower()


def test_a_new_client_lands_in_v2(stack: Stack) -> None:
    name = f"localhost:{stack.port}/registry_one:latest"
    small_image(stack.docker, name)
    with trusted(f"localhost:{stack.port}", stack.ca):
        stack.docker.run("push", name)
        stack.docker.run("rmi", name)
        stack.docker.run("pull", name)
        stack.docker.run("rmi", name)
    head, body = curl(f"http://localhost:{stack.published('registryv2')}/v2/registry_one/tags/list").split("\n\n")
    assert body == '{"name":"registry_one","tags":["latest"]}\n'
    assert head.splitlines()[0] == "HTTP/1.1 200 OK"
    for line in (
        "Content-Type: application/json; charset=utf-8",
        f"Content-Length: {len(body)}",
        "Docker-Distribution-Api-Version: registry/2.0",
    ):
        assert line in head.splitlines()


def test_an_old_client_lands_in_v1_and_its_image_survives_a_kill(stack: Stack) -> None:
    image = make_image("team/old")
    pushed = OldDocker("1.5.0", stack.address).push("team/old", "b", image)
    assert pushed.statement == "ok v1", pushed.output
    answer = curl(f"http://localhost:{stack.published('registryv1')}/v1/repositories/team/old/tags")
    assert list(json.loads(answer.split("\n\n")[1])) == ["b"]
    stack.docker.run("restart", "-t", "0", stack.container("registryv1"))
    stack.wait_until_healthy()
    pulled = OldDocker("1.0.1", stack.address).pull("team/old", "b")
    assert pulled.statement == "ok v1", pulled.output
    assert pulled.pulled[0].layers == tuple(layer.packed for layer in image.layers)


@pytest.mark.parametrize("version", ["1.6.2", "1.9.1"])
def test_a_client_that_speaks_schema_1_lands_in_v2(version: str, stack: Stack) -> None:
    name = f"team/by-{version}"
    assert OldDocker(version, stack.address).push(name, "b", make_image(name)).ok
    assert OldDocker(version, stack.address).pull(name, "b").statement == "ok v2"
    body = curl(f"http://localhost:{stack.published('registryv2')}/v2/{name}/tags/list").split("\n\n")[1]
    assert json.loads(body)["tags"] == ["b"]


def test_an_upload_goes_on_after_its_registry_was_killed(stack: Stack) -> None:
    content = os.urandom(3_000_000)
    status, headers = ask(stack, "POST", "/v2/team/resumed/blobs/uploads/")
    assert status == 202
    status, headers = ask(stack, "PATCH", headers["location"], content[:2_000_000], {"Content-Range": "0-1999999"})
    assert (status, headers["range"]) == (202, "0-1999999")
    location = headers["location"]
    stack.docker.run("restart", "-t", "0", stack.container("registryv2"))
    stack.wait_until_healthy()
    status, headers = ask(stack, "GET", location)
    assert (status, headers["range"]) == (204, "0-1999999")
    digest = f"sha256:{hashlib.sha256(content).hexdigest()}"
    joint = "&" if "?" in location else "?"
    status, headers = ask(stack, "PUT", f"{location}{joint}digest={digest}", content[2_000_000:])
    assert (status, headers["docker-content-digest"]) == (201, digest)
    assert ask(stack, "HEAD", f"/v2/team/resumed/blobs/{digest}")[1]["content-length"] == str(len(content))


def ask(
    stack: Stack, method: str, url: str, body: bytes = b"", headers: dict[str, str] | None = None
) -> tuple[int, dict[str, str]]:
    """One request through the proxy: status, and headers by their names in small letters."""
    context = ssl.create_default_context(cafile=stack.ca)
    connection = http.client.HTTPSConnection("localhost", stack.port, context=context, timeout=30)
    connection.request(method, url.removeprefix(f"https://localhost:{stack.port}"), body, headers or {})
    with connection.getresponse() as answer:
        answer.read()
        connection.close()
        return answer.status, {name.lower(): value for name, value in answer.getheaders()}


@pytest.mark.parametrize("service", SERVICES)
def test_no_container_runs_as_root_or_writes_outside_its_volumes(service: str, stack: Stack) -> None:
    container = stack.container(service)
    inspected = json.loads(stack.docker.run("inspect", container))[0]
    assert inspected["HostConfig"]["CapDrop"] == ["ALL"]
    assert inspected["HostConfig"]["RestartPolicy"]["Name"] == "unless-stopped"
    assert any(option.startswith("no-new-privileges") for option in inspected["HostConfig"]["SecurityOpt"])
    assert stack.docker.run("exec", container, "id", "-u").strip() == "5000"
    refused = stack.docker.run("exec", container, "touch", "/opt/portside/x", check=False)
    assert "Read-only file system" in refused


def test_the_image_adds_little_to_its_base(stack: Stack, base_image: str) -> None:
    whole, base = (
        int(stack.docker.run("image", "inspect", "-f", "{{.Size}}", name)) for name in ("portside", base_image)
    )
    assert whole - base < 100_000_000


def test_a_file_of_users_as_the_page_has_it(stack: Stack) -> None:
    """By docs/access-control.md; the password comes by stdin, where there is no terminal."""
    export, make_user, up = (each.words for each in steps("sh compose", "docs/access-control.md"))
    files = export.removeprefix("export COMPOSE_FILE=")
    guarded = replace(stack, environment={**stack.environment, "COMPOSE_FILE": files})
    command, *arguments = make_user.split()[2:]
    try:
        made = subprocess.run(
            [*stack.tool, command, "-T", *arguments], input="secret\n", cwd=stack.tree, env=guarded.environment,
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert (made.returncode, "alice was added" in made.stdout + made.stderr) == (0, True), made
        guarded.compose(*up.split()[2:], "-d")
        stack.wait_until_healthy()
        for version in ("1.3.3", "20.10.24"):
            name = f"team/guarded-{version}"
            assert not OldDocker(version, stack.address).push(name, "b", make_image(name)).ok
            client = OldDocker(version, stack.address)
            assert client.login(Login("alice", "secret")).ok
            assert client.push(name, "b", make_image(name)).ok
    finally:
        stack.compose("up", "-d")
        stack.docker.run("volume", "rm", "portside_access", check=False)
    stack.wait_until_healthy()


def test_down_and_up_again_keeps_images_and_ca(stack: Stack) -> None:
    image = make_image("team/kept")
    assert OldDocker("1.3.3", stack.address).push("team/kept", "b", image).ok
    assert OldDocker("20.10.24", stack.address).push("team/kept", "b", image).ok
    stack.compose("stop")
    for service in SERVICES:  # ended by themselves when asked to
        inspected = stack.docker.run("inspect", "-f", "{{.State.ExitCode}}", stack.container(service))
        assert inspected.strip() == "0", f"{service}: {inspected}"
    stack.compose("down")
    stack.compose("up", "-d")
    stack.wait_until_healthy()
    assert OldDocker("1.3.3", stack.address).pull("team/kept", "b").statement == "ok v1"
    assert OldDocker("20.10.24", stack.address).pull("team/kept", "b").statement == "ok v2"
