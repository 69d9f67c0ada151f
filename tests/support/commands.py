"""Portside's command line, run as people run it: a process of its own."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_ROOT: Final = Path(__file__).parents[2]
_READY_S: Final = 30.0


def portside(
    *arguments: str | Path,
    folder: Path,
    environment: Mapping[str, str] | None = None,
    timeout_s: float = 30.0,
    typed: str | None = None,
) -> subprocess.CompletedProcess[str]:
    """Run a command until it ends, in a folder."""
    command = _command(arguments)
    return subprocess.run(
        command,
        cwd=folder,
        env=_variables(environment),
        capture_output=True,
        text=True,
        timeout=timeout_s,
        check=False,
        input=typed,
    )


@dataclass(frozen=True, slots=True)
class RunningCommand:
    """A command that serves.

    Attributes:
        process: its parent process.
        out: the file of its stdout: the access log.
        err: the file of its stderr: its log, what it says at start first.
    """

    process: subprocess.Popen[bytes]
    out: Path
    err: Path

    def port(self, what: str) -> int:
        """The port that it said it listens on, for `proxy`, `v1`, `v2`, `metrics`."""
        said = self.err.read_text()
        found = re.search(rf'listening (?:on )?\S*?:(\d+)\b[^\n]*? "?listener"?[=:] ?"?{what}\b', said)
        assert found is not None, said
        return int(found[1])

    def wait_for_line(self, path: Path, *words: str, seconds: float = 45.0) -> str:
        """Wait for a line of a log that has all the words."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            for line in path.read_text(errors="replace").splitlines():
                if all(word in line for word in words):
                    return line
            time.sleep(0.02)
        raise AssertionError(f"no line with {words} in:\n{path.read_text(errors='replace')}")

    def end(self, number: signal.Signals = signal.SIGTERM) -> int:
        """Ask it to end; returns its status."""
        self.process.send_signal(number)
        return self.process.wait(20)


def children(pid: int) -> set[int]:
    """The processes that a process has started."""
    return {int(each) for each in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()}


@contextlib.contextmanager
def running_command(
    *arguments: str | Path,
    folder: Path,
    environment: Mapping[str, str] | None = None,
    wrapper: Sequence[str] = (),
    port: int = 0,
) -> Iterator[RunningCommand]:
    """Run a command until the end of the block; it is ready when it has said what it says at start.

    Args:
        arguments: the command and its flags.
        folder: where it runs, and where its output goes.
        environment: variables beside the tests' own.
        wrapper: a command before it, such as `unshare`.
        port: on loopback; one that says nothing is ready when it listens there.
    """
    last = (
        ("listening ",)
        if arguments[0] == "proxy"
        else ("no access control is", "access control: ", "access control of v1: ")
    )
    with starting_command(*arguments, folder=folder, environment=environment, wrapper=wrapper) as running:
        deadline = time.monotonic() + _READY_S
        while not (_accepts(port) if port else any(each in running.err.read_text() for each in last)):
            assert running.process.poll() is None, running.err.read_text()
            assert time.monotonic() < deadline, running.err.read_text()
            time.sleep(0.02)
        yield running


@contextlib.contextmanager
def starting_command(
    *arguments: str | Path,
    folder: Path,
    environment: Mapping[str, str] | None = None,
    wrapper: Sequence[str] = (),
) -> Iterator[RunningCommand]:
    """The same without waiting until it is ready."""
    out, err = folder / "stdout", folder / "stderr"
    with out.open("wb") as stdout, err.open("wb") as stderr:
        process = subprocess.Popen(
            [*wrapper, *_command(arguments)], cwd=folder, env=_variables(environment), stdout=stdout, stderr=stderr
        )
    try:
        yield RunningCommand(process, out, err)
    finally:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _accepts(port: int) -> bool:
    with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def _command(arguments: Sequence[str | Path]) -> list[str]:
    return [sys.executable, "-m", "portside.cli", *map(str, arguments)]


def _variables(more: Mapping[str, str] | None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("REGISTRY_")}
    return {**kept, "PYTHONPATH": str(_ROOT), **(more or {})}
