"""A Docker daemon of the tests' own: its socket, data, bridge and pid file are its own, and nothing of it stays behind.

It writes no firewall rules, so that it neither needs nor disturbs another Docker on this machine: published ports go
through its userland proxy, and what must reach the package index runs on the host's network.
"""

from __future__ import annotations

import contextlib
import json
import os
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.leftovers import BRIDGE, OTHER_LINK, POOL, clean_leftovers, write_hosts
from tests.support.programs import find_program

# Another docker may stand earlier in PATH; the daemon and its client are Debian's.
CLIENT = Path("/usr/bin/docker")
DAEMON = Path("/usr/sbin/dockerd")
BRIDGE_ADDRESS = "10.254.202.1/24"


@dataclass(frozen=True, slots=True)
class Docker:
    """A client of a running daemon."""

    socket: Path

    def run(
        self, *arguments: str, check: bool = True, env: dict[str, str] | None = None, folder: Path | None = None
    ) -> str:
        """Runs `docker ...` in a folder and returns what it printed, errors included.

        Raises:
            AssertionError: `check`, and it did not end with status 0; with all that it printed.
        """
        done = subprocess.run(
            [str(CLIENT), *arguments],
            env=self.environment(**(env or {})),
            cwd=folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=300,
        )
        if check and done.returncode:
            raise AssertionError(f"docker {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}")
        return done.stdout if done.returncode == 0 else f"status {done.returncode}: {done.stdout}"

    def load(self, archive: bytes, name: str) -> None:
        """Makes an image of one layer from an uncompressed tar archive (`docker import`)."""
        subprocess.run(
            [str(CLIENT), "import", "-", name], input=archive, env=self.environment(), check=True, capture_output=True
        )

    def environment(self, **more: str) -> dict[str, str]:
        """The environment that leads any docker program to this daemon."""
        return {**os.environ, "DOCKER_HOST": f"unix://{self.socket}", "DOCKER_CONTENT_TRUST": "0", **more}


@contextlib.contextmanager
def running_dockerd(folder: Path) -> Iterator[Docker]:
    """Runs a daemon in `folder` until the end of the block."""
    if os.geteuid() != 0:
        pytest.skip("dockerd needs root: run the tests as root")
    for program in (CLIENT, DAEMON):
        if not program.exists():
            pytest.skip(f"{program} is not installed: apt-get install docker.io")
    clean_leftovers(folder)
    folder.mkdir(parents=True)
    settings = {
        "data-root": str(folder / "data"),
        "exec-root": str(folder / "exec"),
        "pidfile": str(folder / "pid"),
        "hosts": [f"unix://{folder / 'docker.sock'}"],
        "bridge": BRIDGE,
        "default-address-pools": [{"base": POOL, "size": 24}],
        "iptables": False,
        "log-level": "warn",
    }
    config = folder / "daemon.json"
    config.write_text(json.dumps(settings))
    ip = find_program("ip")
    subprocess.run([ip, "link", "add", BRIDGE, "type", "bridge"], check=True)
    subprocess.run([ip, "addr", "add", BRIDGE_ADDRESS, "dev", BRIDGE], check=True)
    subprocess.run([ip, "link", "set", BRIDGE, "up"], check=True)
    with (folder / "dockerd.log").open("ab") as log:
        process = subprocess.Popen([str(DAEMON), "--config-file", str(config)], stdout=log, stderr=subprocess.STDOUT)
    docker = Docker(folder / "docker.sock")
    try:
        _wait_until_ready(docker, process, folder / "dockerd.log")
        yield docker
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        clean_leftovers(folder)


def _wait_until_ready(docker: Docker, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, f"dockerd ended at start:\n{log.read_text()[-3000:]}"
        if not docker.run("version", check=False).startswith("status"):
            return
        time.sleep(0.3)
    raise AssertionError(f"dockerd was not ready after 60 s:\n{log.read_text()[-3000:]}")


@contextlib.contextmanager
def other_address(address: str, name: str) -> Iterator[None]:
    """Gives this machine an address that is not loopback, and a name for it, until the end of the block."""
    if os.geteuid() != 0:
        pytest.skip("an address of our own needs root: run the tests as root")
    ip = find_program("ip")
    subprocess.run([ip, "link", "del", OTHER_LINK], check=False, capture_output=True)
    subprocess.run([ip, "link", "add", OTHER_LINK, "type", "bridge"], check=True)
    try:
        subprocess.run([ip, "addr", "add", f"{address}/32", "dev", OTHER_LINK], check=True)
        subprocess.run([ip, "link", "set", OTHER_LINK, "up"], check=True)
        write_hosts(address, name, there=True)
        yield
    finally:
        write_hosts(address, name, there=False)
        subprocess.run([ip, "link", "del", OTHER_LINK], check=False, capture_output=True)
