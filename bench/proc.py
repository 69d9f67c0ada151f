"""What processes have used, from /proc: CPU, page faults, memory; of whole trees.

Figures are sums over all processes of a contestant, its children included; kernel threads (writing back to disk) are
nobody's here, for all contestants alike.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")
_CPUCLOCK_SCHED = 2  # clock_getcpuclockid(3)
_STAT_BYTES = 4096  # 52 numbers and a name of 64 bytes at most
FORGET_PEAK = "5"  # proc(5), clear_refs: sets the peak of resident memory to what it is now


@dataclass(frozen=True, slots=True)
class Usage:
    """CPU seconds (user and system) and page faults (minor and major)."""

    cpu: float
    faults: int

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.cpu + other.cpu, self.faults + other.faults)

    def __sub__(self, other: Usage) -> Usage:
        return Usage(self.cpu - other.cpu, self.faults - other.faults)


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes of one process: resident now, resident at most, and its share where pages are shared."""

    resident: int
    peak: int
    share: int


def tree(roots: Iterable[int]) -> tuple[int, ...]:
    """Returns the processes and all their descendants that are alive."""
    children: dict[int, list[int]] = {}
    with os.scandir(PROC) as entries:
        pids = [int(entry.name) for entry in entries if entry.name.isdecimal()]
    for pid in pids:
        if fields := _stat(pid):
            children.setdefault(int(fields[1]), []).append(pid)
    found: list[int] = []
    waiting = [pid for pid in roots if _stat(pid)]
    while waiting:
        pid = waiting.pop()
        found.append(pid)
        waiting += children.get(pid, [])
    return tuple(sorted(found))


def usage(pids: Iterable[int]) -> dict[int, Usage]:
    """Returns what each process has used since it began. One that has ended is missing in the answer."""
    found: dict[int, Usage] = {}
    for pid in pids:
        if fields := _stat(pid):
            with contextlib.suppress(OSError):  # it has ended meanwhile
                found[pid] = Usage(time.clock_gettime(_clock(pid)), int(fields[7]) + int(fields[9]))
    return found


def used_between(before: Mapping[int, Usage], after: Mapping[int, Usage]) -> Usage:
    """Returns what all of them used meanwhile; one that began meanwhile counts whole.

    Raises:
        RuntimeError: one of them ended, and what it used is not known.
    """
    if gone := sorted(before.keys() - after.keys()):
        raise RuntimeError(f"server processes ended during a measurement: {gone}")
    return sum((spent - before.get(pid, Usage(0, 0)) for pid, spent in after.items()), Usage(0, 0))


def _clock(pid: int) -> int:
    """The clock of all that a process has used, in nanoseconds, where /proc/PID/stat has hundredths of a second."""
    return (~pid << 3) | _CPUCLOCK_SCHED


def memory(pid: int) -> Memory:
    """Returns the memory of a process that is alive."""
    status = _fields(PROC / str(pid) / "status")
    rollup = _fields(PROC / str(pid) / "smaps_rollup")
    return Memory(status["VmRSS"], status["VmHWM"], rollup["Pss"])


def forget_peak(pid: int) -> None:
    """Lets `Memory.peak` begin anew."""
    (PROC / str(pid) / "clear_refs").write_text(FORGET_PEAK)


def _stat(pid: int) -> list[str]:
    """Fields of /proc/PID/stat from the third one (the state) on; none when there is no such process."""
    try:
        fd = os.open(f"{PROC}/{pid}/stat", os.O_RDONLY)  # every measurement reads those of the whole machine, twice
        try:
            content = os.read(fd, _STAT_BYTES)
        finally:
            os.close(fd)
    except (FileNotFoundError, ProcessLookupError):
        return []
    text = content.decode(errors="replace")
    fields = text[text.rindex(")") + 2 :].split()
    return [] if fields[0] in "ZX" else fields


def _fields(path: Path) -> dict[str, int]:
    """Sizes in bytes by their names."""
    lines = (line.split() for line in path.read_text().splitlines())
    return {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines if len(words) == 3 and words[2] == "kB"}
