"""Our own folders below a root."""

from __future__ import annotations

import contextlib
import os


def make_folders(root: int, path: str) -> int:
    """Makes nested folders durably, and opens the last one; symbolic links are refused.

    Those that exist are synced too: a process that was killed after making one may not have come to that.

    Args:
        root: an open descriptor of the folder above them all.
        path: absolute within the root.

    Returns:
        a descriptor; whoever gets it closes it.
    """
    fd = os.dup(root)
    for part in path[1:].split("/"):
        try:
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, 0o755, dir_fd=fd)
            os.fsync(fd)
            below = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=fd)
        finally:
            os.close(fd)
        fd = below
    return fd
