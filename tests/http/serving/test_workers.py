"""Worker processes: ready together, replaced when they die, gone with their parent; and all this as PID 1 too."""

from __future__ import annotations

import contextlib
import http.client
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.commands import children
from tests.support.served import RunningServer, running_server


def worker_that_answers(server: RunningServer) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=10)
    try:
        connection.request("GET", "/pid")
        return int(connection.getresponse().read())
    finally:
        connection.close()


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except (FileNotFoundError, ProcessLookupError):  # it ends between open and read
        return False


def wait_until_gone(pids: set[int], seconds: float = 45.0) -> None:
    deadline = time.monotonic() + seconds
    while any(is_alive(pid) for pid in pids):
        assert time.monotonic() < deadline, f"still there: {pids}"
        time.sleep(0.02)


def test_every_worker_is_a_child_that_answers(tmp_path: Path) -> None:
    with running_server(tmp_path, workers=2) as server:
        pids = children(server.process.pid)
        assert len(pids) == 2
        assert worker_that_answers(server) in pids


def test_a_worker_that_is_killed_is_replaced_and_nobody_notices(tmp_path: Path) -> None:
    with running_server(tmp_path, workers=2) as server:
        for _ in range(6):
            victim = worker_that_answers(server)
            os.kill(victim, signal.SIGKILL)
            wait_until_gone({victim})
            for _ in range(5):
                assert worker_that_answers(server) != victim
            deadline = time.monotonic() + 45
            while len(children(server.process.pid) - {victim}) < 2:
                assert time.monotonic() < deadline
                time.sleep(0.02)
        assert server.log().count("ended (by signal 9); it is replaced") == 6
        assert server.end() == 0


def test_even_the_only_worker_may_die_while_clients_come(tmp_path: Path) -> None:
    with running_server(tmp_path, workers=1) as server:
        (victim,) = children(server.process.pid)
        os.kill(victim, signal.SIGKILL)
        assert worker_that_answers(server) != victim  # it waited in the queue that the parent holds


def test_workers_do_not_outlive_their_parent(tmp_path: Path) -> None:
    with running_server(tmp_path, workers=2) as server:
        pids = children(server.process.pid)
        server.process.kill()
        server.process.wait(5)
        wait_until_gone(pids)


def test_a_terminals_interrupt_reaches_workers_through_their_parent_alone(tmp_path: Path) -> None:
    with running_server(tmp_path, workers=2) as server:
        pids = children(server.process.pid)
        for pid in pids:
            os.kill(pid, signal.SIGINT)
        time.sleep(0.3)
        assert worker_that_answers(server) in pids
        assert children(server.process.pid) == pids


@pytest.mark.parametrize(
    ("fails", "sentence"),
    [("problem", "problem: the cellar is locked: bring the key"), ("error", "RuntimeError: nobody expected this")],
)
def test_a_worker_that_cannot_start_ends_everything_with_its_reason(tmp_path: Path, fails: str, sentence: str) -> None:
    command = [sys.executable, "-m", "tests.support.served"]
    settings = f'{{"address": "127.0.0.1:0", "tls": null, "folder": "{tmp_path}", "workers": 2, "fails": "{fails}"}}'
    ended = subprocess.run([*command, settings], capture_output=True, text=True, timeout=30, check=False)
    assert ended.returncode == 1
    assert sentence in ended.stdout + ended.stderr
    assert ended.stdout.count("problem:") == 1


def test_workers_that_keep_failing_are_given_up_with_a_sentence(tmp_path: Path) -> None:
    with running_server(tmp_path, workers=1, fails="later") as server:
        (victim,) = children(server.process.pid)
        (tmp_path / "fail").touch()
        os.kill(victim, signal.SIGKILL)
        assert server.process.wait(30) == 1
        assert "ended (the cellar was locked later)" in server.log()
        assert "workers keep dying as soon as they start" in server.log()


def test_a_worker_that_dies_later_is_replaced_even_if_starting_fails_at_first(tmp_path: Path) -> None:
    with running_server(tmp_path, workers=1, fails="later") as server:
        (victim,) = children(server.process.pid)
        (tmp_path / "fail").touch()
        os.kill(victim, signal.SIGKILL)
        server.wait_for_line("ended (the cellar was locked later)")
        (tmp_path / "fail").unlink()
        assert worker_that_answers(server)


@contextlib.contextmanager
def as_pid_1(folder: Path) -> Iterator[RunningServer]:
    unshare = shutil.which("unshare")
    if unshare is None or os.geteuid() != 0:
        pytest.skip("needs root and unshare: run as root, apt-get install util-linux")
    with running_server(folder, wrapper=[unshare, "--pid", "--fork", "--mount-proc", "--kill-child"]) as server:
        yield server


def init_of(server: RunningServer) -> int:
    (pid,) = children(server.process.pid)
    assert Path(f"/proc/{pid}/status").read_text().split("NSpid:")[1].split()[1] == "1"
    return pid


@pytest.mark.real
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGQUIT])
def test_as_pid_1_it_ends_on_a_signal(tmp_path: Path, number: signal.Signals) -> None:
    with as_pid_1(tmp_path) as server:
        for harmless in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGHUP):
            os.kill(init_of(server), harmless)
        assert worker_that_answers(server) > 1
        os.kill(init_of(server), number)
        assert server.process.wait(10) == 0


@pytest.mark.real
def test_as_pid_1_it_reaps_orphans(tmp_path: Path) -> None:
    with as_pid_1(tmp_path) as server:
        init = init_of(server)
        nsenter = ["nsenter", "--target", str(init), "--pid", "--mount"]
        subprocess.run([*nsenter, "sh", "-c", "(sleep 0.2 &)"], check=True, timeout=10)
        deadline = time.monotonic() + 45
        time.sleep(0.4)
        while len(children(init)) > 1:
            assert time.monotonic() < deadline, "an orphan was not reaped"
            time.sleep(0.05)
        assert worker_that_answers(server)


def test_a_client_in_the_listen_queue_is_served_by_the_worker_that_remains(tmp_path: Path) -> None:
    with running_server(tmp_path, workers=2) as server:
        os.kill(max(children(server.process.pid)), signal.SIGTERM)  # one worker drains by itself
        for _ in range(20):
            assert worker_that_answers(server)
        with socket.create_connection(("127.0.0.1", server.port), timeout=5) as connection:
            connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
            assert connection.makefile("rb").read().endswith(b"hello")
