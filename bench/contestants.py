"""A contestant: programs that together answer at one TLS address, started, looked at, and always ended by their pids.

Invariant: whatever happens to the bench, its servers end: each is told by the kernel to end when the bench dies.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import random
import signal
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench import proc
from bench.programs import Hindrance

HOST = "127.0.0.1"
READY_SECONDS = 60.0
END_SECONDS = 20.0
POLL_SECONDS = 0.001
PORTS = (20000, 30000)
_PR_SET_PDEATHSIG = 1
_LIBC = ctypes.CDLL(None)
_GIVEN: set[int] = set()
"""Ports that somebody in this run has."""


@dataclass(frozen=True, slots=True)
class Credentials:
    """PEM files, the same for all contestants: the CA, the server's chain and its P-256 key."""

    ca: Path
    certificate: Path
    key: Path


@dataclass(slots=True)
class Contestant:
    """One way to serve the same contents.

    Attributes:
        name: as in the table.
        port: where it answers over TLS, on 127.0.0.1.
        credentials: its certificate.
        folder: its own, for configuration and logs.
        data: the root of its storage; of the static files.
        commands: what is started, all at once, by a short name.
        takes_pushes: whether it is a registry.
        authorization: what clients show it; "" for nothing.
    """

    name: str
    port: int
    credentials: Credentials
    folder: Path
    data: Path
    commands: Mapping[str, Sequence[str]]
    takes_pushes: bool = True
    authorization: str = ""
    _running: dict[str, subprocess.Popen[bytes]] = field(default_factory=dict)
    _trust: ssl.SSLContext | None = None

    def start(self) -> float:
        """Starts it.

        Returns:
            seconds from the first exec to the first 200 over TLS.

        Raises:
            Hindrance: it ended at once, or does not answer.
        """
        begun = self.launch()
        self.wait(begun)
        return time.perf_counter() - begun

    def launch(self) -> float:
        """Starts its programs, and does not wait for them; returns when, by `time.perf_counter`."""
        self._trust = ssl.create_default_context(cafile=str(self.credentials.ca))
        begun = time.perf_counter()
        for name, command in self.commands.items():
            with (self.folder / f"{name}.log").open("ab") as log:
                self._running[name] = start_program(command, log.fileno(), folder=self.folder)
        return begun

    def wait(self, begun: float) -> None:
        """Waits for its first 200 over TLS.

        Args:
            begun: what `launch` has returned.

        Raises:
            Hindrance: it ended at once, or does not answer.
        """
        assert self._trust is not None, "it was launched"
        while not self._answers(self._trust):
            for name, process in self._running.items():
                if process.poll() is not None:
                    raise Hindrance(f"{self.name}: {name} ended at its start: {self._tail(name)}")
            if time.perf_counter() - begun > READY_SECONDS:
                said = "; ".join(f"{name} said {self._tail(name)!r}" for name in self._running)
                raise Hindrance(f"{self.name} did not answer within {READY_SECONDS:.0f} s: {said}")
            time.sleep(POLL_SECONDS)

    def stop(self) -> None:
        """Ends it; does nothing when it does not run."""
        everything = self.pids()
        for process in self._running.values():
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        deadline = time.monotonic() + END_SECONDS
        for process in self._running.values():
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        sessions = {process.pid for process in self._running.values()}
        for pid in everything:
            with contextlib.suppress(ProcessLookupError):
                if os.getsid(pid) in sessions:  # and not somebody else's who got the number of one that has ended
                    os.kill(pid, signal.SIGKILL)
        self._running.clear()

    def pids(self) -> tuple[int, ...]:
        """All its processes."""
        return proc.tree(process.pid for process in self._running.values())

    def workers(self) -> tuple[int, ...]:
        """Those that were started by others of its processes; all of them where nobody starts any."""
        started = {process.pid for process in self._running.values()}
        everything = self.pids()
        return tuple(pid for pid in everything if pid not in started) or everything

    def _answers(self, context: ssl.SSLContext) -> bool:
        with (
            contextlib.suppress(OSError),
            socket.create_connection((HOST, self.port), timeout=5) as plain,
            context.wrap_socket(plain, server_hostname=HOST) as connection,
        ):
            shown = f"Authorization: {self.authorization}\r\n" if self.authorization else ""
            connection.sendall(f"GET /v2/ HTTP/1.1\r\nHost: {HOST}:{self.port}\r\n{shown}\r\n".encode())
            return connection.recv(12) == b"HTTP/1.1 200"
        return False

    def _tail(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text(errors="replace").strip()[-1000:]


@contextlib.contextmanager
def started_together(contestants: Sequence[Contestant]) -> Iterator[None]:
    """Starts contestants side by side, for where nobody asks how long it takes; ends them after the block.

    Raises:
        Hindrance: one ended at once, or does not answer.
    """
    with contextlib.ExitStack() as stack:
        launched = []
        for each in contestants:
            stack.callback(each.stop)
            launched.append((each, each.launch()))
        for each, begun in launched:
            each.wait(begun)
        yield


def start_program(
    command: Sequence[str],
    output: int,
    *,
    folder: Path,
    source: int = subprocess.DEVNULL,
    errors: int | None = None,
    serves: bool = True,
) -> subprocess.Popen[bytes]:
    """Starts a program that ends with the bench, or with its servers, and that Ctrl-C at the terminal does not reach.

    Args:
        command: the program and its arguments.
        output: file descriptor (or subprocess.PIPE) for what it says.
        folder: where it runs.
        source: file descriptor (or subprocess.PIPE) of its input.
        errors: for its complaints; None for `output`.
        serves: whether it would go on for ever. Others are started faster: without a copy of this process.
    """
    return subprocess.Popen(
        command,
        stdin=source,
        stdout=output,
        stderr=subprocess.STDOUT if errors is None else errors,
        cwd=folder,
        env=_environment(),
        start_new_session=True,
        preexec_fn=_end_with_parent if serves else None,  # noqa: PLW1509 - the bench has one thread
    )


def _end_with_parent() -> None:
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


def _environment() -> dict[str, str]:
    """As a user has it: nothing that changes settings, or how Python runs."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("REGISTRY_", "PYTHON"))}


def free_port() -> int:
    """Returns a loopback port that is free now, of those that the kernel gives to no outgoing connection; none twice,
    for several contestants are made before the first one listens."""
    for port in random.sample(range(*PORTS), PORTS[1] - PORTS[0]):
        with contextlib.suppress(OSError), socket.create_server((HOST, port)):
            if port not in _GIVEN:
                _GIVEN.add(port)
                return port
    raise Hindrance(f"no port between {PORTS[0]} and {PORTS[1]} is free on {HOST}; end what listens there")
