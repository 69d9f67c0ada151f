"""A machine that starts no more threads."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

TOO_LARGE = 1 << 47
"""No address space has so much for a stack: the system refuses the thread, as at a limit of processes."""


@contextlib.contextmanager
def no_more_threads() -> Iterator[None]:
    """Has the system refuse threads until the end of the block."""
    before = threading.stack_size(TOO_LARGE)
    try:
        yield
    finally:
        threading.stack_size(before)
