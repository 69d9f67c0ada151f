"""One whole run: servers up, contents in, answers compared, rows measured, servers down."""

from __future__ import annotations

import contextlib
import itertools
import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench.contents import check, make_contents, put_image
from bench.contestants import Credentials, started_together
from bench.ext4 import spread
from bench.floors import DISTRIBUTION, REFERENCE, STATIC
from bench.judging import Row
from bench.load import Load
from bench.peers import make_contestant
from bench.programs import Hindrance, Unavailable, find_programs
from bench.rows import Bench, kind_of, measure_row
from bench.scale import GIB, Scale
from bench.table import Line, lines_of
from portside.tls.certificates import ensure_certificates


def run_bench(
    rows: Sequence[Row], contestants: Sequence[str], scale: Scale, *, place: Path, before: Path | None = None
) -> tuple[list[Line], list[str]]:
    """Measures rows; returns their lines, and a sentence for each row that cannot be measured on this machine.

    Args:
        rows: which.
        contestants: their names, in the table's order.
        scale: how much.
        place: where data may lie; it is empty again afterwards.
        before: the checkout of an earlier build, where one is a contestant.

    Raises:
        Hindrance: a program is missing, or an answer was wrong.
    """
    with opened(contestants, scale, place=place, before=before) as bench:
        lines: list[Line] = []
        left_out: list[str] = []
        for _, alike in itertools.groupby(rows, key=kind_of):
            with contextlib.closing(bench.shared):
                for row in alike:
                    begun = time.perf_counter()
                    try:
                        samples = measure_row(bench, row)
                    except Unavailable as why:
                        left_out.append(f"row {row.name} was left out: {why}")
                        continue
                    tell(f"{row.title} ({time.perf_counter() - begun:.0f} s)")
                    lines += [line for metric in row.metrics for line in lines_of(metric, samples[metric.key])]
        return lines, left_out


@contextlib.contextmanager
def opened(contestants: Sequence[str], scale: Scale, *, place: Path, before: Path | None = None) -> Iterator[Bench]:
    """Starts contestants, gives them the contents and compares their answers; ends them after the block."""
    free = shutil.disk_usage(place).free
    if free < scale.room:
        raise Hindrance(
            f"{place} has {free / GIB:.1f} GiB free, and {scale.room / GIB:.1f} are needed; name another with --dir"
        )
    with tempfile.TemporaryDirectory(prefix="portside-bench.", dir=place) as name, contextlib.ExitStack() as stack:
        folder = Path(name)
        stack.callback(_empty, folder)
        spread(folder)
        programs = find_programs(
            folder,
            peers=bool({REFERENCE, STATIC} & set(contestants)),
            distribution=DISTRIBUTION in contestants,
            before=before,
        )
        credentials = make_credentials(folder)
        load = Load(programs.load, folder)
        contents = make_contents(load, large=scale.large, several=scale.pulled_each)
        running = [make_contestant(each, folder, credentials, programs) for each in contestants]
        stack.enter_context(started_together(running))
        for contestant in running:
            begun = time.perf_counter()
            put_image(contestant, contents, load)
            spoken, count = check(contestant, contents, load), len(contestant.pids())
            seconds = time.perf_counter() - begun
            tell(f"{contestant.name} answers rightly, over {spoken}, with {count} processes ({seconds:.0f} s)")
        yield Bench(running, contents, load, scale, programs, credentials, folder)


def make_credentials(folder: Path) -> Credentials:
    """Makes a throw-away CA and a P-256 certificate of 127.0.0.1 and localhost, once for each folder."""
    made = ensure_certificates(folder / "certs")
    assert made.ca is not None
    return Credentials(made.ca, made.certificate, made.key)


def machine(place: Path) -> str:
    """Returns in one line where this was measured."""
    cores = len(os.sched_getaffinity(0))
    python = f"Python {platform.python_version()} of {sys.base_prefix}"  # how it was compiled is a fifth of all CPU
    return f"{cores} cores, Linux {platform.release()}, {python}, data on {_mounted(place)}"


def tell(sentence: str) -> None:
    """Says what is going on, to whoever waits."""
    print(sentence, file=sys.stderr, flush=True)


def _empty(folder: Path) -> None:
    """Removes tens of thousands of files and folders, in half of the time that Python takes."""
    subprocess.run(["rm", "-rf", "--", *folder.iterdir()], check=True)


def _mounted(place: Path) -> str:
    """The type of the file system that holds a folder."""
    best, kind = "", "an unknown file system"
    for line in Path("/proc/mounts").read_text().splitlines():
        _, point, found, *_ = line.split()
        if place.resolve().is_relative_to(point) and len(point) >= len(best):
            best, kind = point, found
    return kind
