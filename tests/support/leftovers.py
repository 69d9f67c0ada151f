"""What real programs leave on this machine when a run is broken off, and how it is taken away.

`python -m tests.support.leftovers` does so by hand. All of it is found by names, folders and networks that are the
tests' own, so that nothing of anybody else's is touched.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
from pathlib import Path

FOLDER = Path("/var/tmp/portside-tests")
BRIDGE = "portside-docker"
POOL = "10.254.208.0/20"
OTHER_LINK = "portside-test"
OTHER_ADDRESS = "10.254.201.1"
OTHER_NAME = "registry.portside.test"
TRUST = (Path("/etc/docker/certs.d"), Path("/etc/containers/certs.d"))
HOSTS = Path("/etc/hosts")


def clean_leftovers(folder: Path) -> None:
    """Ends what a daemon in `folder` left: itself, containerd and containers after a crash, mounts, bridges, files."""
    clean_folder(folder)
    if (ip := shutil.which("ip")) is not None:
        for bridge in _our_bridges(ip):
            subprocess.run([ip, "link", "del", bridge], check=False, capture_output=True)


def clean_folder(folder: Path) -> None:
    """The same without bridges, for a daemon that has none and may run beside one that has."""
    for pid in _processes_of(folder):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    mounts = [line.split()[1] for line in Path("/proc/mounts").read_text().splitlines()]
    for mount in sorted((mount for mount in mounts if mount.startswith(f"{folder}/")), reverse=True):
        subprocess.run(["umount", "-l", mount], check=False, capture_output=True)
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
            if program.startswith((b"dockerd", b"containerd", b"runc", b"buildkitd")) and any(
                argument.startswith(os.fsencode(f"{folder}/")) for argument in command[1:]
            ):
                found.append(pid)
    for pid in found:  # grows while it is walked: down to the last descendant
        found += [child for child, parent in parents.items() if parent == pid and child not in found]
    return found


def write_hosts(address: str, name: str, *, there: bool) -> None:
    """Adds a line to /etc/hosts, or takes it out."""
    # In place: a container's /etc/hosts is a mount and cannot be renamed over.
    line = f"{address} {name}\n"
    rest = [each for each in HOSTS.read_text().splitlines(keepends=True) if each != line]
    HOSTS.write_text("".join([*rest, line] if there else rest))


def clean_all() -> None:
    """Takes away everything that a broken run of `tests/real` can leave."""
    clean_leftovers(FOLDER / "dockerd")
    clean_folder(FOLDER / "buildkit")
    if (ip := shutil.which("ip")) is not None:
        subprocess.run([ip, "link", "del", OTHER_LINK], check=False, capture_output=True)
    write_hosts(OTHER_ADDRESS, OTHER_NAME, there=False)
    for folder in TRUST:
        for place in folder.glob(f"{OTHER_NAME}:*"):
            shutil.rmtree(place)
    shutil.rmtree(FOLDER, ignore_errors=True)


if __name__ == "__main__":
    clean_all()
