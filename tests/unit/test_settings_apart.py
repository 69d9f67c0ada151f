from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from portside.problems import Problem
from portside.settings.apart import Reading, begin_reading
from portside.settings.loading import load_settings
from portside.settings.settings import Role
from tests.support.ports import free_port
from tests.support.programs import wait_for_port

EVERY_KIND = """
version: 0.1
log: {level: debug, fields: {service: registry}}
storage: {filesystem: {rootdirectory: /tmp/x}, delete: {enabled: true}}
http:
  addr: 127.0.0.1:5000
  headers: {X-Content-Type-Options: [nosniff]}
validation:
  manifests: {urls: {allow: ["^https://a/"], deny: [x]}, indexes: {platforms: list, platformlist: [{os: linux}]}}
gateway: {trustedproxies: [10.0.0.0/8, fd00::/8], names: [registry.example], v1: {upstream: "http://127.0.0.1:9"}}
"""


@pytest.mark.parametrize("role", list(Role))
def test_what_the_child_reads_is_what_this_process_would(tmp_path: Path, role: Role) -> None:
    path = tmp_path / "config.yml"
    path.write_text(EVERY_KIND)
    here = load_settings(role, path, os.environ, {"data": str(tmp_path)})
    for read in (
        Reading(role, path, {"data": str(tmp_path)}).wait(),
        begin_reading(role, path, {"data": str(tmp_path)})(),
    ):
        assert read == here
        assert read.values == here.values


def test_mistakes_are_told_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    path.write_text("{log: {level: loud}, http: {host: x}}")
    with pytest.raises(Problem) as here:
        load_settings(Role.SERVE, path, os.environ, {})
    for role in Role:
        with pytest.raises(Problem) as there:
            begin_reading(role, path, {})()
        assert str(there.value) == str(here.value)


def test_a_child_that_is_killed_is_told(tmp_path: Path) -> None:
    path = tmp_path / "config.yml"
    os.mkfifo(path)  # nobody writes it
    reading = Reading(Role.SERVE, path, {})
    os.kill(reading._child, signal.SIGKILL)
    with pytest.raises(Problem, match=r"ended by signal SIGKILL: free memory"):
        reading.wait()


def test_what_fails_in_the_child_is_shown_with_its_traceback(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "portside.settings.loading", None)  # an installation that is broken
    with pytest.raises(RuntimeError, match=r"reading the settings failed:\nTraceback[\s\S]*portside.settings.loading"):
        Reading(Role.SERVE, None, {}).wait()


def test_what_checks_the_settings_is_not_in_the_processes_that_serve(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "portside.cli", "serve", "--addr", f"127.0.0.1:{port}", "--workers", "1"]
    with (
        (tmp_path / "log").open("wb") as log,
        subprocess.Popen(
            [*command, "--data", str(tmp_path / "data"), "--certs", str(tmp_path / "certs")], stderr=log, stdout=log
        ) as process,
    ):
        try:
            wait_for_port(port, process)
            assert "aiohttp" in (maps := Path(f"/proc/{process.pid}/maps").read_text())
            assert "pydantic" not in maps
        finally:
            process.terminate()
