"""Temporary files: how they are called, where they lie, how they go, and how those of killed processes are found.

They lie in `layout.TEMPORARY`, or beside the final name where that is another file system. No program takes them for
content.

Invariant: nothing that is in progress is taken: the name says when it came to be, and what is written to is young.

Everything here may wait for the disk, so it is called in threads; it raises what the operating system says.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
import secrets
import shutil
import sys
import threading
import time
from collections.abc import Sequence

from backends.storage import layout
from backends.storage.files import write_all
from backends.storage.folders import make_folders

SWEEP_SECONDS = 3600.0

COPY_SIZE = 1024 * 1024
REMOVE_ATTEMPTS = 100

_NAME = re.compile(r"\.(?P<made>[0-9a-f]{8,12})-[0-9a-f]{16}\.tmp")


class TemporaryFolder:
    """The folder of temporary files below one root.

    Args:
        root: an open descriptor of the root, which the caller closes.
    """

    def __init__(self, root: int) -> None:
        self._root = root
        self._folder = -1
        self._opening = threading.Lock()

    def open(self) -> int:
        """Returns its descriptor; it is created and swept when first needed, and when it was removed."""
        with self._opening:
            if self._folder >= 0 and os.fstat(self._folder).st_nlink == 0:
                self.close()
            if self._folder < 0:
                self._folder = make_folders(self._root, layout.TEMPORARY)
                sweep(self._folder)
            return self._folder

    def close(self) -> None:
        """Closes it."""
        if self._folder >= 0:
            os.close(self._folder)
            self._folder = -1


def temporary_name() -> str:
    """Returns a unique name, which has the time in it."""
    return f".{int(time.time()):x}-{secrets.token_hex(8)}.tmp"


def is_temporary(name: str) -> bool:
    """Whether this is a name of ours that stands for nothing yet, or nothing any more."""
    return name.startswith(".") and name.endswith(".tmp")


def remove_tree(folder: int, name: str) -> None:
    """Removes a file or a folder with all that is in it; what is not there (any more) is fine.

    Others may be removing it too, or still be putting something into it, which then goes with it.
    """
    for attempt in range(REMOVE_ATTEMPTS):
        try:
            os.unlink(name, dir_fd=folder)
        except FileNotFoundError:
            return
        except (IsADirectoryError, PermissionError):
            pass
        else:
            return
        try:
            _remove_folder(folder, name)
        except OSError as error:
            if error.errno != errno.ENOTEMPTY or attempt == REMOVE_ATTEMPTS - 1:
                raise


def _remove_folder(folder: int, name: str) -> None:
    if sys.version_info >= (3, 12):
        shutil.rmtree(name, onexc=_pass_over_absent, dir_fd=folder)
    else:
        shutil.rmtree(name, onerror=lambda what, path, info: _pass_over_absent(what, path, info[1]), dir_fd=folder)


def copy_file(origin: int, name: str, folder: int, second: str) -> None:
    """Copies a file from one open folder to another, and syncs the copy."""
    source = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=origin)
    try:
        target = os.open(second, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644, dir_fd=folder)
        try:
            while chunk := os.read(source, COPY_SIZE):
                write_all(target, [chunk])
            os.fsync(target)
        finally:
            os.close(target)
    finally:
        os.close(source)


def sweep(folder: int, *, older_than: float = SWEEP_SECONDS, dry_run: bool = False) -> Sequence[tuple[str, int]]:
    """Removes what killed processes left behind.

    Args:
        folder: an open descriptor of the folder of temporary files.
        older_than: seconds since anything of it was last changed.
        dry_run: only look.

    Returns:
        names and sizes in bytes.
    """
    before = time.time() - older_than
    found: list[tuple[str, int]] = []
    for name in os.listdir(folder):
        with contextlib.suppress(FileNotFoundError):  # somebody else was quicker
            touched, size = _look(folder, name)
            if touched < before:
                if not dry_run:
                    remove_tree(folder, name)
                found.append((name, size))
    return found


def _look(folder: int, name: str) -> tuple[float, int]:
    """Returns when anything of a file or folder was last changed, and how many bytes it has."""
    made = _NAME.fullmatch(name)
    top = os.stat(name, dir_fd=folder, follow_symlinks=False)
    touched, size = max(top.st_mtime, int(made["made"], 16) if made else 0.0), top.st_size
    with contextlib.suppress(NotADirectoryError):
        for _, folders, files, fd in os.fwalk(name, dir_fd=folder, follow_symlinks=False):
            for each in (*folders, *files):
                with contextlib.suppress(FileNotFoundError):
                    info = os.stat(each, dir_fd=fd, follow_symlinks=False)
                    touched, size = max(touched, info.st_mtime), size + info.st_size
    return touched, size


def _pass_over_absent(function: object, path: object, error: BaseException) -> None:  # noqa: ARG001 - rmtree calls it
    """Goes on where somebody else removes the same folder."""
    if not isinstance(error, FileNotFoundError):
        raise error
