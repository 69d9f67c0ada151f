"""Rules that change while Portside serves: in every worker, by the real program."""

from __future__ import annotations

import http.client
import os
import signal
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands import RunningCommand, children, portside, running_command
from tests.support.ports import free_port

PULL = "- {allow: pull, to: anyone}\n"
NOTHING = "- {allow: pull, to: users}\n"
BROKEN = "- {allow: psuh, to: users}\n"
HOLD, STAY = "new rules of access hold", "the rules of access stay as they were"
ALLOWED, REFUSED = 404, 401  # nothing is there


class Serving:
    """A `portside v2` with two workers, and its file of rules."""

    def __init__(self, running: RunningCommand, rules: Path, port: int) -> None:
        self.running = running
        self.rules = rules
        self.port = port

    def replace(self, text: str) -> None:
        other = self.rules.with_name("new")
        other.write_text(text)
        other.rename(self.rules)

    def status(self) -> int:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        connection.request("GET", "/v2/base/tags/list")
        answer = connection.getresponse()
        answer.read()
        connection.close()
        return answer.status

    def until_all(self, status: int) -> None:
        """Waits until no worker answers otherwise: twelve answers in a row."""
        deadline, row = time.monotonic() + 45, 0
        while row < 12:
            row = row + 1 if self.status() == status else 0
            assert time.monotonic() < deadline, self.running.err.read_text()

    def said(self, words: str) -> list[str]:
        return [line for line in self.running.err.read_text().splitlines() if words in line]

    def until_said(self, words: str, times: int) -> None:
        deadline = time.monotonic() + 45
        while len(self.said(words)) < times:
            assert time.monotonic() < deadline, self.running.err.read_text()
            time.sleep(0.02)


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    port = free_port()
    rules = tmp_path / "access.yml"
    rules.write_text(NOTHING)
    (tmp_path / "v2.yml").write_text(
        f"{{http: {{addr: '127.0.0.1:{port}'}}, gateway: {{workers: 2, access: access.yml}},"
        " auth: {silly: {realm: 'https://registry.example/token', service: registry}}}"
    )
    with running_command("v2", "v2.yml", folder=tmp_path) as running:
        yield Serving(running, rules, port)
        assert running.end() == 0


def test_new_rules_hold_in_every_worker_and_a_broken_file_keeps_them(serving: Serving) -> None:
    serving.until_all(REFUSED)
    serving.replace(PULL)
    serving.until_all(ALLOWED)
    serving.until_said(HOLD, 1)
    serving.replace(BROKEN)
    serving.until_said(STAY, 1)
    serving.rules.unlink()
    serving.until_said(STAY, 2)
    time.sleep(2.5)
    serving.until_all(ALLOWED)
    serving.replace(NOTHING)
    serving.until_all(REFUSED)
    serving.until_said(HOLD, 2)
    assert len(serving.said(HOLD)) == 2, "one of the workers speaks"
    assert ["psuh" in line for line in serving.said(STAY)] == [True, False]


def test_a_worker_that_replaces_another_has_the_rules_that_hold(serving: Serving) -> None:
    """Those that the start had are older than these, and the file is broken by now."""
    serving.replace(PULL)
    serving.until_all(ALLOWED)
    time.sleep(2.5)  # the parent looks about once a second
    serving.replace(BROKEN)
    serving.until_said(STAY, 1)
    before = children(serving.running.process.pid)
    assert len(before) == 2
    for pid in before:
        os.kill(pid, signal.SIGKILL)
    deadline = time.monotonic() + 45
    while len(after := children(serving.running.process.pid)) != 2 or after & before:
        assert time.monotonic() < deadline, serving.running.err.read_text()
        time.sleep(0.02)
    serving.until_all(ALLOWED)


def test_a_sighup_reads_it_at_once_and_tells_of_mistakes_again(serving: Serving) -> None:
    serving.replace(BROKEN)
    serving.until_said(STAY, 1)
    serving.running.process.send_signal(signal.SIGHUP)
    serving.until_said(STAY, 2)
    serving.rules.write_text(PULL)
    serving.running.process.send_signal(signal.SIGHUP)
    serving.until_said(HOLD, 1)
    serving.until_all(ALLOWED)
    serving.until_all(ALLOWED)


def test_it_does_not_start_with_a_broken_file(tmp_path: Path) -> None:
    (tmp_path / "access.yml").write_text("- {allow: psuh, to: users}\n- {allow: pull}\n")
    (tmp_path / "v2.yml").write_text(
        f"{{http: {{addr: '127.0.0.1:{free_port()}'}}, gateway: {{access: access.yml}},"
        " auth: {silly: {realm: 'https://registry.example/token', service: registry}}}"
    )
    done = portside("v2", "v2.yml", folder=tmp_path)
    assert done.returncode == 1
    assert "access.yml: line 1: `psuh` is not an action; write `push`; line 2: the rule does not say" in done.stderr
