"""From OSError to the errors of the driver interface."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator

from backends.storage.driver import (
    InvalidPath,
    PathNotFound,
    StorageBusy,
    StorageError,
    StorageFull,
    StorageReadOnly,
)

LONGEST_SHOWN = 40
NO_ROOM = frozenset({errno.ENOSPC, errno.EDQUOT})
"""The disk is full, or a quota is used up."""


@contextlib.contextmanager
def map_os_errors(path: str) -> Iterator[None]:
    """Turns an OSError into a StorageError.

    Args:
        path: what the operation was about.

    Raises:
        StorageError: the kind that the errno stands for.
    """
    try:
        yield
    except OSError as error:
        match error.errno:
            case errno.ENOENT | errno.ENOTDIR | errno.EISDIR:
                raise PathNotFound(path) from error
            case errno.ENAMETOOLONG:
                raise InvalidPath(path, _too_long(path)) from error
            case errno.ELOOP | errno.EXDEV:
                raise InvalidPath(
                    path, "a symbolic link in the registry's data folder leads in a circle or out of the folder"
                ) from error
            case errno.EILSEQ:
                raise InvalidPath(path, "the registry's file system does not take these characters") from error
            case errno.ENOSPC | errno.EDQUOT | errno.EFBIG:
                raise StorageFull(f"no room to write {path}: {error.strerror}") from error
            case errno.EROFS | errno.EACCES | errno.EPERM:
                raise StorageReadOnly(f"{path} cannot be written or read: {error.strerror}") from error
            case errno.EMFILE | errno.ENFILE | errno.ENOMEM | errno.ENOLCK | errno.EAGAIN | errno.EBUSY | errno.ESTALE:
                raise StorageBusy(f"{path} cannot be used now: {error.strerror}") from error
            case _:
                raise StorageError(f"{path}: {error.strerror}") from error


@contextlib.contextmanager
def map_write_errors(path: str) -> Iterator[None]:
    """The same for what makes a file: something else in its place, or in that of a folder above it, does not go away.

    Raises:
        StorageError: the kind that the errno stands for.
    """
    with map_os_errors(path):
        try:
            yield
        except (IsADirectoryError, NotADirectoryError) as error:
            raise InvalidPath(
                path, "a folder in the registry's data stands where a file should be, or a file for a folder"
            ) from error


def _too_long(path: str) -> str:
    longest = max(path.split("/"), key=len)
    return (
        f"a name is too long for the registry's file system: on disk, {longest[:LONGEST_SHOWN]!r}... has"
        f" {len(longest.encode())} bytes (each special character takes several)"
    )
