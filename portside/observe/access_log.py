"""The access log: one line a request, formatted by hand, collected and written in batches by a thread.

The form is nginx's combined one, with duration, route and reason at the end:
`127.0.0.1 - - [24/Nov/2026:09:00:00 +0000] "GET /v2/ HTTP/1.1" 200 2 "-" "docker/24.0.7" 0.0004 v2 "docker 24.0.7 ..."`

Invariant: a request is one line, whole, whatever a client sends and however many workers write to one pipe; and the
event loop never waits for whoever reads.
"""

from __future__ import annotations

import asyncio
import os
import queue
import re
import select
import stat
import threading
import time
from collections.abc import Iterator

from portside.observe.logging import escaped

FLUSH_SECONDS = 0.2
STOP_SECONDS = 1.0
MAX_WAITING = 20_000
MAX_BATCHES = 8
MAX_LINE = 4000
_MASKED = re.compile(r"((?:_state|token|access_token|password)=)[^&\s\"]+", re.IGNORECASE)


class AccessLog:
    """Collects lines; belongs to one event loop.

    Args:
        descriptor: where the lines go; stdout.
    """

    def __init__(self, descriptor: int = 1) -> None:
        self._descriptor = descriptor
        # Below this size a write to a pipe is never mixed with another worker's.
        self._whole = select.PIPE_BUF if stat.S_ISFIFO(os.fstat(descriptor).st_mode) else 1 << 20
        self._lines: list[str] = []
        self._dropped = 0
        self._timer: asyncio.TimerHandle | None = None
        self._second = 0
        self._stamp = ""
        self._batches: queue.Queue[list[str] | None] = queue.Queue(MAX_BATCHES)
        self._thread = threading.Thread(target=self._write_all, name="access log", daemon=True)
        self._thread.start()

    def line(
        self,
        remote: str,
        method: str,
        path: str,
        version: str,
        agent: str,
        status: int,
        size: int,
        seconds: float,
        route: str,
        reason: str,
    ) -> None:
        """Adds a line. Nothing is formatted that need not be; what a client sent cannot forge a second one."""
        now = int(time.time())
        if now != self._second:
            self._second = now
            self._stamp = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now))
        if "?" in path:
            path = masked(path)
        path, agent = path[:2048], agent[:512]
        if '"' in path or '"' in agent:
            path, agent = path.replace('"', "\\x22"), agent.replace('"', "\\x22")
        text = (
            f'{remote} - - [{self._stamp}] "{method} {path} {version}" {status} {size} "-" "{agent}" '
            f'{seconds:.4f} {route} "{reason}"'
        )
        if not text.isprintable():
            text = escaped(text)
        if len(self._lines) >= MAX_WAITING:
            self._dropped += 1
        else:
            self._lines.append(text)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._flush)

    def _flush(self) -> None:
        self._timer = None
        try:
            self._batches.put_nowait(self._take())
        except queue.Full:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._flush)
            return
        self._lines, self._dropped = [], 0

    def _take(self) -> list[str]:
        if not self._dropped:
            return self._lines
        return [*self._lines, f"{self._dropped} lines of the access log were dropped, since nobody took them"]

    def _write_all(self) -> None:
        while (batch := self._batches.get()) is not None:
            for piece in _pieces(batch, self._whole):
                data = memoryview(piece)
                try:
                    while data:
                        data = data[os.write(self._descriptor, data) :]
                except OSError:
                    break  # nobody reads the access log any more: serving goes on

    async def stop(self) -> None:
        """Writes what is left, and waits a second for it at most."""
        if self._timer is not None:
            self._timer.cancel()
        try:
            self._batches.put_nowait(self._take())
            self._batches.put_nowait(None)
        except queue.Full:
            return  # nobody has read for a long time
        self._lines = []
        await asyncio.to_thread(self._thread.join, STOP_SECONDS)


def masked(target: str) -> str:
    """Returns a request's target without what would open a door to a reader of the log."""
    return _MASKED.sub(r"\1***", target)


def _pieces(lines: list[str], size: int) -> Iterator[bytes]:
    """Yields lines as bytes, as many whole ones at a time as stay within a size."""
    piece = bytearray()
    for line in lines:
        data = line.encode("utf-8", "backslashreplace")
        if len(data) > MAX_LINE:
            data = data[:MAX_LINE].decode("utf-8", "ignore").encode()
        data += b"\n"
        if len(piece) + len(data) > size and piece:
            yield bytes(piece)
            piece.clear()
        piece += data
    if piece:
        yield bytes(piece)
