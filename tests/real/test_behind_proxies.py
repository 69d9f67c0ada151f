"""Behind nginx and HAProxy that end TLS, each set up as the pages of docs/ say: their own blocks are what runs here."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.real.conftest import Served, curl, small_image, trusted
from tests.support.docker import Docker as OldDocker
from tests.support.dockerd import Docker
from tests.support.images import make_image
from tests.support.leftovers import OTHER_NAME
from tests.support.pages import block
from tests.support.ports import free_port
from tests.support.programs import find_program, running
from tests.support.v1_calls import Login
from tests.support.wire import Address

pytestmark = [pytest.mark.real, pytest.mark.xdist_group("real"), pytest.mark.timeout(300)]

PROXIES = "docs/behind-a-proxy.md"
ACCESS = "docs/access-control.md"
MOVING = "docs/moving.md"
OLD_CLIENTS = {"1.3.3": "ok v1", "1.5.0": "ok v1", "1.6.2": "ok v2", "1.9.1": "ok v2", "20.10.24": "ok v2"}


@dataclass(frozen=True, slots=True)
class Behind:
    """A proxy that ends TLS at `host`, with what it and Portside behind it have logged."""

    port: int
    ca: Path
    log: Path

    @property
    def host(self) -> str:
        return f"{OTHER_NAME}:{self.port}"

    @property
    def address(self) -> Address:
        return Address(OTHER_NAME, self.port, self.ca)


@contextlib.contextmanager
def plain_portside(role: str, folder: Path) -> Iterator[int]:
    """Portside by the page's own settings: plain HTTP on a port of its own."""
    port = free_port()
    settings = block(PROXIES, "yaml").replace("127.0.0.1:5080", f"127.0.0.1:{port}")
    settings = settings.replace("/var/lib/portside", str(folder / "data"))
    config = folder / "portside.yml"
    config.write_text(settings + '  v1: {addr: ""}\n  v2: {addr: ""}\n  metrics: {addr: ""}\n')
    if role == "v2":
        config.write_text(settings)
    with running([sys.executable, "-m", "portside.cli", role, str(config)], folder / "portside.log", port=port):
        yield port


@contextlib.contextmanager
def nginx(page: str, served: Served, folder: Path, upstream: int) -> Iterator[Behind]:
    """nginx by a page's own block, put where its `nginx.conf` includes such files."""
    port = free_port()
    password = subprocess.run(["openssl", "passwd", "-apr1", "secret"], capture_output=True, text=True, check=True)
    (folder / "registry.htpasswd").write_text(f"alice:{password.stdout}")
    text = block(page, "nginx")
    for there, here in (
        ("listen 443", f"listen {port}"),
        ("server_name registry.example", f"server_name {OTHER_NAME}"),
        ("/etc/ssl/registry.crt", str(served.folder / "certs" / "server.crt")),
        ("/etc/ssl/registry.key", str(served.folder / "certs" / "server.key")),
        ("/etc/nginx/registry.htpasswd", str(folder / "registry.htpasswd")),
        ("127.0.0.1:5080", f"127.0.0.1:{upstream}"),
    ):
        text = text.replace(there, here)
    log = folder / "nginx.log"
    config = folder / "nginx.conf"
    config.write_text(
        f"daemon off;\nuser root;\npid {folder}/nginx.pid;\nerror_log {log} info;\nevents {{}}\n"
        f"http {{\naccess_log {log};\n{text}}}\n"
    )
    with running([find_program("nginx"), "-c", str(config)], log, port=port):
        yield Behind(port, served.ca, log)


@contextlib.contextmanager
def haproxy(served: Served, folder: Path, upstream: int) -> Iterator[Behind]:
    """HAProxy by its page's own block."""
    port = free_port()
    pem = folder / "registry.pem"
    pem.write_bytes(b"".join((served.folder / "certs" / name).read_bytes() for name in ("server.crt", "server.key")))
    text = (
        block(PROXIES, "haproxy").replace("bind :443", f"bind :{port}").replace("/etc/haproxy/registry.pem", str(pem))
    )
    config = folder / "haproxy.cfg"
    config.write_text(text.replace("127.0.0.1:5080", f"127.0.0.1:{upstream}"))
    log = folder / "haproxy.log"
    with running([find_program("haproxy"), "-f", str(config)], log, port=port):
        yield Behind(port, served.ca, log)


@pytest.fixture(params=["serve", "v2"])
def behind_nginx(request: pytest.FixtureRequest, served: Served, tmp_path: Path) -> Iterator[Behind]:
    with plain_portside(request.param, tmp_path) as port, nginx(PROXIES, served, tmp_path, port) as behind:
        yield behind


@pytest.fixture
def behind_haproxy(served: Served, tmp_path: Path) -> Iterator[Behind]:
    with plain_portside("serve", tmp_path) as port, haproxy(served, tmp_path, port) as behind:
        yield behind


@pytest.fixture
def behind_password(served: Served, tmp_path: Path) -> Iterator[Behind]:
    with plain_portside("serve", tmp_path) as port, nginx(ACCESS, served, tmp_path, port) as behind:
        yield behind


