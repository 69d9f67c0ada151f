"""A base image without any registry: Debian by debootstrap, kept between runs, with this machine's own CA bundle."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

from tests.support.dockerd import CLIENT, Docker
from tests.support.programs import find_program

CACHE = Path("/var/cache/portside-tests")
NAME = "portside-test-base"
# What a build needs to reach the package index from here.
OWN = ("/etc/ssl/certs/ca-certificates.crt", "/etc/pip.conf")


def import_base_image(docker: Docker) -> str:
    """Imports the base image into a daemon and returns its name."""
    root = CACHE / "bookworm"
    if not (root / ".made").exists():
        debootstrap = find_program("debootstrap")
        shutil.rmtree(root, ignore_errors=True)
        CACHE.mkdir(parents=True, exist_ok=True)
        include = "--include=python3,python3-venv,ca-certificates"
        subprocess.run(
            [debootstrap, "--variant=minbase", include, "bookworm", str(root)], check=True, capture_output=True
        )
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
