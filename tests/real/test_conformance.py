"""The OCI distribution conformance suite, with every switch, against both profiles.

In `oci`, alone and through the proxy in front of a registry, nothing fails and nothing is skipped. In `distribution`
fails what its rules refuse, and nothing else. The run's end shows the totals.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.ports import free_port
from tests.support.programs import find_program, wait_for_port

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

ROOT = Path(__file__).resolve().parents[2]
Record = Callable[[str, object], None]

REFUSED_BY_DISTRIBUTION = ("sparse", "non-distributable-layers")
"""It takes manifests only with all that they name, and addresses elsewhere only where they are allowed."""
WITH_A_MANIFEST = (
    "push/manifest-by-digest",
    "push/manifest-by-tag",
    "tag-list",
    "head/manifest-head-by-tag",
    "head/manifest-head-by-digest",
    "pull/manifest-by-tag",
    "pull/manifest-by-digest",
)
"""Steps of the suite with an image: what it does with blobs alone passes."""


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
    cases = [(case.get("name", ""), case.get("status")) for case in suites.iter("testcase")]
    assert {status for _, status in cases} <= {"passed", "failure", "error", "skipped"}, "a suite of another format"
    # The suite counts no test whose parts have failed.
    return totals, [name.partition("/")[2] for name, status in cases if status in {"failure", "error"}]


def report(record: Record, what: str, totals: Mapping[str, int]) -> None:
    """Has the end of the run show totals."""
    wrong = totals["failures"] + totals["errors"] + totals["skipped"]
    parts = ", ".join(f"{totals[key]} {key}" for key in ("failures", "errors", "skipped"))
    record("shown at the end", f"conformance, {what}: {totals['tests'] - wrong} of {totals['tests']} passed, {parts}")


def registry_settings(folder: Path, port: int, profile: str) -> dict[str, Any]:
    return {
        "storage": {"filesystem": {"rootdirectory": str(folder / "data")}, "delete": {"enabled": True}},
        "gateway": {"v2": {"addr": f"127.0.0.1:{port}"}, "profile": profile},
    }


@pytest.mark.parametrize("version", ["1.1", "dev"])
def test_the_suite_passes_whole(tmp_path: Path, version: str, record_property: Record) -> None:
    port = free_port()
    with running(tmp_path, "v2", registry_settings(tmp_path, port, "oci"), port):
        totals, failed = run_suite(tmp_path, port, version)
    report(record_property, f"profile oci, version {version}", totals)
    assert not failed
    assert totals["tests"] > 800
    assert (totals["failures"], totals["errors"], totals["skipped"]) == (0, 0, 0)


def test_the_other_profile_fails_where_its_rules_refuse_a_manifest(tmp_path: Path, record_property: Record) -> None:
    port = free_port()
    with running(tmp_path, "v2", registry_settings(tmp_path, port, "distribution"), port):
        totals, failed = run_suite(tmp_path, port, "dev")
    report(record_property, "profile distribution, version dev", totals)
    assert set(failed) == {f"{images}/{what}" for images in REFUSED_BY_DISTRIBUTION for what in WITH_A_MANIFEST}
    assert (totals["errors"], totals["skipped"]) == (0, 0)


def test_the_suite_passes_whole_through_the_proxy_in_front_of_a_registry(
    tmp_path: Path, record_property: Record
) -> None:
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
    report(record_property, "profile oci, version dev, through the proxy", totals)
    assert not failed
    assert (totals["failures"], totals["errors"], totals["skipped"]) == (0, 0, 0)
