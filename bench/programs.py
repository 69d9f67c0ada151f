"""The programs that bench/ measures and measures with, found or built; what is missing is told in one sentence."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

SYSTEM_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/usr/local/go/bin", "/usr/lib/go/bin")
INSTALL = {
    "nginx": "apt-get install nginx",
    "docker-registry": "apt-get install docker-registry",
    "go": "apt-get install golang-go",
}


class Hindrance(Exception):  # noqa: N818 - it is no mistake of anybody's
    """What keeps a measurement from being made: one sentence that says what to do."""


@dataclass(frozen=True, slots=True)
class Programs:
    """Paths of everything that is started; "" for a peer's program that no chosen contestant needs."""

    portside: str
    load: str
    nginx: str = ""
    docker_registry: str = ""


def find_programs(folder: Path, *, peers: bool) -> Programs:
    """Finds the peers' programs and Portside, and builds the load generator.

    Args:
        folder: where the load generator is built.
        peers: whether nginx and docker-registry are needed.

    Raises:
        Hindrance: one is missing, or does not build.
    """
    nginx, registry = (_find("nginx"), _find("docker-registry")) if peers else ("", "")
    return Programs(_find_portside(), _build_load(folder), nginx, registry)


def _find(name: str) -> str:
    path = shutil.which(name, path=os.pathsep.join((os.environ.get("PATH", os.defpath), *SYSTEM_FOLDERS)))
    if path is None:
        raise Hindrance(f"{name} is not installed; '{INSTALL[name]}' brings it")
    return path


def _find_portside() -> str:
    path = Path(sys.prefix) / "bin" / "portside"
    if not path.exists():
        raise Hindrance(f"portside is not installed in {sys.prefix}; 'make bench' installs and measures it")
    return str(path)


def _build_load(folder: Path) -> str:
    program = folder / "load"
    sources = Path(__file__).parent / "load"
    built = subprocess.run(
        [_find("go"), "build", "-o", str(program), "."],
        cwd=sources,
        env={**os.environ, "GOTOOLCHAIN": "local", "GOFLAGS": "-mod=mod", "CGO_ENABLED": "0"},
        capture_output=True,
        text=True,
        check=False,
    )
    if built.returncode:
        raise Hindrance(f"the load generator in {sources} does not build: {built.stderr.strip()}")
    return str(program)
