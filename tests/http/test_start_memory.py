"""What an idle installation holds in memory: the parent imports, and the workers share its pages."""

from __future__ import annotations

import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest

from tests.support.ports import free_port
from tests.support.programs import wait_for_port

LARGEST = 65e6
"""Bytes that the largest process may hold (RSS)."""
WORKER = 40e6
"""Bytes of each worker, where what is shared counts by its share (PSS)."""
OWN = 16e6
"""Bytes of each worker that it shares with nobody: what it imports by itself, and pages that were written to."""


@pytest.mark.parametrize("workers", [2, 4])
def test_idle_processes_share_what_they_can(tmp_path: Path, workers: int) -> None:
    port = free_port()
    (tmp_path / "portside.yml").write_text(
        f"{{storage: {{filesystem: {{rootdirectory: {tmp_path}/data}}}},"
        f" gateway: {{plain: {{addr: '127.0.0.1:{port}'}}, addr: '127.0.0.1:0', certs: {tmp_path}/certs,"
        f" workers: {workers}, metrics: {{addr: '127.0.0.1:0'}},"
        " v1: {addr: ''}, v2: {addr: ''}}}"
    )
    command = [sys.executable, "-m", "portside.cli", "serve", str(tmp_path / "portside.yml")]
    with (tmp_path / "log").open("wb") as log, subprocess.Popen(command, stderr=log, stdout=log) as process:
        try:
            wait_for_port(port, process)
            for _ in range(8 * workers):
                with urllib.request.urlopen(f"http://127.0.0.1:{port}/v2/", timeout=10) as answer:
                    assert answer.status == 200
            time.sleep(0.5)
            children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
            found = [_memory(pid) for pid in (process.pid, *map(int, children))]
        finally:
            process.terminate()
    assert len(found) == workers + 1
    assert max(each["Rss"] for each in found) < LARGEST
    assert max(each["Pss"] for each in found[1:]) < WORKER
    assert max(each["Private_Dirty"] for each in found[1:]) < OWN


def _memory(pid: int) -> dict[str, int]:
    """Bytes by the names of proc(5), smaps_rollup."""
    lines = (line.split() for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()[1:])
    return {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines}