def assert_pushed_and_pulled(docker: Docker, behind: Behind, **more: str) -> None:
    name = f"{behind.host}/team/behind-{uuid.uuid4().hex[:8]}:1"
    small_image(docker, name)
    docker.run("push", name, env=more)
    docker.run("rmi", name)
    docker.run("pull", name, env=more)
    docker.run("rmi", name)


def assert_location_is_the_clients(behind: Behind, *credentials: str) -> None:
    url = f"https://{behind.host}/v2/team/check/blobs/uploads/"
    head = curl("--cacert", str(behind.ca), *credentials, "-X", "POST", url)
    found = re.search(r"^location: (.*)$", head, re.IGNORECASE | re.MULTILINE)
    assert found is not None, head
    assert found[1].startswith(url)


def test_docker_behind_nginx(behind_nginx: Behind, docker: Docker) -> None:
    with trusted(behind_nginx.host, behind_nginx.ca):
        assert_pushed_and_pulled(docker, behind_nginx)
    assert_location_is_the_clients(behind_nginx)
    assert "buffered to a temporary file" not in behind_nginx.log.read_text()


def test_docker_behind_haproxy(behind_haproxy: Behind, docker: Docker) -> None:
    with trusted(behind_haproxy.host, behind_haproxy.ca):
        assert_pushed_and_pulled(docker, behind_haproxy)
    assert_location_is_the_clients(behind_haproxy)


@pytest.mark.parametrize("version", OLD_CLIENTS)
def test_older_clients_behind_haproxy(version: str, behind_haproxy: Behind) -> None:
    image = make_image("team/old")
    assert OldDocker(version, behind_haproxy.address).push("team/old", "b", image).statement == OLD_CLIENTS[version]
    assert OldDocker(version, behind_haproxy.address).pull("team/old", "b").statement == OLD_CLIENTS[version]


def test_docker_must_log_in_where_nginx_asks_for_a_password(
    behind_password: Behind, docker: Docker, tmp_path: Path
) -> None:
    home = {"DOCKER_CONFIG": str(tmp_path / "docker")}
    with trusted(behind_password.host, behind_password.ca):
        refused = docker.run("pull", f"{behind_password.host}/team/any:1", check=False, env=home)
        assert "no basic auth credentials" in refused
        wrong = docker.run("login", "-u", "alice", "-p", "wrong", behind_password.host, check=False, env=home)
        assert "401 Unauthorized" in wrong
        docker.run("login", "-u", "alice", "-p", "secret", behind_password.host, env=home)
        assert_pushed_and_pulled(docker, behind_password, **home)
    assert_location_is_the_clients(behind_password, "-u", "alice:secret")


@pytest.mark.parametrize("version", OLD_CLIENTS)
def test_older_clients_must_log_in_too(version: str, behind_password: Behind) -> None:
    image = make_image("team/old")
    stranger = OldDocker(version, behind_password.address)
    assert not stranger.push("team/old", "b", image).ok
    assert not stranger.login(Login("alice", "wrong")).ok
    client = OldDocker(version, behind_password.address)
    assert client.login(Login("alice", "secret")).ok
    assert client.push("team/old", "b", image).statement == OLD_CLIENTS[version]
    client.forget_images()
    assert client.pull("team/old", "b").statement == OLD_CLIENTS[version]
    assert not OldDocker(version, behind_password.address).pull("team/old", "b").ok


@pytest.mark.parametrize("version", OLD_CLIENTS)
def test_an_nginx_of_2015_stays_in_front(version: str, served: Served, tmp_path: Path) -> None:
    with plain_portside("serve", tmp_path) as port, nginx(MOVING, served, tmp_path, port) as behind:
        image = make_image("team/old")
        client = OldDocker(version, behind.address)
        assert not client.push("team/old", "b", image).ok
        assert client.login(Login("alice", "secret")).ok
        assert client.push("team/old", "b", image).statement == OLD_CLIENTS[version]
        for other, statement in OLD_CLIENTS.items():
            puller = OldDocker(other, behind.address, login=Login("alice", "secret"))
            assert puller.pull("team/old", "b").statement == statement


def test_an_upload_cannot_be_begun_without_the_password(behind_password: Behind) -> None:
    for agent in ("curl/8", "docker/1.5.0", "Go 1.1 package http"):  # a User-Agent opens nothing
        for method, path in (
            ("POST", "/v2/x/y/blobs/uploads/"),
            ("PUT", "/v1/repositories/x/y/"),
            ("GET", "/v1/search"),
        ):
            url = f"https://{behind_password.host}{path}"
            head = curl("--cacert", str(behind_password.ca), "-A", agent, "-X", method, url)
            assert re.match(r"HTTP/1\.1 40[14] ", head), head


def test_the_unit_for_systemd_is_valid(tmp_path: Path) -> None:
    unit = tmp_path / "portside.service"
    # The programs that it starts need not be where the page puts them.
    unit.write_text(re.sub(r"(?m)^(Exec\w+=)\S+", r"\1/bin/true", block("docs/systemd.md", "ini")))
    done = subprocess.run(
        [find_program("systemd-analyze"), "verify", str(unit)], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
