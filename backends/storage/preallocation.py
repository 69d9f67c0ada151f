"""Room on the disk for what a growing file gets next, asked for in large steps before it comes.

ext4 otherwise accounts for each block of 4 KiB alone when it is written, and looks for places for all of them when they
are synced. Where places are there already, a large file costs some hundredths less CPU from the socket to the disk
(docs/profiles.md, "Pushes"). The length of the file does not change. What is not used is given back when the file is
synced; a file that is never synced keeps it until it is deleted.

Nothing depends on it: where it cannot be had, what is written finds its places as ever, or says that there are none.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Callable
from typing import Final

FIRST: Final = 1024 * 1024
"""Smaller files have none: to ask and to give back costs as much as it saves."""
LARGEST: Final = 8 * 1024 * 1024
ENOUGH: Final = 2 * 1024 * 1024
"""With so much ahead nothing is asked for: at a gigabyte a second it lasts for two milliseconds."""
ROOMY: Final = 64
"""A disk without room for so many steps is left alone: what is held ahead is nobody else's."""
FILE_SYSTEMS: Final = frozenset(("ext4",))
"""Where it has been measured. xfs does so by itself; tmpfs would take memory."""

_KEEP_SIZE: Final = 1
_BLOCK: Final = 512
_SLACK: Final = 128 * 1024
"""Blocks for the map of a fragmented file."""


class Ahead:
    """How far room has been asked for, for one file that grows.

    Args:
        size: of the file in bytes, at the beginning.
    """

    __slots__ = ("_asked", "_first")

    def __init__(self, size: int) -> None:
        self._asked = size
        self._first = size + FIRST

    def step(self, size: int) -> tuple[int, int] | None:
        """Returns what to ask for when the file has so many bytes: (offset, length); None for nothing.

        Up to as much as has been written, and up to `LARGEST`: so nobody holds more than twice what he has.
        """
        if size < self._first or self._asked - size >= min(ENOUGH, size // 2):
            return None
        offset = max(self._asked, size)
        self._asked = size + min(LARGEST, size)
        return offset, self._asked - offset


def allocate(fd: int, offset: int, length: int) -> None:
    """Asks for room beyond the end of a file, if the disk has plenty; may block, so call it in a thread.

    Fails at nothing: who waits for it would fail at what he does not need. What is wrong shows at the next write.
    """
    if _FALLOCATE is None:
        return
    try:
        volume = os.fstatvfs(fd)
    except OSError:
        return
    if volume.f_bavail * volume.f_frsize >= ROOMY * length:
        _FALLOCATE(fd, _KEEP_SIZE, offset, length)  # what it answers changes nothing: see above


def give_back(fd: int) -> None:
    """Gives back what a file has been given beyond its end, by whichever process; may block.

    Raises:
        OSError: that failed.
    """
    info = os.fstat(fd)
    if info.st_blocks * _BLOCK > info.st_size + _SLACK:
        os.ftruncate(fd, info.st_size)


def _find() -> Callable[[int, int, int, int], int] | None:
    found = getattr(ctypes.CDLL(None), "fallocate64", None)  # glibc's; without it there is just no such room
    if found is not None:
        found.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_int64, ctypes.c_int64)
    return found


_FALLOCATE: Final = _find()
