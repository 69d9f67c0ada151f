"""The v1 registry that Portside replaces, docker-registry 0.9.1, run as it was in 2015: Python 2.7, gunicorn, gevent.

Where a Python 2.7 with pip is found (pyenv's versions, then PATH) its packages are installed once, from the package
index, into a folder of the tests' cache; elsewhere the tests that want it are skipped with the reason.

M2Crypto is the one package that is not of its time: 0.22.3, which 0.9.1 asks for, is not built by today's SWIG and
OpenSSL. It is used for `privileged_key` alone.
"""

from __future__ import annotations

import contextlib
import fcntl
import functools
import hashlib
import http.client
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import pytest

from tests.support.ports import free_port
from tests.support.programs import CACHE, wait_for_port

PACKAGES: Final = (
    "docker-registry==0.9.1",
    "docker-registry-core==2.0.3",
    "Flask==0.10.1",
    "Flask-Cors==1.10.3",
    "Werkzeug==0.10.4",
    "Jinja2==2.7.3",
    "MarkupSafe==1.1.1",
    "itsdangerous==0.24",
    "gunicorn==19.1.1",
    "gevent==1.0.2",
    "greenlet==0.4.17",
    "SQLAlchemy==0.9.4",
    "PyYAML==3.11",
    "requests==2.3.0",
    "M2Crypto==0.38.0",
    "typing==3.10.0.0",
    "backports.lzma==0.0.3",
    "blinker==1.3",
    "boto==2.34.0",
    "redis==2.10.3",
    "simplejson==3.6.2",
    "six==1.16.0",
)
NOT_HERE: Final = "docker-registry 0.9.1 does not run here: "
"""How a skip begins that is allowed everywhere (`tests/conftest.py`): not every system has a Python 2.7 any more."""

_BUILT_WITH: Final = "gcc swig libssl-dev liblzma-dev"
_GUNICORN: Final = "from gunicorn.app.wsgiapp import run; run()"
_INSTALL_S: Final = 540.0
_TRIED_AGAIN_S: Final = 600.0
_READY_S: Final = 30.0
_END_S: Final = 10.0


@functools.cache
def find_python_2_7() -> Path:
    """The path of a Python 2.7 that has pip and TLS, or a skip."""
    versions = Path(os.environ.get("PYENV_ROOT") or Path.home() / ".pyenv") / "versions"
    found = [*sorted(versions.glob("2.7*/bin/python2.7"), reverse=True)]
    if (in_path := shutil.which("python2.7")) is not None:
        found.append(Path(in_path))
    for python in found:
        asked = subprocess.run(
            [python, "-c", "import pip, ssl"], env=original_environment(), capture_output=True, check=False, timeout=30
        )
        if asked.returncode == 0:
            return python
    pytest.skip(f"{NOT_HERE}no Python 2.7 with pip is installed (pyenv install 2.7.18)")


