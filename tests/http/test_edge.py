"""All listeners of the program: what is not valid HTTP is counted and logged, and no answer names a library."""

from __future__ import annotations

import gzip
import json
import re
import socket
import ssl
import time
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

import pytest
from aiohttp import web

from backends.http.request_info import client_agent
from backends.web.actors import actor_of
from tests.support.certificate import CertificateFiles, make_certificate
from tests.support.commands import RunningCommand, running_command
from tests.support.serving_here import serving_here

SETTINGS = """
storage: {{filesystem: {{rootdirectory: data}}}}
http: {{headers: {{X-House: [ours]}}, tls: {{certificate: {files.chain}, key: {files.key}}}}}
gateway:
  addr: 127.0.0.1:0
  workers: 1
  v1: {{addr: "127.0.0.1:0"}}
  v2: {{addr: "127.0.0.1:0"}}
  metrics: {{addr: "127.0.0.1:0"}}
"""
SECRET = "c2VjcmV0"


@dataclass(frozen=True, slots=True)
class World:
    """A running program and how to reach it."""

    running: RunningCommand
    files: CertificateFiles
    folder: Path

    def ask(self, what: str, *parts: bytes, secure: bool = False) -> bytes:
        """Sends bytes to a listener and returns what comes until it closes."""
        raw = socket.create_connection(("127.0.0.1", self.running.port(what)), timeout=20)
        if secure:
            raw = ssl.create_default_context(cafile=str(self.files.ca)).wrap_socket(raw, server_hostname="localhost")
        with raw:
            for number, part in enumerate(parts):
                time.sleep(0.3 if number else 0)
                raw.sendall(part)
            received = b""
            while piece := raw.recv(65536):
                received += piece
            return received

    def access_line(self, *words: str) -> str:
        return self.running.wait_for_line(self.running.out, *words)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("edge")
    files = make_certificate(folder)
    (folder / "portside.yml").write_text(SETTINGS.format(files=files))
    with running_command("serve", "portside.yml", folder=folder) as running:
        yield World(running, files, folder)


def head(target: str, *lines: str, method: str = "GET", host: str = "x") -> bytes:
    return "\r\n".join([f"{method} {target} HTTP/1.1", f"Host: {host}", "Connection: close", *lines, "", ""]).encode()


LISTENERS = {"proxy": True, "v1": False, "v2": False, "metrics": False}
"""By the name under which the program tells its port, and whether it speaks TLS."""


@pytest.mark.parametrize("what", LISTENERS)
@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400),
        (head("/", host="a b"), 400),
        (head("/metrics", host="a b"), 400),
        (head("/debug/health", host="a b"), 400),
        (head("/v2/", "Transfer-Encoding: x, chunked") + b"0\r\n\r\n", 501),
        (b"GET /v2/ HTTP/2.0\r\nHost: x\r\n\r\n", 505),
        (b"nonsense\r\n\r\n", 400),
        (head("/v2/ x"), 400),
    ],
)
def test_what_is_not_valid_is_refused_everywhere(world: World, what: str, request_: bytes, status: int) -> None:
    answer = world.ask(what, request_, secure=LISTENERS[what])
    assert answer.startswith(b"HTTP/1.1 %d " % status)
    assert (b"\r\nX-House: ours\r\n" in answer) is (what != "metrics")
    assert_anonymous(answer)


def assert_anonymous(answer: bytes) -> None:
    text = answer.lower()
    assert not any(word in text for word in (b"aiohttp", b"python", b"uvloop", b"llhttp", b"traceback"))
    assert re.search(rb"\r\nserver: portside\r\n", text), answer
    assert text.count(b"\r\nserver:") == 1


TARGETS = [
    "/", "/v2", "/v2/", "/v2/_catalog", "/v2/a/manifests/1", "/v2/a/blobs/uploads/", "/v2/a/tags/list", "/v2/A/x",
    "/v1/_ping", "/v1/images/x/json", "/v1/repositories/a/tags", "/v1/search?q=x", "/v1/nothing", "/nothing",
    "/favicon.ico", "/metrics", "/debug/health", "http://x/v2/",
]  # fmt: skip


