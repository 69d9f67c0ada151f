"""Who speaks when all workers of a program see the same: one of them, and another one when that one ends."""

from __future__ import annotations

import fcntl
import os


class Voice:
    """Made by the parent before it forks, asked in each worker.

    A record lock (POSIX) on a file in memory: it belongs to a process, not to the descriptor that all inherit, and goes
    when its process goes.
    """

    def __init__(self) -> None:
        self._file = os.memfd_create("portside-voice", os.MFD_CLOEXEC)

    def is_ours(self) -> bool:
        """Whether this worker speaks for all; the first that asks does."""
        try:
            fcntl.lockf(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            return False
        return True
