"""Reading layers: once each, several at once, in threads, no faster than is wanted, and until it is told to stop."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator

from portside.v1_check.volume import Volume

PIECE = 1024 * 1024


class Stopped(Exception):  # noqa: N818 - a finding, not a fault
    """It was told to stop."""


class Pace:
    """How fast all threads together read, and whether they go on.

    Args:
        rate: bytes a second; None for as fast as the disk gives them.
    """

    def __init__(self, rate: int | None) -> None:
        self._rate = rate
        self._lock = threading.Lock()
        self._next = time.monotonic()
        self._stopped = threading.Event()

    def stop(self) -> None:
        """Ends the reading in all threads."""
        self._stopped.set()

    def rest(self, seconds: float) -> None:
        """Waits.

        Raises:
            Stopped
        """
        if self._stopped.wait(seconds):
            raise Stopped

    def take(self, size: int) -> None:
        """Waits until so many bytes may be read.

        Raises:
            Stopped
        """
        seconds = 0.0
        if self._rate is not None:
            with self._lock:
                now = time.monotonic()
                self._next = max(self._next, now) + size / self._rate
                seconds = self._next - now - size / self._rate
        self.rest(max(0.0, seconds))


def read_pieces(volume: Volume, path: str, pace: Pace, passed: Callable[[int], None]) -> Iterator[bytes]:
    """Yields the content of a file.

    Args:
        volume: where.
        path: as `layout` names it.
        pace: how fast.
        passed: told how many bytes have been read.

    Raises:
        Gone, Unreadable: it cannot be opened.
        OSError: the disk cannot read it.
        Stopped: it was told to stop.
    """
    file = volume.open(path)
    try:
        while True:
            pace.take(PIECE)
            piece = os.read(file, PIECE)
            if not piece:
                return
            passed(len(piece))
            yield piece
    finally:
        os.close(file)
