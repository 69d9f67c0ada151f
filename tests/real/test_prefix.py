"""docker, which can be told of no path, and a registry with `http.prefix`: nginx adds the path, as the docs show it."""

from __future__ import annotations

import re
import sys
import uuid
from pathlib import Path

import pytest

from tests.real.conftest import small_image
from tests.support.dockerd import Docker
from tests.support.ports import free_port
from tests.support.programs import find_program, running

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("real"), pytest.mark.timeout(300)]

PAGE = Path(__file__).parents[2] / "docs" / "behind-a-proxy.md"


def locations(plain: int) -> str:
    """The page's own block."""
    section = PAGE.read_text().partition("## A path of its own\n")[2]
    match = re.search(r"```nginx\n(.*?)```", section, re.DOTALL)
    assert match is not None
    text = match[1].replace("127.0.0.1:5080", f"127.0.0.1:{plain}")
    assert text.count(f"127.0.0.1:{plain}") == 2
    return text


@pytest.mark.parametrize("role", ["serve", "v2"])
def test_docker_pushes_and_pulls_through_an_nginx_that_adds_the_prefix(
    docker: Docker, tmp_path: Path, role: str
) -> None:
    plain, port = free_port(), free_port()
    config = tmp_path / "config.yml"
    registries = "v1: {addr: ''}, v2: {addr: ''}, " if role == "serve" else ""
    config.write_text(
        f"""{{version: 0.1, storage: {{filesystem: {{rootdirectory: {tmp_path}/data}}}},
        http: {{addr: "127.0.0.1:{plain}", prefix: /registry/}}, gateway: {{{registries}metrics: {{addr: ''}}}}}}"""
    )
    nginx = tmp_path / "nginx.conf"
    nginx.write_text(
        f"daemon off; user root; pid {tmp_path}/nginx.pid; error_log {tmp_path}/nginx.log;\nevents {{}}\n"
        f"http {{ access_log off; client_max_body_size 0; proxy_http_version 1.1; proxy_set_header Host $http_host;\n"
        f"server {{ listen 127.0.0.1:{port};\n{locations(plain)}}} }}\n"
    )
    with (
        running([sys.executable, "-m", "portside.cli", role, str(config)], tmp_path / "log", port=plain),
        running([find_program("nginx"), "-c", str(nginx)], tmp_path / "nginx.out", port=port),
    ):
        name = f"127.0.0.1:{port}/team/prefixed-{uuid.uuid4().hex[:8]}:1"
        small_image(docker, name)
        docker.run("push", name)
        image_id = docker.run("image", "inspect", "-f", "{{.Id}}", name)
        docker.run("rmi", "-f", name)
        docker.run("pull", name)
        assert docker.run("image", "inspect", "-f", "{{.Id}}", name) == image_id
    assert '"PUT /registry/v2/team/prefixed' in (tmp_path / "log").read_text()
