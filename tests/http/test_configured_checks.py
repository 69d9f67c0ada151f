"""Checks that the settings name: a file, servers, addresses. While one fails, no request is answered."""

from __future__ import annotations

import contextlib
import json
import signal
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from http.client import HTTPConnection
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from typing_extensions import override

from tests.support.commands import RunningCommand, running_command
from tests.support.ports import free_port

HEALTH = "/debug/health"


def write_settings(folder: Path, health: str, *, workers: int = 1) -> dict[str, int]:
    """Writes all.yml for `serve`; returns the ports of its listeners."""
    ports = {name: free_port() for name in ("proxy", "v1", "v2", "metrics")}
    (folder / "all.yml").write_text(
        f"storage: {{filesystem: {{rootdirectory: {folder}/data}}}}\n"
        f"http: {{addr: '127.0.0.1:{ports['proxy']}'}}\n"
        f"gateway: {{workers: {workers}, v1: {{addr: '127.0.0.1:{ports['v1']}'}},"
        f" v2: {{addr: '127.0.0.1:{ports['v2']}'}}, metrics: {{addr: '127.0.0.1:{ports['metrics']}'}}}}\n"
        f"health:\n{health}\n"
    )
    return ports


def ask(
    port: int,
    path: str = HEALTH,
    *,
    method: str = "GET",
    headers: Mapping[str, str] = {},
    body: bytes | None = None,
) -> tuple[int, dict[str, str], bytes]:
    connection = HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request(method, path, headers=dict(headers), body=body)
    answer = connection.getresponse()
    found = answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    connection.close()
    return found


def until(port: int, expected: Mapping[str, str], *, seconds: float = 45.0) -> None:
    """Asks for health until the body is this."""
    deadline = time.monotonic() + seconds
    while True:
        status, _, body = ask(port)
        if json.loads(body) == expected and status == (503 if expected else 200):
            return
        assert time.monotonic() < deadline, (status, body, expected)
        time.sleep(0.02)


def until_answered(port: int, path: str, status: int, *, seconds: float = 45.0) -> None:
    """Asks until all workers answer with this status: one after the other finds what has changed."""
    deadline = time.monotonic() + seconds
    while {ask(port, path)[0] for _ in range(20)} != {status}:
        assert time.monotonic() < deadline
        time.sleep(0.05)


class Asked(BaseHTTPRequestHandler):
    """Answers a HEAD with the status that the server has, and keeps what was asked."""

    def do_HEAD(self) -> None:
        server = self.server
        assert isinstance(server, Checked)
        server.asked.append((self.path, [(name.lower(), value) for name, value in self.headers.items()]))
        if server.hangs:
            time.sleep(2)
            return
        self.send_response(server.status if self.path != "/moved" else 302)
        if self.path == "/moved":
            self.send_header("Location", "/there")
        self.send_header("Content-Length", "0")
        self.end_headers()

    @override
    def log_message(self, *_: object) -> None:
        """Says nothing."""


