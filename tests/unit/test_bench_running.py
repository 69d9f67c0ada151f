"""A whole run of bench/, of one short row; and how much a quick one measures."""

from __future__ import annotations

import dataclasses
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from bench.ext4 import is_spread, spread
from bench.programs import SYSTEM_FOLDERS
from bench.scale import FULL, QUICK, Scale

ROUNDS = {"rounds", "small_rounds", "pair_rounds", "image_rounds", "costly_rounds"}
_ROOT = Path(__file__).parents[2]


def test_a_run_says_how_long_it_took_and_leaves_nothing_behind(tmp_path: Path) -> None:
    chosen = ["--quick", "--contestants", "portside", "--only", "start", "--rounds", "1"]
    found = subprocess.run(
        [sys.executable, "-m", "bench", *chosen, "--dir", str(tmp_path)],
        cwd=_ROOT,
        env={**os.environ, "PATH": os.pathsep.join((os.environ["PATH"], *SYSTEM_FOLDERS))},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )
    assert re.search(r"^cold start to first answer +ms +\d", found.stdout, re.MULTILINE), found.stderr
    said = found.stderr.splitlines()[-1]
    assert re.fullmatch(r"bench: 1 row took \d+ s", said), found.stderr
    assert list(tmp_path.iterdir()) == []


def test_folders_of_a_run_lie_apart_where_that_can_be_said(tmp_path: Path) -> None:
    try:
        assert not is_spread(tmp_path)
    except OSError:  # no such thing on this file system: then nothing happens
        spread(tmp_path)
    else:
        spread(tmp_path)
        on_ext4 = subprocess.check_output(["stat", "-f", "-c", "%T", tmp_path], text=True).startswith("ext")
        assert is_spread(tmp_path) or not on_ext4


@pytest.mark.parametrize("scale", [FULL, QUICK], ids=lambda scale: scale.name)
def test_so_many_rounds_are_of_everything_that_has_rounds(scale: Scale) -> None:
    once = dataclasses.asdict(scale.of_rounds(1))
    assert {name for name in once if name.endswith("rounds")} == ROUNDS
    assert once == {**dataclasses.asdict(scale), **dict.fromkeys(ROUNDS, 1)}


def test_a_quick_run_measures_less_of_everything_and_something_of_it() -> None:
    full, quick = ({**dataclasses.asdict(scale), "name": 1} for scale in (FULL, QUICK))
    assert all(0 < quick[name] <= full[name] for name in full)
    assert FULL.warming == 1, "what a full run measures does not depend on it"
