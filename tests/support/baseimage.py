"""A base image without any registry, and the wheels that the image is built of: made once, kept between runs."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
from collections.abc import Sequence
from pathlib import Path

from tests.support.dockerd import CLIENT, Docker
from tests.support.programs import CACHE, find_program

NAME = "portside-test-base"
# What pip needs to reach the package index from here.
OWN = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pip.conf")
PIP_SETTINGS = ("PIP_INDEX_URL", "PIP_EXTRA_INDEX_URL", "PIP_CERT", "PIP_DEFAULT_TIMEOUT")


def import_base_image(docker: Docker) -> str:
    """Imports Debian with Python, made by debootstrap, into a daemon and returns its name."""
    root = CACHE / "bookworm"
    if not (root / ".made").exists():
        debootstrap = find_program("debootstrap")
        shutil.rmtree(root, ignore_errors=True)
        CACHE.mkdir(parents=True, exist_ok=True)
        include = "--include=python3,python3-venv,ca-certificates"
        done = subprocess.run(
            [debootstrap, "--variant=minbase", include, "bookworm", str(root)],
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        assert done.returncode == 0, f"debootstrap:\n{done.stdout[-3000:]}"
        shutil.rmtree(root / "var/cache/apt", ignore_errors=True)
        shutil.rmtree(root / "var/lib/apt/lists", ignore_errors=True)
        (root / ".made").touch()
    for own in map(Path, OWN):
        if own.exists():
            shutil.copy(own, root / own.relative_to("/"))
    with subprocess.Popen(["tar", "-C", str(root), "-c", "."], stdout=subprocess.PIPE) as tar:
        subprocess.run(
            [str(CLIENT), "import", "-", NAME],
            stdin=tar.stdout,
            env=docker.environment(),
            check=True,
            capture_output=True,
        )
    return NAME


def download_wheels(docker: Docker, base: str, locks: Sequence[Path]) -> Path:
    """Downloads what the lock files name, for the base image's own Python, on the host's network.

    Returns:
        A folder of wheels, kept by the content of the lock files.
    """
    key = hashlib.sha256(b"".join(lock.read_bytes() for lock in locks)).hexdigest()[:16]
    wheels = CACHE / f"wheels-{key}"
    if wheels.exists():
        return wheels
    partial = CACHE / f"wheels-{key}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    for lock in locks:
        shutil.copy(lock, partial)
    names = " ".join(f"-r {lock.name}" for lock in locks)
    script = f"python3 -m venv /v && /v/bin/pip download -q --require-hashes --only-binary=:all: -d . {names}"
    passed = [option for name in PIP_SETTINGS for option in ("-e", name)]
    mounted = ["--network", "host", "-v", f"{partial}:/w", "-w", "/w"]
    docker.run("run", "--rm", *passed, *mounted, base, "sh", "-ec", script)
    for lock in locks:
        (partial / lock.name).unlink()
    return partial.rename(wheels)
