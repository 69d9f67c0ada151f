"""The image without compose: built from the package index with BuildKit, everything in one container."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.real.conftest import ROOT, copy_tree, curl
from tests.support.certificate import make_certificate
from tests.support.docker import Docker as OldDocker
from tests.support.dockerd import Docker
from tests.support.images import make_image
from tests.support.leftovers import FOLDER
from tests.support.ports import free_port
from tests.support.readme import steps
from tests.support.v1_calls import Login
from tests.support.wire import Address

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("real"), pytest.mark.timeout(600)]

HARDENED = ("--read-only", "--tmpfs", "/tmp", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")


@pytest.fixture(scope="module")
def image(docker: Docker, base_image: str) -> str:
    tree = copy_tree(FOLDER / "image", None)
    options = ["--network", "host", "--build-arg", f"BASE_IMAGE={base_image}", "-f", "compose/Dockerfile"]
    if index := os.environ.get("PIP_INDEX_URL"):
        options += ["--build-arg", f"PIP_INDEX_URL={index}"]
    docker.run("build", "-t", "portside-one", *options, str(tree), env={"DOCKER_BUILDKIT": "1"}, folder=tree)
    return "portside-one"


@pytest.fixture
def container(docker: Docker) -> Iterator[str]:
    """A container's name; whatever has it is removed in the end."""
    yield "portside-one"
    docker.run("rm", "-f", "-v", "portside-one")


def wait_until_healthy(docker: Docker, container: str) -> None:
    deadline = time.monotonic() + 60
    while (state := docker.run("inspect", "-f", "{{.State.Health.Status}}", container).strip()) != "healthy":
        assert time.monotonic() < deadline, f"{state}\n{docker.run('logs', container)}"
        time.sleep(0.5)


def test_one_container_serves_every_client(docker: Docker, image: str, container: str, tmp_path: Path) -> None:
    port = free_port()
    published = ("-p", f"127.0.0.1:{port}:5000", "-v", "one-data:/data", "-v", "one-certs:/certs")
    docker.run("run", "-d", "--name", container, *HARDENED, *published, image)
    wait_until_healthy(docker, container)
    docker.run("cp", f"{container}:/certs/ca.crt", str(tmp_path / "ca.crt"))
    address = Address("localhost", port, tmp_path / "ca.crt")
    for version, statement in (("1.3.3", "ok v1"), ("1.9.1", "ok v2"), ("20.10.24", "ok v2")):
        name = f"team/by-{version}"
        assert OldDocker(version, address).push(name, "b", make_image(name)).statement == statement
        assert OldDocker(version, address).pull(name, "b").statement == statement
    docker.run("stop", container)
    assert docker.run("inspect", "-f", "{{.State.ExitCode}}", container).strip() == "0"


def test_one_container_as_the_readme_starts_it(docker: Docker, image: str, container: str, tmp_path: Path) -> None:
    (step,) = steps("sh container")
    program, command, *arguments = step.words.split()
    assert (program, command) == ("docker", "run")
    port = free_port()
    here = {"5000:5000": f"127.0.0.1:{port}:5000", "portside": image}
    docker.run("run", "-d", "--name", container, *(here.get(word, word) for word in arguments))
    wait_until_healthy(docker, container)
    docker.run("cp", f"{container}:/certs/ca.crt", str(tmp_path / "ca.crt"))
    address = Address("localhost", port, tmp_path / "ca.crt")
    assert OldDocker("1.3.3", address).push("team/app", "b", make_image("team/app")).ok
    assert OldDocker("20.10.24", address).pull("team/app", "b").ok
    docker.run("rm", "-f", container)
    docker.run("volume", "rm", "data", "certs")


