"""The OCI distribution conformance suite, with every switch, against the profile `oci`.

Alone and through the proxy in front of a registry, nothing fails and nothing is skipped.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.ports import free_port
from tests.support.programs import find_program, wait_for_port

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parents[2]


@contextlib.contextmanager
def running(folder: Path, role: str, settings: Mapping[str, Any], port: int) -> Iterator[None]:
    """Runs a role of Portside until the end of the block."""
    config, log = folder / f"{role}.yml", folder / f"{role}.log"
    config.write_text(yaml.safe_dump(dict(settings)))
    kept = {name: value for name, value in os.environ.items() if not name.startswith("REGISTRY_")}
    with log.open("wb") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "portside.cli", role, str(config)],
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
            env={**kept, "PYTHONPATH": str(ROOT)},
        )
    try:
        wait_for_port(port, process)
        yield
    finally:
        process.terminate()
        assert process.wait(timeout=20) == 0, log.read_text()


def run_suite(folder: Path, port: int, version: str) -> tuple[dict[str, int], list[str]]:
    """Runs the suite and returns its totals and the names of what failed."""
    results = folder / "results"
    results.mkdir()
    done = subprocess.run(
        [find_program("conformance")],
        env={
            **os.environ,
            "OCI_REGISTRY": f"localhost:{port}",
            "OCI_TLS": "disabled",
            "OCI_VERSION": version,
            "OCI_DATA_SPARSE": str(version == "dev").lower(),
            "OCI_RESULTS_DIR": str(results),
        },
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        cwd=folder,
        timeout=240,
    )
    reports = list(results.glob("*.xml"))
    assert reports, done.stdout
    suites = ET.parse(reports[0]).getroot()
    totals = {key: int(suites.get(key, "0")) for key in ("tests", "failures", "errors", "skipped")}
    failed = [case.get("name", "") for case in suites.iter("testcase") if case.find("failure") is not None]
    return totals, failed


def registry_settings(folder: Path, port: int, profile: str) -> dict[str, Any]:
    return {
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}, "delete": {"enabled": True}},
        "gateway": {"v2": {"addr": f"127.0.0.1:{port}"}, "profile": profile},
    }


@pytest.mark.parametrize("version", ["1.1", "dev"])
def test_the_suite_passes_whole(tmp_path: Path, version: str) -> None:
    port = free_port()
    with running(tmp_path, "v2", registry_settings(tmp_path, port, "oci"), port):
        totals, failed = run_suite(tmp_path, port, version)
    assert not failed
    assert totals["tests"] > 800
    assert (totals["failures"], totals["errors"], totals["skipped"]) == (0, 0, 0)


def test_the_suite_passes_whole_through_the_proxy_in_front_of_a_registry(tmp_path: Path) -> None:
    behind, port, plain = free_port(), free_port(), free_port()
    front = {
        "gateway": {
            "addr": f"127.0.0.1:{port}",
            "plain": {"addr": f"127.0.0.1:{plain}"},
            "certs": str(tmp_path / "certs"),
            "v2": {"upstream": f"http://127.0.0.1:{behind}"},
        }
    }
    with (
        running(tmp_path, "v2", registry_settings(tmp_path, behind, "oci"), behind),
        running(tmp_path, "proxy", front, plain),
    ):
        totals, failed = run_suite(tmp_path, plain, "dev")
    assert not failed
    assert (totals["failures"], totals["errors"], totals["skipped"]) == (0, 0, 0)
