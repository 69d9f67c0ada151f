"""What each signal does, to the parent, to a worker, to the group; and what the close of a terminal does."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import shutil
import signal
import socket
import termios
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.http.serving.test_draining import ask
from tests.http.serving.test_workers import is_alive, wait_until_gone, worker_that_answers
from tests.support.commands import children, starting_command
from tests.support.served import RunningServer, running_server

ROTATION = [signal.SIGUSR1, signal.SIGUSR2]


def to_parent(server: RunningServer, number: signal.Signals) -> None:
    server.process.send_signal(number)


def to_workers(server: RunningServer, number: signal.Signals) -> None:
    for pid in children(server.process.pid):
        os.kill(pid, number)


def to_group(server: RunningServer, number: signal.Signals) -> None:
    os.killpg(server.process.pid, number)


@pytest.mark.parametrize("number", [*ROTATION, signal.SIGHUP])
@pytest.mark.parametrize("send", [to_parent, to_workers, to_group])
def test_log_rotation_and_a_reload_end_nobody(
    tmp_path: Path, send: Callable[[RunningServer, signal.Signals], None], number: signal.Signals
) -> None:
    with running_server(tmp_path, workers=2, group=True) as server:
        pids = children(server.process.pid)
        for _ in range(3):
            send(server, number)
            time.sleep(0.1)
        assert worker_that_answers(server) in pids
        assert children(server.process.pid) == pids
        assert server.end() == 0


@pytest.mark.parametrize("send", [to_parent, to_group])
@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGTERM, signal.SIGINT])
def test_what_ends_it_lets_a_request_finish_to_whomever_it_is_sent(
    tmp_path: Path, send: Callable[[RunningServer, signal.Signals], None], number: signal.Signals
) -> None:
    with running_server(tmp_path, workers=2, group=True) as server:
        answers: list[str] = []
        thread = threading.Thread(target=lambda: answers.append(ask(server, "/slow?seconds=1")))
        thread.start()
        server.wait_for_mark("slow-began")
        send(server, number)
        assert server.process.wait(15) == 0
        thread.join()
        assert answers == ["slow but whole"]


def test_a_worker_that_is_told_to_quit_finishes_and_is_replaced(tmp_path: Path) -> None:
    with running_server(tmp_path, workers=1) as server:
        (worker,) = children(server.process.pid)
        answers: list[str] = []
        thread = threading.Thread(target=lambda: answers.append(ask(server, "/slow?seconds=1")))
        thread.start()
        server.wait_for_mark("slow-began")
        os.kill(worker, signal.SIGQUIT)
        thread.join()
        assert answers == ["slow but whole"]
        wait_until_gone({worker})
        assert worker_that_answers(server) != worker
        assert server.end() == 0


@pytest.mark.parametrize("number", [signal.SIGQUIT, signal.SIGINT])
def test_what_it_waits_for_is_said_and_a_second_signal_ends_it(tmp_path: Path, number: signal.Signals) -> None:
    with running_server(tmp_path, workers=2, drain_seconds=30) as server:
        with contextlib.ExitStack() as stack:
            for _ in range(3):
                connection = stack.enter_context(socket.create_connection(("127.0.0.1", server.port), timeout=20))
                connection.sendall(b"GET /hang HTTP/1.1\r\nHost: x\r\n\r\n")
                server.wait_for_mark("hang-began")
                (tmp_path / "hang-began").unlink()
            server.process.send_signal(number)
            words = (
                "stopping: 3 requests are still in progress",
                "up to 30 seconds",
                "press Ctrl-C again to stop at once",
            )
            server.wait_for_line(*words, seconds=5)
            assert server.end(number) == 128 + number
        server.wait_for_line("second signal: stopped at once; requests in progress are cut off")


def test_signals_that_end_nothing_do_not_hasten_an_end(tmp_path: Path) -> None:
    with running_server(tmp_path, workers=1) as server:
        answers: list[str] = []
        thread = threading.Thread(target=lambda: answers.append(ask(server, "/slow?seconds=1.5")))
        thread.start()
        server.wait_for_mark("slow-began")
        server.process.terminate()
        server.wait_for_line("stopping: 1 request is still in progress and may take up to 8 seconds")
        for number in (*ROTATION, signal.SIGHUP):
            server.process.send_signal(number)
            time.sleep(0.1)
        assert server.process.wait(15) == 0
        thread.join()
        assert answers == ["slow but whole"]


def test_with_nothing_under_way_it_ends_without_a_word(tmp_path: Path) -> None:
    with running_server(tmp_path, workers=2) as server:
        assert server.end(signal.SIGINT) == 0
        assert "ending" not in server.log()


@contextlib.contextmanager
def terminal() -> Iterator[tuple[int, Callable[[], None]]]:
    """A terminal: its end for programs, and what closes it."""
    master, slave = pty.openpty()
    ends = {master, slave}

    def close() -> None:
        while ends:
            os.close(ends.pop())

    try:
        yield slave, close
    finally:
        close()


def take_terminal(slave: int) -> Callable[[], None]:
    """Makes a process the leader of a session with this terminal."""

    def prepare() -> None:
        os.setsid()
        fcntl.ioctl(slave, termios.TIOCSCTTY, 0)

    return prepare


def test_when_its_terminal_closes_it_ends_and_lets_a_request_finish(tmp_path: Path) -> None:
    with terminal() as (slave, close), running_server(tmp_path, prepare=take_terminal(slave)) as server:
        answers: list[str] = []
        thread = threading.Thread(target=lambda: answers.append(ask(server, "/slow?seconds=1")))
        thread.start()
        server.wait_for_mark("slow-began")
        server.process.send_signal(signal.SIGHUP)  # the terminal is still there
        time.sleep(0.3)
        assert is_alive(server.process.pid)
        close()
        assert server.process.wait(15) == 0
        thread.join()
        assert answers == ["slow but whole"]
        server.wait_for_line("the terminal has closed")


def test_started_by_nohup_it_stays_when_its_terminal_closes(tmp_path: Path) -> None:
    with (
        terminal() as (slave, close),
        running_server(tmp_path, wrapper=["nohup"], prepare=take_terminal(slave)) as server,
    ):
        close()
        time.sleep(0.5)
        assert worker_that_answers(server)
        assert server.end() == 0


def test_as_a_job_of_a_shell_whose_terminal_closes_it_ends(tmp_path: Path) -> None:
    """An interactive shell gets the kernel's SIGHUP and sends its own to its jobs."""
    bash = shutil.which("bash")
    assert bash is not None
    with (
        terminal() as (slave, close),
        running_server(
            tmp_path, wrapper=[bash, "--norc", "-ic", '"$@" & wait', "bash"], prepare=take_terminal(slave), stdin=slave
        ) as server,
    ):
        (pid,) = children(server.process.pid)
        pids = {pid, *children(pid)}
        assert worker_that_answers(server) in pids
        close()
        wait_until_gone(pids)
        server.process.wait(10)


def test_signals_while_it_starts_do_not_end_it(tmp_path: Path) -> None:
    """A service manager may reload, and rotate logs, as soon as it has started something."""
    (tmp_path / "v2.yml").write_text("{storage: inmemory, gateway: {v2: {addr: '127.0.0.1:0'}}}")
    with starting_command("v2", "v2.yml", folder=tmp_path) as running:
        pid = running.process.pid
        deadline = time.monotonic() + 30
        while not _ignores(pid, signal.SIGUSR1):  # Python itself has come up
            assert time.monotonic() < deadline
            time.sleep(0.002)
        sent = 0
        while "no access control" not in running.err.read_text():
            for number in (*ROTATION, signal.SIGHUP):
                running.process.send_signal(number)
            sent += 1
            assert running.process.poll() is None, running.err.read_text()
            assert time.monotonic() < deadline
            time.sleep(0.01)
        assert sent > 3
        assert running.end() == 0


def _ignores(pid: int, number: signal.Signals) -> bool:
    mask = Path(f"/proc/{pid}/status").read_text().partition("SigIgn:")[2].split()[0]
    return bool(int(mask, 16) & 1 << (number - 1))
