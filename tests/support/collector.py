"""distribution's own garbage collector: Debian's 2.8.2."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

from tests.support.programs import find_program


def collect(root: Path, *flags: str) -> str:
    """Lets distribution collect what it takes for garbage; returns what it says."""
    config = root.parent / "distribution.yml"
    config.write_text(json.dumps({"version": "0.1", "storage": {"filesystem": {"rootdirectory": str(root)}}}))
    program = find_program("docker-registry")
    run = subprocess.run(
        [program, "garbage-collect", *flags, str(config)], capture_output=True, text=True, check=False, timeout=60
    )
    assert run.returncode == 0, run.stdout + run.stderr
    return run.stdout
