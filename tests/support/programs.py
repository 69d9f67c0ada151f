"""Programs beyond Python that tests run where they are found, and how to install them where they are not."""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.support.certificate import CertificateFiles
from tests.support.ports import free_port
from tests.support.wire import Address

CACHE = Path("/var/cache/portside-tests")
# .ci/run reads this table, so an entry is one line. What lies in a folder is not found by its bare name: dockerd
# starts the containerd that is in its PATH, and must find Debian's.
GO_PROGRAMS = {
    "crane": "github.com/google/go-containerregistry/cmd/crane@v0.21.9",
    "buildkitd": "github.com/moby/buildkit/cmd/buildkitd@v0.12.5",
    "buildctl": "github.com/moby/buildkit/cmd/buildctl@v0.12.5",
    "conformance": "github.com/opencontainers/distribution-spec/conformance@v0.0.0-20260831232431-97274622c111",
    "oras": "oras.land/oras/cmd/oras@v1.3.6",
    "containerd/containerd": "github.com/containerd/containerd/v2/cmd/containerd@v2.4.2",
    "containerd/ctr": "github.com/containerd/containerd/v2/cmd/ctr@v2.4.2",
    "regctl": "github.com/regclient/regclient/cmd/regctl@v0.11.7",
    "registry": "github.com/distribution/distribution/v3/cmd/registry@v3.1.2",
    "token-server": "github.com/docker/distribution/contrib/token-server@v2.8.2+incompatible",
}
DISTRIBUTION = {"2": "docker-registry", "3": "registry"}
"""Its editions that tests compare with: Debian's 2.8.2, and 3.1.2."""

# Where `apt-get install` of the same name is not what brings it.
_INSTALL = {
    **{name: f"GOBIN={(CACHE / 'bin' / name).parent} go install {package}" for name, package in GO_PROGRAMS.items()},
    "go": "apt-get install golang-go",
    "ip": "apt-get install iproute2",
    "systemd-analyze": "apt-get install systemd",
}


def find_program(name: str) -> str:
    """The path of a program, or a skip that says how to install it; `folder/name` lies below our own."""
    path = shutil.which(CACHE / "bin" / name if "/" in name else name)
    if path is None:
        pytest.skip(f"{name} is not installed: {_INSTALL.get(name, f'apt-get install {name}')}")
    return path


def build_go_program(name: str, *, tags: str = "") -> str:
    """The path of a Go program whose source lies in `tests/support/<name>`; built once, kept by its content.

    Raises:
        AssertionError: It does not build; with what the compiler says.
    """
    source = Path(__file__).parent / name
    files = sorted(source.glob("*"))
    key = hashlib.sha256(b"".join(each.read_bytes() for each in files)).hexdigest()[:16]
    program = CACHE / "bin" / f"{name}-{key}"
    if program.exists():
        return str(program)
    go = find_program("go")
    with tempfile.TemporaryDirectory() as folder:  # it writes a go.sum beside the source
        shutil.copytree(source, folder, dirs_exist_ok=True)
        built = subprocess.run(
            [go, "build", "-tags", tags, "-o", str(program), "."],
            cwd=folder,
            env={**os.environ, "CGO_ENABLED": "0", "GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local"},
            capture_output=True,
            text=True,
            check=False,
        )
    assert built.returncode == 0, f"{source} does not build:\n{built.stderr[-3000:]}"
    return str(program)


def wait_for_port(port: int, process: subprocess.Popen[bytes], *, timeout_s: float = 20.0) -> None:
    """Wait until a process listens on a loopback port.

    Raises:
        RuntimeError: It ended instead.
        TimeoutError: It does not listen in time.
    """
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with status {process.returncode}")
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.05)
    raise TimeoutError(f"nothing listens on port {port} after {timeout_s} s")


def wait_for_socket(path: Path, process: subprocess.Popen[bytes], *, timeout_s: float = 20.0) -> None:
    """Wait until a process listens on a unix socket.

    Raises:
        RuntimeError: It ended instead.
        TimeoutError: It does not listen in time.
    """
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"{process.args!r} ended with status {process.returncode}")
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(path))
            return
        time.sleep(0.05)
    raise TimeoutError(f"nothing listens on {path} after {timeout_s} s")


@contextlib.contextmanager
def running(arguments: Sequence[str], log: Path, *, port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run a program until the end of the block; it is ready when it listens on `port`."""
    with log.open("ab") as output:
        process = subprocess.Popen(arguments, stdout=output, stderr=subprocess.STDOUT)
        try:
            wait_for_port(port, process)
            yield process
        finally:
            process.terminate()
            process.wait(timeout=20)


@contextlib.contextmanager
def docker_registry(
    folder: Path, certificate: CertificateFiles | None = None, *, program: str = "docker-registry"
) -> Iterator[Address]:
    """Debian's docker-registry (distribution 2.8) with schema 1 enabled, on data of its own below `folder`.

    `program="registry"` is distribution 3.
    """
    program = find_program(program)
    port = free_port()
    tls = f"\n  tls:\n    certificate: {certificate.chain}\n    key: {certificate.key}" if certificate else ""
    config = folder / "registry.yml"
    config.write_text(
        f"""version: 0.1
log:
  level: info
storage:
  filesystem:
    rootdirectory: {folder / "data"}
http:
  addr: 127.0.0.1:{port}{tls}
compatibility:
  schema1:
    enabled: true
"""
    )
    host = "localhost" if certificate else "127.0.0.1"
    with running([program, "serve", str(config)], folder / "registry.log", port=port):
        yield Address(host, port, certificate.ca if certificate else None)
