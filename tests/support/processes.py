"""Processes as the kernel tells of them: whose children they are, and which of them works."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path


def descendants(pid: int) -> list[int]:
    """A process's children, their children, and so on."""
    found = _children(pid)
    for child in found:  # grows while it is read
        found += _children(child)
    return found


def busiest(pids: Iterable[int], *, seconds: float) -> int:
    """The process that used most CPU time of all during the next seconds."""
    before = {pid: cpu_seconds(pid) for pid in pids}
    time.sleep(seconds)
    return max(before, key=lambda pid: cpu_seconds(pid) - before[pid])


def cpu_seconds(pid: int) -> float:
    """What a process has used so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def peak_mib(pids: Iterable[int]) -> int:
    """The most that any process of these, or of their descendants, has held in memory at once, in MiB."""
    return max(_peak(pid) for pid in _families(pids))


def forget_peaks(pids: Iterable[int]) -> None:
    """Peaks are counted from now on."""
    for pid in _families(pids):
        Path(f"/proc/{pid}/clear_refs").write_text("5")


def _families(pids: Iterable[int]) -> list[int]:
    return [member for pid in pids for member in (pid, *descendants(pid))]


def _children(pid: int) -> list[int]:
    return [int(child) for task in Path(f"/proc/{pid}/task").glob("*/children") for child in task.read_text().split()]


def _peak(pid: int) -> int:
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) // 1024 for line in lines if line.startswith("VmHWM"))
