"""Memory while much is moved: how far the processes go above what they had when they were idle."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Mapping

from bench import proc
from bench.contents import PUSHED, Contents
from bench.contestants import Contestant
from bench.load import Load
from bench.scale import CLIENTS


def idle(contestant: Contestant) -> dict[int, proc.Memory]:
    """Returns the memory of each of its processes, now."""
    return {pid: proc.memory(pid) for pid in contestant.pids()}


def grown(before: Mapping[int, proc.Memory]) -> list[int]:
    """Returns by how many bytes each process has exceeded its idle size since `proc.forget_peak`."""
    return [proc.memory(pid).peak - memory.resident for pid, memory in before.items()]


def move(contestant: Contestant, contents: Contents, load: Load, *, each: int, seeds: Iterator[int]) -> None:
    """Lets 32 clients move `each` bytes apiece, all at once: half of them pull, half of them push.

    Raises:
        Hindrance: an answer was wrong.
    """
    half = CLIENTS // 2
    pushed = [f"-seed={seed}" for seed in itertools.islice(seeds, half)]
    with contextlib.ExitStack() as stack:
        runs = [
            stack.enter_context(load.run(contestant, verb, *arguments))
            for verb, arguments in (
                ("pull", [f"-path={contents.large.path}", f"-clients={half}", f"-bytes={each}"]),
                ("push", [f"-repository={PUSHED}", f"-size={each}", *pushed]),
            )
        ]
        for run in runs:
            run.begin()
        for run in runs:
            run.result()
