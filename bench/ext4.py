"""Folders of a run lie apart on ext4, so that what was deleted shortly before costs nobody anything.

For some minutes ext4 without a journal does not give an inode again that was deleted (`recently_deleted` in
fs/ext4/ialloc.c). Where an earlier run has left thousands of them, it goes through all of these for each new file and
folder: half a millisecond of CPU instead of 30 µs, in whichever program makes it.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import struct
from collections.abc import Iterator
from pathlib import Path

TOP = 0x00020000  # FS_TOPDIR_FL: what lies below has nothing to do with each other (chattr +T)
_GET, _SET = 0x80086601, 0x40086602  # FS_IOC_GETFLAGS, FS_IOC_SETFLAGS
_FLAGS = struct.Struct("l")


def spread(folder: Path) -> None:
    """Has each folder that is made right below this one lie in a part of the disk of its own; elsewhere than on ext4,
    where nothing is to be done, does nothing."""
    with contextlib.suppress(OSError), _opened(folder) as fd:
        fcntl.ioctl(fd, _SET, _FLAGS.pack(_flags(fd) | TOP))


def is_spread(folder: Path) -> bool:
    """Whether it does.

    Raises:
        OSError: this file system knows no such thing.
    """
    with _opened(folder) as fd:
        return bool(_flags(fd) & TOP)


def _flags(fd: int) -> int:
    found: int = _FLAGS.unpack(fcntl.ioctl(fd, _GET, bytes(_FLAGS.size)))[0]
    return found


@contextlib.contextmanager
def _opened(folder: Path) -> Iterator[int]:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        yield fd
    finally:
        os.close(fd)
