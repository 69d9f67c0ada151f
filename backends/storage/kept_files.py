"""Small files that are read again and again, kept with an open descriptor that tells whether they are still the same.

Whatever happens to a file (written to, replaced, removed, renamed) changes the time of its last change, which nobody
can set back. So while an open descriptor shows the time at which it was read, its content is what it was, and asking
that costs a fraction of opening and reading it anew. Storage is asked at every read all the same: what another process
has removed is gone for the next.

Whoever renames a folder above changes nothing of the file, so after a second it is looked up by its path again; what
would be opened by its path at each read is looked up each time.
"""

from __future__ import annotations

import os
import stat
import time
from os import fstat
from time import monotonic

from backends.dependencies import Question
from backends.model.cache import Cache
from backends.storage.driver import FileInfo

KEPT_SECONDS = 1.0
RACY_SECONDS = 2
"""A file's time of change tells every change from the one before only after so long."""

BOUND = 1024
"""So many descriptors are open at most."""

LARGEST = 65536
"""Larger files are not kept: while a descriptor is open, one that is removed takes up its room all the same."""

ASKED = 4096
"""So many paths are remembered as asked for within the last second."""


class KeptFiles:
    """The files below one root that are kept; not for several threads.

    Args:
        root: a descriptor of it. They must be on its device: what is mounted below may not tell of changes.
    """

    def __init__(self, root: int) -> None:
        self._root = root
        self._device = fstat(root).st_dev
        self._kept: Cache[str, _Kept] = Cache(bound=BOUND)
        self._asked: set[str] = set()
        self._asked_until = 0.0

    def content(self, path: str) -> bytes | None:
        """Returns what a file surely holds now; None if that is not known. It never waits for a disk."""
        kept = self._kept.get(path)
        if kept is not None and monotonic() < kept.until and fstat(kept.fd).st_ctime_ns == kept.changed:
            return kept.content  # the quick way to the same
        kept = self._find(path)
        return None if kept is None else kept.content

    def info(self, path: str) -> FileInfo | None:
        """Returns what a file surely is now; None if that is not known, as above."""
        kept = self._find(path)
        return None if kept is None else kept.info

    def _find(self, path: str) -> _Kept | None:
        try:
            kept = self._kept[path]
        except KeyError:
            return None
        if fstat(kept.fd).st_ctime_ns == kept.changed and (monotonic() < kept.until or self._is_at(path, kept)):
            return kept
        self._kept.forget(path)
        return None

    def _is_at(self, path: str, kept: _Kept) -> bool:
        """Whether a path still leads to the file that is kept, unchanged; so it is for another second then.

        It does not wait for a disk: an open file keeps its path in memory, and who changes one has changed it there.
        """
        now = monotonic()
        try:
            found = os.stat(path[1:], dir_fd=self._root)
        except OSError:
            return False
        if found.st_ino != kept.inode or found.st_ctime_ns != kept.changed or found.st_dev != self._device:
            return False
        kept.until = now + KEPT_SECONDS
        return True

    def still_reads(self, path: str, content: bytes) -> Question:
        """Returns the question whether a file surely holds what it held."""

        def ask() -> bool:
            kept = self._kept.get(path)
            if kept is not None and monotonic() < kept.until:  # the quick way to the same
                return fstat(kept.fd).st_ctime_ns == kept.changed and kept.content == content
            kept = self._find(path)
            return kept is not None and kept.content == content

        return ask

    def still_has(self, path: str, info: FileInfo) -> Question:
        """Returns the question whether a file surely has the size and the time that it had."""

        def ask() -> bool:
            kept = self._find(path)
            return kept is not None and kept.info == info

        return ask

    def still_is(self, path: str, fd: int) -> Question | None:
        """Returns the question whether a file surely is what it was before it was read by a descriptor.

        Args:
            path: the file.
            fd: it, open; of what is not kept yet, a second descriptor may be.

        Returns:
            None where that cannot be known, or is not worth it.
        """
        kept = self._find(path)
        if kept is None:
            own = os.dup(fd)
            if not self.keep(path, own):
                os.close(own)
                return None
            kept = self._kept[path]
        if not os.path.sameopenfile(fd, kept.fd):
            return None
        changed = kept.changed

        def ask() -> bool:
            kept = self._kept.get(path)
            return kept is not None and kept.changed == changed and self._is_at(path, kept)

        return ask

    def keep(self, path: str, fd: int, content: bytes | None = None) -> bool:
        """Keeps what has just been opened, when it is asked for often and has not changed lately.

        Args:
            path: the file.
            fd: it, open.
            content: all of it; None where it was not read.

        Returns:
            whether the descriptor is taken over.
        """
        now = monotonic()
        if now > self._asked_until or len(self._asked) >= ASKED:
            self._asked_until = now + KEPT_SECONDS
            self._asked.clear()
        if path not in self._asked:
            self._asked.add(path)
            return False
        info = fstat(fd)
        if not stat.S_ISREG(info.st_mode) or info.st_dev != self._device or info.st_size > LARGEST:
            return False
        is_old = time.time_ns() - info.st_ctime_ns > RACY_SECONDS * 1_000_000_000
        if not is_old or (content is not None and len(content) != info.st_size):
            return False
        self._kept.put(path, _Kept(fd, info, now + KEPT_SECONDS, content))
        return True

    def close(self) -> None:
        """Forgets all, and closes the descriptors."""
        self._kept = Cache(bound=BOUND)


class _Kept:
    """A file with its content.

    Attributes:
        fd: keeps it open.
        inode: its number on its device.
        changed: when it was changed last, in nanoseconds since 1970.
        until: when it is to be read by its path again, by `time.monotonic`.
        content: all of it; None where nobody has read it.
        info: its size and when it was written.
    """

    __slots__ = ("changed", "content", "fd", "info", "inode", "until")

    def __init__(self, fd: int, found: os.stat_result, until: float, content: bytes | None) -> None:
        self.fd = fd
        self.inode = found.st_ino
        self.changed = found.st_ctime_ns
        self.until = until
        self.content = content
        self.info = FileInfo(found.st_size, found.st_mtime, is_directory=False)

    def __del__(self) -> None:
        os.close(self.fd)
