"""A name server that answers nothing: a lookup cannot be stopped, and must not keep the program from ending."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.support.commands import running_command

SOON_SECONDS = 8.0
"""glibc gives a lookup up after ten."""

CHECKS = """
version: 0.1
storage: inmemory
http: {addr: 127.0.0.1:0}
health:
  http: [{uri: "http://silent.example/", interval: 500ms, timeout: 300ms}]
  tcp: [{addr: "silent.example:1", interval: 500ms, timeout: 300ms}]
"""
ENDPOINT = """
version: 0.1
storage: {filesystem: {rootdirectory: data}}
http: {addr: 127.0.0.1:0}
notifications: {endpoints: [{name: silent, url: "http://silent.example/"}]}
"""
UPSTREAM = """
http: {addr: 127.0.0.1:0}
gateway:
  v1: {upstream: "http://silent.example:5000", connecttimeout: 500ms}
  v2: {upstream: "http://silent.example:5001", connecttimeout: 500ms}
"""


@contextlib.contextmanager
def silent_name_server(folder: Path) -> Iterator[Sequence[str]]:
    """Yields a wrapper for commands: their name server takes questions and says nothing."""
    unshare = shutil.which("unshare")
    if unshare is None or os.geteuid() != 0:
        pytest.skip("needs root and unshare: run as root, apt-get install util-linux")
    settings = folder / "resolv.conf"
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        host = f"127.53.{os.getpid() % 250 + 1}.{os.getpid() // 250 % 250 + 1}"
        server.bind((host, 53))
        settings.write_text(f"nameserver {host}\n")
        mounted = f'mount --bind {settings} /etc/resolv.conf && exec "$@"'
        yield [unshare, "--mount", "sh", "-c", mounted, "sh"]


@pytest.mark.parametrize(("role", "text"), [("v2", CHECKS), ("v2", ENDPOINT), ("proxy", UPSTREAM)])
def test_it_ends_at_once(role: str, text: str, tmp_path: Path) -> None:
    (tmp_path / "c.yml").write_text(text)
    with (
        silent_name_server(tmp_path) as wrapper,
        running_command(role, "c.yml", folder=tmp_path, wrapper=wrapper) as running,
    ):
        if text is UPSTREAM:
            with socket.create_connection(("127.0.0.1", running.port("proxy"))) as client:
                client.sendall(b"GET /v2/ HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                assert b" 50" in client.recv(100)
        else:
            time.sleep(1.5)
        begun = time.monotonic()
        assert running.end() == 0
        assert time.monotonic() - begun < SOON_SECONDS