@pytest.mark.parametrize("what", LISTENERS)
@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE", "TRACE"])
def test_no_answer_names_a_library(world: World, what: str, method: str) -> None:
    for target in TARGETS:
        assert_anonymous(world.ask(what, head(target, method=method), secure=LISTENERS[what]))


def test_a_connection_of_the_wrong_kind_is_logged_counted_and_anonymous_too(world: World) -> None:
    answer = world.ask("proxy", head("/v2/wrong", "User-Agent: docker/1.0"))
    assert answer.endswith(b"This port speaks TLS: use https://x/\n")
    assert_anonymous(answer)
    line = world.access_line("GET /v2/wrong HTTP/1.1")
    assert re.search(r'" 400 37 "-" "docker/1.0" 0\.\d+ proxy "This port speaks TLS: use https://x/"$', line), line
    hello = bytes.fromhex("16030100870100008303") + b"\x03" * 60
    answer = world.ask("v2", hello)
    assert b"This port speaks plain HTTP: use http://127.0.0.1:%d/\n" % world.running.port("v2") in answer
    assert_anonymous(answer)
    world.access_line('"- - HTTP/1.1" 400', "This port speaks plain HTTP")


def counted(world: World, listener: str, code: int, method: str) -> float:
    page = world.ask("metrics", head("/metrics")).decode()
    labels = f'backend="{listener}",code="{code}",handler="other",listener="{listener}",method="{method}"'
    found = re.search(rf"^registry_http_requests_total{{{labels}}} (\S+)$", page, re.MULTILINE)
    return float(found[1]) if found else 0.0


@pytest.mark.parametrize("listener", ["proxy", "v1", "v2"])
def test_a_request_that_cannot_be_read_leaves_a_line_and_counts(world: World, listener: str) -> None:
    def so_far() -> tuple[float, float]:
        return counted(world, listener, 400, "other"), counted(world, listener, 400, "get")

    unread, bad_host = so_far()
    world.ask(listener, head(f"/?token={SECRET}", f"X Y: {SECRET}"), secure=LISTENERS[listener])
    world.ask(listener, head(f"/{listener}-host", host="a b"), secure=LISTENERS[listener])
    line = world.access_line('"- - HTTP/1.1" 400', f" {listener} ", "not valid HTTP: Invalid header token")
    assert re.match(r'127\.0\.0\.1 - - \[[^]]+\] "- - HTTP/1\.1" 400 \d+ "-" "-" 0\.\d+ ', line)
    line = world.access_line(f"GET /{listener}-host HTTP/1.1")
    assert line.endswith(f' {listener} "the Host header is not a valid host"')
    deadline = time.monotonic() + 45
    while so_far() != (unread + 1, bad_host + 1):
        assert time.monotonic() < deadline
        time.sleep(0.1)
    assert SECRET not in world.running.out.read_text()
    assert SECRET not in world.running.err.read_text()


@pytest.mark.parametrize("what", ["proxy", "v2"])
def test_a_body_that_breaks_in_the_middle_is_400_and_leaves_no_traceback(world: World, what: str) -> None:
    begun = world.ask(what, head("/v2/a/blobs/uploads/", method="POST"), secure=LISTENERS[what])
    found = re.search(rb"\r\nLocation: https?://[^/]+(/\S+)", begun)
    assert found is not None, begun
    chunked = head(found[1].decode(), "Transfer-Encoding: chunked", method="PATCH")
    answer = world.ask(
        what, chunked.replace(b"Connection: close\r\n", b"") + b"1\r\na\r\n", b"zz\r\n", secure=LISTENERS[what]
    )
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert b"SIZE_INVALID" in answer
    assert b"\r\nConnection: close\r\n" in answer
    assert answer.count(b"\r\nDate: ") == 1
    world.access_line(f"PATCH {found[1].decode().partition('?')[0]}", " 400 ")
    assert "Traceback" not in world.running.err.read_text()
    assert "Unhandled" not in world.running.err.read_text()


