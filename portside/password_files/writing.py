"""An htpasswd file that is made or replaced as a whole, by one program at a time: readers see the old or the new one.

Everything here may wait for the disk, and for another program.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

from backends.auth.password_file import MAX_FILE
from backends.auth.whole_file import read_open, read_whole
from portside.problems import Problem

MODE = 0o600
_NO_HARD_LINKS = frozenset({errno.EPERM, errno.EMLINK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EXDEV})


def make_file(path: Path, content: bytes) -> bool:
    """Makes a file that only this user can read, whole and durable, with the folders above it.

    Args:
        path: the file, not a symbolic link to where it is to be.
        content: all of it.

    Returns:
        False where there is one, which stays as it is.

    Raises:
        OSError: it cannot be made.
    """
    _make_folder(path.parent)
    with _temporary(path, content) as temporary:
        try:
            os.link(temporary, path)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in _NO_HARD_LINKS:
                raise
            return _make_in_place(path, content)
        _sync_folder(path.parent)
    return True


def change_file(path: Path, change: Callable[[bytes], bytes]) -> None:
    """Replaces what a file holds, keeping its owner and mode, while no other `portside htpasswd` does.

    Args:
        path: the file, not a symbolic link to it.
        change: makes the new content of the old.

    Raises:
        Problem: it cannot be read or written.
        FileNotFoundError: there is none.
    """
    try:
        with _held(path) as fd:
            before = _bounded(read_open(fd, MAX_FILE))
            after = change(before)
            if after != before:
                _replace(path, fd, after)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise Problem(f"{path} cannot be changed ({error.strerror}){_advice(error)}") from None


def read_file(path: Path) -> bytes:
    """Returns what a file holds.

    Raises:
        Problem: it cannot be read.
    """
    try:
        return _bounded(read_whole(path, MAX_FILE)[0])
    except OSError as error:
        raise Problem(f"{path} cannot be read ({error.strerror})") from None


def _bounded(content: bytes) -> bytes:
    if len(content) > MAX_FILE:
        raise OSError(errno.EFBIG, f"it is larger than {MAX_FILE // 2**20} MiB")
    return content


@contextlib.contextmanager
def _held(path: Path) -> Iterator[int]:
    """Opens a file, and holds its lock: the file that has this name then, since others replace it meanwhile."""
    while True:
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX)
            if os.path.samestat(os.fstat(fd), path.stat()):
                yield fd
                return
        finally:
            os.close(fd)


def _replace(path: Path, old: int, content: bytes) -> None:
    info = os.fstat(old)
    with _temporary(path, content) as temporary:
        made = temporary.stat()
        if (made.st_uid, made.st_gid) != (info.st_uid, info.st_gid):
            os.chown(temporary, info.st_uid, info.st_gid)
        shutil.copystat(path, temporary)  # the mode, and what else belongs to it
        os.utime(temporary)
        temporary.rename(path)
        _sync_folder(path.parent)


@contextlib.contextmanager
def _temporary(path: Path, content: bytes) -> Iterator[Path]:
    """Makes a file beside another one, which is gone after the block unless it was renamed."""
    temporary = path.with_name(f".htpasswd.{secrets.token_hex(8)}.tmp")
    try:
        _write_new(temporary, content)
        yield temporary
    finally:
        temporary.unlink(missing_ok=True)


def _make_in_place(path: Path, content: bytes) -> bool:
    """Makes a file where there are no hard links."""
    try:
        _write_new(path, content)
    except FileExistsError:
        return False
    except OSError:
        path.unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)
    return True


def _write_new(path: Path, content: bytes) -> None:
    fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, MODE)
    with os.fdopen(fd, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(fd)


def _make_folder(folder: Path) -> None:
    """Makes a folder and those above it, for this user alone, as distribution does."""
    for each in reversed((folder, *folder.parents)):
        if not each.is_dir():
            each.mkdir(0o700, exist_ok=True)


def _sync_folder(folder: Path) -> None:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(fd)
    finally:
        os.close(fd)


def _advice(error: OSError) -> str:
    if error.errno == errno.EBUSY:
        return ": it is mounted by itself; change it where it is mounted from"
    if error.errno in {errno.EPERM, errno.EACCES}:
        return ": run this as its owner, who may write to its folder, too"
    return ""
