"""Today's docker against :5000, by a name that is not loopback."""

from __future__ import annotations

import re
import time
import uuid
from pathlib import Path

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


def test_a_search_finds_an_image_by_its_name_and_by_what_it_says_that_it_is(
    docker: Docker, served: Served, tmp_path: Path
) -> None:
    word = f"word{uuid.uuid4().hex[:8]}"
    archive = tmp_path / "empty.tar"
    archive.write_bytes(bytes(10_240))
    described = f"LABEL org.opencontainers.image.description='Prints {word} \x1b[31m'"
    assert docker.run("search", f"{served.loopback}/{word}").splitlines()[1:] == []
    for name in ("app", f"{word}-app"):
        reference = f"{served.loopback}/search/{name}:latest"
        docker.run("import", "--change", described, str(archive), reference)
        docker.run("push", reference)
    deadline = time.monotonic() + 10
    while "search/app" not in docker.run("search", f"{served.loopback}/{word}") and time.monotonic() < deadline:
        time.sleep(0.2)  # descriptions are read a moment after the push
    for name, found in ((word, [f"search/{word}-app", "search/app"]), ("library/nothing", [])):
        lines = docker.run("search", f"{served.loopback}/{name}").splitlines()
        assert lines[0].split() == ["NAME", "DESCRIPTION", "STARS", "OFFICIAL", "AUTOMATED"]
        assert [line.split()[0] for line in lines[1:]] == found
        assert all(f"Prints {word} [31m" in line and line.isprintable() for line in lines[1:])
    limited = docker.run("search", "--limit", "1", f"{served.loopback}/{word}").splitlines()
    assert len(limited) == 2


def test_a_pushed_image_runs(docker: Docker, served: Served, base_image: str) -> None:
    name = f"{served.host}/team/runs:1"
    with trusted(served.host, served.ca):
        docker.run("tag", base_image, name)
        docker.run("push", name)
        docker.run("rmi", name)
        assert docker.run("run", "--rm", name, "/bin/echo", "it runs").rstrip().endswith("it runs")
