"""Tests of one group run one after another in one worker: what exists once on a machine relies on it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
TEST = """
import os, time
from pathlib import Path
import pytest
pytestmark = pytest.mark.xdist_group("{group}")

@pytest.mark.parametrize("number", range(4))
def test_it(number):
    time.sleep(0.05)
    name = "{group}." + os.environ["PYTEST_XDIST_WORKER"] + f".{file}.{{number}}"
    (Path(__file__).parent / name).touch()
"""


def test_a_group_runs_in_one_worker(tmp_path: Path) -> None:
    """pytest 9.2 drops the group that xdist 3.8 writes into a node's id, and everything runs everywhere."""
    flags = ["-n", "3", "--dist", "loadgroup"]
    assert "$(BIN)/pytest -q -n $(JOBS) --dist loadgroup $(ARGS)" in (ROOT / "Makefile").read_text()
    (tmp_path / "pytest.ini").touch()
    for file, group in enumerate(["a", "b", "a", "b", "a", "b"]):
        (tmp_path / f"test_{file}.py").write_text(TEST.format(group=group, file=file))
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST")}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *flags, str(tmp_path)],
        cwd=tmp_path,
        env=kept,
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    for group in "ab":
        ran = [path.name.split(".")[1] for path in tmp_path.glob(f"{group}.*")]
        assert len(ran) == 12
        assert len(set(ran)) == 1, f"group {group} ran in {sorted(set(ran))}"


def test_whatever_shares_the_machine_s_one_dockerd_is_in_its_group() -> None:
    for path in (ROOT / "tests" / "real").glob("test_*.py"):
        text = path.read_text()
        shares = "from tests.real.conftest import" in text
        assert not shares or 'pytest.mark.xdist_group("real")' in text, path


def test_the_gate_runs_what_a_newcomer_types() -> None:
    gate = (ROOT / ".ci" / "run").read_text()
    assert "\ntests() { make test " in gate
    assert "--ignore" not in gate
    assert "-m pytest" not in gate
    assert "bin/pytest" not in gate
