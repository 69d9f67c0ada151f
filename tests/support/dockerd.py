"""A Docker daemon of the tests' own: its socket, data, bridge and pid file are its own, and nothing of it stays behind.

It writes no firewall rules, so that it neither needs nor disturbs another Docker on this machine: published ports go
through its userland proxy, and what must reach the package index runs on the host's network.
"""

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
BRIDGE = "portside-docker"
BRIDGE_ADDRESS = "10.254.202.1/24"
POOL = "10.254.208.0/20"
OTHER_LINK = "portside-test"


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


def clean_leftovers(folder: Path) -> None:
    """Ends what a daemon in `folder` left: itself, containerd and containers after a crash, mounts, bridges, files."""
    for pid in _processes_of(folder):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for mount in sorted((mount for mount in mounts if mount.startswith(f"{folder}/")), reverse=True):
        subprocess.run(["umount", "-l", mount], check=False, capture_output=True)
    if (ip := shutil.which("ip")) is not None:
        for bridge in _our_bridges(ip):
            subprocess.run([ip, "link", "del", bridge], check=False, capture_output=True)
    shutil.rmtree(folder, ignore_errors=True)


def _our_bridges(ip: str) -> list[str]:
    """The daemon's own bridge, and those of the networks it made: all in `10.254.202` and the pool, or nobody's."""
    shown = subprocess.run([ip, "-4", "-o", "addr", "show", "type", "bridge"], capture_output=True, check=True).stdout
    found = [line.split() for line in shown.decode().splitlines()]
    pooled = [fields[1] for fields in found if fields[1].startswith("br-") and _in_pool(fields[3])]
    return [BRIDGE, *pooled]


def _in_pool(address: str) -> bool:
    first, second, third, _ = (int(part) for part in address.partition("/")[0].split("."))
    return (first, second) == (10, 254) and 208 <= third < 224  # POOL


def _processes_of(folder: Path) -> list[int]:
    """The daemon's own processes in `folder`, by the paths on their command lines, and all that descend from them."""
    parents: dict[int, int] = {}
    found: list[int] = []
    for status in Path("/proc").glob("[0-9]*/stat"):
        pid = int(status.parent.name)
        with contextlib.suppress(OSError):
            parents[pid] = int(status.read_text().rpartition(")")[2].split()[1])
            command = (status.parent / "cmdline").read_bytes().split(b"\0")
            program = os.path.basename(command[0])  # noqa: PTH119 - bytes
            if program.startswith((b"dockerd", b"containerd", b"runc")) and any(
                argument.startswith(os.fsencode(f"{folder}/")) for argument in command[1:]
            ):
                found.append(pid)
    for pid in found:  # grows while it is walked: down to the last descendant
        found += [child for child, parent in parents.items() if parent == pid and child not in found]
    return found


@contextlib.contextmanager
def other_address(address: str, name: str) -> Iterator[None]:
    """Gives this machine an address that is not loopback, and a name for it, until the end of the block."""
    if os.geteuid() != 0:
        pytest.skip("an address of our own needs root: run the tests as root")
    ip = find_program("ip")
    hosts = Path("/etc/hosts")
    line = f"{address} {name}\n"
    subprocess.run([ip, "link", "del", OTHER_LINK], check=False, capture_output=True)
    subprocess.run([ip, "link", "add", OTHER_LINK, "type", "bridge"], check=True)
    try:
        subprocess.run([ip, "addr", "add", f"{address}/32", "dev", OTHER_LINK], check=True)
        subprocess.run([ip, "link", "set", OTHER_LINK, "up"], check=True)
        _write_hosts(hosts, line, there=True)
        yield
    finally:
        _write_hosts(hosts, line, there=False)
        subprocess.run([ip, "link", "del", OTHER_LINK], check=False, capture_output=True)


def _write_hosts(hosts: Path, line: str, *, there: bool) -> None:
    # In place: a container's /etc/hosts is a mount and cannot be renamed over.
    rest = [each for each in hosts.read_text().splitlines(keepends=True) if each != line]
    hosts.write_text("".join([*rest, line] if there else rest))
