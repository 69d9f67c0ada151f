"""A real nginx over the volume serves the blobs, as docs/redirects.md shows it, and clients of every kind go there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.real.conftest import small_image
from tests.support.dockerd import Docker
from tests.support.ocilayout import make_oci_layout
from tests.support.ports import free_port
from tests.support.programs import find_program, running

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("real"), pytest.mark.timeout(300)]

DOCS = Path(__file__).parents[2] / "docs" / "redirects.md"
BLOBS = re.compile(r'"(GET|HEAD) (/docker/registry/v2/blobs/\S+/data)\S* HTTP/1\.1" (\d+)')


@dataclass(frozen=True, slots=True)
class Redirecting:
    """A Portside that redirects to nginx.

    Attributes:
        host: of the registry.
        log: nginx's.
    """

    host: str
    log: Path

    def served(self) -> list[tuple[str, str]]:
        """Method and status of each request for a blob that nginx got."""
        return [(match[1], match[3]) for match in BLOBS.finditer(self.log.read_text())]


def block(language: str) -> str:
    match = re.search(rf"```{language}\n(.*?)```", DOCS.read_text(), re.DOTALL)
    assert match is not None
    return match[1]


@pytest.fixture(scope="module")
def redirecting() -> Iterator[Redirecting]:
    folder = Path(tempfile.mkdtemp(prefix="ps-redirects-"))
    port, cdn = free_port(), free_port()
    settings = folder / "portside.yml"
    text = (
        block("yaml").replace("/var/lib/portside", str(folder / "data")).replace("127.0.0.1:5080", f"127.0.0.1:{port}")
    )
    text = text.replace("https://blobs.example", f"http://127.0.0.1:{cdn}")
    assert text.count("127.0.0.1") == 2
    settings.write_text(text + "gateway: {v1: {addr: ''}, v2: {addr: ''}, metrics: {addr: ''}}\n")
    log = folder / "access.log"
    server = block("nginx").replace("/var/lib/portside", str(folder / "data"))
    server = re.sub(r"listen 443 ssl;\n(.*ssl_certificate.*\n)*", f"listen 127.0.0.1:{cdn};\n", server)
    assert f"listen 127.0.0.1:{cdn}" in server
    nginx = folder / "nginx.conf"
    nginx.write_text(
        f"daemon off; user root; pid {folder}/nginx.pid; error_log {folder}/nginx.log;\nevents {{}}\n"
        f"http {{\naccess_log {log};\n{server}\n}}\n"
    )
    portside = [sys.executable, "-m", "portside.cli", "serve", str(settings)]
    with (
        running(portside, folder / "portside.log", port=port),
        running([find_program("nginx"), "-c", str(nginx)], folder / "nginx.out", port=cdn),
    ):
        yield Redirecting(f"127.0.0.1:{port}", log)
    shutil.rmtree(folder)


def run(*command: str) -> str:
    done = subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False, timeout=120
    )
    assert done.returncode == 0, f"{' '.join(command)}:\n{done.stdout}"
    return done.stdout


def new_name(redirecting: Redirecting) -> str:
    return f"{redirecting.host}/team/redirected-{uuid.uuid4().hex[:8]}"


def test_docker_pulls_its_layers_from_nginx(docker: Docker, redirecting: Redirecting) -> None:
    name = f"{new_name(redirecting)}:1"
    small_image(docker, name)
    docker.run("push", name)
    image_id = docker.run("image", "inspect", "-f", "{{.Id}}", name)
    docker.run("rmi", "-f", name)
    before = len(redirecting.served())
    docker.run("pull", name)
    assert docker.run("image", "inspect", "-f", "{{.Id}}", name) == image_id
    asked = redirecting.served()[before:]
    assert len([each for each in asked if each == ("GET", "200")]) == 2, "a config and a layer"
    assert "Layer already exists" in docker.run("push", name)


def test_podman_pulls_from_nginx(redirecting: Redirecting, short_folder: Path) -> None:
    layout = make_oci_layout(short_folder / "in")
    store = [find_program("podman"), "--root", str(short_folder / "root"), "--runroot", str(short_folder / "run")]
    store += ["--storage-driver", "vfs"]
    name = f"docker://{new_name(redirecting)}:a"
    image_id = run(*store, "pull", "-q", f"oci:{layout}:one").split()[-1]
    run(*store, "push", "--tls-verify=false", image_id, name)
    run(*store, "rmi", "-f", image_id)
    before = len(redirecting.served())
    run(*store, "pull", "--tls-verify=false", name)
    assert ("GET", "200") in redirecting.served()[before:]


def test_crane_oras_regctl_and_skopeo_do_too(redirecting: Redirecting, tmp_path: Path) -> None:
    crane, oras, regctl, skopeo = (find_program(name) for name in ("crane", "oras", "regctl", "skopeo"))
    layout = make_oci_layout(tmp_path / "in")
    name = new_name(redirecting)
    run(skopeo, "copy", "--all", "--dest-tls-verify=false", f"oci:{layout}:all", f"docker://{name}:a")
    pulls = {
        "crane": [crane, "copy", "--insecure", f"{name}:a", f"{name}-copy:a"],
        "crane validate": [crane, "validate", "--insecure", "--remote", f"{name}:a"],
        "oras": [oras, "cp", "--from-plain-http", "--to-oci-layout", f"{name}:a", f"{tmp_path}/oras:a"],
        "regctl": [regctl, "--host", f"reg={redirecting.host},tls=disabled", "image", "copy", f"{name}:a",
                   f"ocidir://{tmp_path}/regctl:a"],
        "skopeo": [skopeo, "copy", "--all", "--src-tls-verify=false", f"docker://{name}:a", f"dir:{tmp_path}/skopeo"],
    }  # fmt: skip
    for tool, command in pulls.items():
        before = len(redirecting.served())
        run(*command)
        asked = redirecting.served()[before:]
        assert asked or tool == "crane", f"{tool} asked nginx for nothing"  # crane mounts within a registry
        assert {status for _, status in asked} <= {"200", "206"}, tool
