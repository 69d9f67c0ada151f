"""A file that its operator may change at any time, read whole and within a bound. It may wait for a disk."""

from __future__ import annotations

import errno
import os
import stat
import time
from pathlib import Path
from typing import NamedTuple


class Look(NamedTuple):
    """A file as `stat` shows it, links followed: another one, or another content, is another look.

    Attributes:
        modified: in nanoseconds since the epoch, as `changed`.
    """

    device: int
    inode: int
    size: int
    modified: int
    changed: int

    @property
    def age(self) -> float:
        """The seconds since it was written: while these are few, it may be written again without another look."""
        return time.time() - self.modified / 1e9


class NotAFile(OSError):  # noqa: N818 - an OSError like others
    """There is something else: a folder, a pipe."""

    def __init__(self) -> None:
        super().__init__(errno.EINVAL, "it is not a file")


def look_at(path: str | Path) -> Look:
    """Returns how a file looks.

    Raises:
        OSError: it cannot be found.
    """
    return _look(os.stat(path))  # noqa: PTH116 - at every request that shows a password


def read_whole(path: str | Path, most: int) -> tuple[bytes, Look, Look]:
    """Returns what a file holds, and how it looked before and after it was read.

    Args:
        path: the file; links are followed.
        most: of what has more bytes, one more is returned.

    Raises:
        NotAFile: it is none.
        OSError: it cannot be read.
    """
    # A pipe would keep it waiting without O_NONBLOCK.
    descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK | os.O_NOCTTY)
    try:
        before = _look(os.fstat(descriptor))
        content = read_open(descriptor, most)
        return content, before, _look(os.fstat(descriptor))
    finally:
        os.close(descriptor)


def read_open(descriptor: int, most: int) -> bytes:
    """Returns what a file holds that is open, as `read_whole` does."""
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise NotAFile
    pieces: list[bytes] = []
    left = most + 1
    while left and (piece := os.read(descriptor, left)):
        pieces.append(piece)
        left -= len(piece)
    return b"".join(pieces)


def _look(info: os.stat_result) -> Look:
    return Look(info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns, info.st_ctime_ns)
