"""Creating folders durably: the root of a storage, and Portside's own below it, where symbolic links are refused."""

from __future__ import annotations

import contextlib
import errno
import os
from pathlib import Path

_STEP = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def make_root(root: Path) -> int:
    """Creates a folder and those above it durably, and opens it.

    Raises:
        OSError: it cannot be created or opened.
    """
    root.mkdir(parents=True, exist_ok=True)
    for above in root.absolute().parents:
        _sync_found(above)
    return os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)


def make_folders(root: int, path: str) -> int:
    """Creates nested folders durably, and opens the last one.

    Those that exist are synced too: the process that created them may have been killed before it did.

    Args:
        root: an open descriptor of the root.
        path: absolute within the root.

    Returns:
        a descriptor; the caller closes it.
    """
    fd = os.dup(root)
    for part in path[1:].split("/"):
        try:
            with contextlib.suppress(FileExistsError):
                os.mkdir(part, 0o755, dir_fd=fd)
            os.fsync(fd)
            below = os.open(part, _STEP, dir_fd=fd)
        finally:
            os.close(fd)
        fd = below
    return fd


def open_folders(root: int, path: str) -> int:
    """Opens the last of nested folders.

    Raises:
        FileNotFoundError: one of them does not exist.
    """
    fd = os.dup(root)
    for part in path[1:].split("/"):
        try:
            below = os.open(part, _STEP, dir_fd=fd)
        finally:
            os.close(fd)
        fd = below
    return fd


def _sync_found(folder: Path) -> None:
    try:
        fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except PermissionError:
        return  # Portside cannot have created anything where it may not even read
    try:
        os.fsync(fd)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.EROFS}:  # a file system without anything to sync
            raise
    finally:
        os.close(fd)
