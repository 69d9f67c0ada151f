"""The access log: one line a request, formatted by hand, collected and written in batches by a thread.

The form is nginx's combined one, with duration, way and reason at the end:
`127.0.0.1 - - [24/Nov/2026:09:00:00 +0000] "GET /v2/ HTTP/1.1" 200 2 "-" "docker/24.0.7 ..." 0.0004 v2 "..."`
"""

from __future__ import annotations

import asyncio
import os
import re
import time

from portside.logging import escaped

FLUSH_SECONDS = 0.2
MAX_WAITING = 20_000
_MASKED = re.compile(r"((?:_state|token|access_token|password)=)[^&\s\"]+", re.IGNORECASE)


class AccessLog:
    """Collects lines; `start` and `stop` belong to one event loop."""

    def __init__(self, descriptor: int = 1) -> None:
        self._descriptor = descriptor
        self._lines: list[str] = []
        self._timer: asyncio.TimerHandle | None = None
        self._writing: asyncio.Future[None] | None = None
        self._second = 0
        self._stamp = ""

    def line(
        self,
        remote: str,
        method: str,
        path: str,
        agent: str,
        status: int,
        size: int,
        seconds: float,
        way: str,
        reason: str,
    ) -> None:
        """Adds a line. Nothing is formatted that need not be; what a client sent cannot forge a second line."""
        now = int(time.time())
        if now != self._second:
            self._second = now
            self._stamp = time.strftime("%d/%b/%Y:%H:%M:%S +0000", time.gmtime(now))
        if "?" in path:
            path = _MASKED.sub(r"\1***", path)
        text = (
            f'{remote} - - [{self._stamp}] "{method} {path[:2048]} HTTP/1.1" {status} {size} "-" "{agent[:512]}" '
            f'{seconds:.4f} {way} "{reason}"'
        )
        if not text.isprintable():
            text = escaped(text)
        if len(self._lines) < MAX_WAITING:
            self._lines.append(text)
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._flush)

    def _flush(self) -> None:
        self._timer = None
        if self._writing is not None and not self._writing.done():
            self._timer = asyncio.get_running_loop().call_later(FLUSH_SECONDS, self._flush)
            return
        lines, self._lines = self._lines, []
        if lines:
            self._writing = asyncio.get_running_loop().run_in_executor(None, self._write, lines)

    def _write(self, lines: list[str]) -> None:
        data = memoryview(("\n".join(lines) + "\n").encode("utf-8", "backslashreplace"))
        try:
            while data:
                data = data[os.write(self._descriptor, data) :]
        except OSError:
            return  # nobody reads the access log any more: serving goes on

    async def stop(self) -> None:
        """Writes what is left."""
        if self._timer is not None:
            self._timer.cancel()
        if self._writing is not None:
            await self._writing
        lines, self._lines = self._lines, []
        if lines:
            await asyncio.get_running_loop().run_in_executor(None, self._write, lines)
