"""Repairing a damaged file in place: the only way where it has other hard links, since their names are unknown."""

from __future__ import annotations

import errno
import os

PIECE = 1024 * 1024


def rewrite_differences(source: int, target: int) -> int:
    """Gives an open file the content of another one, and syncs it.

    Only what differs is written, so a concurrent reader, or a crash in the middle, never sees it more damaged than it
    was.

    Args:
        source: open for reading.
        target: open for reading, and for writing where that is allowed.

    Returns:
        how many bytes were written, in whole pieces, or cut off.

    Raises:
        OSError: EBADF when they differ and `target` is not open for writing.
    """
    offset = changed = 0
    while piece := os.pread(source, PIECE, offset):
        found = _read_what_can_be_read(target, len(piece), offset)
        if found != piece:
            _write_all(target, piece, offset)
            changed += len(piece)
        offset += len(piece)
    beyond = os.fstat(target).st_size - offset
    if beyond > 0:
        os.ftruncate(target, offset)
        changed += beyond
    os.fsync(target)
    return changed


def _read_what_can_be_read(fd: int, length: int, offset: int) -> bytes:
    try:
        return os.pread(fd, length, offset)
    except OSError as error:
        if error.errno != errno.EIO:
            raise
        return b""  # the disk cannot read it back: write it again


def _write_all(fd: int, piece: bytes, offset: int) -> None:
    view = memoryview(piece)
    while view:
        count = os.pwrite(fd, view, offset)
        offset += count
        view = view[count:]
