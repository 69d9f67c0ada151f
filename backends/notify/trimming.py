"""Deleting from the log: what every endpoint has taken, and the oldest where it exceeds its bound.

At the bound the oldest pulls go first, each run of them leaving a count in its place; then the oldest events go, a file
at a time. The file that is being written never goes, so the log may be as large as the bound and one file.

Called by one process at a time (`Segments.lock`), in a thread. It raises OSError.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass, field

from backends.notify.places import Places
from backends.notify.records import without_pulls
from backends.notify.segments import Segment, Segments

MOST_FILES = 4096
"""So many files the log has at most, whatever their size."""


@dataclass(frozen=True, slots=True)
class Trimmed:
    """What was dropped although an endpoint had not taken it yet.

    Attributes:
        pulls: how many.
        events: how many; pulls may be among them.
        size: what is left of the log, in bytes.
    """

    pulls: int = 0
    events: int = 0
    size: int = 0


@dataclass(slots=True)
class Trimmer:
    """Deletes from one log.

    Attributes:
        disk_bytes: how large it may be.
    """

    disk_bytes: int
    _without_pulls: set[Segment] = field(default_factory=set)

    def trim(self, segments: Segments, places: Places) -> Trimmed:
        """Deletes what may and what must go."""
        segments.remove_temporary()
        found = list(segments.list())
        taken = min((place.sequence for key in places.keys() if (place := places.read(key)) is not None), default=0)  # noqa: SIM118
        while len(found) > 1 and found[1].first - 1 <= taken:
            segments.delete(found.pop(0).first)
        pulls = self._drop_pulls(segments, found)
        events = 0
        while len(found) > 1 and _exceeds(found, self.disk_bytes):
            events += found[1].first - max(found[0].first, taken + 1)
            segments.delete(found.pop(0).first)
        return Trimmed(pulls, events, _size(found))

    def _drop_pulls(self, segments: Segments, found: list[Segment]) -> int:
        """Drops pulls from the oldest files until the bound is kept."""
        dropped = 0
        for index, segment in enumerate(found[:-1]):
            if not _exceeds(found, self.disk_bytes):
                break
            if segment in self._without_pulls:
                continue
            with contextlib.suppress(FileNotFoundError):
                content, pulls = without_pulls(segments.read(segment.first))
                if pulls:
                    segments.replace(segment.first, content)
                    dropped += pulls
                    found[index] = Segment(segment.first, len(content))
            self._without_pulls.add(found[index])
        self._without_pulls.intersection_update(found)
        return dropped


def _exceeds(found: Sequence[Segment], disk_bytes: int) -> bool:
    return _size(found) > disk_bytes or len(found) > MOST_FILES


def _size(found: Sequence[Segment]) -> int:
    return sum(segment.size for segment in found)
