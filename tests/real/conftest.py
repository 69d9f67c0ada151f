"""Real programs against a real Portside, by a name that is not loopback, its CA trusted properly."""

from __future__ import annotations

import contextlib
import fcntl
import io
import os
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.baseimage import download_wheels, import_base_image
from tests.support.buildkit import BuildKit, running_buildkit
from tests.support.containerd import Containerd, running_containerd
from tests.support.dockerd import Docker, other_address, running_dockerd
from tests.support.leftovers import FOLDER, OTHER_ADDRESS, OTHER_NAME
from tests.support.ports import free_port
from tests.support.programs import find_program
from tests.support.wire import Address

ROOT = Path(__file__).resolve().parents[2]
LOCKS = ("requirements.lock", "requirements-build.lock")


@dataclass(frozen=True, slots=True)
class Served:
    """A running Portside: by a name of its own, and by loopback."""

    host: str
    loopback: str
    ca: Path
    folder: Path
    log: Path

    @property
    def address(self) -> Address:
        """Where replayed clients go."""
        host, _, port = self.loopback.partition(":")
        return Address(host, int(port), self.ca)

    @property
    def certificates(self) -> Path:
        """A folder for programs that take `--cert-dir`."""
        return self.folder / "trust"


@pytest.fixture
def short_folder() -> Iterator[Path]:
    """A folder for podman and buildah: sockets need short paths, and of a layout's path they make an image's name.

    A random name of `tempfile` may end with an underscore, which no image's does.
    """
    folder = Path(tempfile.gettempdir()) / f"p{uuid.uuid4().hex[:8]}"
    folder.mkdir()
    yield folder
    shutil.rmtree(folder)


@pytest.fixture(scope="session")
def alone() -> Iterator[None]:
    """Bridge, name and folder exist once on a machine: a second run at the same time is told so."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    with FOLDER.with_suffix(".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pytest.fail("another run of tests/real is in progress on this machine: wait for its end")
        yield


@pytest.fixture(scope="session")
def served(alone: None) -> Iterator[Served]:
    """`portside serve` with the certificates that it makes itself."""
    folder = FOLDER / "served"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    port = free_port()
    settings = folder / "portside.yml"
    settings.write_text("gateway:\n  v1: {addr: ''}\n  v2: {addr: ''}\n  metrics: {addr: ''}\n")
    places = ["--data", str(folder / "data"), "--certs", str(folder / "certs")]
    names = ["--name", OTHER_NAME, "--name", OTHER_ADDRESS]
    serve = [sys.executable, "-m", "portside.cli", "serve", str(settings), "--addr", f":{port}"]
    log = folder / "log"
    with other_address(OTHER_ADDRESS, OTHER_NAME), contextlib.ExitStack() as stack:
        with log.open("wb") as output:
            process = subprocess.Popen([*serve, *places, *names], stdout=output, stderr=subprocess.STDOUT)
        stack.callback(_end, process)
        deadline = time.monotonic() + 30
        while b"clients must trust" not in log.read_bytes():
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        found = Served(f"{OTHER_NAME}:{port}", f"localhost:{port}", folder / "certs" / "ca.crt", folder, log)
        found.certificates.mkdir()
        shutil.copy(found.ca, found.certificates / "ca.crt")
        yield found


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    assert process.wait(timeout=20) == 0


@pytest.fixture(scope="session")
def docker(alone: None) -> Iterator[Docker]:
    """A daemon of our own."""
    with running_dockerd(FOLDER / "dockerd") as daemon:
        yield daemon


@pytest.fixture
def buildkit(served: Served) -> Iterator[BuildKit]:
    """A buildkitd of our own that has built nothing."""
    with running_buildkit(FOLDER / "buildkit", served.host, served.ca) as running:
        yield running


@pytest.fixture(scope="session")
def containerd(alone: None) -> Iterator[Containerd]:
    """A containerd 2 of our own."""
    with running_containerd(FOLDER / "containerd") as running:
        yield running


@contextlib.contextmanager
def trusted(host: str, ca: Path, folder: Path = Path("/etc/docker/certs.d")) -> Iterator[None]:
    """Puts a CA where dockerd (or podman) looks for it, until the end of the block."""
    place = folder / host
    place.mkdir(parents=True, exist_ok=True)
    shutil.copy(ca, place / "ca.crt")
    try:
        yield
    finally:
        shutil.rmtree(place)


def small_image(docker: Docker, name: str) -> None:
    """Makes an image with one layer of random bytes."""
    content = io.BytesIO()
    with tarfile.open(fileobj=content, mode="w") as tar:
        entry = tarfile.TarInfo("data")
        data = os.urandom(300_000)
        entry.size = len(data)
        tar.addfile(entry, io.BytesIO(data))
    docker.load(content.getvalue(), name)


@pytest.fixture(scope="session")
def base_image(docker: Docker) -> str:
    """A base image with Python, in the daemon."""
    return import_base_image(docker)


@pytest.fixture(scope="session")
def wheels(docker: Docker, base_image: str) -> Path:
    """A folder with all that the image is built of."""
    return download_wheels(docker, base_image, [ROOT / lock for lock in LOCKS])


def copy_tree(folder: Path, wheels: Path | None) -> Path:
    """Copies what an image is built from, as a fresh clone has it, with wheels handed in or without."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    for name in ("compose", "portside", "proxy", "backends"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", "*.whl"))
    for name in (*LOCKS, "pyproject.toml", "README.md", ".env", ".dockerignore"):
        shutil.copy(ROOT / name, folder / name)
    if wheels is not None:
        shutil.copytree(wheels, folder / "compose" / "wheels", dirs_exist_ok=True)
    return folder


def curl(*arguments: str, check: bool = True) -> str:
    """Runs curl and returns head and body of the answer, lines ended alike; or its error with its status."""
    done = subprocess.run(
        [find_program("curl"), "-sS", "-i", "--max-time", "30", *arguments],
        env={name: value for name, value in os.environ.items() if name != "CURL_CA_BUNDLE"},
        capture_output=True,
        text=True,
        check=False,
    )
    if check and done.returncode:
        raise AssertionError(f"curl {' '.join(arguments)} ended with {done.returncode}: {done.stderr}")
    return done.stdout if done.returncode == 0 else f"status {done.returncode}: {done.stderr}"
