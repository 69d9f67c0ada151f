"""Contestants of bench/: they start side by side, whatever happens they end, and all that they use is counted."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from bench import contestants, proc
from bench.contestants import Contestant, Credentials, free_port, started_together
from bench.programs import Hindrance
from bench.running import make_credentials

SERVER = """
import http.server, pathlib, ssl, sys, time
port, certificate, key, mine, other = sys.argv[1:]
pathlib.Path(mine).touch()
while not pathlib.Path(other).exists():
    time.sleep(0.01)
class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()
server = http.server.HTTPServer(("127.0.0.1", int(port)), Handler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(certificate, key)
server.socket = context.wrap_socket(server.socket, server_side=True)
server.serve_forever()
"""
"""Answers only when the other one has been started too."""


def test_all_are_started_before_one_is_waited_for_and_end_with_the_block(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(contestants, "READY_SECONDS", 20.0)
    credentials = make_credentials(tmp_path)
    pair = [waiting_for(tmp_path, credentials, *names) for names in (("one", "other"), ("other", "one"))]
    with started_together(pair):
        pids = [pid for each in pair for pid in each.pids()]
        assert len(pids) == 2
    assert [each.pids() for each in pair] == [(), ()]
    assert proc.usage(pids) == {}


def test_where_one_cannot_be_started_the_others_end(tmp_path: Path) -> None:
    credentials = make_credentials(tmp_path)
    (tmp_path / "ready.started").touch()
    one = waiting_for(tmp_path, credentials, "one", "ready")
    broken = contestant(tmp_path, credentials, "broken", [sys.executable, "-c", "raise SystemExit('no such disk')"])
    with pytest.raises(Hindrance, match="broken ended at its start: no such disk"), started_together([one, broken]):
        pass
    assert one.pids() == ()


def test_no_port_is_given_twice_though_nobody_listens_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(contestants, "PORTS", (20_100, 20_160))
    ports = [free_port() for _ in range(30)]
    assert len(set(ports)) == len(ports)


def test_children_are_counted_whatever_their_parent_is_called(tmp_path: Path) -> None:
    program = tmp_path / "a) S 1 (b"
    program.write_text("#!/bin/sh\nsleep 60 & echo ready; wait\n")
    program.chmod(0o755)
    with subprocess.Popen([program], stdout=subprocess.PIPE, start_new_session=True) as parent:
        assert parent.stdout is not None
        assert parent.stdout.readline() == b"ready\n"
        pids = proc.tree([parent.pid])
        try:
            assert len(pids) == 2
            assert proc.usage(pids).keys() == set(pids)
        finally:
            subprocess.run(["kill", *map(str, pids)], check=True)
    deadline = time.monotonic() + 10
    while proc.tree(pids) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert proc.tree(pids) == ()


def waiting_for(folder: Path, credentials: Credentials, name: str, other: str) -> Contestant:
    port = free_port()
    started = [folder / f"{each}.started" for each in (name, other)]
    arguments = [str(each) for each in (port, credentials.certificate, credentials.key, *started)]
    return contestant(folder, credentials, name, [sys.executable, "-c", SERVER, *arguments], port=port)


def contestant(
    folder: Path, credentials: Credentials, name: str, command: Sequence[str], *, port: int = 1
) -> Contestant:
    own = folder / name
    own.mkdir()
    return Contestant(name, port, credentials, own, own, {name: command})
