"""The programs that bench/ measures and measures with, found or built; what is missing is told in one sentence."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

SYSTEM_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/usr/local/go/bin", "/usr/lib/go/bin")
INSTALL = {
    "nginx": "apt-get install nginx",
    "docker-registry": "apt-get install docker-registry",
    "go": "apt-get install golang-go",
    "registry": "GOBIN=/usr/local/bin go install github.com/distribution/distribution/v3/cmd/registry@v3.1.2",
}


class Hindrance(Exception):  # noqa: N818 - it is no mistake of anybody's
    """What keeps a measurement from being made: one sentence that says what to do."""


class Unavailable(Hindrance):
    """What keeps one row from being measured on this machine; others can be."""


@dataclass(frozen=True, slots=True)
class Programs:
    """Paths of everything that is started; "" for what no chosen contestant needs.

    Attributes:
        portside: this checkout's.
        before: an earlier build's.
        distribution: the registry of its third generation.
    """

    portside: str
    load: str
    nginx: str = ""
    docker_registry: str = ""
    before: str = ""
    distribution: str = ""

    def earlier(self) -> Programs:
        """Returns the same with the earlier build in the place of this one."""
        return replace(self, portside=self.before)


def find_programs(folder: Path, *, peers: bool, distribution: bool, before: Path | None = None) -> Programs:
    """Finds the peers' programs and Portside, and builds the load generator.

    Args:
        folder: where the load generator is built.
        peers: whether nginx and docker-registry are needed.
        distribution: whether distribution 3 is.
        before: the checkout of an earlier build that is measured too.

    Raises:
        Hindrance: one is missing, or does not build.
    """
    nginx, registry = (_find("nginx"), _find("docker-registry")) if peers else ("", "")
    third = _find("registry") if distribution else ""
    load = _build_load(folder)
    if before is None:
        return Programs(_find_portside(), load, nginx, registry, distribution=third)
    # Two builds are compared only when both are started in the same way.
    here = Path(__file__).resolve().parents[1]
    started = (_launcher(folder / "run-this", here), _launcher(folder / "run-before", before))
    return Programs(started[0], load, nginx, registry, started[1], third)


def _launcher(path: Path, checkout: Path) -> str:
    """Writes a program that runs Portside as it is in a checkout, with this interpreter and its packages."""
    if not (checkout / "portside" / "cli.py").is_file():
        raise Hindrance(f"{checkout} is not a checkout of Portside: it has no portside/cli.py")
    start = f"import sys; sys.path[0] = {str(checkout.resolve())!r}; from portside.cli import main; main()"
    path.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -c {shlex.quote(start)} "$@"\n')
    path.chmod(0o755)
    return str(path)


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