def test_one_container_in_the_place_of_docker_registry_s(
    docker: Docker, image: str, container: str, tmp_path: Path
) -> None:
    """As docs/v1-configuration.md starts it: with the variables and the folder of the old image, by plain HTTP."""
    (step,) = steps("sh container", "docs/v1-configuration.md")
    _, command, *arguments = step.words.split()
    port, folder = free_port(), tmp_path / "registry"
    folder.mkdir()
    os.chown(folder, 5000, 5000)
    here = {
        "5000:5000": f"127.0.0.1:{port}:5000",
        "/srv/registry:/registry": f"{folder}:/registry",
        "portside": image,
    }
    docker.run(command, "--name", container, *HARDENED, *(here.get(word, word) for word in arguments))
    wait_until_healthy(docker, container)
    address = Address("localhost", port)
    for version, statement in (("1.0.1", "ok v1"), ("1.5.0", "ok v1"), ("20.10.24", "ok v2")):
        name = f"team/by-{version}"
        assert OldDocker(version, address).push(name, "b", make_image(name)).statement == statement
        assert OldDocker("1.3.3", address).pull(name, "b").ok
    assert list((folder / "images").iterdir())
    assert list((folder / "repositories/team").iterdir())
    assert "listening on :5000" in docker.run("logs", container)
    # And where the old image had its data without any variable.
    docker.run("rm", "-f", container)
    published = ("-p", f"127.0.0.1:{port}:5000", "-v", f"{folder}:/tmp/registry")
    docker.run("run", "-d", "--name", container, *published, image)
    wait_until_healthy(docker, container)
    assert "/tmp/registry holds images of docker-registry and is not served" in docker.run("logs", container)
    docker.run("rm", "-f", container)
    docker.run("run", "-d", "--name", container, *HARDENED, *published, "-e", "SETTINGS_FLAVOR=dev", image)
    wait_until_healthy(docker, container)
    assert OldDocker("1.3.3", address).pull("team/by-1.0.1", "b").ok


def test_one_container_and_a_file_of_users(docker: Docker, image: str, container: str, tmp_path: Path) -> None:
    """As docs/access-control.md starts it; the password comes by stdin, where there is no terminal."""
    make_user, serve = (shlex.split(each.words)[1:] for each in steps("sh container", "docs/access-control.md"))
    port = free_port()
    here = {"-it": "-i", "5000:5000": f"127.0.0.1:{port}:5000", "portside": image}
    try:
        made = subprocess.run(
            ["/usr/bin/docker", *(here.get(word, word) for word in make_user)],
            input="secret\n", env=docker.environment(), capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert "alice was added" in made.stdout + made.stderr
        command, *arguments = (here.get(word, word) for word in serve)
        docker.run(command, "-d", "--name", container, *HARDENED, *arguments)
        wait_until_healthy(docker, container)
        docker.run("cp", f"{container}:/certs/ca.crt", str(tmp_path / "ca.crt"))
        address = Address("localhost", port, tmp_path / "ca.crt")
        for version in ("1.3.3", "20.10.24"):
            name = f"team/guarded-{version}"
            assert not OldDocker(version, address).push(name, "b", make_image(name)).ok
            client = OldDocker(version, address)
            assert client.login(Login("alice", "secret")).ok
            assert client.push(name, "b", make_image(name)).ok
    finally:
        docker.run("rm", "-f", container)
        docker.run("volume", "rm", "-f", "data", "certs", "access")


def test_a_mounted_certificate_is_served(docker: Docker, image: str, container: str, tmp_path: Path) -> None:
    made = make_certificate(tmp_path)
    own = tmp_path / "own"
    own.mkdir()
    for source, name in ((made.chain, "server.crt"), (made.key, "server.key")):
        shutil.copy(source, own / name)
        os.chown(own / name, 5000, 5000)
    port = free_port()
    published = ("-p", f"127.0.0.1:{port}:5000", "-v", f"{own}:/certs:ro")
    docker.run("run", "-d", "--name", container, *HARDENED, *published, "-v", "one-data:/data", image)
    wait_until_healthy(docker, container)
    assert curl("--cacert", str(made.ca), f"https://localhost:{port}/v2/").startswith("HTTP/1.1 200")


def test_it_takes_the_place_of_registry_2(docker: Docker, image: str, container: str, tmp_path: Path) -> None:
    """The file that registry:2 has, and its volume, mounted where they were there; its program by its name."""
    shutil.copy(ROOT / "tests" / "data" / "config" / "files" / "image-2.yml", tmp_path / "config.yml")
    volume = tmp_path / "volume"
    volume.mkdir()
    os.chown(volume, 5000, 5000)
    port = free_port()
    places = (
        *("-v", f"{tmp_path / 'config.yml'}:/etc/docker/registry/config.yml:ro"),
        *("-v", f"{volume}:/var/lib/registry"),
    )
    docker.run("run", "-d", "--name", container, *HARDENED, "-p", f"127.0.0.1:{port}:5000", *places, image)
    wait_until_healthy(docker, container)
    said = docker.run("logs", container)
    for words in ("settings from /etc/docker/registry/config.yml", "using inmemory blob descriptor cache"):
        assert words in said
    answer = curl("-X", "POST", f"http://localhost:{port}/v2/one/blobs/uploads/")
    assert answer.startswith("HTTP/1.1 202")
    assert "X-Content-Type-Options: nosniff" in answer
    assert (volume / "docker" / "registry" / "v2" / "repositories" / "one").is_dir()
    assert docker.run("exec", container, "/bin/registry", "--version").startswith("portside ")
