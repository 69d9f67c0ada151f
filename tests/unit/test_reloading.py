"""SIGHUP: what can change while serving is reloaded, whole or not at all; everything by the real program."""

from __future__ import annotations

import asyncio
import contextlib
import http.client
import os
import signal
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from portside.server.proposals import Change
from portside.server.reloading import ChangeReader, send_change
from portside.settings.changes import CHANGEABLE, compare
from portside.settings.loading import Role
from tests.support.certificate import make_certificate
from tests.support.commands import RunningCommand, children, running_command
from tests.support.ports import free_port
from tests.support.settings_files import Load

ANSWERED = "were reloaded"


class Reloaded:
    """A `portside v2` with two workers, and its settings file."""

    def __init__(self, running: RunningCommand, file: Path, port: int) -> None:
        self.running = running
        self.file = file
        self.port = port

    def reload(self, words: str = ANSWERED) -> str:
        """Sends SIGHUP and returns the line with which it was met, which must have these words."""
        before = len(self._lines())
        self.running.process.send_signal(signal.SIGHUP)
        deadline = time.monotonic() + 45
        while not (lines := [line for line in self._lines()[before:] if words in line]):
            assert time.monotonic() < deadline, self.running.err.read_text()
            time.sleep(0.02)
        return lines[0]

    def _lines(self) -> list[str]:
        return self.running.err.read_text().splitlines()

    def ask(self, **headers: str) -> http.client.HTTPResponse:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("GET", "/v2/", headers=headers)
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer

    def until_all(self, name: str, value: str | None) -> None:
        """Waits until no worker answers otherwise: twelve answers in a row."""
        deadline, row = time.monotonic() + 10, 0
        while row < 12:
            answered = self.ask().getheader(name)
            row = row + 1 if answered == value else 0
            assert time.monotonic() < deadline, f"{name}: {answered}"


@pytest.fixture
def reloaded(tmp_path: Path) -> Iterator[Reloaded]:
    port = free_port()
    file = tmp_path / "v2.yml"
    file.write_text(f"{{http: {{addr: '127.0.0.1:{port}', headers: {{X-A: [old]}}}}, gateway: {{workers: 2}}}}")
    with running_command("v2", "v2.yml", folder=tmp_path) as running:
        yield Reloaded(running, file, port)
        assert running.end() == 0


def _written(headers: str, more: str = "") -> str:
    return f"{{http: {{addr: '127.0.0.1:%d', headers: {headers}}}, gateway: {{workers: 2{more}}}}}"


def test_headers_change_in_every_worker_and_in_those_that_come_later(reloaded: Reloaded) -> None:
    pids = children(reloaded.running.process.pid)
    reloaded.file.write_text(_written("{X-A: [new], X-B: [true]}") % reloaded.port)
    assert "changed: http.headers" in reloaded.reload()
    reloaded.until_all("X-A", "new")
    reloaded.until_all("X-B", "true")
    assert children(reloaded.running.process.pid) == pids
    for pid in pids:
        os.kill(pid, signal.SIGKILL)
    reloaded.running.wait_for_line(reloaded.running.err, f"worker {max(pids)} ended")
    reloaded.until_all("X-A", "new")
    reloaded.file.write_text(_written("") % reloaded.port)
    reloaded.reload()
    reloaded.until_all("X-A", None)


def test_the_level_changes_for_the_parent_the_workers_and_requests(reloaded: Reloaded) -> None:
    out, err = reloaded.running.out, reloaded.running.err
    reloaded.ask(**{"User-Agent": "before"})
    reloaded.running.wait_for_line(out, "before")
    text = _written("{X-A: [LEVEL]}")[:-1] % reloaded.port + ", log: {level: LEVEL}}"
    reloaded.file.write_text(text.replace("LEVEL", "error"))
    reloaded.running.process.send_signal(signal.SIGHUP)
    reloaded.until_all("X-A", "error")
    for _ in range(10):
        reloaded.ask(**{"User-Agent": "between"})
    assert ANSWERED not in err.read_text()
    reloaded.file.write_text(text.replace("LEVEL", "debug"))
    assert "changed: log.level, http.headers" in reloaded.reload()
    reloaded.until_all("X-A", "debug")
    for _ in range(10):
        reloaded.ask(**{"User-Agent": "after"})
    reloaded.running.wait_for_line(out, "after")
    assert "between" not in out.read_text()


