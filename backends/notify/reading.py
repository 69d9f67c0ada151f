"""Reading the log on disk for one endpoint.

It reads without a lock. A line without an end may still be being written, so it is read again; once there is a later
file, nobody writes to this one any more. A read that meets a write may even have its end and not its beginning: zeros
before content. Whoever sees the end of a write finds all of it in the next read, so only zeros that are there twice are
what a power cut has left.

Everything here may wait for the disk, so it is called in threads. It raises OSError.
"""

from __future__ import annotations

import os
from dataclasses import replace

from backends.notify.log import Batch
from backends.notify.positions import Position
from backends.notify.records import Record, split
from backends.notify.segments import Segments, read_at

PIECE = 32 * 1024
"""So much is read at once. Behind a few events that were just appended, the rest of it is padding."""
LARGEST_LINE = 32 * 1024 * 1024


class LogReader:
    """Reads what comes after a sequence.

    Args:
        root: an open descriptor of the root, which the caller closes.
        after: the sequence; `UNKNOWN` to read everything that is there.

    Attributes:
        first: which file it reads.
    """

    def __init__(self, root: int, after: int) -> None:
        self._root = root
        self._position = Position(after)
        self._segments: Segments | None = None
        self.first = 0
        self._fd = -1
        self._offset = 0
        self._is_named = False
        self._at_end = False

    def read(self) -> Batch:
        """Returns what comes next."""
        while records := self._next_records():
            before = self._position.sequence
            batch = self._position.take(records)
            if batch.last != before:
                return replace(batch, more=not self._at_end or self._find_later() is not None)
        return Batch((), self._position.sequence, more=False)

    def has_more(self) -> bool:
        """Whether `read` may find something: cheap, and true too often rather than too seldom."""
        if self._fd < 0 or self._segments is None or self._segments.is_gone:
            return True
        return os.pread(self._fd, 1, self._offset) not in {b"", b"\0"} or self._find_later() is not None

    def sync(self) -> None:
        """Makes what was read durable: an endpoint's place must never name what a power cut takes."""
        if self._fd >= 0 and self._segments is not None:
            os.fdatasync(self._fd)
            if not self._is_named:
                self._segments.sync()
                self._is_named = True

    def close(self) -> None:
        """Closes what it holds open."""
        self._close_file()
        if self._segments is not None:
            self._segments.close()
            self._segments = None

    def _next_records(self) -> list[Record]:
        if self._segments is not None and self._segments.is_gone:
            self.close()
        if self._fd < 0 and not self._open_first():
            return []
        later: int | None = None
        while True:
            records, passed = self._piece(whole_file=later is not None)
            self._offset += passed
            if records:
                return records
            if passed:
                continue
            if later is None:
                later = self._find_later()
                if later is None:
                    return []
                continue  # whoever created the later file may have written to this one just before
            self.sync()
            if not self._open_file(later):
                return []
            later = None

    def _piece(self, *, whole_file: bool) -> tuple[list[Record], int]:
        """Reads on.

        Args:
            whole_file: whether zeros are passed over, since content may follow them, and no longer are padding.

        Returns:
            records, and how many bytes need not be read again.
        """
        length = PIECE
        while True:
            chunk = self._read_settled(length)
            records, whole = split(chunk)
            rest = chunk[whole:]
            if whole or len(chunk) < length or b"\0" in rest:
                self._at_end = not rest.strip(b"\0") and (bool(rest) or len(chunk) < length)
                if not whole and whole_file and len(chunk) == length:
                    return [], len(chunk) - len(rest.lstrip(b"\0")) or len(chunk)
                return list(records), whole
            if length > LARGEST_LINE:
                return [], len(chunk)  # nothing that we have written
            length *= 4

    def _read_settled(self, length: int) -> bytes:
        """Reads on; what has zeros before a line's end is as it was found by two reads."""
        chunk = read_at(self._fd, self._offset, length)
        while 0 <= chunk.find(b"\0") < (end := chunk.rfind(b"\n") + 1):
            again = read_at(self._fd, self._offset, length)
            if again.startswith(chunk[:end]):
                break
            chunk = again
        return chunk

    def _open_first(self) -> bool:
        """Opens the file that has what comes next, or the oldest that there is."""
        if self._segments is None:
            try:
                self._segments = Segments(self._root, make=False)
            except FileNotFoundError:
                return False
        found = self._segments.names()
        if not found:
            return False
        wanted = max((first for first in found if first <= self._position.sequence + 1), default=found[0])
        return self._open_file(wanted)

    def _open_file(self, first: int) -> bool:
        assert self._segments is not None, "it was listed"
        self._close_file()
        try:
            self._fd = self._segments.open(first)
        except FileNotFoundError:  # it has just been deleted
            return False
        self.first, self._offset, self._is_named = first, 0, False
        return True

    def _find_later(self) -> int | None:
        """Returns the file after this one."""
        assert self._segments is not None, "a file is open"
        return min((first for first in self._segments.names() if first > self.first), default=None)

    def _close_file(self) -> None:
        if self._fd >= 0:
            os.close(self._fd)
            self._fd = -1
