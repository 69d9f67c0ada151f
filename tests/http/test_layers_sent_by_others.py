"""A real nginx sends v1's layers, in front (X-Accel-Redirect) or beside the registry (a redirect), as the docs say."""

from __future__ import annotations

import contextlib
import re
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import bcrypt
import pytest

from tests.support import loopback
from tests.support.gated import basic
from tests.support.ports import free_port
from tests.support.programs import find_program, running
from tests.support.serving_here import Client
from tests.support.v1_session import Session
from tests.support.v1server import RunningRegistry, make_pushed

pytestmark = pytest.mark.real

DOCS = Path(__file__).parents[2] / "docs"
BASE = make_pushed("a", layer=bytes(range(256)) * 400)
EMPTY = make_pushed("b", parent=BASE.id, layer=b"")
LAYER = f"/v1/images/{BASE.id}/layer"
MORE = "gateway: {v1: {addr: ''}, v2: {addr: ''}, metrics: {addr: ''}}\n"


def block(page: str, language: str) -> str:
    match = re.search(rf"```{language}\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)
    assert match is not None
    return match[1]


def nginx_of(server: str, folder: Path) -> list[str]:
    conf = folder / "nginx.conf"
    conf.write_text(
        f"daemon off; user root; pid {folder}/nginx.pid; error_log {folder}/nginx.log;\nevents {{}}\n"
        f"http {{\naccess_log {folder}/access.log;\n{server}\n}}\n"
    )
    return [find_program("nginx"), "-c", str(conf)]


@contextlib.asynccontextmanager
async def accelerated(
    folder: Path, *, trusted: str = "127.0.0.1", more: str = ""
) -> AsyncIterator[tuple[RunningRegistry, int]]:
    """The registry through nginx, as the page has both, and the registry's own port."""
    front, port = free_port(), free_port()
    settings = folder / "portside.yml"
    text = block("v1-mirror.md", "yaml accel").replace("/var/lib/portside", str(folder / "data"))
    settings.write_text(
        text.replace("127.0.0.1:5081", f"127.0.0.1:{port}").replace("[127.0.0.1]", f"[{trusted}]") + more
    )
    server = block("v1-mirror.md", "nginx accel").replace("/var/lib/portside", str(folder / "data"))
    server = server.replace("listen 5000", f"listen 127.0.0.1:{front}").replace(":5081", f":{port}")
    program = [sys.executable, "-m", "portside.cli", "v1", str(settings)]
    with (
        running(program, folder / "portside.log", port=port),
        running(nginx_of(server, folder), folder / "nginx.out", port=front),
    ):
        yield RunningRegistry(front), port


def by_nginx(answer: loopback.Answer) -> bool:
    return "nginx" in (answer.value("Server") or "") and answer.value("ETag") is not None


async def test_nginx_sends_layers_whole_and_in_part(tmp_path: Path) -> None:
    async with accelerated(tmp_path) as (registry, port):
        await registry.push("library/app", "latest", [BASE, EMPTY])
        whole = await registry.ask("GET", LAYER)
        assert (whole.status, whole.body) == (200, BASE.layer)
        assert by_nginx(whole)
        assert whole.value("X-Accel-Redirect") is None
        assert whole.value("Content-Type") == "application/octet-stream"
        head = await registry.ask("HEAD", LAYER)
        assert (head.status, head.value("Content-Length"), head.body) == (200, str(len(BASE.layer)), b"")
        assert head.value("Accept-Ranges") == "bytes"
        # Docker resumes with an end that is one too far.
        part = await registry.ask("GET", LAYER, f"Range: bytes=100000-{len(BASE.layer)}")
        assert (part.status, part.body) == (206, BASE.layer[100000:])
        assert part.value("Content-Range") == f"bytes 100000-{len(BASE.layer) - 1}/{len(BASE.layer)}"
        empty = await registry.ask("GET", f"/v1/images/{EMPTY.id}/layer")
        assert (empty.status, empty.body, by_nginx(empty)) == (200, b"", False)
        assert (await registry.ask("GET", f"/v1/images/{'c' * 64}/layer")).status == 404
        for inside in (f"/accel/images/{BASE.id}/layer", f"/accel/images/{BASE.id}/json"):
            assert (await registry.ask("GET", inside)).status == 404
        told = await RunningRegistry(port).ask("GET", LAYER)
        assert (told.status, told.body) == (200, b"")
        assert told.value("X-Accel-Redirect") == f"/accel/images/{BASE.id}/layer"


async def test_who_is_not_trusted_gets_the_layer_itself(tmp_path: Path) -> None:
    async with accelerated(tmp_path, trusted="192.0.2.1") as (registry, port):
        await registry.push("library/app", "latest", [BASE])
        for at in (registry, RunningRegistry(port)):
            answer = await at.ask("GET", LAYER)
            assert (answer.status, answer.body, answer.value("X-Accel-Redirect")) == (200, BASE.layer, None)
            assert not by_nginx(answer)


async def test_clients_are_redirected_to_the_nginx_beside(tmp_path: Path) -> None:
    beside, port = free_port(), free_port()
    settings = tmp_path / "portside.yml"
    text = block("redirects.md", "yaml").replace("/var/lib/portside", str(tmp_path / "data"))
    text = text.replace("127.0.0.1:5080", f"127.0.0.1:{port}").replace(
        "https://blobs.example", f"http://127.0.0.1:{beside}"
    )
    settings.write_text(f"{text}gateway: {{v1: {{storageredirect: true}}}}\n")
    server = block("redirects.md", "nginx").replace("/var/lib/portside", str(tmp_path / "data"))
    server = re.sub(r"listen 443 ssl;\n(.*ssl_certificate.*\n)*", f"listen 127.0.0.1:{beside};\n", server)
    server = server.replace("    location / {", f"{block('redirects.md', 'nginx v1')}    location / {{")
    with (
        running([sys.executable, "-m", "portside.cli", "v1", str(settings)], tmp_path / "v1.log", port=port),
        running(nginx_of(server, tmp_path), tmp_path / "nginx.out", port=beside),
    ):
        registry, other = RunningRegistry(port), RunningRegistry(beside)
        await registry.push("library/app", "latest", [BASE, EMPTY])
        for method in ("GET", "HEAD"):
            answer = await registry.ask(method, LAYER)
            assert (answer.status, answer.body) == (302, b"")
            assert answer.value("Location") == f"http://127.0.0.1:{beside}/images/{BASE.id}/layer"
        sent = await other.ask("GET", f"/images/{BASE.id}/layer", "Range: bytes=7-9")
        assert (sent.status, sent.body) == (206, BASE.layer[7:10])
        for hidden in (f"/images/{BASE.id}/json", "/repositories/library/app/tag_latest", f"/images/{BASE.id}/"):
            assert (await other.ask("GET", hidden)).status == 404
        assert (await registry.ask("GET", f"/v1/images/{EMPTY.id}/layer")).status == 200
        assert (await registry.ask("GET", LAYER, "If-Modified-Since: now")).status == 304


async def test_who_may_not_have_a_layer_is_not_sent_to_it(tmp_path: Path) -> None:
    """Also a repository's own image, which lies elsewhere, is sent from here."""
    users = tmp_path / "users"
    hashed = [f"{name}:{bcrypt.hashpw(name.encode(), bcrypt.gensalt(4)).decode()}\n" for name in ("alice", "bob")]
    users.write_text("".join(hashed))
    rules = tmp_path / "rules.yml"
    rules.write_text("- {allow: push, to: alice, on: alice/**}\n- {allow: push, to: bob, on: bob/**}\n")
    more = f"  access: {rules}\nauth: {{htpasswd: {{realm: here, path: {users}}}}}\n"
    async with accelerated(tmp_path, more=more) as (registry, port):
        itself, nginx = Client("127.0.0.1", port), Client("127.0.0.1", registry.port)
        own = make_pushed("a", layer=b"another with the same id")
        for name, image in (("alice", BASE), ("bob", own)):
            pushing = Session(itself, basic(name, name))
            await pushing.push(f"{name}/app", "latest", [image])
            pulling = Session(nginx, basic(name, name))
            assert (await pulling.begin_pull(f"{name}/app")).status == 200
            got = await pulling.part(image, "layer")
            assert (got.status, got.body) == (200, image.layer)
            assert by_nginx(got) == (image is BASE)
            # The other's is not to be had, in any way.
            others = await Session(nginx, basic(name, name)).begin_pull("bob/app" if name == "alice" else "alice/app")
            assert others.status in {403, 404}
        assert (await Session(nginx, basic("nobody", "x")).begin_pull("alice/app")).status == 401
        assert (await registry.ask("GET", LAYER)).status == 401


@pytest.mark.parametrize("trusted", ["127.0.0.1", "192.0.2.1"])
async def test_behind_our_own_proxy_it_counts_who_asks_that(tmp_path: Path, trusted: str) -> None:
    port = free_port()
    async with accelerated(tmp_path) as (_, behind):
        settings = tmp_path / "proxy.yml"
        settings.write_text(
            f"gateway: {{addr: '127.0.0.1:{free_port()}', certs: {tmp_path}/made, plain: {{addr: '127.0.0.1:{port}'}},"
            f" trustedproxies: [{trusted}], v1: {{upstream: 'http://127.0.0.1:{behind}'}},"
            f" v2: {{upstream: 'http://127.0.0.1:9'}}, metrics: {{addr: ''}}}}\n"
        )
        program = [sys.executable, "-m", "portside.cli", "proxy", str(settings)]
        with running(program, tmp_path / "proxy.log", port=port):
            asked = RunningRegistry(port)
            await RunningRegistry(behind).push("library/app", "latest", [BASE])
            answer = await asked.ask("GET", LAYER)
            if trusted == "127.0.0.1":
                assert (answer.body, answer.value("X-Accel-Redirect")) == (b"", f"/accel/images/{BASE.id}/layer")
            else:
                assert (answer.body, answer.value("X-Accel-Redirect")) == (BASE.layer, None)
