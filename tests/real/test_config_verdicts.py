"""distribution 2.8.2 and 3.1.2 start or refuse as the table says that Portside is compared with."""

from __future__ import annotations

import os
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.config_verdicts import PROGRAMS, Case, read_cases
from tests.support.ports import free_port
from tests.support.programs import find_program, wait_for_port

pytestmark = [pytest.mark.real, pytest.mark.timeout(300)]

SETTLED_S = 0.2
"""A registry that cannot do what its settings ask for may end just after it has begun to listen."""


def starts(program: str, case: Case, folder: Path) -> bool:
    folder.mkdir()
    port = free_port()
    text, environment = case.placed(folder, port)
    path = folder / "config.yml"
    path.write_text(text)
    environment |= {"PATH": os.environ["PATH"], "HOME": str(folder), "OTEL_TRACES_EXPORTER": "none"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, "serve", path], cwd=folder, env=environment, stdout=log, stderr=log)
        try:
            wait_for_port(port, process)
            time.sleep(SETTLED_S)
        except RuntimeError:
            return False
        else:
            return process.poll() is None
        finally:
            process.kill()
            process.wait(20)


@pytest.mark.parametrize("name", PROGRAMS)
def test_distribution_starts_or_refuses_as_the_table_says(tmp_path: Path, name: str) -> None:
    program = find_program(name)
    cases = read_cases()
    with ThreadPoolExecutor(4) as pool:
        found = pool.map(lambda each: starts(program, each[1], tmp_path / str(each[0])), enumerate(cases))
        verdicts = {case.name: verdict for case, verdict in zip(cases, found, strict=True)}
    assert verdicts == {case.name: case.starts[name] for case in cases}
