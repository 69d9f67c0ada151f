"""The program's logs: a request is one line, whatever a client puts into it, and no secret is on it."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands import RunningCommand, running_command

SETTINGS = """
log: {{level: debug, formatter: {form}}}
storage: {{filesystem: {{rootdirectory: data}}, delete: {{enabled: true}}}}
gateway: {{addr: "127.0.0.1:0", workers: 1, v1: {{addr: "127.0.0.1:0"}}, v2: {{addr: "127.0.0.1:0"}}}}
"""
FORGED = "forged-line"
ODD = [b"\t", b"\x80", b"\xff", b"\xc2\x85", b"\xe2\x80\xa8", b"\xe2\x80\xae", b"\xe2\x80\x8b", b'"',
b"\\", b"\\n", b"%0a", b"%0d%0a",
       b"%1b[2J", b"%00", b"%e2%80%a8", b"{", b"}", b"'", b" "]  # fmt: skip
SECRET = "c2VjcmV0LXZhbHVl"


@pytest.fixture(scope="module", params=["text", "json", "logstash"])
def running(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningCommand]:
    folder = tmp_path_factory.mktemp("logs")
    (folder / "portside.yml").write_text(SETTINGS.format(form=request.param))
    with running_command("serve", "portside.yml", folder=folder) as started:
        yield started


@pytest.fixture
def form(request: pytest.FixtureRequest) -> str:
    return str(request.node.callspec.params["running"])


def send(port: int, request: bytes) -> bytes:
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request)
        received = b""
        while piece := connection.recv(65536):
            received += piece
    return received


def lines_of(path: Path) -> list[str]:
    return path.read_bytes().decode("utf-8").split("\n")[:-1]


def test_a_request_is_one_line_and_forges_no_other(running: RunningCommand, form: str) -> None:
    before, sent = len(lines_of(running.out)), 0
    for what in ("v1", "v2"):
        port = running.port(what)
        for number, odd in enumerate(ODD):
            word = b"a%sb%s" % (odd, FORGED.encode())
            in_path = word.replace(b" ", b"%20").replace(b"\t", b"%09")
            mark = b"mark%d%s" % (number, what.encode())
            for method, target, headers in (
                (b"GET", b"/%s/%s?%s" % (what.encode(), in_path, mark), b"User-Agent: x"),
                (b"GET", b"/%s/x?n=%s&%s" % (what.encode(), in_path, mark), b"User-Agent: %s" % word),
                (b"PUT", b"/v2/a/manifests/%s?%s" % (in_path, mark), b"Content-Type: %s" % word),
                (b"DELETE", b"/v2/%s/manifests/x?%s" % (in_path, mark), b"X-Docker-Token: %s" % word),
            ):
                head = b"\r\n".join(
                    [method + b" " + target + b" HTTP/1.1", b"Host: x", b"Connection: close", headers, b"", b""]
                )
                assert send(port, head).startswith(b"HTTP/1.1 4")
                sent += 1
        running.wait_for_line(running.out, f"mark{len(ODD) - 1}{what}", "DELETE")
    lines = lines_of(running.out)[before:]
    assert len(lines) == sent
    for line in lines:
        assert line.isprintable(), line
        assert json.loads(line)["http.response.status"] >= 400 if form != "text" else line.startswith("127.0.0.1 - - [")
    for line in lines_of(running.err):
        assert line.isprintable(), line
        assert not line.startswith((FORGED, f"b{FORGED}"))
        if form != "text":
            assert isinstance(json.loads(line), dict)
    assert "Traceback" not in running.err.read_text()


HIDDEN = [
    f"GET /v2/a/blobs/uploads/0ff71b58-9f1e-4a5c-8a9d-0123456789ab?_state={SECRET}",
    f"PATCH /v2/a/blobs/uploads/0ff71b58-9f1e-4a5c-8a9d-0123456789ab?_State={SECRET}",
    f"PUT /v2/a/blobs/uploads/0ff71b58-9f1e-4a5c-8a9d-0123456789ab?digest=x&%5fstate={SECRET}",
    f"GET /v2/?token={SECRET}", f"GET /v1/_ping?access_token={SECRET}", f"GET /v2/_catalog?n=x&sig={SECRET}",
    f"GET http://me:{SECRET}@x/v2/",
]  # fmt: skip


def test_no_secret_of_a_request_is_on_a_line(running: RunningCommand) -> None:
    credentials = [f"Authorization: Basic {SECRET}", f"Authorization: Bearer {SECRET}", f"Cookie: a={SECRET}",
                   f"X-Docker-Token: Token signature={SECRET}", f"Proxy-Authorization: Basic {SECRET}"]  # fmt: skip
    for number, line in enumerate(HIDDEN):
        for header in credentials:
            head = "\r\n".join(
                [f"{line} HTTP/1.1", "Host: x", "Connection: close", f"User-Agent: hidden{number}", header, "", ""]
            )
            for what in ("v1", "v2"):
                assert send(running.port(what), head.encode()).startswith(b"HTTP/1.1 ")
    running.wait_for_line(running.out, f"hidden{len(HIDDEN) - 1}")
    for log in (running.out, running.err):
        assert SECRET not in log.read_text()
