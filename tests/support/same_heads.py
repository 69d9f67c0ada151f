"""Requests of the very same bytes, sent again and again to a program of its own, and what it says that it counted."""

from __future__ import annotations

import json
import re
import socket
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.commands import RunningCommand, running_command

RACY_SECONDS = 2.2
"""So long after a file was written it is known to be old."""
INSISTENCE = 20
"""So often, 10 ms apart, a request is sent by whom wants its answer kept."""


@dataclass(frozen=True, slots=True)
class Site:
    """A running program with one worker, and its data."""

    running: RunningCommand
    data: Path
    port: int
    metrics_port: int

    @contextmanager
    def connection(self, source: str = "127.0.0.1") -> Iterator[Wire]:
        """Opens a connection."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=20, source_address=(source, 0)) as opened:
            opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            yield Wire(opened)

    def counted(self) -> dict[str, float]:
        """Returns all samples of the program's metrics, by name and labels."""
        with urllib.request.urlopen(f"http://127.0.0.1:{self.metrics_port}/metrics", timeout=20) as page:
            lines = page.read().decode().splitlines()
        return {line.rpartition(" ")[0]: float(line.rpartition(" ")[2]) for line in lines if not line.startswith("#")}

    def lines(self, mark: str, *wires: Wire) -> list[str]:
        """Returns the lines of the access log with a mark, which every request on some connections has."""
        deadline = time.monotonic() + 30
        while True:
            found = [line for line in self.running.out.read_text().splitlines() if mark in line]
            if len(found) >= sum(wire.asked for wire in wires):
                return found
            assert time.monotonic() < deadline, found
            time.sleep(0.02)

    def again(self) -> int:
        """Returns how many requests were answered by what was kept."""
        return int(self.counted().get("portside_answered_again_total", 0.0))

    def learn(self, wire: Wire, head: bytes) -> Answer:
        """Sends a request until it is answered by what is kept of an answer; returns that answer."""
        before, deadline = self.again(), time.monotonic() + 20
        while True:
            answer = wire.ask(head)
            for _ in range(5):
                time.sleep(0.01)
                answer = wire.ask(head)
            if self.again() > before:
                return answer
            assert time.monotonic() < deadline, f"it is never answered again: {answer}"

    def insist(self, head: bytes) -> int:
        """Sends a request as often as it takes to have an answer kept, and used; returns how many were given again."""
        before = self.again()
        with ExitStack() as stack:
            wire = stack.enter_context(self.connection())
            for _ in range(INSISTENCE):
                answer = wire.ask(head)
                if b"\r\nConnection: close" in answer.head or b" HTTP/1.0\r\n" in head:
                    wire = stack.enter_context(self.connection())
                time.sleep(0.01)
        return self.again() - before


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, without its date."""

    head: bytes
    body: bytes

    @property
    def status(self) -> int:
        return int(self.head.split(b" ", 2)[1])


class Wire:
    """A connection."""

    def __init__(self, opened: socket.socket) -> None:
        self.asked = 0
        self.socket = opened
        self._rest = b""

    def ask(self, head: bytes) -> Answer:
        """Sends a request in one piece, and reads its answer."""
        self.asked += 1
        self.socket.sendall(head)
        return self.read(has_body=not head.startswith(b"HEAD"))

    def read(self, *, has_body: bool = True) -> Answer:
        """Reads an answer."""
        data = self._rest
        while b"\r\n\r\n" not in data:
            data += self._more()
        head, _, rest = data.partition(b"\r\n\r\n")
        found = re.search(rb"(?i)\r\nContent-Length: (\d+)", head)
        length = int(found[1]) if found is not None and has_body and b" 304 " not in head[:14] else 0
        while len(rest) < length:
            rest += self._more()
        self._rest = rest[length:]
        return Answer(re.sub(rb"\r\nDate: [^\r]*", b"", head), rest[:length])

    def _more(self) -> bytes:
        piece = self.socket.recv(65536)
        if not piece:
            raise EOFError
        return piece


def get(path: str, *lines: str, method: str = "GET") -> bytes:
    """Returns a request's head."""
    return "\r\n".join([f"{method} {path} HTTP/1.1", "Host: registry.test", *lines, "", ""]).encode()


@contextmanager
def running_site(
    folder: Path, more: Mapping[str, Any] | None = None, *, role: str = "v2", kept: str | None = None, **gateway: Any
) -> Iterator[Site]:
    """Runs the program with one worker until the end of the block.

    Args:
        folder: for all that it writes.
        more: sections of its settings.
        role: the command.
        kept: `gateway.keptanswers`.
        gateway: more keys below `gateway:`.
    """
    data = folder / "data"
    folder.mkdir(exist_ok=True)
    own: dict[str, Any] = {"workers": 1, "metrics": {"addr": "127.0.0.1:0"}, **gateway}
    if kept is not None:
        own["keptanswers"] = kept
    if role in {"serve", "proxy"}:
        at_the_proxy: dict[str, Any] = {"addr": "127.0.0.1:0", "plain": {"addr": "127.0.0.1:0"}}
        own = {"v1": {"addr": ""}, "v2": {"addr": ""}, **at_the_proxy, **own} if role == "serve" else at_the_proxy | own
    settings: dict[str, Any] = {
        "version": 0.1,
        "storage": {"filesystem": {"rootdirectory": str(data)}, "delete": {"enabled": True}},
        "gateway": own,
        **(more or {}),
    }
    if role not in {"serve", "proxy"}:
        settings.setdefault("http", {})["addr"] = "127.0.0.1:0"
    (folder / "config.yml").write_text(json.dumps(settings))
    with running_command(role, "config.yml", folder=folder) as running:
        yield Site(running, data, _plain_port(running.err.read_text(), role), running.port("metrics"))


def _plain_port(said: str, role: str) -> int:
    """Returns the port at which a program speaks plain HTTP."""
    name = "proxy" if role in {"serve", "proxy"} else role
    (port,) = re.findall(rf'msg="listening on \S*?:(\d+)" listener={name}\b', said)
    return int(port)
