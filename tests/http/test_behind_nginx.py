"""A real nginx that ends TLS in front: a push follows each `Location` to the letter, so a wrong one ends it."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import ssl
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.byteranges import parse_byteranges
from tests.support.certificate import make_certificate
from tests.support.ports import free_port
from tests.support.programs import find_program, running, wait_for_socket
from tests.support.serving_here import OCI_MANIFEST, Client, digest_of, make_manifest

pytestmark = pytest.mark.real

CONTENT = b"a layer" * 1000
SAYS_SCHEME = "proxy_set_header Host $http_host; proxy_set_header X-Forwarded-Proto $scheme;"
SAYS_FORWARDED = "proxy_set_header Host $http_host; proxy_set_header Forwarded 'for=_x;proto=https';"
SAYS_ALL = "proxy_set_header X-Forwarded-Host $http_host; proxy_set_header X-Forwarded-Proto $scheme;"
SAYS_PORT = (
    "proxy_set_header Host $host; proxy_set_header X-Forwarded-Proto $scheme;"
    " proxy_set_header X-Forwarded-Port $server_port;"
)
SAYS_NO_SCHEME = "proxy_set_header Host $http_host; proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;"


@dataclass(frozen=True, slots=True)
class Behind:
    """A registry behind nginx: how clients reach it, and what it logs."""

    client: Client
    log: Path


FORMS = ["v2", "serve --plain", "proxy before a unix socket"]


@contextlib.contextmanager
def plain_portside(form: str, folder: Path) -> Iterator[tuple[int, Path]]:
    """Runs Portside on plain HTTP in one of its forms; yields the port and the log of whoever answers there."""
    port, log = free_port(), folder / "portside.log"
    settings = folder / "config.yml"
    storage = f"version: 0.1\nstorage: {{filesystem: {{rootdirectory: {folder / 'data'}}}}}\n"
    http = f"http: {{addr: '127.0.0.1:{port}'}}\n"
    closed = "v1: {addr: ''}, v2: {addr: ''}, metrics: {addr: ''}"
    program = [sys.executable, "-m", "portside.cli"]
    with contextlib.ExitStack() as stack:
        arguments = [form.partition(" ")[0], str(settings)]
        if form == "v2":
            settings.write_text(storage + http)
        elif form == "serve --plain":
            settings.write_text(f"{storage}gateway: {{addr: '127.0.0.1:0', certs: {folder}/made, {closed}}}\n")
            arguments += ["--plain", f"127.0.0.1:{port}"]
        else:
            unix = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="ps-"))) / "v2.sock"
            settings.write_text(f"{http}gateway: {{v2: {{upstream: 'unix:{unix}'}}}}\n")
            behind = folder / "v2.yml"
            behind.write_text(f"{storage}http: {{net: unix, addr: {unix}}}\n")
            wait_for_socket(unix, stack.enter_context(started([*program, "v2", str(behind)], folder / "v2.log")))
        stack.enter_context(running([*program, *arguments], log, port=port))
        yield port, log


@contextlib.contextmanager
def started(arguments: Sequence[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Runs a program until the end of the block."""
    with log.open("wb") as output:
        process = subprocess.Popen(arguments, stdout=output, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        process.terminate()
        process.wait(20)


@contextlib.contextmanager
def behind_nginx(form: str, says: str, folder: Path, *, more: str = "") -> Iterator[Behind]:
    """Runs Portside in one of its forms, and nginx with some headers, and more settings, in front."""
    port = free_port()
    (folder / "certs").mkdir()
    certificate = make_certificate(folder / "certs")
    nginx = folder / "nginx.conf"
    with plain_portside(form, folder) as (plain, log):
        nginx.write_text(
            f"daemon off;\nuser root;\npid {folder}/nginx.pid;\nerror_log {folder}/nginx.log;\nevents {{}}\n"
            f"http {{\naccess_log off;\nproxy_redirect off;\nserver {{\nlisten 127.0.0.1:{port} ssl;\n"
            f"ssl_certificate {certificate.chain};\nssl_certificate_key {certificate.key};\nclient_max_body_size 0;\n"
            f"{more}\nlocation / {{\nproxy_pass http://127.0.0.1:{plain};\n"
            f"proxy_http_version 1.1;\n{says}\n}}\n}}\n}}\n"
        )
        with running([find_program("nginx"), "-c", str(nginx)], folder / "nginx.out", port=port):
            trust = ssl.create_default_context(cafile=str(certificate.ca))
            yield Behind(Client("127.0.0.1", port, trust), log)


async def push(client: Client) -> None:
    """Pushes a blob as docker does, each request to exactly where the answer before said."""
    answer = await client.ask("POST", "/v2/team/app/blobs/uploads/")
    assert answer.status == 202
    for method, extra, body, status in (
        ("PATCH", "", CONTENT, 202),
        ("PUT", f"?digest={digest_of(CONTENT)}", b"", 201),
        ("GET", "", None, 200),
    ):
        origin, path = f"https://{client.authority}", answer["Location"]
        assert path.startswith(origin + "/"), path
        answer = await client.ask(method, path.removeprefix(origin) + extra, body=body)
        assert answer.status == status
    assert answer.body == CONTENT


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(
    "says", [SAYS_SCHEME, SAYS_FORWARDED, SAYS_ALL, SAYS_PORT], ids=["proto", "forwarded", "host", "port"]
)
async def test_a_push_goes_on_where_location_says(form: str, says: str, tmp_path: Path) -> None:
    with behind_nginx(form, says, tmp_path) as behind:
        await push(behind.client)


@pytest.mark.parametrize("form", FORMS)
async def test_where_nginx_does_not_say_the_scheme_the_log_does(form: str, tmp_path: Path) -> None:
    with behind_nginx(form, SAYS_NO_SCHEME, tmp_path) as behind:
        answer = await behind.client.ask("POST", "/v2/team/app/blobs/uploads/")
        assert answer["Location"].startswith("http://")  # all that can be known
        async with asyncio.timeout(5):
            while "behind-a-proxy.md" not in behind.log.read_text():  # noqa: ASYNC110 - a file tells nobody that it grew
                await asyncio.sleep(0.05)  # the log has a thread of its own
        assert "does not say whether the client came by https" in behind.log.read_text()


@pytest.mark.parametrize(("more", "status"), [("", 502), ("proxy_buffer_size 16k; proxy_buffers 8 16k;", 201)])
async def test_as_many_tags_as_one_push_may_set_need_larger_buffers_in_nginx(
    tmp_path: Path, more: str, status: int
) -> None:
    """By default it takes 4 KiB of an answer's head: the push has succeeded, and its client hears 502."""
    more += "large_client_header_buffers 4 64k;"
    with behind_nginx("v2", SAYS_SCHEME, tmp_path, more=more) as behind:
        for blob in (b"{}", b"layer"):
            await behind.client.push_blob("team/app", blob)
        content = make_manifest(b"{}", b"layer")
        tags = [f"{number:0128}" for number in range(100)]
        path = f"/v2/team/app/manifests/{digest_of(content)}?{'&'.join(f'tag={tag}' for tag in tags)}"
        answer = await behind.client.ask("PUT", path, {"Content-Type": OCI_MANIFEST}, body=content)
        assert answer.status == status
        assert status == 502 or answer["OCI-Tag"].split(", ") == tags
        assert (await behind.client.ask("GET", "/v2/team/app/tags/list")).json["tags"] == tags


@pytest.mark.parametrize(("more", "status"), [("", 400), ("large_client_header_buffers 4 64k;", 206)])
async def test_as_many_ranges_as_podman_asks_for_need_larger_buffers_in_nginx(
    tmp_path: Path, more: str, status: int
) -> None:
    """By default it takes 8 KiB of a header; podman asks again without ranges then, and pulls the whole layer."""
    content = secrets.token_bytes(4_000_000)
    ranges = [(first, first + 999) for first in range(0, 1024 * 3000, 3000)]
    header = "bytes=" + ",".join(f"{first}-{last}" for first, last in ranges)
    with behind_nginx("v2", SAYS_SCHEME, tmp_path, more=more) as behind:
        digest = await behind.client.push_blob("team/app", content)
        answer = await behind.client.ask("GET", f"/v2/team/app/blobs/{digest}", {"Range": header})
        assert answer.status == status
        if status == 206:
            parts = parse_byteranges(answer["Content-Type"], answer.body)
            assert [(part.first, part.last) for part in parts] == ranges
            assert all(part.content == content[part.first : part.last + 1] for part in parts)
