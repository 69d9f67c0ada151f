"""README's commands, run as they stand there: what they do, and that they print what README says."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest

from tests.real.conftest import ROOT, Served, small_image
from tests.support.containerd import Containerd
from tests.support.docker import Docker as OldDocker
from tests.support.dockerd import Docker
from tests.support.images import make_built_image
from tests.support.leftovers import FOLDER
from tests.support.old_volumes import write_0_9_1
from tests.support.ports import free_port
from tests.support.programs import CACHE, docker_registry, find_program
from tests.support.readme import Step, check_printed, run_shell, steps, try_shell

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("real"), pytest.mark.timeout(300)]

REFERENCE = "localhost:5000/team/app:2015"
WARNING = "DEPRECATION: The support for cgroup v1"
"""containerd says so on every command where the machine has cgroup v1."""


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder with the file `sudo`, which runs what it is given."""
    made = FOLDER / "readme"
    subprocess.run(["rm", "-rf", str(made)], check=True)
    (made / "bin").mkdir(parents=True)
    (made / "bin" / "sudo").write_text('#!/bin/sh\nexec "$@"\n')
    (made / "bin" / "sudo").chmod(0o755)
    yield made
    subprocess.run(["rm", "-rf", str(made)], check=True)


def environment(folder: Path, containerd: Containerd | None = None) -> dict[str, str]:
    """Variables by which README's commands find `sudo`, Portside of this checkout, and a containerd of our own."""
    path = [str(folder / "bin"), str(CACHE / "bin" / "containerd"), os.environ["PATH"]]
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("REGISTRY_", "MAKE"))}
    made = {**kept, "PATH": ":".join(path), "PYTHONPATH": str(ROOT)}
    if containerd is not None:
        # Overlays cannot be mounted on every file system.
        made |= {"CONTAINERD_ADDRESS": str(containerd.folder / "socket"), "CONTAINERD_SNAPSHOTTER": "native"}
    return made


def without_warning(printed: str) -> str:
    return "".join(line for line in printed.splitlines(keepends=True) if WARNING not in line)


@contextlib.contextmanager
def made_to_run(step: Step, folder: Path, arguments: str, variables: Mapping[str, str]) -> Iterator[Path]:
    """Runs `make run`, with the virtual environment of these tests, until the end of the block; yields its log."""
    words = shlex.split(step.words)
    assert words[:2] == ["make", "run"]
    given = words[2].removeprefix("ARGS=") if len(words) > 2 else ""
    makefile = ["-f", str(ROOT / "Makefile"), "-o", f"{sys.prefix}/.run", f"VENV={sys.prefix}"]
    log = folder / "make.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            ["make", *makefile, "run", f"ARGS={given} {arguments}"],
            cwd=folder,
            env=variables,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
    try:
        deadline = time.monotonic() + 30
        while b"curl --cacert" not in log.read_bytes():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.05)
        yield log
    finally:
        os.killpg(process.pid, signal.SIGTERM)
        process.wait(20)


@pytest.mark.parametrize("kept_by", ["registry:2", "docker-registry 0.9"])
def test_an_image_of_2015_is_refused_and_then_pulled(kept_by: str, containerd: Containerd, folder: Path) -> None:
    find_program("containerd/ctr")
    variables = environment(folder, containerd)
    image = make_built_image("readme")
    (refused,) = steps("console refused")
    if kept_by == "registry:2":
        with docker_registry(folder) as address:
            assert OldDocker("1.9.1", address).push("team/app", "2015", image).ok
            host = f"localhost:{address.port}"
            status, printed = try_shell(refused.words.replace("localhost:5000", host), folder, environment=variables)
        assert status == 1
        check_printed(refused, without_warning(printed), {"localhost:5000": host})
    else:
        # No containerd asks a registry of that protocol, so there is nothing that refuses.
        write_0_9_1(folder / "data", "team/app", "2015", image.v1_chain(final_newline=True, closing_blocks=True))

    make_run, trust, pull = steps("console pulled")
    port, data, trusted = free_port(), folder / "data", folder / "certs.d"
    replaced = {"localhost:5000": f"localhost:{port}", "/etc/containerd/certs.d": str(trusted)}
    made = Step(make_run.command.replace("/srv/registry", str(data)))
    with made_to_run(made, folder, f"--addr [::]:{port}", variables) as log:
        check_printed(make_run, log.read_text(), {":5000": f":{port}"})
        for step in (trust, pull):
            command = _replaced(step.words, replaced)
            printed = run_shell(command, folder, environment=variables)
            check_printed(step, without_warning(printed), {"localhost:5000": f"localhost:{port}"})
    reference = _replaced(REFERENCE, replaced)
    assert reference in containerd.ctr("images", "list", "-q")
    containerd.ctr("images", "remove", reference)

    if kept_by == "registry:2":
        (inspect,) = steps("console inspected")
        (folder / ".venv").symlink_to(sys.prefix)
        command = inspect.words.replace("/srv/registry", str(data))
        printed = run_shell(command, folder, environment=variables, columns=80)
        check_printed(inspect, printed, {})


def _replaced(text: str, replaced: Mapping[str, str]) -> str:
    for there, here in replaced.items():
        assert there in text or there != "localhost:5000", text
        text = text.replace(there, here)
    return text


def test_make_run_and_make_test(folder: Path) -> None:
    """`make test` runs these tests; what `.ci/run` does first on a fresh machine is what both do first."""
    make_run, make_test = steps("sh two")
    assert make_test.words == "make test"
    assert "make test" in (ROOT / ".ci" / "run").read_text()
    port = free_port()
    variables = environment(folder)
    with made_to_run(make_run, folder, f"--addr [::]:{port}", variables) as log:
        said = log.read_text()
        for program in ("docker:", "podman:", "curl:"):
            assert program in said
        assert f"data in {folder / 'data'}" in said
        answer = run_shell(
            f"curl -sS --cacert certs/ca.crt https://localhost:{port}/v2/", folder, environment=variables
        )
        assert answer.strip() == "{}"


def test_docker_pushes_and_pulls(docker: Docker, served: Served, folder: Path) -> None:
    """By a name that is not loopback, so that docker looks at certificates."""
    small_image(docker, "busybox")
    variables = docker.environment(PATH=f"{folder / 'bin'}:/usr/bin:{os.environ['PATH']}")
    printed = ""
    try:
        for step in steps("sh docker"):
            command = step.words.replace("localhost:5000", served.host)
            printed = run_shell(command, served.folder, environment=variables)
            if "docker push" in command:
                docker.run("rmi", f"{served.host}/team/busybox", "busybox")
        assert "Downloaded newer image" in printed
    finally:
        subprocess.run(["rm", "-rf", f"/etc/docker/certs.d/{served.host}"], check=True)
        docker.run("rmi", "-f", f"{served.host}/team/busybox", check=False)
