"""The files of the log on disk: one after another, each named after the first sequence in it.

The one that is written to ends in zeros: where a file need not grow, a sync writes its bytes and no journal of the file
system, which is several times as fast and waits for nobody else's syncs.

Everything here may wait for the disk, so it is called in threads. It raises OSError.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass

from backends.notify.locking import try_lock
from backends.notify.records import HIGHEST, Kind, Record, last
from backends.notify.replacing import replace_file
from backends.storage import layout
from backends.storage.folders import make_folders, open_folders

WINDOW = 64 * 1024
PIECE = 1024 * 1024
_DIGITS = 20
_LOCK = "trimming"
_FLAGS = os.O_NOFOLLOW | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class Segment:
    """A file of the log: the first sequence that it may have, and its size in bytes."""

    first: int
    size: int


@dataclass(frozen=True, slots=True)
class Tail:
    """How a file, or what was appended to it, ends.

    Attributes:
        sequence: of the last record; None when there is none.
        sealed: whether that record says that nothing follows.
        torn: whether the last line has no end.
        end: where the padding begins.
    """

    sequence: int | None
    sealed: bool
    torn: bool
    end: int


class Segments:
    """All files of the log below one root.

    Args:
        root: an open descriptor of the root, which the caller closes.
        make: whether the folder is created if it is missing.

    Raises:
        OSError: the folder cannot be opened or created.
    """

    def __init__(self, root: int, *, make: bool) -> None:
        self._folder = make_folders(root, layout.EVENT_LOG) if make else open_folders(root, layout.EVENT_LOG)

    @property
    def is_gone(self) -> bool:
        """Whether the folder was removed, so that another one may be in its place."""
        return os.fstat(self._folder).st_nlink == 0

    def names(self) -> Sequence[int]:
        """Returns the first sequence of each file, the oldest first."""
        names = [
            name for name in os.listdir(self._folder) if len(name) == _DIGITS and name.isascii() and name.isdigit()
        ]
        return sorted(first for name in names if (first := int(name)) <= HIGHEST)

    def list(self) -> Sequence[Segment]:
        """Returns all files, the oldest first."""
        found = []
        for first in self.names():
            with contextlib.suppress(FileNotFoundError):  # another process has just deleted it
                info = os.stat(_name(first), dir_fd=self._folder, follow_symlinks=False)
                found.append(Segment(first, info.st_size))
        return found

    def open(self, first: int, *, writable: bool = False) -> int:
        """Opens a file.

        Raises:
            FileNotFoundError: it was deleted.
        """
        return os.open(_name(first), (os.O_RDWR if writable else os.O_RDONLY) | _FLAGS, dir_fd=self._folder)

    def create(self, first: int) -> int:
        """Creates a file and makes its name durable.

        Raises:
            FileExistsError: there is one.
        """
        fd = os.open(_name(first), os.O_RDWR | os.O_CREAT | os.O_EXCL | _FLAGS, 0o644, dir_fd=self._folder)
        try:
            self.sync()
        except BaseException:
            os.close(fd)
            raise
        return fd

    def replace(self, first: int, content: bytes) -> None:
        """Replaces a file. Who has it open goes on reading the old one."""
        replace_file(self._folder, _name(first), content, durable=True)

    def delete(self, first: int) -> None:
        """Deletes a file. It may return after a power cut: then it is deleted again."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(_name(first), dir_fd=self._folder)

    def remove_temporary(self) -> None:
        """Removes what a process left that was killed while it replaced a file; under the lock."""
        for name in os.listdir(self._folder):
            if name.startswith(".") and name.endswith(".tmp"):
                os.unlink(name, dir_fd=self._folder)

    def read(self, first: int) -> bytes:
        """Returns the content of a file."""
        fd = self.open(first)
        try:
            return read_at(fd, 0, os.fstat(fd).st_size)
        finally:
            os.close(fd)

    def lock(self) -> int | None:
        """Locks the folder for the process that deletes from it; None while another one does."""
        return try_lock(self._folder, _LOCK)

    def sync(self) -> None:
        """Makes the names in the folder durable."""
        os.fsync(self._folder)

    def close(self) -> None:
        """Closes the folder."""
        os.close(self._folder)


def read_tail(fd: int, start: int, size: int) -> Tail:
    """Looks at the end of a file, or of what was appended to it.

    Args:
        fd: the file.
        start: where a line begins.
        size: the file's.
    """
    end = _end(fd, start, size)
    if end <= start:
        return Tail(None, sealed=False, torn=False, end=start)
    window = WINDOW
    found: Record | None = None
    while found is None:
        begin = max(start, end - window)
        found = last(read_at(fd, begin, end - begin), begins_line=begin == start)
        if begin == start:
            break
        window *= 4
    torn = read_at(fd, end - 1, 1) != b"\n"
    if found is None:
        return Tail(None, sealed=False, torn=torn, end=end)
    return Tail(found.sequence, sealed=found.kind is Kind.SEAL, torn=torn, end=end)


def has_holes(fd: int, end: int) -> bool:
    """Whether there is padding before other content, as a power cut may leave it."""
    return any(b"\0" in read_at(fd, begin, min(PIECE, end - begin)) for begin in range(0, end, PIECE))


def _end(fd: int, start: int, size: int) -> int:
    """Returns where the padding of a file begins."""
    while size > start:
        begin = max(start, size - WINDOW)
        content = read_at(fd, begin, size - begin).rstrip(b"\0")
        if content:
            return begin + len(content)
        size = begin
    return start


def read_at(fd: int, offset: int, length: int) -> bytes:
    """Returns so many bytes from an offset, or fewer at the end of the file."""
    parts = []
    while length > 0 and (part := os.pread(fd, length, offset)):
        parts.append(part)
        offset += len(part)
        length -= len(part)
    return b"".join(parts)


def _name(first: int) -> str:
    return f"{first:0{_DIGITS}d}"
