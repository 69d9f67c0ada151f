"""A layer of many GiB through Portside, made as it is sent and hashed as it comes, and how much memory that took."""

from __future__ import annotations

import contextlib
import itertools
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench import proc
from bench.contents import PUSHED, blobs_of
from bench.contestants import Contestant
from bench.floors import PORTSIDE, ROLES
from bench.judging import Verdict
from bench.load import Load
from bench.moving import grown, idle
from bench.peers import make_contestant
from bench.programs import Hindrance, Programs, find_programs
from bench.running import make_credentials
from bench.scale import GIB

IDLE_FLOOR = 65e6
"""Of the largest process, in one process group and in roles."""
GROWTH_FLOOR = 64e6
SEED = 77


def run_size(gib: float, *, place: Path, forms: Sequence[str] = (PORTSIDE, ROLES)) -> Iterator[tuple[str, bool]]:
    """Pushes and pulls one layer through forms of Portside.

    Args:
        gib: the layer's size in GiB.
        forms: which.
        place: where data may lie; it is empty again afterwards.

    Yields:
        a sentence about each form, and whether it keeps the floors of memory.

    Raises:
        Hindrance: there is no room, or an answer was wrong.
    """
    size = int(gib * GIB)
    free = shutil.disk_usage(place).free
    if free < size * 1.1 + GIB:
        raise Hindrance(f"{place} has {free / GIB:.1f} GiB free, too little for {gib:g} GiB; name another with --dir")
    with tempfile.TemporaryDirectory(prefix="portside-size.", dir=place) as name:
        folder = Path(name)
        programs = find_programs(folder, peers=False, distribution=False)
        load = Load(programs.load, folder)
        for form in forms:
            yield _through(form, folder, programs, load, size=size)


def _through(form: str, folder: Path, programs: Programs, load: Load, *, size: int) -> tuple[str, bool]:
    contestant = make_contestant(form, folder, make_credentials(folder), programs)
    with contextlib.ExitStack() as stack:
        stack.callback(shutil.rmtree, contestant.data)
        stack.callback(contestant.stop)
        contestant.start()
        load.measure(contestant, "small", "-path=/v2/", "-seconds=0.3")
        before = idle(contestant)
        for pid in before:
            proc.forget_peak(pid)
        push, pull = _move(contestant, load, size=size)
        largest, growth = max(each.resident for each in before.values()), sum(grown(before))
    kept = largest <= IDLE_FLOOR and growth <= GROWTH_FLOOR
    sentence = (
        f"{form}: {size / GIB:g} GiB pushed at {size / 1e6 / push:.0f} MB/s, pulled at {size / 1e6 / pull:.0f} MB/s;"
        f" idle {largest / 1e6:.0f} MB (floor {IDLE_FLOOR / 1e6:.0f}),"
        f" grew by {growth / 1e6:.1f} MB (floor {GROWTH_FLOOR / 1e6:.0f})"
        f"{'' if kept else ': ' + Verdict.BELOW.value}"
    )
    return sentence, kept


def _move(contestant: Contestant, load: Load, *, size: int) -> tuple[float, float]:
    """Returns the seconds of the push and of the pull, whose bytes are compared with their digest."""
    push = load.measure(contestant, "push", f"-repository={PUSHED}", f"-size={size}", f"-seed={SEED}")
    (digest,) = itertools.islice(blobs_of(contestant), 1)
    pull = load.measure(contestant, "pull", "-verify", f"-path=/v2/{PUSHED}/blobs/{digest}")
    if pull.result.bytes != size:
        raise Hindrance(f"{contestant.name} gave back {pull.result.bytes} of {size} bytes")
    return push.result.seconds, pull.result.seconds
