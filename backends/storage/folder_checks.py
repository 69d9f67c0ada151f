"""Asking the operating system again whether a data folder can be used, and how much room it has.

The driver works through descriptors that stay open: they go on answering when the folder was deleted, moved or made
again, or when its permissions were taken. So the path is opened again each time, and compared.

Everything here may wait for the disk, so it is called in a thread.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Sequence
from pathlib import Path

from backends.storage import layout
from backends.storage.cached_reads import Opener
from backends.storage.capabilities import Room
from backends.storage.driver import StorageError, StorageFull, StorageReadOnly

FOLDERS = (layout.BLOBS, layout.REPOSITORIES, layout.V1_IMAGES, layout.V1_REPOSITORIES)
"""Where content lies; each may be a volume of its own, and each may be missing."""

PROBE_BYTES = 4096

_NOTHING_THERE = frozenset({errno.ENOENT, errno.ENOTDIR, errno.EXDEV, errno.ELOOP})


class FolderChecks:
    """Checks of one data folder.

    Args:
        path: the folder, from the root.
        root: the descriptor through which the driver works.
        opener: opens what is below it.
    """

    def __init__(self, path: Path, root: int, opener: Opener) -> None:
        self._path = path
        self._root = root
        self._opener = opener

    def check_reading(self) -> None:
        """Opens the folder by its path, and the folders in it that hold content, and reads an entry of each.

        Raises:
            StorageError: the sentence says what is wrong and what to do.
        """
        try:
            fd = os.open(self._path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                same = os.path.samestat(os.fstat(fd), os.fstat(self._root))
                _read_an_entry(fd)
            finally:
                os.close(fd)
            if not same:
                raise StorageError(
                    f"{self._path} is not the folder that was opened at the start: it was moved away or deleted, and"
                    " another one is in its place; restart Portside to use that one"
                )
            for folder in FOLDERS:
                self._check_below(folder[1:].encode())
        except FileNotFoundError:
            raise StorageError(
                f"the data folder {self._path} is gone, deleted or moved: put it back, or restart Portside with another"
            ) from None
        except PermissionError as error:
            raise StorageReadOnly(
                f"the data folder {self._path} cannot be read ({error.strerror}): give it to uid {os.getuid()}"
            ) from None
        except OSError as error:
            raise StorageError(f"the data folder {self._path} cannot be read ({error.strerror})") from None

    def _check_below(self, folder: bytes) -> None:
        try:
            fd = self._opener.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        except OSError as error:
            if error.errno in _NOTHING_THERE:
                return  # nothing was pushed yet, or the folder is none of ours
            raise
        try:
            _read_an_entry(fd)
        finally:
            os.close(fd)

    def check_writing(self, try_out: Callable[[bytes], None]) -> None:
        """Writes a little and takes it away again.

        Args:
            try_out: writes these bytes to a temporary file and removes it.

        Raises:
            StorageError: the sentence says what is wrong and what to do.
        """
        try:
            try_out(bytes(PROBE_BYTES))
        except OSError as error:
            match error.errno:
                case errno.ENOSPC | errno.EDQUOT:
                    raise StorageFull(
                        f"the data folder {self._path} is full ({error.strerror}): free some space, or enlarge it"
                    ) from None
                case errno.EROFS:
                    raise StorageReadOnly(
                        f"the data folder {self._path} cannot be written ({error.strerror}): mount it for writing, or"
                        " set storage.maintenance.readonly.enabled: true"
                    ) from None
                case errno.EACCES | errno.EPERM:
                    raise StorageReadOnly(
                        f"the data folder {self._path} cannot be written ({error.strerror}):"
                        f" give it to uid {os.getuid()}"
                    ) from None
                case _:
                    raise StorageError(f"the data folder {self._path} cannot be written ({error.strerror})") from None

    def measure_room(self) -> Sequence[Room]:
        """Returns what is left on each file system: folders below the root may be volumes of their own.

        Raises:
            StorageError: the operating system does not say.
        """
        try:
            found = [self._measure(folder) for folder in (b".", *(each[1:].encode() for each in FOLDERS))]
        except OSError as error:
            raise StorageError(f"the free space of {self._path} cannot be measured ({error.strerror})") from None
        return tuple(dict.fromkeys(room for room in found if room is not None))

    def _measure(self, folder: bytes) -> Room | None:
        try:
            fd = self._opener.open(folder, os.O_PATH)
        except OSError as error:
            if error.errno in _NOTHING_THERE:
                return None
            raise
        try:
            found = os.fstatvfs(fd)
        finally:
            os.close(fd)
        # Not f_bfree and f_ffree: they count what is reserved for root.
        return Room(found.f_bavail * found.f_frsize, found.f_blocks * found.f_frsize, found.f_favail, found.f_files)


def _read_an_entry(folder: int) -> None:
    with os.scandir(folder) as entries:
        next(entries, None)
