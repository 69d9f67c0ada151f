"""A Docker daemon of the tests' own: its socket, data, bridge and pid file in one folder, nothing of it left behind."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.programs import find_program

# Another docker may stand earlier in PATH; the daemon and its client are Debian's.
CLIENT = Path("/usr/bin/docker")
DAEMON = Path("/usr/sbin/dockerd")
BRIDGE = "10.201.7.1/24"


@dataclass(frozen=True, slots=True)
class Docker:
    """A client of a running daemon."""

    socket: Path

    def run(self, *arguments: str, check: bool = True, env: dict[str, str] | None = None) -> str:
        """Runs `docker ...` and returns what it printed, errors included."""
        done = subprocess.run(
            [str(CLIENT), *arguments],
            env=self.environment(**(env or {})),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=300,
        )
        if check and done.returncode:
            raise AssertionError(f"docker {' '.join(arguments)} ended with {done.returncode}:\n{done.stdout}")
        return done.stdout if done.returncode == 0 else f"status {done.returncode}: {done.stdout}"

    def environment(self, **more: str) -> dict[str, str]:
        """The environment that leads any docker program to this daemon."""
        return {**os.environ, "DOCKER_HOST": f"unix://{self.socket}", "DOCKER_CONTENT_TRUST": "0", **more}


@contextlib.contextmanager
def running_dockerd(folder: Path) -> Iterator[Docker]:
    """Runs a daemon in `folder` until the end of the block."""
    if os.geteuid() != 0:
        pytest.skip("dockerd needs root")
    for program in (CLIENT, DAEMON):
        if not program.exists():
            pytest.skip(f"{program} is not installed: apt-get install docker.io")
    clean_leftovers(folder)
    folder.mkdir(parents=True, exist_ok=True)
    settings = {
        "data-root": str(folder / "data"),
        "exec-root": str(folder / "exec"),
        "pidfile": str(folder / "pid"),
        "hosts": [f"unix://{folder / 'docker.sock'}"],
        "bip": BRIDGE,
        "log-level": "warn",
    }
    config = folder / "daemon.json"
    config.write_text(json.dumps(settings))
    with (folder / "dockerd.log").open("ab") as log:
        process = subprocess.Popen([str(DAEMON), "--config-file", str(config)], stdout=log, stderr=subprocess.STDOUT)
    docker = Docker(folder / "docker.sock")
    try:
        _wait_until_ready(docker, process, folder / "dockerd.log")
        yield docker
    finally:
        process.send_signal(signal.SIGTERM)
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


def clean_leftovers(folder: Path) -> None:
    """Ends what an earlier, broken run left in `folder`: its daemon and containerd, their mounts, the files."""
    if not folder.exists():
        return
    for pid_file in (folder / "pid", folder / "exec/containerd/containerd.pid"):
        with contextlib.suppress(FileNotFoundError, ValueError, ProcessLookupError):
            pid = int(pid_file.read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes() if Path(f"/proc/{pid}").exists() else b""
            if b"dockerd" in command or b"containerd" in command:
                os.kill(pid, signal.SIGKILL)
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for mount in sorted((mount for mount in mounts if mount.startswith(f"{folder}/")), reverse=True):
        subprocess.run(["umount", "-l", mount], check=False, capture_output=True)
    shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def other_address(address: str, name: str) -> Iterator[None]:
    """Gives this machine an address that is not loopback, and a name for it, until the end of the block."""
    if os.geteuid() != 0:
        pytest.skip("an address of our own needs root")
    ip = find_program("ip")
    link = "portside-test"
    hosts = Path("/etc/hosts")
    line = f"{address} {name}\n"
    subprocess.run([ip, "link", "del", link], check=False, capture_output=True)
    subprocess.run([ip, "link", "add", link, "type", "bridge"], check=True)
    try:
        subprocess.run([ip, "addr", "add", f"{address}/32", "dev", link], check=True)
        subprocess.run([ip, "link", "set", link, "up"], check=True)
        _write_hosts(hosts, line, there=True)
        yield
    finally:
        _write_hosts(hosts, line, there=False)
        subprocess.run([ip, "link", "del", link], check=False, capture_output=True)


def _write_hosts(hosts: Path, line: str, *, there: bool) -> None:
    # In place: a container's /etc/hosts is a mount and cannot be renamed over.
    rest = [each for each in hosts.read_text().splitlines(keepends=True) if each != line]
    hosts.write_text("".join([*rest, line] if there else rest))
