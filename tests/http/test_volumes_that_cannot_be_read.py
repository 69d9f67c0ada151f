"""A volume, or a part of it, that another user has shut: commands and servers say so in one sentence."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

NOBODY = 65534
COMMANDS = [
    "inspect team/app",
    "inspect team/app --convert",
    "reindex",
    "migrate plan",
    "migrate run",
    "delete team/app --yes",
    "v1 check",
]


@pytest.fixture
def volume() -> Iterator[Path]:
    """An empty volume of nobody's that nobody may search."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as folder:  # pytest's own are closed to others
        Path(folder).chmod(0o755)
        root = Path(folder, "volume")
        for name in ("images", "repositories", "docker/registry/v2/repositories"):
            (root / name).mkdir(parents=True)
        for path in (root, *root.iterdir()):
            os.chown(path, NOBODY, NOBODY)
        yield root


def as_nobody(words: str, root: Path) -> subprocess.CompletedProcess[str]:
    program = [sys.executable, "-m", "portside.cli", *words.split(), "--data", str(root)]
    return subprocess.run(
        program, capture_output=True, text=True, user=NOBODY, group=NOBODY, extra_groups=[], check=False, timeout=60
    )


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
@pytest.mark.parametrize("words", COMMANDS)
def test_a_command_says_what_it_cannot_read(volume: Path, words: str) -> None:
    os.chown(volume, 0, 0)
    volume.chmod(0o700)
    done = as_nobody(words, volume)
    assert (done.returncode, done.stdout) == (2 if words == "v1 check" else 1, "")
    (line,) = done.stderr.splitlines()
    assert f"cannot be read: Permission denied; run this as the registry's user, or let uid {NOBODY} read it" in line


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_a_server_says_which_part_of_its_volume_it_cannot_read(volume: Path) -> None:
    os.chown(volume / "docker", 0, 0)
    (volume / "docker").chmod(0o700)
    done = as_nobody("v1 --addr 127.0.0.1:0", volume)
    assert done.returncode == 1
    assert f"let uid {NOBODY} read it" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_name_that_no_file_system_takes_is_told() -> None:
    program = [sys.executable, "-m", "portside.cli", "reindex", "--data", "n" * 300]
    done = subprocess.run(program, capture_output=True, text=True, check=False, timeout=60)
    (line,) = done.stderr.splitlines()
    assert (done.returncode, line.endswith("cannot be read: File name too long")) == (1, True)