def original_environment(base: Path | None = None) -> dict[str, str]:
    """What a Python 2.7 is started with: nothing of ours is in its path, and none of our variables are its settings."""
    passed = ("PATH", "HOME", "LANG", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE")
    kept = {name: value for name, value in os.environ.items() if name in passed or name.startswith("PIP_")}
    return {**kept, "TZ": "UTC", "PYTHONWARNINGS": "ignore", **({"PYTHONUSERBASE": str(base)} if base else {})}


@functools.cache
def install_packages() -> Path:
    """Installs its packages where they are not yet; returns the folder, its Python's PYTHONUSERBASE.

    A skip says why they cannot be had; the reason is kept for the other tests of this process.
    """
    if (reason := _why_not()) is not None:
        pytest.skip(NOT_HERE + reason)
    return _folder()


def _folder() -> Path:
    key = hashlib.sha256("\n".join([str(find_python_2_7()), *PACKAGES]).encode()).hexdigest()[:16]
    return CACHE / f"docker-registry-0.9.1-{key}"


@functools.cache
def _why_not() -> str | None:
    """Installs the packages; returns why they are not there."""
    folder = _folder()
    if folder.exists():
        return None
    try:
        CACHE.mkdir(parents=True, exist_ok=True)
        lock = (CACHE / f"{folder.name}.lock").open("w")
    except OSError as error:
        return f"its packages cannot be kept: {error}"
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        return None if folder.exists() else _install(folder)  # another process may have made it meanwhile


def _install(folder: Path) -> str | None:
    """Installs the packages; a failure is told to whoever asks within ten minutes, without a second try."""
    failed = folder.with_suffix(".failed")
    if failed.exists() and time.time() - failed.stat().st_mtime < _TRIED_AGAIN_S:
        return failed.read_text()
    reason = _pip(folder)
    if reason is not None:
        failed.write_text(reason)
    return reason


def _pip(folder: Path) -> str | None:
    partial = folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    options = ["--user", "--no-deps", "--no-cache-dir", "--disable-pip-version-check", "--retries", "1"]
    try:
        done = subprocess.run(
            [find_python_2_7(), "-m", "pip", "install", *options, *PACKAGES],
            env=original_environment(partial),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
            timeout=_INSTALL_S,
        )
    except subprocess.TimeoutExpired:
        return f"its packages are not installed after {_INSTALL_S:.0f} s"
    if done.returncode != 0:
        told = done.stdout.decode(errors="replace")[-600:]
        return f"its packages cannot be installed (they want {_BUILT_WITH}): {told}"
    partial.rename(folder)
    return None


@dataclass(slots=True)
class OriginalRegistry:
    """docker-registry 0.9.1 on a loopback port.

    Attributes:
        folder: its working folder, for its log and its search database.
        root: the volume, its STORAGE_PATH.
        variables: of its environment, by which its own `config_sample.yml` is set, beside or instead of those that
            every test wants; `DOCKER_REGISTRY_CONFIG` names another file.
        workers: of gunicorn.
    """

    folder: Path
    root: Path
    variables: Mapping[str, str] = field(default_factory=dict)
    workers: int = 2
    port: int = field(default_factory=free_port)
    _process: subprocess.Popen[bytes] | None = None

    @property
    def authority(self) -> str:
        return f"127.0.0.1:{self.port}"

    @property
    def log(self) -> Path:
        return self.folder / "docker-registry.log"

    @property
    def pid(self) -> int:
        """Of the process whose children are the workers; it is the id of their group."""
        assert self._process is not None
        return self._process.pid

    def start(self) -> None:
        """Starts it and waits until it answers; it keeps its port.

        gunicorn is run as its own start script does, but for `--reload` and `--max-requests 100`: workers that end in
        the middle of a test would be a difference of their own.

        Raises:
            RuntimeError: It ended, or does not answer; with its log.
        """
        base, python = install_packages(), find_python_2_7()
        self.root.mkdir(parents=True, exist_ok=True)
        always = {
            "DOCKER_REGISTRY_CONFIG": "config_sample.yml",
            "SETTINGS_FLAVOR": "local",
            "STORAGE_PATH": str(self.root),
            "SEARCH_BACKEND": "sqlalchemy",
            "SQLALCHEMY_INDEX_DATABASE": f"sqlite:///{self.folder / 'search.db'}",
        }
        served = ["-k", "gevent", "-w", str(self.workers), "-b", self.authority, "-t", "3600"]
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [python, "-c", _GUNICORN, *served, "docker_registry.wsgi:application"],
                cwd=self.folder,
                env={**original_environment(base), **always, **self.variables},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        try:
            wait_for_port(self.port, self._process, timeout_s=_READY_S)
            self._wait_for_answer()
        except (RuntimeError, TimeoutError) as error:
            self.end()
            raise RuntimeError(f"{error}:\n{self.log.read_text(errors='replace')[-3000:]}") from error

    def _wait_for_answer(self) -> None:
        deadline = time.monotonic() + _READY_S
        while time.monotonic() < deadline:
            with (
                contextlib.suppress(OSError, http.client.HTTPException),
                contextlib.closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=5)) as connection,
            ):
                connection.request("GET", "/_ping")
                if connection.getresponse().status == 200:
                    return
            time.sleep(0.1)
        raise TimeoutError(f"nothing answers on port {self.port} after {_READY_S:.0f} s")

    def kill(self) -> None:
        """Ends it at once, with its workers, as a crash would."""
        assert self._process is not None
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()

    def end(self) -> None:
        """Asks it to end; what is left of it after a while is killed."""
        if self._process is None:
            return
        self._process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=_END_S)
        self.kill()


@contextlib.contextmanager
def docker_registry_0_9_1(
    folder: Path, *, root: Path | None = None, variables: Mapping[str, str] | None = None, workers: int = 2
) -> Iterator[OriginalRegistry]:
    """Runs one until the end of the block, over `root` or a fresh volume below `folder`; or a skip."""
    install_packages()
    folder.mkdir(parents=True, exist_ok=True)
    registry = OriginalRegistry(folder, root or folder / "registry", variables or {}, workers)
    registry.start()
    try:
        yield registry
    finally:
        registry.end()