class Checked(ThreadingHTTPServer):
    """What is checked.

    Attributes:
        status: of its answers.
        hangs: whether it gives none.
        asked: path and headers of each request.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Asked)
        self.status = 200
        self.hangs = False
        self.asked: list[tuple[str, list[tuple[str, str]]]] = []

    @property
    def port(self) -> int:
        return self.server_address[1]


@pytest.fixture
def checked() -> Iterator[Checked]:
    with Checked() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_while_a_file_exists_nothing_is_answered_but_health(tmp_path: Path) -> None:
    down = tmp_path / "down"
    ports = write_settings(tmp_path, f"  file: [{{file: {down}, interval: 50ms}}]")
    with running_command("serve", "all.yml", folder=tmp_path) as running:
        running.wait_for_line(running.err, f"configuring file health check path={down}, interval=0.05")
        for port in ports.values():
            until(port, {})
        down.touch()
        for port in ports.values():
            until(port, {str(down): "file exists"})
        running.wait_for_line(running.err, "level=error", f"health: {down}: file exists")
        for name in ("proxy", "v2"):
            for method, path in (("GET", "/v2/"), ("GET", "/"), ("POST", "/v2/a/blobs/uploads/"), ("OPTIONS", "/v2/")):
                status, headers, body = ask(ports[name], path, method=method)
                assert status == 503, (name, method, path)
                assert headers["content-type"] == "application/json; charset=utf-8"
                assert headers["docker-distribution-api-version"] == "registry/2.0"
                (error,) = json.loads(body)["errors"]
                assert error["code"] == "UNAVAILABLE"
                assert error["message"] == "service unavailable"
                assert error["detail"] == {"reason": "health check failed: please see /debug/health"}
            assert ask(ports[name], "/v2/", method="HEAD")[0] == 503
        for name in ("proxy", "v1"):
            status, headers, body = ask(ports[name], "/v1/_ping")
            assert (status, json.loads(body)) == (503, {"error": "health check failed: please see /debug/health"})
            assert "docker-distribution-api-version" not in headers
        assert ask(ports["metrics"], "/metrics")[0] == 200
        assert json.loads(ask(ports["v2"], headers={"X-Forwarded-For": "192.0.2.1"})[2]) == {"health.file.0": "failing"}
        running.wait_for_line(running.out, '"GET /v2/ HTTP/1.1" 503')
        down.unlink()
        for port in ports.values():
            until(port, {})
        running.wait_for_line(running.err, f"health: {down}: healthy again")
        assert ask(ports["proxy"], "/v2/")[0] == 200
        assert ask(ports["proxy"], "/v1/_ping")[0] == 200
        assert [line for line in running.err.read_text().splitlines() if "file exists" in line and "error" in line][
            1:
        ] == []


def test_a_file_that_is_there_from_the_start_counts_from_the_start(tmp_path: Path) -> None:
    (tmp_path / "down").mkdir()
    ports = write_settings(tmp_path, "  file: [{file: down, interval: 1h}]")  # below the current folder
    with running_command("serve", "all.yml", folder=tmp_path):
        until(ports["v2"], {"down": "file exists"})
        assert ask(ports["v2"], "/v2/")[0] == 503


def test_a_body_that_comes_while_nothing_is_answered_is_no_request(tmp_path: Path) -> None:
    (tmp_path / "down").touch()
    ports = write_settings(tmp_path, "  file: [{file: down, interval: 1h}]")
    with running_command("serve", "all.yml", folder=tmp_path):
        until(ports["v2"], {"down": "file exists"})
        with socket.create_connection(("127.0.0.1", ports["v2"]), timeout=10) as plain:
            hidden = b"GET /v2/hidden/tags/list HTTP/1.1\r\nHost: a\r\n\r\n"
            plain.sendall(
                b"PATCH /v2/a/blobs/uploads/x HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
                + f"Content-Length: {len(hidden)}\r\n\r\n".encode()
                + hidden
            )
            answer = b""
            with contextlib.suppress(ConnectionError):
                while piece := plain.recv(65536):
                    answer += piece
        assert answer.count(b"HTTP/1.1 ") == 1
        assert answer.startswith(b"HTTP/1.1 503")


def test_a_server_is_asked_by_head_with_the_configured_headers(tmp_path: Path, checked: Checked) -> None:
    uri = f"http://user:word@127.0.0.1:{checked.port}/must/be/well?token=secret&a=b"
    shown = f"http://***@127.0.0.1:{checked.port}/must/be/well?token=***&a=b"
    ports = write_settings(
        tmp_path,
        f"  http: [{{uri: '{uri}', headers: {{X-Twice: [a, b], Host: [other.example]}}, statuscode: 204,"
        " interval: 50ms, timeout: 1s}]",
    )
    checked.status = 204
    with running_command("serve", "all.yml", folder=tmp_path) as running:
        said = f"configuring HTTP health check uri={shown}, interval=0.05, threshold=0"
        assert said in running.err.read_text()
        until(ports["v2"], {})
        for status in (200, 404, 500):
            checked.status = status
            until(ports["v2"], {shown: f"downstream service returned unexpected status: {status}"})
            assert ask(ports["v2"], "/v2/")[0] == 503
        checked.status = 204
        until(ports["v2"], {})
        checked.hangs = True
        until(ports["v2"], {shown: "it has not answered within 1 seconds"})
        checked.hangs = False
        until(ports["v2"], {})
        path, headers = checked.asked[0]
        assert path == "/must/be/well?token=secret&a=b"
        assert [value for name, value in headers if name == "x-twice"] == ["a", "b"]
        assert [value for name, value in headers if name == "host"] == ["other.example"]
        assert [value for name, value in headers if name == "user-agent"] == ["Portside"]
        usual = {"host", "user-agent", "authorization", "connection", "portside-health-check"}
        assert {name for name, _ in headers} <= {"x-twice", *usual}
        checked.shutdown()
        checked.server_close()
        until(ports["v2"], {shown: "it cannot be asked: Connection refused"})
        for word in ("word@", "secret"):
            assert word not in running.err.read_text()


def test_a_redirect_is_followed(tmp_path: Path, checked: Checked) -> None:
    ports = write_settings(tmp_path, f"  http: [{{uri: 'http://127.0.0.1:{checked.port}/moved', interval: 50ms}}]")
    with running_command("serve", "all.yml", folder=tmp_path):
        until(ports["v2"], {})
        assert {path for path, _ in checked.asked} == {"/moved", "/there"}


def test_an_address_must_take_a_connection(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port = listening.getsockname()[1]
        where = f"127.0.0.1:{port}"
        ports = write_settings(tmp_path, f"  tcp: [{{addr: '{where}', interval: 50ms, timeout: 500ms}}]")
        with running_command("serve", "all.yml", folder=tmp_path) as running:
            assert f"configuring TCP health check addr={where}, interval=0.05, threshold=0" in running.err.read_text()
            until(ports["v1"], {})
            listening.close()
            until(ports["v1"], {where: "connection failed: Connection refused"})
            assert ask(ports["v1"], "/v1/_ping")[0] == 503
            with socket.create_server(("127.0.0.1", port)):
                until(ports["v1"], {})


def test_a_threshold_counts_failures_in_a_row(tmp_path: Path, checked: Checked) -> None:
    uri = f"http://127.0.0.1:{checked.port}/"
    ports = write_settings(tmp_path, f"  http: [{{uri: '{uri}', interval: 200ms, threshold: 3}}]")
    with running_command("serve", "all.yml", folder=tmp_path):
        until(ports["v2"], {})
        checked.status, before = 500, len(checked.asked)
        until(ports["v2"], {uri: "downstream service returned unexpected status: 500"})
        assert len(checked.asked) - before >= 3
        checked.status = 200
        until(ports["v2"], {})


def test_a_check_that_hangs_keeps_no_other_and_no_request_waiting(tmp_path: Path, checked: Checked) -> None:
    """A server that accepts and says nothing, for an hour."""
    checked.hangs = True
    uri, down = f"http://127.0.0.1:{checked.port}/", tmp_path / "down"
    ports = write_settings(
        tmp_path,
        f"  http: [{{uri: '{uri}', interval: 50ms, timeout: 1h}}]\n  file: [{{file: {down}, interval: 50ms}}]",
    )
    with running_command("serve", "all.yml", folder=tmp_path):
        time.sleep(0.5)
        down.touch()
        until_answered(ports["v2"], "/v2/", 503)
        down.unlink()
        until_answered(ports["v2"], "/v2/", 200)
        checked.hangs = False


def test_a_proxy_alone_checks_too(tmp_path: Path) -> None:
    port, down = free_port(), tmp_path / "down"
    (tmp_path / "proxy.yml").write_text(
        f"http: {{addr: '127.0.0.1:{port}'}}\ngateway: {{workers: 1, v2: {{upstream: 'unix:{tmp_path}/none.sock'}}}}\n"
        f"health: {{file: [{{file: {down}, interval: 50ms}}]}}\n"
    )
    with running_command("proxy", "proxy.yml", folder=tmp_path):
        assert ask(port, "/")[0] == 200
        down.touch()
        until_answered(port, "/", 503)


def test_a_check_of_its_own_address_lets_it_come_back(tmp_path: Path) -> None:
    """distribution 2.8.2 and 3.1.2 find their own 503, and answer it for ever."""
    down = tmp_path / "down"
    port = free_port()
    (tmp_path / "v2.yml").write_text(
        f"storage: {{filesystem: {{rootdirectory: {tmp_path}/data}}}}\n"
        f"gateway: {{workers: 2, v2: {{addr: '127.0.0.1:{port}'}}}}\n"
        f"health: {{file: [{{file: {down}, interval: 50ms}}],"
        f" http: [{{uri: 'http://127.0.0.1:{port}/v2/', interval: 50ms}}]}}\n"
    )
    with running_command("v2", "v2.yml", folder=tmp_path):
        until(port, {})
        down.touch()
        until_answered(port, "/v2/", 503)
        time.sleep(0.3)  # it asks itself meanwhile
        assert ask(port, "/v2/", headers={"Portside-Health-Check": "guess"})[0] == 503
        down.unlink()
        until_answered(port, "/v2/", 200)


def test_each_worker_stops_answering_and_one_of_them_says_so(tmp_path: Path) -> None:
    down = tmp_path / "down"
    ports = write_settings(tmp_path, f"  file: [{{file: {down}, interval: 50ms}}]", workers=3)
    with running_command("serve", "all.yml", folder=tmp_path) as running:
        until(ports["v2"], {})
        down.touch()
        until_answered(ports["v2"], "/v2/", 503)
        assert messages(running, "file exists") == 1


def messages(running: RunningCommand, words: str) -> int:
    return sum(words in line for line in running.err.read_text().splitlines())


def test_a_drain_goes_on_while_a_check_hangs(tmp_path: Path, checked: Checked) -> None:
    checked.hangs = True
    write_settings(tmp_path, f"  http: [{{uri: 'http://127.0.0.1:{checked.port}/', interval: 50ms, timeout: 1h}}]")
    with running_command("serve", "all.yml", folder=tmp_path) as running:
        time.sleep(0.3)
        began = time.monotonic()
        assert running.end(signal.SIGTERM) == 0
        assert time.monotonic() - began < 5
        assert "Traceback" not in running.err.read_text()