def test_trusted_proxies_change(reloaded: Reloaded) -> None:
    def asked_as(name: str) -> str:
        reloaded.ask(**{"X-Real-IP": "192.0.2.7", "User-Agent": name})
        return reloaded.running.wait_for_line(reloaded.running.out, f'"{name}"').partition(" ")[0]

    assert asked_as("first") == "127.0.0.1"
    reloaded.file.write_text(_written("", ", trustedproxies: [127.0.0.1]") % reloaded.port)
    assert "changed: http.headers, gateway.trustedproxies" in reloaded.reload()
    reloaded.until_all("X-A", None)
    assert asked_as("second") == "192.0.2.7"
    reloaded.file.write_text(_written("{X-A: [c]}") % reloaded.port)
    reloaded.reload()
    reloaded.until_all("X-A", "c")
    assert asked_as("third") == "127.0.0.1"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{http: [", "is not valid YAML"),
        ("{http: {addr: ':1', headers: {X-A: [x]}}, log: {level: loud}}", "log.level: it must be 'error'"),
        (
            "{http: {headers: {X-A: [x]}, adr: y}, auth: {htpasswd: {}, silly: {}}, oauth: {}}",
            "auth: it must have exactly one scheme",
        ),
    ],
)
def test_a_broken_file_changes_nothing_and_is_told_in_one_line(reloaded: Reloaded, text: str, words: str) -> None:
    reloaded.file.write_text(text)
    line = reloaded.reload("the settings stay as they are")
    assert words in line
    assert "level=error" in line
    assert {reloaded.ask().getheader("X-A") for _ in range(6)} == {"old"}


def test_a_missing_file_changes_nothing(reloaded: Reloaded) -> None:
    reloaded.file.unlink()
    assert "cannot be read" in reloaded.reload("the settings stay as they are")
    assert reloaded.ask().getheader("X-A") == "old"


def test_what_takes_a_restart_is_named_and_the_rest_is_taken(reloaded: Reloaded) -> None:
    reloaded.file.write_text(
        "{http: {addr: '127.0.0.1:1', secret: hunter2, headers: {X-A: [new]}}, gateway: {workers: 7}}"
    )
    line = reloaded.reload("these changes need a restart")
    assert "http.addr, http.secret, gateway.workers" in line
    assert "hunter2" not in reloaded.running.err.read_text()
    reloaded.until_all("X-A", "new")


def test_what_takes_a_restart_is_named_until_it_has_had_one_or_is_taken_back(reloaded: Reloaded) -> None:
    endpoint = ", notifications: {endpoints: [{name: a, url: 'http://127.0.0.1:1/'}]}}"
    reloaded.file.write_text((_written("{X-A: [old]}") % reloaded.port)[:-1] + endpoint)
    assert reloaded.reload("these changes need a restart: notifications")
    reloaded.file.write_text((_written("{X-A: [new]}") % reloaded.port)[:-1] + endpoint)
    assert "notifications" in reloaded.reload("these changes need a restart")
    reloaded.file.write_text(_written("{X-A: [new]}", ", metrics: {addr: ''}") % reloaded.port)
    line = reloaded.reload("these changes need a restart")
    assert "gateway.metrics.addr" in line
    assert "notifications" not in line
    reloaded.file.write_text(_written("{X-A: [newer]}") % reloaded.port)
    assert "changed: http.headers" in reloaded.reload()
    assert reloaded.running.err.read_text().count("these changes need a restart") == 3


def test_certificates_and_client_cas_change_and_a_file_that_cannot_be_used_changes_nothing(tmp_path: Path) -> None:
    folders = [tmp_path / name for name in ("one", "two")]
    for folder in folders:
        folder.mkdir()
    one, two = map(make_certificate, folders)
    port = free_port()
    file = tmp_path / "v2.yml"

    def write(files: Path, *, header: str, cas: str = "") -> None:
        tls = f"{{certificate: {files}/{one.chain.name}, key: {files}/{one.key.name}{cas}}}"
        file.write_text(f"{{http: {{addr: '127.0.0.1:{port}', headers: {{X-A: [{header}]}}, tls: {tls}}}}}")

    def served(ca: Path) -> str:
        context = ssl.create_default_context(cafile=str(ca))
        with contextlib.closing(
            http.client.HTTPSConnection("localhost", port, timeout=10, context=context)
        ) as connection:
            connection.request("GET", "/v2/")
            answer = connection.getresponse()
            answer.read()
            return answer.getheader("X-A") or ""

    write(folders[0], header="1")
    with running_command("v2", "v2.yml", folder=tmp_path) as running:
        reloaded = Reloaded(running, file, port)
        assert served(one.ca) == "1"
        write(tmp_path / "none", header="2")
        assert "does not exist" in reloaded.reload("the settings stay as they are")
        assert served(one.ca) == "1"
        write(folders[1], header="3")
        assert "http.headers, http.tls.certificate, http.tls.key" in reloaded.reload()
        _until(lambda: served(two.ca) == "3")
        write(folders[1], header="4", cas=f", clientcas: [{two.ca}]")
        reloaded.reload()
        _until(lambda: not _greets(port, two.ca))
        file.write_text(f"{{http: {{addr: '127.0.0.1:{port}'}}}}")
        assert "http.tls.certificate" in reloaded.reload("these changes need a restart")
        assert not _greets(port, two.ca)
        assert running.end() == 0


