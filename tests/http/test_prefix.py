"""`http.prefix`: v2 below a path of its own, as distribution has it, in every part that names a path."""

from __future__ import annotations

import contextlib
import re
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from backends.registry.store import Store
from backends.storage.factory import open_folder
from backends.v2.registry import Registry
from backends.v2.settings import V2Settings
from portside.settings.loading import Role
from proxy.routing import Backend
from proxy.settings import ProxySettings, UpstreamSettings
from tests.support.ports import free_port
from tests.support.programs import find_program, running
from tests.support.proxies import DOCKER, RunningProxy, running_proxy
from tests.support.serving_here import OCI_MANIFEST, Answer, Client, digest_of, make_manifest, serving_here
from tests.support.settings_files import loader

PREFIX = "/team/registry"
NAME = "a/b"
ROOT = f"{PREFIX}/v2/{NAME}"
CONTENT = b"a layer"
OLD = "docker/1.5.0 go/go1.4.1 git-commit/a8a31ef"


@contextlib.asynccontextmanager
async def registry_below(folder: Path, **more: object) -> AsyncIterator[Client]:
    storage = open_folder(folder)
    settings = V2Settings(prefix=PREFIX, tags_max=2, **more)  # type: ignore[arg-type] # as many as tests need
    async with serving_here(Registry(Store(storage), settings).handle) as client:
        yield client
    await storage.close()


@pytest.fixture
async def registry(tmp_path: Path) -> AsyncIterator[Client]:
    async with registry_below(tmp_path / "root") as client:
        yield client


