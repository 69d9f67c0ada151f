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


def is_in_place(lock: int, root: int, path: str) -> bool:
    """Whether a file that is open is still the one that others find by its path: else its lock keeps nobody out.

    Args:
        lock: a descriptor of the file.
        root: an open descriptor of the root.
        path: the file's, below the root.
    """
    try:
        found = os.stat(path.lstrip("/"), dir_fd=root, follow_symlinks=False)
    except (FileNotFoundError, NotADirectoryError):
        return False
    return os.path.samestat(found, os.fstat(lock))