def _until(holds: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 45
    while True:
        try:
            if holds():
                return
        except OSError:
            pass
        assert time.monotonic() < deadline
        time.sleep(0.05)


def _greets(port: int, ca: Path) -> bool:
    """Whether a client without a certificate is answered."""
    context = ssl.create_default_context(cafile=str(ca))
    try:
        with (
            socket.create_connection(("127.0.0.1", port), timeout=10) as plain,
            context.wrap_socket(plain, server_hostname="localhost") as secure,
        ):
            secure.sendall(b"GET /v2/ HTTP/1.0\r\n\r\n")
            return secure.recv(100) != b""
    except OSError:
        return False


def test_a_further_name_brings_a_certificate_without_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "all.yml"
    text = "gateway: {addr: '127.0.0.1:0', workers: 1, v1: {addr: ''}, v2: {addr: ''}, metrics: {addr: ''}"
    file.write_text(text + "}")
    with running_command("serve", "all.yml", folder=tmp_path) as running:
        port = running.port("proxy")
        context = ssl.create_default_context(cafile=str(tmp_path / "certs" / "ca.crt"))

        def named() -> bool:
            with socket.create_connection(("127.0.0.1", port), timeout=10) as plain:
                context.wrap_socket(plain, server_hostname="late.example").close()
            return True

        with pytest.raises(ssl.SSLCertVerificationError):
            named()
        file.write_text(text + ", names: [late.example]}")
        running.process.send_signal(signal.SIGHUP)
        running.wait_for_line(running.err, "changed: gateway.names")
        _until(named)
        assert running.end() == 0


def test_the_page_lists_what_can_change() -> None:
    page = (Path(__file__).parents[2] / "docs" / "settings.md").read_text()
    section = page.partition("## While it runs")[2].partition("\n## ")[0]
    for key in CHANGEABLE:
        assert f"`{key}`" in section, key


def test_only_what_may_change_is_taken_over(load: Load) -> None:
    before = load(Role.SERVE, "http: {addr: ':1', tls: {certificate: a, key: b}}")
    text = """
    log: {level: debug, formatter: json}
    storage: {filesystem: {rootdirectory: /other}}
    http: {addr: ':2', headers: {X-A: [b]}, tls: {certificate: c, key: d, clientcas: [e], minimumtls: tls1.3}}
    gateway: {trustedproxies: [10.0.0.0/8], drain: 3}
    """
    after = load(Role.SERVE, text)
    changes = compare(before, after)
    assert set(changes.restart) == {"log.formatter", "storage.filesystem", "http.addr"}
    settings = changes.settings
    assert (settings.log.level, settings.log.formatter, settings.storage) == ("debug", "text", before.storage)
    assert settings.headers == {"X-A": "b"}
    assert [each.address for each in settings.listeners] == [each.address for each in before.listeners]
    for listener, wanted in zip(settings.listeners, after.listeners, strict=True):
        assert listener.tls == wanted.tls
        assert listener.trusted_networks == after.values["gateway"]["trustedproxies"]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("http: {addr: ':1'}", "http: {addr: ':1', tls: {certificate: a, key: b}}"),
        ("http: {addr: ':1', tls: {certificate: a, key: b}}", "http: {addr: ':1'}"),
    ],
)
def test_tls_is_neither_switched_on_nor_off_without_a_restart(load: Load, before: str, after: str) -> None:
    holds = load(Role.V2, before)
    changes = compare(holds, load(Role.V2, after))
    assert changes.taken == ()
    assert changes.restart == ("http.tls.certificate", "http.tls.key")
    assert changes.settings.listeners == holds.listeners


async def test_a_change_that_fails_is_logged_and_later_ones_are_applied(caplog: pytest.LogCaptureFixture) -> None:
    applied: list[Change] = []
    done = asyncio.Event()

    async def apply(change: Change) -> None:
        if change.services == "broken":
            raise RuntimeError("of a kind that nobody thought of")
        applied.append(change)
        done.set()

    reading, writing = os.pipe()
    reader = ChangeReader(reading, apply)
    try:
        assert send_change(writing, Change((), "broken"))
        assert send_change(writing, Change((), "good"))
        await asyncio.wait_for(done.wait(), 10)
    finally:
        await reader.stop()
        os.close(reading)
        os.close(writing)
    assert [change.services for change in applied] == ["good"]
    assert "could not be applied" in caplog.text
