"""Processes that append events and send them, and die by SIGKILL: at a chosen operation on a file, or from outside.

Run as a program it is a nursery: it imports everything once, and for each line on its standard input forks a child:

    <run> <endpoints' URLs, comma-separated> <fault> <number>

The fault is `none` (it lives until it is killed), or what happens at the n-th operation that changes a file: `before`
and `after` (it dies there), `half` (a write is cut in the middle, and it dies). It answers with the child's pid, and
with `dead` when it was asked to wait for one (`wait <pid>`). A child writes each event's id into `acknowledged` beside
the root once `append` has returned.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import json
import os
import random
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from backends.notify import sender
from backends.notify.file_log import FileLog
from backends.notify.senders import Senders
from backends.notify.settings import EndpointSettings, NotifySettings, with_keys
from backends.storage.driver import StorageError
from portside.notifying import NoMetrics

SEGMENT_BYTES = 4096
_PR_SET_PDEATHSIG = 1
TASKS = 4
CHANGING = ("pwrite", "write", "writev", "fdatasync", "fsync", "rename", "unlink", "ftruncate", "mkdir")


def settings_of(urls: list[str], *, disk_bytes: int) -> NotifySettings:
    """What a child has configured."""
    names = [f"e{number}" for number in range(len(urls))]
    keys = with_keys(list(zip(names, urls, strict=True)))
    endpoints = [
        EndpointSettings(name, url, key=key, timeout_seconds=2.0, threshold=2, backoff_seconds=0.05)
        for name, url, key in zip(names, urls, keys, strict=True)
    ]
    return NotifySettings(tuple(endpoints), disk_bytes=disk_bytes, segment_bytes=SEGMENT_BYTES)


def _break(fault: str, number: int) -> None:
    """Has the n-th operation that changes a file be the last."""
    count = 0
    if fault == "none":
        return

    def breaking(name: str, call: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **named: Any) -> Any:
            nonlocal count
            if name == "write" and arguments[0] < 3:
                return call(*arguments, **named)
            count += 1
            if count != number:
                return call(*arguments, **named)
            if fault == "half" and name == "pwrite":
                content = bytes(arguments[1])
                call(arguments[0], content[: len(content) // 2], arguments[2])
            elif fault == "after":
                with contextlib.suppress(OSError):
                    call(*arguments, **named)
            os.kill(os.getpid(), signal.SIGKILL)
            return None

        return counted

    for name in CHANGING:
        setattr(os, name, breaking(name, getattr(os, name)))


async def _live(root: Path, run: str, urls: list[str], *, disk_bytes: int, count: int) -> None:
    sender.SAVE_SECONDS = 0.02  # so that many of the kills meet it
    settings = settings_of(urls, disk_bytes=disk_bytes)
    log = FileLog(root, settings)
    await log.prepare()
    acknowledged = os.open(root.parent / "acknowledged", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    generator = random.Random(run)
    write = os.write

    async def append(task: int) -> None:
        for number in range(count):
            ids = [f"{run}.{task}.{number}.{part}" for part in range(generator.choice([1, 1, 1, 3]))]
            more = "x" * generator.choice([0, 10, 300])
            events = [json.dumps({"id": each, "action": "push", "more": more}).encode() for each in ids]
            try:
                await log.append(events)
            except StorageError as error:
                print(f"child: {error}", file=sys.stderr)
                continue
            write(acknowledged, "".join(f"{each}\n" for each in ids).encode())
            log.note(json.dumps({"id": f"{run}.{task}.{number}.p", "action": "pull"}).encode())
            await asyncio.sleep(generator.uniform(0, 0.004))

    sending = asyncio.create_task(Senders(log, settings, NoMetrics()).watch())
    await asyncio.gather(*(append(task) for task in range(TASKS)))
    await sending


def main(root: Path, disk_bytes: int) -> None:
    """The nursery."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    while line := sys.stdin.readline():
        first, *rest = line.split()
        if first == "wait":
            os.waitpid(int(rest[0]), 0)
            sys.stdout.write("dead\n")
        else:
            urls, fault, number, count = rest
            pid = os.fork()
            if pid == 0:
                ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # whatever ends the nursery ends it too
                os.close(0)
                os.close(1)
                _break(fault, int(number))
                asyncio.run(_live(root, first, urls.split(","), disk_bytes=disk_bytes, count=int(count)))
                os._exit(0)
            sys.stdout.write(f"{pid}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