@pytest.fixture(scope="module")
def distribution(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    with distribution_below(tmp_path_factory.mktemp("distribution")) as port:
        yield Client("127.0.0.1", port)


@contextlib.contextmanager
def distribution_below(folder: Path) -> Iterator[int]:
    port, config = free_port(), folder / "config.yml"
    config.write_text(
        f"""{{version: 0.1, storage: {{filesystem: {{rootdirectory: {folder}/data}}}},
        http: {{addr: "127.0.0.1:{port}", prefix: {PREFIX}/}}}}"""
    )
    with running([find_program("docker-registry"), "serve", str(config)], folder / "log", port=port):
        yield port


async def push(client: Client, begin: str = f"{ROOT}/blobs/uploads/", *, below: str = ROOT) -> None:
    """Pushes an image where each `Location` leads, and checks that all are below the same path."""
    for blob in (b"{}", CONTENT):
        answer = await client.ask("POST", begin)
        assert (answer.status, answer.path.startswith(f"{below}/blobs/uploads/")) == (202, True), answer
        answer = await client.ask("PATCH", answer.path, {"Content-Type": "application/octet-stream"}, body=blob)
        assert (answer.status, answer.path.startswith(f"{below}/blobs/uploads/")) == (202, True), answer
        mark = "&" if "?" in answer.path else "?"
        answer = await client.ask("PUT", f"{answer.path}{mark}digest={digest_of(blob)}")
        assert (answer.status, answer.path) == (201, f"{below}/blobs/{digest_of(blob)}")
    manifest = make_manifest(b"{}", CONTENT)
    for tag in "123":
        place = f"{begin.partition('/blobs/')[0]}/manifests/{tag}"
        answer = await client.ask("PUT", place, {"Content-Type": OCI_MANIFEST}, body=manifest)
        assert (answer.status, answer.path) == (201, f"{below}/manifests/{digest_of(manifest)}")
    assert (await client.ask("GET", f"{below}/blobs/{digest_of(CONTENT)}")).body == CONTENT


async def test_locations_and_links_are_below_the_prefix(registry: Client) -> None:
    await push(registry)
    listed = await registry.ask("GET", f"{ROOT}/tags/list?n=2")
    assert listed.json == {"name": NAME, "tags": ["1", "2"]}
    assert listed["Link"] == f'<{ROOT}/tags/list?last=2&n=2>; rel="next"'
    named = await registry.ask("GET", f"{PREFIX}/v2/_catalog?n=1")
    assert named.json == {"repositories": [NAME]}
    assert (await registry.ask("GET", "/v2/")).told == (404, "NOT_FOUND")


async def test_the_settings_host_stands_before_the_prefix_unless_it_has_a_path(tmp_path: Path) -> None:
    for host, expected in (
        ("https://r.example", f"https://r.example{PREFIX}/v2/"),
        ("https://r.example/x/", "https://r.example/x/v2/"),
    ):
        text = f"{{version: 0.1, http: {{prefix: {PREFIX}/, host: '{host}'}}}}"
        settings = loader(tmp_path)(Role.V2, text)
        assert (settings.v2.prefix, settings.v1.endpoints) == (PREFIX, ("r.example",))
        async with registry_below(tmp_path / "root", host=settings.v2.host) as client:
            answer = await client.ask("POST", f"{ROOT}/blobs/uploads/")
            assert answer["Location"].startswith(expected)
    async with registry_below(tmp_path / "root", relative_urls=True) as client:
        answer = await client.ask("POST", f"{ROOT}/blobs/uploads/")
        assert answer["Location"].startswith(f"{ROOT}/blobs/uploads/")


PATHS = [
    "/", "/v2/", "/v2", PREFIX, f"{PREFIX}/", f"{PREFIX}/v2", f"{PREFIX}/v2/", f"{PREFIX}//v2/", f"/{PREFIX}/v2/",
    f"{PREFIX}/v2/_catalog", f"{PREFIX}/v2/_catalog/", f"{PREFIX}/v2/never/tags/list", "/team/v2/", f"{PREFIX}v2/",
    f"{PREFIX}/v2/never/tags/list/", "/TEAM/registry/v2/", f"{PREFIX}/nope",
]  # fmt: skip


@pytest.mark.real
@pytest.mark.parametrize("path", PATHS)
async def test_status_and_location_are_distributions(registry: Client, distribution: Client, path: str) -> None:
    def told(answer: Answer) -> tuple[int, str | None]:
        return answer.status, answer.head.value("Location")

    assert told(await registry.ask("GET", path)) == told(await distribution.ask("GET", path))


@pytest.mark.real
async def test_a_push_to_distribution_looks_the_same(distribution: Client) -> None:
    await push(distribution)


async def ask(proxy: RunningProxy, target: str, agent: str = DOCKER) -> tuple[int, str | None]:
    answer = await proxy.ask("GET", target, agent=agent)
    return answer.status, answer.head.value("X-Portside-Route")


@pytest.mark.parametrize("elsewhere", [False, True])
async def test_the_proxy_looks_for_v2_below_the_prefix_and_for_v1_where_its_clients_do(
    registry: Client, tmp_path: Path, *, elsewhere: bool
) -> None:
    storage = open_folder(tmp_path / "root")
    here = Registry(Store(storage), V2Settings(prefix=PREFIX)).handle
    upstream = UpstreamSettings(f"http://127.0.0.1:{registry.port}", prefix=PREFIX) if elsewhere else here
    async with running_proxy({Backend.V2: upstream}, settings=ProxySettings(prefix=PREFIX)) as proxy:
        await push(Client("127.0.0.1", proxy.port))
        status, route = await ask(proxy, f"{PREFIX}/v2/")
        assert (status, str(route)[:3]) == (200, "v2;")
        assert (await proxy.ask("GET", f"{PREFIX}/v2/", agent=OLD)).head.value(
            "Docker-Distribution-Api-Version"
        ) is None
        assert [(await ask(proxy, path))[0] for path in ("/v2/", "/v1/_ping", f"{PREFIX}/v1/_ping")] == [404, 404, 404]
        assert "v1" in str((await ask(proxy, "/v1/_ping"))[1])
        moved = await proxy.ask("GET", f"{PREFIX}//v2/x")
        assert (moved.status, moved.head.value("Location")) == (301, f"{PREFIX}/v2/x")
        assert f"{PREFIX}/v2/".encode() in (await proxy.ask("GET", "/")).body
    await storage.close()


@pytest.mark.real
async def test_docker_reaches_a_distribution_with_a_prefix_through_the_proxy(distribution: Client) -> None:
    """Docker asks for /v2/ and nothing else: the upstream's address has the path that it does not know."""
    upstream = UpstreamSettings(f"http://127.0.0.1:{distribution.port}{PREFIX}")
    async with running_proxy({Backend.V2: upstream}) as proxy:
        await push(Client("127.0.0.1", proxy.port), f"/v2/{NAME}/blobs/uploads/", below=f"/v2/{NAME}")
        listed = await proxy.ask("GET", "/v2/_catalog?n=1")
        assert (listed.status, listed.json) == (200, {"repositories": [NAME]})
        link = listed.head.value("Link")
        assert link is None or link.startswith("</v2/_catalog?")


NGINX = """daemon off; user root; pid {folder}/nginx.pid; error_log {folder}/nginx.log; events {{}}
http {{ access_log off; proxy_redirect off; server {{ listen 127.0.0.1:{port}; client_max_body_size 0;
  location /v2/ {{ proxy_pass http://127.0.0.1:{plain}{prefix}/v2/; {says} }}
  location {prefix}/ {{ proxy_pass http://127.0.0.1:{plain}; {says} }}
}} }}
"""
SAYS = "proxy_http_version 1.1; proxy_set_header Host $http_host; proxy_set_header X-Forwarded-Proto $scheme;"


@pytest.mark.real
@pytest.mark.parametrize("role", ["serve", "v2"])
def test_crane_and_curl_reach_it_behind_an_nginx_that_sets_the_prefix(tmp_path: Path, role: str) -> None:
    """As docs/behind-a-proxy.md shows it: no client can be told of a path, so nginx adds it."""
    crane, curl, nginx = (find_program(name) for name in ("crane", "curl", "nginx"))
    plain, port = free_port(), free_port()
    config = tmp_path / "config.yml"
    config.write_text(
        f"""{{version: 0.1, storage: {{filesystem: {{rootdirectory: {tmp_path}/data}}}},
        http: {{addr: "127.0.0.1:{plain}", prefix: {PREFIX}/}},
        gateway: {{v1: {{addr: ""}}, v2: {{addr: ""}}, metrics: {{addr: ""}}}}}}""".replace(
            'v2: {addr: ""}, ', "" if role == "v2" else 'v2: {addr: ""}, '
        )
    )
    front = tmp_path / "nginx.conf"
    front.write_text(NGINX.format(folder=tmp_path, port=port, plain=plain, prefix=PREFIX, says=SAYS))
    layer = tmp_path / "layer.tar"
    subprocess.run(["tar", "-cf", layer, "-C", tmp_path, "config.yml"], check=True)
    with (
        running([sys.executable, "-m", "portside.cli", role, str(config)], tmp_path / "log", port=plain),
        running([nginx, "-c", str(front)], tmp_path / "nginx.out", port=port),
    ):
        image = f"127.0.0.1:{port}/{NAME}:latest"
        run = [crane, "append", "--insecure", "-f", str(layer), "-t", image]
        assert subprocess.run(run, capture_output=True, check=False, timeout=60).returncode == 0
        pulled = [crane, "pull", "--insecure", image, str(tmp_path / "pulled.tar")]
        assert subprocess.run(pulled, capture_output=True, check=False, timeout=60).returncode == 0
        for base in (f"http://127.0.0.1:{port}", f"http://127.0.0.1:{plain}{PREFIX}"):
            shown = subprocess.run([curl, "-sf", f"{base}/v2/{NAME}/tags/list"], capture_output=True, check=True)
            assert shown.stdout == b'{"name":"a/b","tags":["latest"]}\n'
    assert not re.search(r" 5\d\d | error ", (tmp_path / "log").read_text())
