"""Today's docker against :5000, by a name that is not loopback."""

from __future__ import annotations

import re
import time
import uuid

import pytest

from tests.real.conftest import Served, small_image, trusted
from tests.support.dockerd import Docker

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("real"), pytest.mark.timeout(300)]


def test_a_client_without_our_ca_is_refused_and_leaves_a_line(docker: Docker, served: Served) -> None:
    reference = f"{served.host}/team/untrusted:1"
    small_image(docker, reference)
    assert "certificate signed by unknown authority" in docker.run("push", reference, check=False)
    wanted = re.compile(r"TLS handshake error from 10\.254\.201\.1:\d+: .*unknown certificate authority")
    deadline = time.monotonic() + 5  # docker has its error before our side has read the alert
    while not wanted.search(served.log.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert wanted.search(served.log.read_text())


def test_push_pull_again_and_by_digest(docker: Docker, served: Served) -> None:
    name = f"{served.host}/team/img-{uuid.uuid4().hex[:8]}"
    with trusted(served.host, served.ca):
        small_image(docker, f"{name}:1")
        pushed = docker.run("push", f"{name}:1")
        digest = re.search(r"digest: (sha256:[0-9a-f]{64})", pushed)
        assert digest is not None
        assert "Layer already exists" in docker.run("push", f"{name}:1")
        docker.run("tag", f"{name}:1", f"{name}:2")
        docker.run("push", "--all-tags", name)
        image_id = docker.run("image", "inspect", "-f", "{{.Id}}", f"{name}:1")
        docker.run("rmi", "-f", f"{name}:1", f"{name}:2")
        docker.run("pull", f"{name}:2")
        assert docker.run("image", "inspect", "-f", "{{.Id}}", f"{name}:2") == image_id
        docker.run("rmi", "-f", f"{name}:2")
        docker.run("pull", f"{name}@{digest[1]}")
        docker.run("pull", "--all-tags", name)
        missing = docker.run("pull", f"{name}:none", check=False)
        assert "manifest" in missing
        assert "unknown" in missing


def test_loopback_needs_no_name(docker: Docker, served: Served) -> None:
    name = f"{served.loopback}/team/loop:1"
    small_image(docker, name)
    docker.run("push", name)
    docker.run("rmi", "-f", name)
    docker.run("pull", name)


def test_a_pushed_image_runs(docker: Docker, served: Served, base_image: str) -> None:
    name = f"{served.host}/team/runs:1"
    with trusted(served.host, served.ca):
        docker.run("tag", base_image, name)
        docker.run("push", name)
        docker.run("rmi", name)
        assert docker.run("run", "--rm", name, "/bin/echo", "it runs").rstrip().endswith("it runs")
