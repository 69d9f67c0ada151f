"""A lock file that one process at a time has; the kernel releases it when that process ends in any way."""

from __future__ import annotations

import fcntl
import os


def try_lock(folder: int, name: str) -> int | None:
    """Locks a file, which is created if it is missing.

    Args:
        folder: an open descriptor of its folder.
        name: of the file.

    Returns:
        a descriptor that keeps it locked as long as it is open; None while another process, or another part of
        this one, has it.
    """
    fd = os.open(name, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644, dir_fd=folder)
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(fd)
        return None
    except BaseException:
        os.close(fd)
        raise
    return fd
