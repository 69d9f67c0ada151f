"""The real program, started as users start it: in one process, with two workers, or as separate roles.

Each form runs on free loopback ports over a data directory of its own, with a throw-away certificate, and must
end with status 0 when it is asked to. Nothing here imports Portside: its command line and configuration are all
that is used.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import Any, Final

import yaml

from tests.support.certificate import CertificateFiles, make_certificate
from tests.support.ports import free_port
from tests.support.wire import Address, BrokenConnectionError, Call, HttpClient, TlsVersion, Transcript

_READY_S: Final = 30.0
_END_S: Final = 20.0


class Form(Enum):
    """How Portside is run."""

    ONE = "one process"
    TWO = "two workers"
    ROLES = "separate roles"


@dataclass(frozen=True, slots=True)
class RunningPortside:
    """A Portside that answers.

    Attributes:
        address: Where clients go: TLS, with the CA to trust.
        data: The data directory.
        logs: What each process wrote, by role (`serve`, or `v1`, `v2`, `proxy`).
        pids: The process that was started for each role; workers are its children.
    """

    form: Form
    address: Address
    data: Path
    logs: Mapping[str, Path]
    pids: Mapping[str, int]

    def log(self) -> str:
        """Everything that was logged so far."""
        return "\n".join(path.read_text(errors="replace") for path in self.logs.values())


@contextlib.contextmanager
def running_portside(
    form: Form,
    folder: Path,
    more: Mapping[str, Any] | None = None,
    *,
    certificate: CertificateFiles | None = None,
    environment: Mapping[str, str] | None = None,
) -> Iterator[RunningPortside]:
    """Run Portside in a form until the end of the block.

    Args:
        more: Sections of the settings of every process that has a registry.
        certificate: What it shows its clients; None for one of its own.
        environment: Variables beside the tests' own.
        folder: An empty folder for configuration, certificates, data, sockets and logs. Its path must be short
            enough for unix sockets (some 100 characters).

    Raises:
        AssertionError: It did not get ready, or did not end with status 0 after SIGTERM; with the end of its log.
    """
    certificate = certificate or make_certificate(folder)
    data = folder / "data"
    data.mkdir(exist_ok=True)
    port = free_port()
    roles = _roles(form, folder, certificate, port)
    for role, (_, settings) in roles.items():
        if role != "proxy":
            _merge(settings, more or {})
    logs = {role: folder / f"{role}.log" for role in roles}
    address = Address("localhost", port, certificate.ca)
    with contextlib.ExitStack() as stack:
        processes: dict[str, subprocess.Popen[bytes]] = {}
        for role, (arguments, settings) in roles.items():
            config = folder / f"{role}.yml"
            config.write_text(yaml.safe_dump(settings))
            command = [sys.executable, "-m", "portside.cli", role, str(config), *arguments]
            with logs[role].open("wb") as output:
                variables = {**_environment(), **(environment or {})}
                process = subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT, cwd=folder, env=variables)
            stack.callback(_end, process, logs[role])
            processes[role] = process
        _wait_until_ready(address, processes, logs)
        pids = {role: process.pid for role, process in processes.items()}
        yield RunningPortside(form, address, data, logs, pids)


def _merge(settings: dict[str, Any], more: Mapping[str, Any]) -> None:
    """Adds sections to sections."""
    for name, value in more.items():
        if isinstance(value, Mapping) and isinstance(settings.get(name), dict):
            _merge(settings[name], value)
        else:
            settings[name] = value


def _environment() -> dict[str, str]:
    """The tests' own, without variables that would override settings, and with this checkout first."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("REGISTRY_", "PORTSIDE_"))}
    return {**kept, "PYTHONPATH": str(Path(__file__).parents[2])}


def _roles(
    form: Form, folder: Path, certificate: CertificateFiles, port: int
) -> dict[str, tuple[list[str], dict[str, Any]]]:
    """Flags and configuration of each process, in the order of their start."""
    storage = {"filesystem": {"rootdirectory": str(folder / "data")}}
    tls = {"certificate": str(certificate.chain), "key": str(certificate.key)}
    if form is not Form.ROLES:
        settings = {
            "version": 0.1,
            "storage": storage,
            "http": {"addr": f"127.0.0.1:{port}", "tls": tls},
            "gateway": {
                "v1": {"addr": "127.0.0.1:0"},
                "v2": {"addr": "127.0.0.1:0"},
                "metrics": {"addr": "127.0.0.1:0"},
            },
        }
        return {"serve": (["--workers", "1" if form is Form.ONE else "2"], settings)}
    sockets = {role: f"unix:{folder / role}.sock" for role in ("v1", "v2")}
    registries: dict[str, tuple[list[str], dict[str, Any]]] = {
        role: ([], {"version": 0.1, "storage": storage, "http": {"addr": path}, "gateway": {"workers": 1}})
        for role, path in sockets.items()
    }
    proxy = {
        "version": 0.1,
        "http": {"addr": f"127.0.0.1:{port}", "tls": tls},
        "gateway": {"workers": 1, **{role: {"upstream": path} for role, path in sockets.items()}},
    }
    return {**registries, "proxy": ([], proxy)}


def _wait_until_ready(
    address: Address, processes: Mapping[str, subprocess.Popen[bytes]], logs: Mapping[str, Path]
) -> None:
    deadline = time.monotonic() + _READY_S
    while time.monotonic() < deadline:
        for role, process in processes.items():
            assert process.poll() is None, f"portside {role} ended at start:\n{_tail(logs[role])}"
        client = HttpClient(address, Transcript(), newest_tls=TlsVersion.V1_3, says_close=True, timeout_s=5)
        base = f"https://{address.netloc}"
        with contextlib.suppress(BrokenConnectionError):
            pings = [client.send(Call("GET", base + path, "a test")) for path in ("/v2/", "/v1/_ping")]
            if all(answer.status in {200, 401} for answer in pings):  # 401 is a registry with access control
                return
        time.sleep(0.1)
    text = "\n".join(_tail(path) for path in logs.values())
    raise AssertionError(f"Portside was not ready after {_READY_S} s:\n{text}")


def _end(process: subprocess.Popen[bytes], log: Path) -> None:
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
    try:
        status = process.wait(timeout=_END_S)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        raise AssertionError(f"Portside did not end within {_END_S} s of SIGTERM:\n{_tail(log)}") from None
    assert status == 0, f"Portside ended with status {status}:\n{_tail(log)}"


def _tail(path: Path, *, characters: int = 3000) -> str:
    return path.read_text(errors="replace")[-characters:] if path.exists() else ""
