"""Appending to the log on disk, among all processes that share it.

The sequence is given and the lines are written under flock; the sync comes after it, so that processes sync at the same
time. A sync of a file covers what other processes have written to it before, so whatever an acknowledged event follows
is durable too.

Invariants:
- a file gets a successor only after its seal is durable, and a process that finds the seal goes on in the last file. So
  nobody writes to a file behind which readers have moved on;
- a sequence is never given twice: neither that of a record, nor one that an endpoint's place names, although the record
  was lost.

Not for several threads at once. Everything here waits for the disk, so it is called in a thread. It raises OSError.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import time
from collections.abc import Callable, Iterator, Sequence

from backends.notify.locking import is_in_place
from backends.notify.records import Kind, Record, encode
from backends.notify.segments import Segments, has_holes, read_tail
from backends.storage import layout
from backends.storage.folders import make_folders

PATIENCE_SECONDS = 30.0
PADDING = 256 * 1024
"""So many zeros a file is given at once, at most."""

_FIRST_PAUSE = 0.0001
_LONGEST_PAUSE = 0.01
_LOCK = "lock"


class Appender:
    """Writes to the log below one root.

    Args:
        root: an open descriptor of the root, which the caller closes.
        segment_bytes: a file that has so many bytes gets a successor.
        floor: returns the highest sequence that an endpoint's place names.

    Attributes:
        files_begun: how many files it has given a successor.
    """

    def __init__(self, root: int, *, segment_bytes: int, floor: Callable[[], int]) -> None:
        self._root = root
        self._segment_bytes = segment_bytes
        self._floor = floor
        self.files_begun = 0
        self._segments: Segments | None = None
        self._lock = -1
        self._fd = -1
        self._size = 0  # of the file, with its padding
        self._end = 0
        self._torn = False
        self._sealed = False
        self._last = 0

    def append(self, entries: Sequence[tuple[Kind, bytes]], *, durable: bool) -> int:
        """Appends events.

        Args:
            entries: kind and content.
            durable: whether they must survive a power cut when it returns.

        Returns:
            the sequence of the last one.
        """
        with self._locked():
            self._catch_up()
            if self._sealed or self._end >= self._segment_bytes:
                self._begin_file()
            records = [Record(self._last + number, *entry) for number, entry in enumerate(entries, 1)]
            self._write(b"".join(map(encode, records)), padding=min(PADDING, self._segment_bytes))
            self._last += len(records)
            written = self._last
        if durable:
            self._sync()
        return written

    def at_end(self, action: Callable[[int], None]) -> None:
        """Calls with the last sequence that was given, while nobody appends; creates the log if it is missing."""
        with self._locked():
            self._catch_up()
            action(self._last)

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Excludes other processes; never for longer than one of them needs to write, unless it has been stopped."""
        deadline, pause = time.monotonic() + PATIENCE_SECONDS, _FIRST_PAUSE
        while True:
            if self._lock < 0:
                self._open()
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise OSError(errno.EBUSY, "another process keeps the log of events locked", _LOCK) from None
                time.sleep(pause)
                pause = min(2 * pause, _LONGEST_PAUSE)
                continue
            if is_in_place(self._lock, self._root, f"{layout.EVENTS}/{_LOCK}"):
                break
            self.close()  # it was removed or moved, and another one may be in its place
        try:
            yield
        finally:
            fcntl.flock(self._lock, fcntl.LOCK_UN)

    def _open(self) -> None:
        folder = make_folders(self._root, layout.EVENTS)
        try:
            self._segments = Segments(self._root, make=True)
            self._lock = os.open(_LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o644, dir_fd=folder)
        finally:
            os.close(folder)

    def _catch_up(self) -> None:
        """Takes note of what others have appended, and of where to go on."""
        if self._fd >= 0:
            info = os.fstat(self._fd)
            if info.st_nlink and not self._sealed:
                if info.st_size == self._size and os.pread(self._fd, 1, self._end) in {b"", b"\0"}:
                    return
                if info.st_size >= self._end:
                    self._look(self._end, info.st_size)
                    if not self._sealed:
                        return
            os.close(self._fd)
            self._fd = -1
        self._open_last()

    def _open_last(self) -> None:
        assert self._segments is not None, "the lock was opened with it"
        if self._segments.is_gone:
            self._segments.close()
            self._segments = Segments(self._root, make=True)
        self._last = max(self._last, self._floor())
        found = self._segments.list()
        if not found:
            self._create()
            return
        self._fd = self._segments.open(found[-1].first, writable=True)
        self._segments.sync()  # the process that created it may have been killed before it did
        self._last = max(self._last, found[-1].first - 1)
        self._sealed = False
        self._look(0, os.fstat(self._fd).st_size)
        if not self._sealed and has_holes(self._fd, self._end):
            self._seal()

    def _look(self, start: int, size: int) -> None:
        tail = read_tail(self._fd, start, size)
        if tail.sequence is not None:
            self._last = max(self._last, tail.sequence)
            self._sealed = tail.sealed
        if tail.end > start:
            self._torn = tail.torn
        self._size, self._end = size, tail.end

    def _begin_file(self) -> None:
        if not self._sealed:
            self._seal()
        os.fdatasync(self._fd)
        os.close(self._fd)
        self._fd = -1
        self._create()
        self.files_begun += 1

    def _seal(self) -> None:
        """Says in the file that nothing follows in it; others notice that by its size too."""
        self._write(encode(Record(self._last, Kind.SEAL, b"")), padding=0)
        self._sealed = True
        os.ftruncate(self._fd, self._end)
        self._size = self._end

    def _create(self) -> None:
        assert self._segments is not None, "the lock was opened with it"
        while self._fd < 0:
            try:
                self._fd = self._segments.create(self._last + 1)
            except FileExistsError:  # nothing of it could be read
                self._last += 1
        self._size, self._end, self._torn, self._sealed = 0, 0, False, False

    def _write(self, lines: bytes, *, padding: int) -> None:
        """Writes over the padding of the file, and gives it more where it does not suffice.

        If it fails, what has been written stays: whole lines may have been read and sent already, so their sequences
        must not be given again. The next writer finds them, and a line without an end.
        """
        content = b"\n" + lines if self._torn else lines
        end = self._end + len(content)
        rest = memoryview(content + bytes(padding) if end > self._size else content)
        offset = self._end
        while offset < end:  # where there is no room for all of the padding, it may do without
            count = os.pwrite(self._fd, rest, offset)
            rest, offset = rest[count:], offset + count
        self._size = max(self._size, offset)
        self._end, self._torn = end, False

    def _sync(self) -> None:
        """Makes the file durable. After a failure nothing more is written to it: the kernel may have given pages up."""
        try:
            os.fdatasync(self._fd)
        except OSError:
            with self._locked(), contextlib.suppress(OSError):
                self._catch_up()
                if not self._sealed:
                    self._seal()
            raise

    def close(self) -> None:
        """Closes what it holds open; the next call opens it again."""
        for fd in (self._fd, self._lock):
            if fd >= 0:
                os.close(fd)
        self._fd = self._lock = -1
        if self._segments is not None:
            self._segments.close()
            self._segments = None