LONG = 60_000


@pytest.mark.parametrize("what", ["proxy", "v2"])
def test_of_a_long_user_agent_the_first_kibibyte_counts_for_log_and_decision(world: World, what: str) -> None:
    def status(agent: str, mark: str) -> bytes:
        answer = world.ask(what, head(f"/v2/?{mark}", f"User-Agent: {agent}"), secure=LISTENERS[what])
        return answer.split(b" ")[1]

    old = b"404" if what == "proxy" else b"200"  # a registry of its own does not choose
    assert status("docker/1.5.0 " + "x" * LONG, f"{what}=1") == old
    assert status("docker/1.5.0 " + "x" * LONG + " docker/20.10.0", f"{what}=2") == old
    assert status("x" * 1024 + " docker/1.5.0", f"{what}=3") == b"200"
    assert status("(" * LONG + "docker/1.5.0", f"{what}=4") == b"200"
    for number in "1234":
        assert len(world.access_line(f"{what}={number}")) < 1024


async def test_no_part_sees_more_of_a_user_agent() -> None:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(text=f"{len(client_agent(request))} {len(actor_of(request).agent)}")

    async with serving_here(handler) as client:
        assert (await client.ask("GET", "/", {"User-Agent": "x" * LONG})).body == b"1024 1024"
        assert (await client.ask("GET", "/")).body == b"0 0"


def test_of_a_long_user_agent_only_the_beginning_is_kept_with_a_tag(world: World) -> None:
    agent = "docker/1.5.0 go/go1.4 kernel/" + "k" * LONG + " os/linux"
    image, text = "a" * 64, '{"id": "' + "a" * 64 + '"}'
    layer = gzip.compress(bytes(1024))
    checksum = "sha256:" + sha256(text.encode() + b"\n" + layer).hexdigest()

    def put(path: str, body: bytes, *headers: str) -> None:
        lines = (f"User-Agent: {agent}", f"Content-Length: {len(body)}", *headers)
        answer = world.ask("v1", head(path, *lines, method="PUT") + body)
        assert answer.startswith(b"HTTP/1.1 200"), answer

    put(f"/v1/images/{image}/json", text.encode())
    put(f"/v1/images/{image}/layer", layer)
    put(f"/v1/images/{image}/checksum", b"", f"X-Docker-Checksum-Payload: {checksum}")
    put("/v1/repositories/library/long/tags/latest", json.dumps(image).encode())
    for kept in (world.folder / "data").rglob("*latest*"):
        assert kept.stat().st_size < 2048


def test_without_descriptors_there_is_one_line(tmp_path: Path) -> None:
    """It is the first line of the worker's log: whatever a logger needs for that must be there already."""
    settings = "storage: {filesystem: {rootdirectory: data}}\nhttp: {addr: '127.0.0.1:0'}\ngateway: {workers: 1}\n"
    (tmp_path / "portside.yml").write_text(settings)
    wrapper = ["sh", "-c", 'ulimit -n 64; exec "$@"', "sh"]
    with running_command("v2", "portside.yml", folder=tmp_path, wrapper=wrapper) as running:
        port = running.port("v2")
        before = running.err.read_text()
        many = [socket.create_connection(("127.0.0.1", port), timeout=10) for _ in range(90)]
        try:
            for each in many:
                each.sendall(head("/v2/").replace(b"Connection: close\r\n", b""))
            running.wait_for_line(running.err, "no more connections can be taken for now")
            time.sleep(2)
            said = running.err.read_text().removeprefix(before).splitlines()
            said = [line for line in said if "logger=portside.health" not in line]  # it may notice too
            assert len(said) == 1, said
            assert "raise the limit of open files" in said[0]
        finally:
            for each in many:
                each.close()
        with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
            connection.sendall(head("/v2/"))
            assert connection.recv(65536).startswith(b"HTTP/1.1 200 OK\r\n")
    assert "Traceback" not in running.err.read_text()
    assert "Logging error" not in running.err.read_text()
